# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Rules for the source of a release: a folder, an archive or a Git repository."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils.source.limits import size_in_bytes
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.rules.problem import (
    CONTROL,
    DAY,
    HIDDEN,
    Rule,
    between,
    problem,
    relative,
)
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.source import repository
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.source.archive import ARCHIVES

CHECKSUM = re.compile(r"sha256:[0-9a-fA-F]{64}")
#: Names of branches and tags (git-check-ref-format(1)), as far as they are in use.
PLAIN_REF = re.compile(r"[A-Za-z0-9_][\w./+#@=-]*")
REF_FORBIDS = re.compile(r"\.\.|//|@\{|/\.|\.lock(/|$)|[./]$")


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


RULES: tuple[Rule, ...] = (
    _source,
    between("git_timeout", 1, DAY, "seconds"),
    between("source_max_files", 1, 10_000_000, "files, folders and links"),
    _source_limits,
)
