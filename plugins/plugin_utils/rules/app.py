# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Rules for the app: packages, settings, commands and limits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.plugin_utils.rules import limits, types
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.rules.problem import (
    CONTROL,
    DAY,
    Rule,
    between,
    problem,
    relative,
)

#: C(module:callable); the callable may be an attribute of an attribute, or a factory with its arguments.
WSGI = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(\(.*\))?")
#: Prefix of the settings that the role passes to gunicorn.conf.py.
OWN_SETTINGS = "FLASK_BLOG_"
SETTING = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: A requirement of pip (PEP 508). A text that begins with a hyphen would be an option.
PACKAGE = re.compile(r"[A-Za-z0-9][^\x00-\x1f\x7f]*")


def _packages(values: Mapping[str, Any]) -> Iterator[str]:
    for package in values["extra_packages"]:
        if not PACKAGE.fullmatch(package):
            yield problem(
                "extra_packages",
                package,
                "pip reads a name, perhaps with a version, on one line; an option is none",
                "Write it as 'gunicorn<24'",
            )


def _wsgi(values: Mapping[str, Any]) -> Iterator[str]:
    if not WSGI.fullmatch(values["wsgi"]) or CONTROL.search(values["wsgi"]):
        yield problem(
            "wsgi",
            values["wsgi"],
            "gunicorn imports module:callable",
            "Write it as 'app:app', or as 'package:create_app()' for a factory",
        )


def _paths(values: Mapping[str, Any]) -> Iterator[str]:
    yield from relative("app_dir", values["app_dir"], "the app's folder", "the source", empty=True)
    yield from relative("requirements", values["requirements"], "the requirements file", "the source", empty=True)
    for path in values["databases"]:
        yield from relative("databases", path, "a database")
    for path in values["writable_paths"]:
        yield from relative("writable_paths", path, "a writable folder")


def _setting_name(variable: str, name: str) -> Iterator[str]:
    if not SETTING.fullmatch(name):
        yield problem(variable, name, "a setting's name holds letters, digits and underscores", "Rename the setting")
    elif name.startswith(OWN_SETTINGS):
        yield problem(variable, name, f"names that begin with {OWN_SETTINGS} are the role's own", "Rename it")


def _settings(values: Mapping[str, Any]) -> Iterator[str]:
    for variable in ("environment", "secrets", "rehearsal_environment"):
        for name, value in values[variable].items():
            yield from _setting_name(variable, str(name))
            if isinstance(value, (dict, list)):
                yield problem(
                    variable, name, "an environment holds text, not lists or mappings", "Give it as JSON text"
                )
            elif "\0" in str(value):
                yield problem(variable, name, "an environment cannot hold a NUL character", "Encode the value as text")
    for name in values["generated_secrets"]:
        yield from _setting_name("generated_secrets", name)
    for name in set(values["environment"]) & set(values["secrets"]):
        yield problem("secrets", name, "it stands in flask_blog_environment as well", "Keep it in one of the two")


def _rehearse(values: Mapping[str, Any]) -> Iterator[str]:
    value = values["rehearse"]
    if str(value).lower() != "start" and not types.is_boolean(value):
        yield problem("rehearse", value, "it is true, start or false", "Write 'true', or see what the others mean")


def _commands(values: Mapping[str, Any]) -> Iterator[str]:
    for variable in ("init_commands", "release_commands", "after_release_commands"):
        for command in values[variable]:
            if not command.strip() or CONTROL.search(command.replace("\t", " ")):
                yield problem(variable, command, "a command is one line that is not empty", "Give one line for each")


def _limits(values: Mapping[str, Any]) -> Iterator[str]:
    for fault in limits.faults(values):
        yield problem(*fault)


RULES: tuple[Rule, ...] = (
    _packages,
    _wsgi,
    between("workers", 1, 1000, "processes"),
    between("threads", 1, 1000, "threads"),
    between("activation_timeout", 1, DAY, "seconds"),
    between("command_timeout", 1, DAY, "seconds"),
    between("keep_releases", 1, 1000, "releases"),
    _paths,
    _settings,
    _commands,
    _rehearse,
    _limits,
)
