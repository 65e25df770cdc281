# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the role's variables must satisfy beyond their types: each problem names variable, value, rule and remedy."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils.source.limits import size_in_bytes
from ansible_collections.flaskblog.hosting.plugins.plugin_utils import limits, proxy_rules, reserved_names
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.problems import (
    CONTROL,
    HIDDEN,
    PREFIX,
    Rule,
    between,
    problem,
    relative,
)
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.source import repository
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.source.archive import ARCHIVES

#: Starts a unit's, an account's and a folder's name alike; an account's name has at most 32 characters
#: (useradd(8)), and the longest of our own suffixes must still fit a unit's.
NAME = re.compile(r"[a-z][a-z0-9-]{0,30}[a-z0-9]|[a-z]")
ACCOUNT = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
#: Names of accounts that build environments (C(build_user) in the role's C(vars/main/paths.yml)).
BUILD_ACCOUNT = re.compile(r".*-build|build-[0-9a-f]{16}")
#: C(module:callable), where the callable may be an attribute of an attribute, or a factory with its arguments.
WSGI = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(\(.*\))?")
#: Calendar expressions of systemd.time(7).
CALENDAR = re.compile(r"[A-Za-z0-9*:,./~ +_-]+")
MOST_BACKUPS = 10_000
#: Starts the names of the settings by which the role and gunicorn.conf.py talk.
OWN_SETTINGS = "FLASK_BLOG_"
SETTING = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: A requirement of pip (PEP 508): what begins with a hyphen would be an option.
PACKAGE = re.compile(r"[A-Za-z0-9][^\x00-\x1f\x7f]*")
CHECKSUM = re.compile(r"sha256:[0-9a-fA-F]{64}")
#: Names of branches and tags (git-check-ref-format(1)), as far as they are in use.
PLAIN_REF = re.compile(r"[A-Za-z0-9_][\w./+#@=-]*")
REF_FORBIDS = re.compile(r"\.\.|//|@\{|/\.|\.lock(/|$)|[./]$")


def unknown_names(names: Iterable[str], known: Iterable[str]) -> list[str]:
    """Return a problem for each variable that has our prefix and no meaning, with the name that was probably meant."""
    known = sorted(known)
    problems = []
    for name in sorted(set(names) - set(known)):
        if name.startswith(PREFIX):
            near = difflib.get_close_matches(name, known, n=1)
            remedy = f"Did you mean {near[0]}?" if near else "See the README for the names that exist."
            problems.append(
                f"{name}: the role has no such variable. {remedy} A variable of your own needs another prefix."
            )
    return problems


def check(values: Mapping[str, Any]) -> list[str]:
    """Check the role's variables, given without their prefix.

    :returns: all problems, so that one run names them all.
    """
    return [found for rule in RULES for found in rule(values)]


def _name(values: Mapping[str, Any]) -> Iterator[str]:
    name = values["name"]
    if not NAME.fullmatch(name):
        yield problem(
            "name",
            name,
            "it names units, an account and folders, so it holds at most 32 lower-case letters, digits and hyphens and"
            " starts with a letter",
            "Choose a name such as 'flask-blog'",
        )
    if reserved_names.is_of_the_system(name):
        yield problem(
            "name", name, "it is the name of a service or account of the system", "Choose a name such as 'flask-blog'"
        )
    elif suffix := reserved_names.derived_suffix(name):
        yield problem(
            "name",
            name,
            f"{suffix!r} marks units and accounts that belong to a blog, and another one could have this name",
            f"Leave {suffix!r} out",
        )


def _accounts(values: Mapping[str, Any]) -> Iterator[str]:
    for variable, fallback in (("user", "name"), ("group", "user")):
        value = values[variable]
        if value == values[fallback]:
            continue  # it is what follows from the other, and is refused there
        if not ACCOUNT.fullmatch(value):
            yield problem(variable, value, "it is no valid name of an account", "Leave it out, or name an account")
        elif value == "root":
            yield problem(variable, value, "a hole in the app would then be a hole in the server", "Leave it out")
        elif BUILD_ACCOUNT.fullmatch(value):
            rule = "an app could then change what a blog's build account builds"
            yield problem(variable, value, rule, "Leave it out, or name another account")


def not_a_number(variable: str, value: Any) -> Iterator[str]:
    """Check a variable that is a number before it is taken for one.

    Ansible takes C(true), C("8_0"), C("8\\n") and digits of other scripts for numbers, but the files that nginx and
    systemd read would get them as they were written.
    """
    if isinstance(value, bool) or not re.fullmatch(r"0|-?[1-9][0-9]{0,17}", str(value)):
        yield problem(variable, value, "it is no number", "Write it with the digits 0 to 9")


def _source(values: Mapping[str, Any]) -> Iterator[str]:
    source = values["source"]
    if not source.strip():
        yield problem(
            "source",
            source,
            "there is nothing to deploy",
            "Name a folder, an archive or a Git repository with the blog",
        )
    elif repository.is_git(source):
        yield from _repository(source)
        yield from _version(values["version"])
        yield from _deploy_key(values, repository.parse(source))
        for variable in ("source_checksum", "include"):
            if values[variable]:
                rule = (
                    "a commit is its own checksum" if variable == "source_checksum" else "a commit has no ignored files"
                )
                yield problem(
                    variable, values[variable], f"{rule}, and flask_blog_source is a repository", "Leave it out"
                )
    else:
        for variable in ("version", "known_hosts"):
            if values[variable]:
                yield problem(
                    variable,
                    values[variable],
                    f"only a Git repository has one, and flask_blog_source is {source!r}",
                    "Leave it out, or name the repository's address",
                )
        if values["deploy_key"]:
            yield problem(
                "deploy_key", HIDDEN, "it opens a Git repository, and flask_blog_source is none", "Leave it out"
            )
        yield from _checksum(values["source_checksum"])
        for path in values["include"]:
            yield from relative("include", path, "what a release includes", "the source")


def _source_limits(values: Mapping[str, Any]) -> Iterator[str]:
    for variable in ("source_max_size", "source_max_file_size"):
        size = str(values[variable])
        if not re.fullmatch(r"[0-9]{1,15}[kKmMgG]?", size) or not size_in_bytes(size):
            yield problem(variable, values[variable], "it is no size: a number of bytes and k, m or g", "Write '2g'")


def _repository(source: str) -> Iterator[str]:
    shown, address = repository.masked(source), repository.parse(source)
    if address.scheme not in repository.PACKAGES:
        remedy = "Write it as 'https://…', 'ssh://…', 'git@host:path', 'git://…' or 'file:///…'"
        rule = f"{address.scheme}:// is no way to a repository that the role takes"
        if address.scheme == "http":
            rule = "http:// lets anybody on the way change the code"
        yield problem("source", shown, rule, remedy)
    elif shown.endswith(ARCHIVES):
        yield problem(
            "source", shown, "an archive is taken from the controller", "Download it, and name the file that it is"
        )
    elif re.search(r"[\s\x00-\x1f\x7f]", source) or not re.fullmatch(
        r"(https|ssh|git)://[^/-][^/]*/.+|[\w.-]+@[\w][\w.-]*:.+|file:///.+", shown
    ):
        yield problem(
            "source",
            shown,
            "it is no address of a repository: a host and a path, without spaces",
            "Write it as 'https://git.example.com/me/blog.git' or 'git@git.example.com:me/blog.git'",
        )


def _version(version: str) -> Iterator[str]:
    if version and (REF_FORBIDS.search(version) or not PLAIN_REF.fullmatch(version)):
        yield problem(
            "version", version, "it is no name of a branch, a tag or a commit", "Write it as 'main', 'v1.0' or a commit"
        )


def _deploy_key(values: Mapping[str, Any], address: repository.Repository) -> Iterator[str]:
    """Check key and known hosts; a key's text is never part of a message."""
    key = values["deploy_key"]
    if address.scheme == "ssh":
        if not key:
            yield problem(
                "deploy_key",
                key,
                f"SSH lets nobody in without a key, and flask_blog_source is {address.url!r}",
                "Make one with 'ssh-keygen -t ed25519', add its public half to the repository, and give the private"
                " half's text from a vault; or use the https:// address of a public repository",
            )
        elif rule := repository.key_problem(key):
            yield problem(
                "deploy_key",
                HIDDEN,
                rule,
                "Give the text of a private key without a passphrase, from a vault or with lookup('file', 'PATH')",
            )
    elif key:
        yield problem(
            "deploy_key",
            HIDDEN,
            f"a key opens what SSH reaches, and flask_blog_source is {address.url!r}",
            "Write the address as 'git@host:path', or leave the key out",
        )
    for line in values["known_hosts"]:
        if address.scheme != "ssh" or len(line.split()) < 3 or CONTROL.search(line.replace("\t", " ")):
            yield problem(
                "known_hosts",
                line,
                "a line is 'host type key', and only SSH asks for one",
                "Take what 'ssh-keyscan HOST' prints, once you have compared it",
            )


def _checksum(checksum: str) -> Iterator[str]:
    if checksum and not CHECKSUM.fullmatch(checksum):
        yield problem(
            "source_checksum",
            checksum,
            "it is no sha256: and 64 hexadecimal digits",
            "Take what 'sha256sum FILE' prints",
        )


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


def _settings(values: Mapping[str, Any]) -> Iterator[str]:
    for variable in ("environment", "secrets", "rehearsal_environment"):
        for name, value in values[variable].items():
            if not SETTING.fullmatch(str(name)):
                yield problem(
                    variable, name, "a setting's name holds letters, digits and underscores", "Rename the setting"
                )
            elif str(name).startswith(OWN_SETTINGS):
                yield problem(variable, name, f"names that begin with {OWN_SETTINGS} are the role's own", "Rename it")
            if isinstance(value, (dict, list)):
                yield problem(
                    variable, name, "an environment holds text, not lists or mappings", "Give it as JSON text"
                )
            elif "\0" in str(value):
                yield problem(variable, name, "an environment cannot hold a NUL character", "Encode the value as text")
    for name in values["generated_secrets"]:
        if not SETTING.fullmatch(name) or name.startswith(OWN_SETTINGS):
            yield problem(
                "generated_secrets",
                name,
                f"a setting's name holds letters, digits and underscores, and does not begin with {OWN_SETTINGS}",
                "Rename the setting",
            )
    for name in set(values["environment"]) & set(values["secrets"]):
        yield problem("secrets", name, "it stands in flask_blog_environment as well", "Keep it in one of the two")


def _rehearse(values: Mapping[str, Any]) -> Iterator[str]:
    value = values["rehearse"]
    if str(value).lower() not in ("true", "false", "yes", "no", "on", "off", "1", "0", "start"):
        yield problem("rehearse", value, "it is true, start or false", "Write 'true', or see what the others mean")


def _commands(values: Mapping[str, Any]) -> Iterator[str]:
    for variable in ("init_commands", "release_commands", "after_release_commands"):
        for command in values[variable]:
            if not command.strip() or CONTROL.search(command.replace("\t", " ")):
                yield problem(variable, command, "a command is one line that is not empty", "Give one line for each")


def _backup(values: Mapping[str, Any]) -> Iterator[str]:
    schedule, keep = values["backup_schedule"], values["backup_keep"]
    if not CALENDAR.fullmatch(schedule) or schedule != schedule.strip():
        yield problem(
            "backup_schedule",
            schedule,
            "it is no systemd calendar expression",
            "Write 'daily', '*-*-* 03:00' or 'never'",
        )
    if not all(0 <= count <= MOST_BACKUPS for count in keep.values()):
        yield problem(
            "backup_keep",
            dict(keep),
            f"a number of backups is not negative, and at most {MOST_BACKUPS}",
            "Use 0 to keep none of a kind",
        )
    elif schedule != "never" and not any(keep.values()):
        yield problem(
            "backup_keep",
            dict(keep),
            "a backup that is not kept is none",
            "Keep at least 1, or set flask_blog_backup_schedule to 'never'",
        )


def _limits(values: Mapping[str, Any]) -> Iterator[str]:
    for fault in limits.faults(values):
        yield problem(*fault)


#: Seconds of a day: nothing that somebody waits for takes longer.
DAY = 24 * 3600

RULES: tuple[Rule, ...] = (
    _name,
    _accounts,
    _source,
    _packages,
    _wsgi,
    between("workers", 1, 1000, "processes"),
    between("threads", 1, 1000, "threads"),
    between("activation_timeout", 1, DAY, "seconds"),
    between("command_timeout", 1, DAY, "seconds"),
    between("keep_releases", 1, 1000, "releases"),
    between("git_timeout", 1, DAY, "seconds"),
    between("source_max_files", 1, 10_000_000, "files, folders and links"),
    _source_limits,
    _paths,
    _settings,
    _commands,
    _rehearse,
    _limits,
    _backup,
    *proxy_rules.RULES,
)
