# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Run Git in a unit that reaches nothing but the repository it works on, as an account that owns nothing else.

Root starts the unit and takes what it prints as data, up to a limit. Keys and settings lie in a folder of root's in
memory, which the account can read and nobody else can; no file system path that the account can write is ever opened by
root.
"""

from __future__ import annotations

import collections
import contextlib
import fcntl
import os
import pwd
import shlex
import shutil
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from ansible_collections.flaskblog.hosting.plugins.module_utils import cage
from ansible_collections.flaskblog.hosting.plugins.module_utils.limits import Limits
from ansible_collections.flaskblog.hosting.plugins.module_utils.tree import SourceError

GIT = "/usr/bin/git"
#: The only ways to a repository; others, such as C(ext::), would run commands.
PROTOCOLS = "https:ssh:git:file"
#: A file system in memory, for what must not be left on a disk; and one for what may be large.
PRIVATE = "/run/flask-blog-hosting"
LARGE = "/var/tmp"
PREFIX = "flask-blog-git-"

#: Seconds for a command that stays on the host.
LOCAL_TIMEOUT = 900
#: Bytes of an answer, and of what Git says on its way: of the second, the end counts.
LARGEST_ANSWER = 32 << 20
LARGEST_ERRORS = 64 << 10
#: A pack holds the files, and a little more. No file of a unit may be larger.
PACK_EXTRA = 64 << 20

#: Every script: the environment comes from a file, as that of a unit can be read by every account of the host.
BEGIN = 'set -eu; . "$1"; shift; '
DISCARD = 'find "$1" -mindepth 1 -delete'


class GitError(SourceError):
    """The repository does not give what is wanted; the message has Git's own words and the remedy."""


@dataclass(frozen=True)
class Result:
    """How a script ended."""

    status: int
    output: bytes
    #: the last lines of what it said
    errors: str
    #: it took all of its time
    late: bool


@dataclass(frozen=True)
class Reach:
    """What a unit can see and do beside Git itself."""

    readable: Sequence[str] = ()
    writable: Sequence[str] = ()
    network: bool = False
    #: the one repository of the host that it reads whoever owns it, with nothing of /etc beside it
    repository: str = ""


def environment(**more: str) -> dict[str, str]:
    """Return all that Git finds in its environment: nothing of the host's settings but its proxies."""
    proxies = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    return {
        "PATH": "/usr/bin:/bin",
        "LC_ALL": "C.UTF-8",
        "HOME": "/nonexistent",
        "GIT": GIT,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": PROTOCOLS,
        **proxies,
        **more,
    }


def properties(user: str, reach: Reach, seconds: int, limits: Limits) -> dict[str, str]:
    """Return the properties of a unit (systemd.exec(5), systemd.resource-control(5))."""
    found = {
        "User": user,
        **cage.HARDENING,
        **cage.file_system(
            readable=[*reach.readable, *([reach.repository] if reach.repository else [])],
            writable={path: path for path in reach.writable},
            network=reach.network,
        ),
        "LimitCORE": "0",
        "LimitFSIZE": str(limits.most_bytes + PACK_EXTRA),
        "MemoryMax": "50%",
        "RestrictAddressFamilies": "AF_INET AF_INET6" if reach.network else "AF_UNIX",
        "RuntimeMaxSec": str(seconds),
        "TasksMax": "128",
        "TimeoutStopSec": "2",
        "UMask": "0077",
    }
    if reach.repository:
        # It may belong to anybody, and was named by the user of the role. With this capability a file can also be
        # opened by its number, wherever it lies.
        capability = "CAP_DAC_READ_SEARCH"
        found |= {"AmbientCapabilities": capability, "CapabilityBoundingSet": capability}
        # access(2), by which Git knows a repository, otherwise takes a capability from every uid but 0.
        found["SecureBits"] = "no-setuid-fixup"
        # It would open the host's secrets as well; Git needs nothing of /etc to read a repository.
        seen = (path for path in found["BindReadOnlyPaths"].split() if path != "/etc")
        found["BindReadOnlyPaths"] = " ".join(seen)
        found["SystemCallFilter"] = "~open_by_handle_at name_to_handle_at"
    return found


def unit_command(user: str, reach: Reach, seconds: int, limits: Limits) -> list[str]:
    """Return the beginning of a command that runs the rest of it in a unit."""
    cage.prepare()
    return cage.command(f"Git for a blog, as {user}", properties(user, reach, seconds, limits))


@dataclass
class Git:
    """An account that runs Git, and the folder that tells it how."""

    user: str
    uid: int
    gid: int
    private: Path
    limits: Limits = field(default_factory=Limits)

    def write(self, name: str, text: str, owned: bool = False) -> Path:
        """Write a file into the private folder, for the account alone from its first byte on.

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
        """Return the command for a script in a unit of its own."""
        reach = Reach((str(self.private), *reach.readable), reach.writable, reach.network, reach.repository)
        begin = unit_command(user or self.user, reach, seconds, self.limits)
        return [*begin, "/bin/sh", "-c", BEGIN + script, "sh", str(self.private / "environment"), *arguments]

    def run(self, script: str, *arguments: str, reach: Reach, seconds: int = LOCAL_TIMEOUT, user: str = "") -> Result:
        """Run a script to its end, and to the end of all that it has started.

        :raises GitError: if it prints more than anybody would read.
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
        """Remove a folder of the account's that lies in one of root's; root enters it only if all of it is root's own.

        :raises GitError: if something stays.
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
    """Remove what is root's own in a folder of root's; return whether nothing is left.

    Versions before this one fetched as root, into a folder that nobody else could enter.
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


@dataclass
class Running:
    """A script that runs: what it reads and what it prints, and how it ended once it has."""

    input: IO[bytes]
    output: IO[bytes]
    status: int = 0
    errors: str = ""


@contextlib.contextmanager
def running(command: Sequence[str], seconds: int) -> Iterator[Running]:
    """Start a script; afterwards its unit has ended, as it does when nobody reads what it prints."""
    environment = {name: value for name, value in os.environ.items() if name in ("PATH", "DBUS_SYSTEM_BUS_ADDRESS")}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=1 << 16
    ) as process:
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise GitError("the script has no pipes")
        tail = collections.deque[bytes](maxlen=LARGEST_ERRORS >> 12)
        reader = threading.Thread(target=_drain, args=(process.stderr, tail), daemon=True)
        watch = threading.Timer(seconds + 30, process.kill)
        reader.start()
        watch.start()
        found = Running(process.stdin, process.stdout)
        try:
            yield found
        finally:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            process.stdout.close()
            found.status = process.wait()
            watch.cancel()
            reader.join(timeout=5)
            found.errors = b"".join(tail).decode("utf-8", "replace")


def _drain(stream: IO[bytes], tail: collections.deque[bytes]) -> None:
    """Read what a script says, and keep the end of it."""
    descriptor = stream.fileno()
    while block := os.read(descriptor, 1 << 12):
        tail.append(block)


@contextlib.contextmanager
def git_as(name: str, limits: Limits) -> Iterator[Git]:
    """Yield Git for an account, with a private folder that is gone afterwards.

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


#: Only tests, which may run as root without any other account, change it.
MAY_BE_ROOT = False


@contextlib.contextmanager
def work_folder(git: Git) -> Iterator[Path]:
    """Yield an empty folder of the account's on disk, in one of root's own that is gone afterwards."""
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
    """Yield a new folder of root's own, and remove what runs that were killed have left beside it.

    A folder is locked while its run lasts. Nobody else can open the lock that orders these runs.
    """
    with contextlib.suppress(FileExistsError):
        os.mkdir(PRIVATE)
        os.chmod(PRIVATE, 0o755)  # noqa: S103  (whatever the umask; notes of root's lie in it)
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
    """Remove the folders of runs that are gone."""
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


def settings(*more: tuple[str, str, str]) -> str:
    """Return Git's configuration: no hooks, no collecting of garbage at its own time, one pack, and what is given.

    :param more: section, name and value of each line.
    """
    lines = (("core", "hooksPath", "/dev/null"), ("gc", "auto", "0"), ("fetch", "unpackLimit", "1"), *more)
    return "".join(f"[{section}]\n{name} = {value}\n" for section, name, value in lines)
