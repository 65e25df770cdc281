# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The account that runs Git: its private folder, its working folders, and its scripts.

Keys and settings lie in a folder of root's in memory, which only this account can read. Root never opens a path that
the account can write.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import shlex
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.flaskblog.hosting.plugins.module_utils.contract import RUNTIME
from ansible_collections.flaskblog.hosting.plugins.module_utils.source import git_unit
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.git_unit import (
    LOCAL_TIMEOUT,
    Reach,
    Result,
    environment,
    running,
)
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.limits import Limits
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import GitError

#: Folders in memory, for secrets; and on disk, for large files.
PRIVATE = RUNTIME
LARGE = "/var/tmp"
PREFIX = "flask-blog-git-"

#: Maximum number of bytes of output.
LARGEST_ANSWER = 32 << 20

#: Prefix of each script. The environment comes from a file, as every account can read a unit's.
BEGIN = 'set -eu; . "$1"; shift; '
DISCARD = 'find "$1" -mindepth 1 -delete'

#: Changed only by tests, which may run as root without any other account.
MAY_BE_ROOT = False


@dataclass
class Git:
    """An account that runs Git, and its private folder with keys and settings."""

    user: str
    uid: int
    gid: int
    private: Path
    limits: Limits = field(default_factory=Limits)

    def write(self, name: str, text: str, owned: bool = False) -> Path:
        """Write a file into the private folder. From its first byte, only this account can read it.

        :param owned: whether the account may change it.
        """
        path = self.private / name
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
            if owned:
                os.fchown(descriptor, self.uid, self.gid)
            else:
                os.fchown(descriptor, -1, self.gid)
                os.fchmod(descriptor, 0o640)
            handle.write(text)
        return path

    def set_environment(self, **more: str) -> None:
        """Write the environment of all scripts."""
        lines = (f"export {name}={shlex.quote(value)}\n" for name, value in environment(**more).items())
        (self.private / "environment").unlink(missing_ok=True)
        self.write("environment", "".join(lines))

    def command(self, script: str, arguments: Sequence[str], reach: Reach, seconds: int, user: str = "") -> list[str]:
        """Return the command for a script in a separate unit."""
        reach = Reach((str(self.private), *reach.readable), reach.writable, reach.network, reach.repository)
        begin = git_unit.unit_command(user or self.user, reach, seconds, self.limits)
        return [*begin, "/bin/sh", "-c", BEGIN + script, "sh", str(self.private / "environment"), *arguments]

    def run(self, script: str, *arguments: str, reach: Reach, seconds: int = LOCAL_TIMEOUT, user: str = "") -> Result:
        """Run a script until it and all processes that it started have ended.

        :raises GitError: if it prints too much.
        """
        begun = time.monotonic()
        with running(self.command(script, arguments, reach, seconds, user), seconds) as process:
            process.input.close()
            output = process.output.read(LARGEST_ANSWER + 1)
        if len(output) > LARGEST_ANSWER:
            raise GitError(f"it answers with more than {LARGEST_ANSWER >> 20} MiB of names. Name a smaller repository")
        late = bool(process.status) and time.monotonic() - begun >= seconds
        return Result(process.status, output, process.errors, late)

    def discard(self, path: Path) -> None:
        """Remove a folder of the account in a folder of root. Root enters it only if root owns it.

        :raises GitError: if it cannot be removed.
        """
        if discard_roots(path):
            return
        owner = path.lstat().st_uid
        user = self.user if owner == self.uid else str(owner)
        done = self.run(DISCARD, str(path), reach=Reach(writable=[str(path)]), user=user)
        try:
            path.rmdir()
        except OSError as error:
            raise GitError(f"{path} cannot be removed: {done.errors.strip() or error}. Remove it by hand") from error


def discard_roots(path: Path) -> bool:
    """Remove a path that root owns in a folder of root; return whether it is gone.

    Older versions fetched as root, into a folder that only root could enter.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        return True
    if not stat.S_ISDIR(found.st_mode):
        path.unlink()
        return True
    if found.st_uid == 0:
        shutil.rmtree(path)
    return found.st_uid == 0


@contextlib.contextmanager
def git_as(name: str, limits: Limits) -> Iterator[Git]:
    """Yield Git for an account, with a private folder that is removed at the end.

    :raises GitError: if the host has no such account, or it is root.
    """
    try:
        found = pwd.getpwnam(name)
    except KeyError as error:
        raise GitError(f"the server has no account {name}, which runs Git. Run the playbook without --check") from error
    if found.pw_uid == 0 and not MAY_BE_ROOT:
        raise GitError(f"the account {name} is root, which never runs Git. Remove the account {name}")
    with _folder(PRIVATE) as private:
        os.chown(private, -1, found.pw_gid)
        private.chmod(0o750)
        git = Git(name, found.pw_uid, found.pw_gid, private, limits)
        git.set_environment()
        yield git


@contextlib.contextmanager
def work_folder(git: Git) -> Iterator[Path]:
    """Yield an empty folder of the account on disk, in a folder of root that is removed at the end."""
    with _folder(LARGE, git) as parent:
        work = parent / "repository"
        work.mkdir(0o700)
        os.chown(work, git.uid, git.gid)
        try:
            yield work
        finally:
            git.discard(work)


@contextlib.contextmanager
def _folder(place: str, git: Git | None = None) -> Iterator[Path]:
    """Yield a new folder of root, and remove the leftovers of killed runs.

    A run locks its folder. Only root can open the lock that serialises creation and removal.
    """
    with contextlib.suppress(FileExistsError):
        os.mkdir(PRIVATE)
        os.chmod(PRIVATE, 0o755)  # noqa: S103  (regardless of the umask)
    lock = os.open(f"{PRIVATE}/git.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    held = -1
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _sweep(place, git)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        fcntl.flock(held, fcntl.LOCK_EX)
        os.close(lock)
        lock = -1
        yield folder
    finally:
        if lock >= 0:
            os.close(lock)
        if held >= 0:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(held)


def _sweep(place: str, git: Git | None) -> None:
    """Remove the folders of runs that have ended."""
    for folder in Path(place).glob(f"{PREFIX}*"):
        try:
            held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            if os.fstat(held).st_uid == os.geteuid():
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if git:
                    git.discard(folder / "repository")
                shutil.rmtree(folder, ignore_errors=True)
        except (OSError, GitError):
            continue  # it is in use, or the next run tries again
        finally:
            os.close(held)
