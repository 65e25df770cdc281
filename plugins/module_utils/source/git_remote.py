# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A remote repository: what Git and SSH need to reach it, and the scripts that list it and fetch from it."""

from __future__ import annotations

import os
import re
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.flaskblog.hosting.plugins.module_utils.printable import printable
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.git_account import Git
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.git_unit import Reach, Result, settings
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import (
    GitError,
    LimitError,
    VersionError,
    unreadable_repository,
)

FULL_COMMIT = re.compile(r"[0-9a-f]{40}")

#: A path that needs no quotes in a unit's properties.
PLAIN_PATH = re.compile(r"(/[\w.@+-]+)+")

#: Lines that Git adds after the one with the cause.
GENERIC = re.compile(
    r"fatal: Could not read from remote repository\.|Please make sure you have the correct access rights"
    r"|and the repository exists\.|fatal: the remote end hung up unexpectedly|Warning: Permanently added .*"
    r"|fatal: fetch-pack: invalid index-pack output|\s*"
)
CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+(?=@)")
#: Git's message if a pack exceeds the unit's limit on a file's size (SIGXFSZ, signal(7)).
TOO_LARGE = re.compile(r"died of signal 25|File too large")

#: The ref that keeps the wanted commit in our repository from being pruned.
WANTED = "refs/blog/wanted"

#: Exit status of a script if a repository on the host is not the directory that root has checked.
EXCHANGED = 77
GUARD = f'[ -z "$1" ] || [ "$(stat -c %d:%i "$2")" = "$1" ] || exit {EXCHANGED}; shift 2; '
LIST = 'exec "$GIT" ls-remote --symref -- "$1" HEAD "refs/heads/*" "refs/tags/*"'
FUNCTIONS = f"""
url=$1 work=$2 mirror=$3 wanted={WANTED}
begin() {{
    find "$work" -mindepth 1 -delete
    "$GIT" init --quiet --bare --template= --initial-branch=none "$work"
}}
fetch() {{
    "$GIT" -C "$work" fetch --quiet --force --no-tags --no-recurse-submodules --no-auto-gc --no-write-fetch-head "$@"
}}
holds() {{
    "$GIT" -C "$work" rev-parse --quiet --verify "$1^{{tree}}" >/dev/null 2>&1
}}
finish() {{
    "$GIT" -C "$work" rev-parse --verify "$wanted^{{commit}}"
    "$GIT" -C "$work" gc --quiet --prune=now
}}
"""
#: Fetch into a copy of the kept repository, so that only new objects are transferred. If that fails, fetch anew.
FETCH = (
    FUNCTIONS
    + """
if [ -n "$mirror" ] && cp -R "$mirror/." "$work" && holds "$wanted" \\
    && fetch --depth=1 -- "$url" "+$4:$wanted" 2>/dev/null; then
    :
else
    begin
    fetch --depth=1 -- "$url" "+$4:$wanted"
fi
finish
"""
)
#: Many servers send a commit that is not the head of a branch only with the whole history.
FETCH_ALL = (
    FUNCTIONS
    + """
begin
fetch -- "$url" "+refs/heads/*:refs/all/heads/*" "+refs/tags/*:refs/all/tags/*"
holds "$4" || exit 0
"$GIT" -C "$work" update-ref "$wanted" "$4"
"$GIT" -C "$work" for-each-ref --format="delete %(refname)" refs/all | "$GIT" -C "$work" update-ref --stdin
echo "$4" >"$work/shallow"
finish
"""
)


@dataclass(frozen=True)
class Access:
    """Which repository and version are wanted, and the credentials."""

    #: without credentials
    url: str
    #: branch, tag, full name of a ref, or commit; empty for the repository's own HEAD
    version: str
    #: seconds for each command that talks to the repository
    timeout: int
    #: text of a private key for SSH
    key: str = field(default="", repr=False)
    #: C(https://user:token@host), as git-credential-store(1) reads it
    credentials: str = field(default="", repr=False)
    #: lines of a known_hosts file; without them, the host's key is accepted at the first contact and kept
    known_hosts: Sequence[str] = ()

    @property
    def is_local(self) -> bool:
        """Whether the repository lies on the host itself."""
        return self.url.startswith("file:")


class Remote:
    """A remote repository."""

    def __init__(self, git: Git, access: Access, known_hosts: str = "") -> None:
        """Write the settings that Git and SSH need.

        :param known_hosts: the known host keys of earlier runs.
        """
        self._git = git
        self.access = access
        self._write_settings(known_hosts)

    def _write_settings(self, known_hosts: str) -> None:
        access, git = self.access, self._git
        more = [("credential", "helper", "")]
        if access.credentials:
            credentials = git.write("credentials", f"{access.credentials}\n")
            # "get" only: after a "store" or "erase", the helper would rewrite its file.
            helper = f"[ $1 != get ] || git credential-store --file={credentials} get"
            more.append(("credential", "helper", f'"!f() {{ {helper}; }}; f"'))
        if access.is_local:
            # Git refuses repositories of other accounts unless they are listed as safe (git-config(1)).
            more.append(("safe", "directory", "*"))
        config = git.write("config", settings(*more))
        key = (
            str(git.write("key", access.key.strip().replace("\r\n", "\n") + "\n", owned=True)) if access.key else "none"
        )
        known = "".join(f"{line}\n" for line in access.known_hosts) or known_hosts
        self.known_hosts = git.write("known_hosts", known, owned=True)
        ssh = {
            "BatchMode": "yes",
            "ConnectTimeout": str(access.timeout),
            "GlobalKnownHostsFile": "/dev/null",
            "IdentitiesOnly": "yes",
            "IdentityFile": key,
            "StrictHostKeyChecking": "yes" if access.known_hosts else "accept-new",
            "UpdateHostKeys": "no",
            "UserKnownHostsFile": str(self.known_hosts),
        }
        options = " ".join(f"-o {name}={value}" for name, value in ssh.items())
        git.set_environment(GIT_CONFIG_GLOBAL=str(config), GIT_SSH_COMMAND=f"ssh -F /dev/null {options}")

    def ask(self, script: str, *arguments: str, readable: Sequence[str] = (), writable: Sequence[str] = ()) -> str:
        """Run a script that talks to the repository.

        :raises GitError: with Git's message, if it fails or takes too long.
        """
        guard, url, limit = ["", ""], self.access.url, self.access.timeout
        if self.access.is_local:
            path, identity = local_repository(url)
            guard, url = [identity, path], f"file://{path}"
            reach = Reach(readable, writable, repository=path)
        else:
            reach = Reach(readable, [*writable, str(self.known_hosts)], network=True)
        done = self._git.run(GUARD + script, *guard, url, *arguments, reach=reach, seconds=limit)
        if done.late:
            raise GitError(
                f"the repository did not answer within {limit} s (flask_blog_git_timeout). Is it reachable from the"
                " server, through its firewall?"
            )
        if done.status == EXCHANGED:
            raise GitError("another directory has taken its place meanwhile. Run again when nobody moves it")
        if done.status:
            raise self._error(done)
        return done.output.decode("utf-8", "replace")

    def _error(self, done: Result) -> GitError | LimitError:
        # A program that the limit ends prints no message; Git reports only that it ended.
        silent = not _relevant_lines(done.errors) and "invalid index-pack output" in done.errors
        if silent or TOO_LARGE.search(done.errors):
            return LimitError(
                "flask_blog_source_max_size", self._git.limits.size, "the repository has more in one pack"
            )
        return _explained(done.errors)

    def refs(self) -> dict[str, str]:
        """Return the commit of C(HEAD) and of each branch and tag, and under C(->) the branch that HEAD is.

        The server chooses these names, which are used in messages and in the manifest.
        """
        found, head = {}, ""
        for line in self.ask(LIST).split("\n"):
            value, _, name = line.partition("\t")
            if value.startswith("ref: "):
                head = value.removeprefix("ref: ")
            elif FULL_COMMIT.fullmatch(value) and name == printable(name):
                # The commit of an annotated tag has a separate line.
                found[name.removesuffix("^{}")] = value
        return {"->": head, **found} if head in found else found

    def fetch(self, work: Path, mirror: Path | None, ref: str, whole: bool = False) -> str:
        """Fetch a ref, or the whole history and in it a commit, and collect garbage; return the commit.

        :param work: an empty folder of the account's.
        :param mirror: the kept repository.
        :raises VersionError: if there is no such commit in the whole history.
        """
        found = self.ask(
            FETCH_ALL if whole else FETCH,
            *(str(work), str(mirror or ""), ref),
            readable=[str(mirror)] if mirror else [],
            writable=[str(work)],
        ).strip()
        if whole and not found:
            raise VersionError(ref, "the repository has no such commit on a branch or tag")
        if not FULL_COMMIT.fullmatch(found):
            raise GitError("Git names the commit in a way that is not known")
        return found


def local_repository(url: str) -> tuple[str, str]:
    """Return the path of a C(file:///) repository, and the device and number of its directory.

    A unit sees this directory alone. The target of a link, the repository of a worktree and alternates are missing
    in it.

    :raises GitError: if it is missing, or its path goes through a link, which its owner could change at any time.
    """
    path = os.path.normpath(urllib.parse.unquote(url.removeprefix("file://")))
    if not PLAIN_PATH.fullmatch(path):
        raise unreadable_repository(f"{path} has other characters than letters, digits and . _ - + @")
    descriptor = os.open("/", os.O_PATH | os.O_DIRECTORY)
    reached = ""
    try:
        for name in path.split("/")[1:]:
            reached += f"/{name}"
            below = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        found = os.fstat(descriptor)
    except OSError as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else "is no directory, or is a symbolic link"
        raise unreadable_repository(f"{reached} {reason} on the server. Name the directory by its real path") from error
    finally:
        os.close(descriptor)
    return path, f"{found.st_dev}:{found.st_ino}"


def _relevant_lines(errors: str) -> list[str]:
    """Return the lines of an error output that name the cause."""
    return [line.strip() for line in errors.splitlines() if not GENERIC.fullmatch(line.strip())]


def _explained(errors: str) -> GitError:
    """Return the last meaningful message of Git or SSH, with a remedy."""
    lines = _relevant_lines(errors)
    message = CREDENTIALS.sub("********", printable(lines[-1]) if lines else "Git failed without a word")
    remedy = "Try the same address with 'git ls-remote'"
    if "Permission denied" in message:
        remedy = "Add the public half of flask_blog_deploy_key to the repository's deploy keys"
    elif "Host key verification failed" in message:
        remedy = "Name the key that the repository's server has now in flask_blog_known_hosts, if you trust it"
    elif "could not read Username" in message or "Authentication failed" in message:
        remedy = (
            "It is private, or not there: use its SSH address with flask_blog_deploy_key, or put a token into the URL"
        )
    return unreadable_repository(f"{message.rstrip('.')}. {remedy}.")
