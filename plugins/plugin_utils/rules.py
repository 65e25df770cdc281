# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the role's variables must satisfy beyond their types: each problem names variable, value, rule and remedy."""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils.releases import clean, is_below
from ansible_collections.flaskblog.hosting.plugins.plugin_utils import repository
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.local_source import ARCHIVES

PREFIX = "flask_blog_"

#: Starts a unit's, an account's and a folder's name alike; an account's name has at most 32 characters
#: (useradd(8)), and the longest of our own suffixes must still fit a unit's.
NAME = re.compile(r"[a-z][a-z0-9-]{0,30}[a-z0-9]|[a-z]")
ACCOUNT = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
#: Names of accounts that build environments (C(build_user) in the role's C(vars/main.yml)).
BUILD_ACCOUNT = re.compile(r".*-build|build-[0-9a-f]{16}")
#: C(module:callable), where the callable may be an attribute of an attribute, or a factory with its arguments.
WSGI = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(\(.*\))?")
LABEL = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)")
SETTING = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
URL_PREFIX = re.compile(r"/([\w.~-]+/)*")
#: What an HTTP request line takes as it is: no spaces, nothing outside ASCII.
URL_PATH = re.compile(r"/[!-~]*")
SIZE = re.compile(r"\d+[kKmMgG]?")
#: nginx and systemd read these files with rules of their own; what is not here would have to be quoted for both.
PLAIN_PATH = re.compile(r"[\w.@+-]+(/[\w.@+-]+)*")
CHECKSUM = re.compile(r"sha256:[0-9a-fA-F]{64}")
#: Names of branches and tags (git-check-ref-format(1)), as far as they are in use.
PLAIN_REF = re.compile(r"[A-Za-z0-9_][\w./+#@=-]*")
REF_FORBIDS = re.compile(r"\.\.|//|@\{|/\.|\.lock(/|$)|[./]$")
CALENDAR = re.compile(r"[\w*:,./~ +-]+")

#: Stands in a message for what nobody else may see.
HIDDEN = "(hidden)"

Rule = Callable[[Mapping[str, Any]], Iterable[str]]


def problem(variable: str, value: Any, rule: str, remedy: str) -> str:
    """Return one problem the way every problem is said."""
    return f"{PREFIX}{variable}: {value!r}: {rule}. {remedy}."


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
    if name in ("nginx", "root", "www-data", "ssh", "dbus", "systemd", "cron", "daemon", "nobody"):
        yield problem("name", name, "it is the name of a service or account of the system", "Choose another name")
    if BUILD_ACCOUNT.fullmatch(name):
        yield problem(
            "name", name, "an account and a unit that build another blog can have this name", "Choose another"
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


def _server_names(values: Mapping[str, Any]) -> Iterator[str]:
    names = values["server_names"]
    if not names:
        yield problem("server_names", names, "a site needs a name", "Name at least the canonical one")
    for name in names:
        labels = str(name).split(".")
        if len(str(name)) > 253 or not all(LABEL.fullmatch(label) for label in labels):
            yield problem(
                "server_names",
                name,
                "it is no host name: labels of letters, digits and hyphens, joined by dots, without scheme, port or"
                " path",
                "Write it as 'blog.example.com'",
            )
    if len({str(name).lower() for name in names}) != len(names):
        yield problem("server_names", names, "a name stands in it twice", "Name each once")


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
            yield from _relative("include", path, "what a release includes", "the source")


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
        if address.scheme != "ssh" or len(line.split()) < 3 or "\n" in line:
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


def _wsgi(values: Mapping[str, Any]) -> Iterator[str]:
    if not WSGI.fullmatch(values["wsgi"]):
        yield problem(
            "wsgi",
            values["wsgi"],
            "gunicorn imports module:callable",
            "Write it as 'app:app', or as 'package:create_app()' for a factory",
        )


def split_bind(bind: str) -> tuple[str, str]:
    """Split C(address:port); an IPv6 address stands in brackets."""
    address, _, port = bind.rpartition(":")
    return address.removeprefix("[").removesuffix("]"), port


def _bind(values: Mapping[str, Any]) -> Iterator[str]:
    bind = values["bind"]
    address, port = split_bind(bind)
    try:
        loopback = ipaddress.ip_address(address).is_loopback
    except ValueError:
        yield problem("bind", bind, "it is no address:port", "Write it as '127.0.0.1:8000'")
        return
    if not loopback:
        yield problem(
            "bind",
            bind,
            "the address is public, and whoever reaches gunicorn past nginx can forge who they are",
            "Use a loopback address such as '127.0.0.1:8000'; nginx faces the public",
        )
    yield from _port("bind", bind, port)


def _port(variable: str, value: Any, port: Any) -> Iterator[str]:
    if not str(port).isdecimal() or not 1 <= int(port) <= 65535:
        yield problem(variable, value, "a port is a number from 1 to 65535", "Choose one that is free, such as 8000")


def _ports(values: Mapping[str, Any]) -> Iterator[str]:
    yield from _port("http_port", values["http_port"], values["http_port"])
    if split_bind(values["bind"])[1] == str(values["http_port"]):
        yield problem(
            "http_port", values["http_port"], "gunicorn has this port (flask_blog_bind)", "Give nginx another port"
        )


def _at_least(variable: str, least: int, unit: str) -> Rule:
    def rule(values: Mapping[str, Any]) -> Iterator[str]:
        if values[variable] < least:
            yield problem(variable, values[variable], f"it must be at least {least}", f"Give a number of {unit}")

    return rule


def _relative(
    variable: str, path: str, what: str, base: str = "the app's folder", empty: bool = False
) -> Iterator[str]:
    normal = clean(path)
    if path.startswith(("/", "~")) or normal.startswith("..") or (not normal and not empty):
        yield problem(
            variable,
            path,
            f"{what} is relative to {base} and stays inside it",
            "Write it as 'folder/name', without a leading '/' and without '..'",
        )
    elif normal and not PLAIN_PATH.fullmatch(normal):
        yield problem(
            variable, path, "only letters, digits and . _ - + @ are taken in paths", "Rename the file or folder"
        )


def _paths(values: Mapping[str, Any]) -> Iterator[str]:
    yield from _relative("app_dir", values["app_dir"], "the app's folder", "the source", empty=True)
    yield from _relative("requirements", values["requirements"], "the requirements file", "the source", empty=True)
    for path in values["databases"]:
        yield from _relative("databases", path, "a database")
    for path in values["writable_paths"]:
        yield from _relative("writable_paths", path, "a writable folder")


def _static(values: Mapping[str, Any]) -> Iterator[str]:
    for prefix, target in values["static"].items():
        if not URL_PREFIX.fullmatch(prefix) or prefix == "/":
            yield problem(
                "static", prefix, "a URL prefix starts and ends with '/' and is not '/' itself", "Write '/static/'"
            )
        if not str(target).endswith("/"):
            yield problem(
                "static",
                target,
                "without a slash at both ends nginx joins path and file name to something else",
                f"Write '{target}/'",
            )
        yield from _relative("static", str(target), "a served folder")
        for path in values["databases"]:
            if is_below(clean(path), [clean(str(target))]):
                yield problem(
                    "databases", path, f"it lies in {target}, which nginx serves to everybody", "Move it elsewhere"
                )
        if clean(str(target)) in ("instance", "templates", "venv"):
            yield problem("static", target, "it holds what must not be public", "Serve another folder")


def _settings(values: Mapping[str, Any]) -> Iterator[str]:
    for variable in ("environment", "secrets"):
        for name, value in values[variable].items():
            if not SETTING.fullmatch(str(name)):
                yield problem(
                    variable, name, "a setting's name holds letters, digits and underscores", "Rename the setting"
                )
            if isinstance(value, (dict, list)):
                yield problem(
                    variable, name, "an environment holds text, not lists or mappings", "Give it as JSON text"
                )
            elif "\0" in str(value):
                yield problem(variable, name, "an environment cannot hold a NUL character", "Encode the value as text")
    for name in values["generated_secrets"]:
        if not SETTING.fullmatch(name):
            yield problem(
                "generated_secrets",
                name,
                "a setting's name holds letters, digits and underscores",
                "Rename the setting",
            )
    for name in set(values["environment"]) & set(values["secrets"]):
        yield problem("secrets", name, "it stands in flask_blog_environment as well", "Keep it in one of the two")


def _commands(values: Mapping[str, Any]) -> Iterator[str]:
    for variable in ("init_commands", "release_commands", "after_release_commands"):
        for command in values[variable]:
            if not command.strip() or "\n" in command:
                yield problem(variable, command, "a command is one line that is not empty", "Give one line for each")


def _proxy(values: Mapping[str, Any]) -> Iterator[str]:
    if not URL_PATH.fullmatch(values["health_path"]):
        yield problem("health_path", values["health_path"], "it is the path of a URL", "Write it as '/healthz'")
    if not SIZE.fullmatch(values["client_max_body_size"]):
        yield problem(
            "client_max_body_size", values["client_max_body_size"], "nginx reads a number and k, m or g", "Write '8m'"
        )
    for cidr in values["trusted_proxies"]:
        try:
            network = ipaddress.ip_network(cidr)
        except ValueError as error:
            yield problem("trusted_proxies", cidr, f"it is no network: {error}", "Write it as '192.0.2.0/24'")
        else:
            if network.prefixlen == 0:
                yield problem(
                    "trusted_proxies", cidr, "it trusts everybody's forwarded headers", "Name your proxy's own networks"
                )


def _backup(values: Mapping[str, Any]) -> Iterator[str]:
    schedule, keep = values["backup_schedule"], values["backup_keep"]
    if not CALENDAR.fullmatch(schedule):
        yield problem(
            "backup_schedule",
            schedule,
            "it is no systemd calendar expression",
            "Write 'daily', '*-*-* 03:00' or 'never'",
        )
    if any(count < 0 for count in keep.values()):
        yield problem("backup_keep", dict(keep), "a number of backups is not negative", "Use 0 to keep none of a kind")
    elif schedule != "never" and not any(keep.values()):
        yield problem(
            "backup_keep",
            dict(keep),
            "a backup that is not kept is none",
            "Keep at least 1, or set flask_blog_backup_schedule to 'never'",
        )


RULES: tuple[Rule, ...] = (
    _name,
    _accounts,
    _server_names,
    _source,
    _wsgi,
    _bind,
    _ports,
    _at_least("workers", 1, "processes"),
    _at_least("threads", 1, "threads"),
    _at_least("proxy_read_timeout", 1, "seconds"),
    _at_least("static_max_age", 0, "seconds"),
    _at_least("activation_timeout", 1, "seconds"),
    _at_least("command_timeout", 1, "seconds"),
    _at_least("keep_releases", 1, "releases"),
    _at_least("git_timeout", 1, "seconds"),
    _paths,
    _static,
    _settings,
    _commands,
    _proxy,
    _backup,
)
