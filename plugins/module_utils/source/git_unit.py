# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The unit in which a Git command runs: it reaches only the repository that it works on.

Root starts it, and reads what it prints as data, up to a limit.
"""

from __future__ import annotations

import collections
import contextlib
import os
import subprocess
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO

from ansible_collections.flaskblog.hosting.plugins.module_utils import cage
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.limits import Limits
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import GitError

GIT = "/usr/bin/git"
#: The allowed transports; others, such as C(ext::), would run commands.
PROTOCOLS = "https:ssh:git:file"
#: Seconds for a command that stays on the host.
LOCAL_TIMEOUT = 900
#: A pack holds the files, and a little more. No file of a unit may be larger.
PACK_EXTRA = 64 << 20

#: Bytes of the end of Git's error output that are kept.
LARGEST_ERRORS = 64 << 10


@dataclass(frozen=True)
class Result:
    """How a script ended."""

    status: int
    output: bytes
    #: the last lines of its error output
    errors: str
    #: it reached its timeout
    late: bool


@dataclass(frozen=True)
class Reach:
    """What a unit can reach beside Git itself."""

    readable: Sequence[str] = ()
    writable: Sequence[str] = ()
    network: bool = False
    #: a repository on the host, readable regardless of its owner; the unit then sees nothing of /etc
    repository: str = ""


def environment(**more: str) -> dict[str, str]:
    """Return Git's whole environment: of the host's settings, only its proxies."""
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
        # It may belong to any account, and the user of the role named it. With this capability, files can also be
        # opened by their handle, on any file system.
        capability = "CAP_DAC_READ_SEARCH"
        found |= {"AmbientCapabilities": capability, "CapabilityBoundingSet": capability}
        # Git checks a repository with access(2), which otherwise ignores capabilities of every uid but 0.
        found["SecureBits"] = "no-setuid-fixup"
        # The capability would also open the host's secrets; Git needs nothing of /etc to read a repository.
        seen = (path for path in found["BindReadOnlyPaths"].split() if path != "/etc")
        found["BindReadOnlyPaths"] = " ".join(seen)
        found["SystemCallFilter"] = "~open_by_handle_at name_to_handle_at"
    return found


def unit_command(user: str, reach: Reach, seconds: int, limits: Limits) -> list[str]:
    """Return a command prefix that runs the appended command in a unit."""
    cage.prepare()
    return cage.command(f"Git for a blog, as {user}", properties(user, reach, seconds, limits))


@dataclass
class Running:
    """A running script: its input and output; once it has ended, its status and errors."""

    input: IO[bytes]
    output: IO[bytes]
    status: int = 0
    errors: str = ""


@contextlib.contextmanager
def running(command: Sequence[str], seconds: int) -> Iterator[Running]:
    """Start a script. At the end of the context its unit has ended."""
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
    """Read a script's error output and keep its end."""
    descriptor = stream.fileno()
    while block := os.read(descriptor, 1 << 12):
        tail.append(block)


def settings(*more: tuple[str, str, str]) -> str:
    """Return Git's configuration: no hooks, no automatic garbage collection, one pack, and the given lines.

    :param more: section, name and value of each line.
    """
    lines = (("core", "hooksPath", "/dev/null"), ("gc", "auto", "0"), ("fetch", "unpackLimit", "1"), *more)
    return "".join(f"[{section}]\n{name} = {value}\n" for section, name, value in lines)
