# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Rules for backups, and for the repository with their copies."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils import mask, restic_address
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.rules.problem import CONTROL, HIDDEN, Rule, problem
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.source import repository as git

#: Calendar expressions of systemd.time(7).
CALENDAR = re.compile(r"[A-Za-z0-9*:,./~ +_-]+")
#: The path of a page with its query.
PAGE = re.compile(r"/[!-~]*")
MAX_BACKUPS = 10_000
#: Characters of the shortest password: whoever gets the repository can try as many as they want.
LEAST_PASSWORD = 12
#: A folder that is no top-level one, as systemd takes it unquoted.
FOLDER = re.compile(r"(/[\w.@+-]*[\w@+-][\w.@+-]*){2,}")
#: The unit sees nothing there, or may not write; or what lies there is copied itself, or lost.
NOT_THERE = ("/boot", "/dev", "/etc", "/home", "/proc", "/root", "/run", "/sys", "/tmp", "/usr", "/var/tmp")
#: The blog's own folders lie here.
OWN_PARENTS = ("/opt", "/var/backups", "/var/lib", "/var/www")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: Variables that change what restic or the programs that it starts do, and no credentials.
OWN_VARIABLES = re.compile(
    r"RESTIC_(REPOSITORY|PASSWORD|CACHE|FROM|KEY).*|PATH|HOME|TZ|LC_ALL|LD_.*|GO.*|SSH_.*|PYTHON.*"
)
ADDRESSES = "Write a path, sftp:USER@HOST:/PATH, s3:https://HOST/BUCKET, rest:https://HOST/, b2:, azure:, gs: or swift:"


def _keep(values: Mapping[str, Any], variable: str) -> Iterator[str]:
    keep = values[variable]
    if not all(0 <= count <= MAX_BACKUPS for count in keep.values()):
        yield problem(
            variable,
            dict(keep),
            f"a number of backups is not negative, and at most {MAX_BACKUPS}",
            "Use 0 to keep none of a kind",
        )


def _local(values: Mapping[str, Any]) -> Iterator[str]:
    schedule, keep = values["backup_schedule"], values["backup_keep"]
    if not CALENDAR.fullmatch(schedule) or schedule != schedule.strip():
        yield problem(
            "backup_schedule",
            schedule,
            "it is no systemd calendar expression",
            "Write 'daily', '*-*-* 03:00' or 'never'",
        )
    found = [*_keep(values, "backup_keep")]
    yield from found
    if not found and schedule != "never" and not any(keep.values()):
        yield problem(
            "backup_keep",
            dict(keep),
            "a backup that is not kept is none",
            "Keep at least 1, or set flask_blog_backup_schedule to 'never'",
        )


def _without_repository(values: Mapping[str, Any]) -> Iterator[str]:
    if values["backup_repository"]:
        return
    for variable in ("backup_password", "backup_environment", "backup_ssh_key", "backup_known_hosts"):
        if values[variable]:
            rule = "it belongs to a repository, and flask_blog_backup_repository is empty"
            yield problem(variable, HIDDEN, rule, "Name the repository, or leave it out")


def _address(values: Mapping[str, Any]) -> Iterator[str]:
    address = values["backup_repository"]
    if not address:
        return
    shown, kind = mask.without_credentials(address), restic_address.kind_of(address)
    if CONTROL.search(address) or " " in address or not kind:
        yield problem("backup_repository", shown, "it is no address of a restic repository", ADDRESSES)
    elif kind == restic_address.LOCAL:
        yield from _folder(values, address)
    elif kind == restic_address.SFTP and restic_address.sftp_of(address) is None:
        rule = "it names no user, server and folder"
        yield problem(
            "backup_repository", shown, rule, "Write it as 'sftp:USER@HOST:/PATH' or 'sftp://USER@HOST:PORT//PATH'"
        )
    elif kind == "rest" and not re.fullmatch(r"rest:https?://[^/\s]+(/\S*)?", address):
        yield problem(
            "backup_repository", shown, "it is no address of a REST server", "Write it as 'rest:https://HOST/PATH/'"
        )
    if values["backup_schedule"] == "never":
        rule = "no backup is made that could be copied, as flask_blog_backup_schedule is never"
        yield problem("backup_repository", shown, rule, "Give a schedule, or leave the repository out")
    found = [*_keep(values, "backup_repository_keep")]
    yield from found
    if not found and not any(values["backup_repository_keep"].values()):
        rule = "a copy that is not kept is none"
        yield problem(
            "backup_repository_keep", dict(values["backup_repository_keep"]), rule, "Keep at least 1 of a kind"
        )


def _folder(values: Mapping[str, Any], path: str) -> Iterator[str]:
    name = values["name"]
    own = tuple(f"{parent}/{name}" for parent in OWN_PARENTS)
    if not FOLDER.fullmatch(path):
        rule = "a repository on this server is a folder below a top-level one, of letters, digits and . _ - + @"
        yield problem("backup_repository", path, rule, "Write it as '/mnt/disk/blog'")
    elif any(f"{path}/".startswith(f"{place}/") for place in (*NOT_THERE, *own)):
        rule = "a repository cannot lie there: the blog's own folders and the system's are no second place"
        yield problem("backup_repository", path, rule, "Name a folder on another disk, such as '/mnt/disk/blog'")


def _password(values: Mapping[str, Any]) -> Iterator[str]:
    password = values["backup_password"]
    if not values["backup_repository"]:
        return
    if not password:
        rule = "the copies are encrypted with it, and flask_blog_backup_repository is set"
        yield problem("backup_password", "", rule, "Make one with 'openssl rand -base64 24', and keep it in a vault")
    elif len(password) < LEAST_PASSWORD or CONTROL.search(password) or password != password.strip():
        rule = (
            f"it has less than {LEAST_PASSWORD} characters, or a space at an end, or a character that is none of text"
        )
        yield problem(
            "backup_password", HIDDEN, rule, "Make one with 'openssl rand -base64 24', and keep it in a vault"
        )


def _environment(values: Mapping[str, Any]) -> Iterator[str]:
    for name, value in values["backup_environment"].items():
        if not VARIABLE.fullmatch(str(name)):
            rule = "an environment variable's name holds letters, digits and underscores"
            yield problem("backup_environment", name, rule, "Write it as in restic's manual, such as AWS_ACCESS_KEY_ID")
        elif OWN_VARIABLES.fullmatch(str(name)):
            rule = "it is no credential, and the role sets it itself"
            yield problem("backup_environment", name, rule, "Leave it out")
        elif isinstance(value, (dict, list)) or CONTROL.search(str(value)):
            yield problem("backup_environment", name, "a credential is text on one line", "Give its text in quotes")


def _ssh(values: Mapping[str, Any]) -> Iterator[str]:
    address, key, lines = (values[name] for name in ("backup_repository", "backup_ssh_key", "backup_known_hosts"))
    if not address:
        return
    if restic_address.kind_of(address) != restic_address.SFTP:
        for variable, value in (("backup_ssh_key", key), ("backup_known_hosts", lines)):
            if value:
                rule = "it is for a repository of sftp:, and flask_blog_backup_repository is none"
                yield problem(variable, HIDDEN, rule, "Leave it out")
        return
    if not key:
        remedy = "Make one with 'ssh-keygen -t ed25519', and give the private half's text from a vault"
        yield problem("backup_ssh_key", "", "SSH lets nobody in without a key", remedy)
    elif rule := git.key_problem(key):
        remedy = "Give the text of a private key without a passphrase, from a vault or with lookup('file', 'PATH')"
        yield problem("backup_ssh_key", HIDDEN, rule, remedy)
    if not lines:
        rule = "without the server's key, anybody on the way could take the copies"
        yield problem(
            "backup_known_hosts", lines, rule, "Take what 'ssh-keyscan HOST' prints, once you have compared it"
        )
    for line in lines:
        if len(line.split()) < 3 or CONTROL.search(line.replace("\t", " ")):
            remedy = "Take what 'ssh-keyscan HOST' prints, once you have compared it"
            yield problem("backup_known_hosts", line, "a line is 'host type key'", remedy)


def _proof(values: Mapping[str, Any]) -> Iterator[str]:
    schedule = values["proof_schedule"]
    if not CALENDAR.fullmatch(schedule) or schedule != schedule.strip():
        yield problem(
            "proof_schedule", schedule, "it is no systemd calendar expression", "Write 'weekly', 'Sun 04:00' or 'never'"
        )
    for path in values["proof_paths"]:
        if not PAGE.fullmatch(path):
            yield problem(
                "proof_paths",
                path,
                "the path of a page begins with / and has printable ASCII characters other than spaces alone",
                "Write it as in a URL, such as '/archive' or '/search?q=a%20b'",
            )


RULES: tuple[Rule, ...] = (_local, _proof, _without_repository, _address, _password, _environment, _ssh)
