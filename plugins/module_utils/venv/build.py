# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Run build commands of a source as the build account, in a transient unit.

No app uses the account. The unit has the host's programs, /etc without the settings of any blog, the network, and the
given directories. It has no access to data, processes of other accounts and Unix sockets of the host.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import select
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO

from .. import cage
from ..mask import without_credentials
from ..printable import printable
from . import diagnosis

#: Bytes of the end of a command's output that are kept, as its length is not limited.
KEPT_OUTPUT = 64 * 1024

#: Lines of output in the message of a failed build, and if its first error is known.
LAST_LINES, LAST_LINES_OF_KNOWN = 25, 10

#: Bytes of a line that are looked at; the rest of a longer one is skipped.
LONGEST_LINE = 32 * 1024

#: Seconds beyond a build's timeout in which systemd ends its unit.
GRACE = 30

#: The exit status of systemd-run(1) if a signal ended the unit (measured with systemd 252 and 257).
KILLED = 255

#: Resources of a unit: a lower priority than the processes that serve visitors. Memory and tasks are limited, so that a
#: runaway build does not exhaust the host; its disk usage is not limited.
RESOURCES = {
    "Nice": "10",
    "CPUWeight": "20",
    "LimitCORE": "0",
    "MemoryMax": "75%",
    "OOMPolicy": "kill",
    "OOMScoreAdjust": "500",
    "TasksMax": "2048",
}

#: What pip, compilers and other build tools need of the kernel.
KERNEL = {
    "RestrictAddressFamilies": "AF_INET AF_INET6 AF_NETLINK AF_UNIX",
    "SystemCallErrorNumber": "EPERM",
    "SystemCallFilter": "@system-service",
}

#: The names of the folders in /etc that a site may have (plugin_utils/rules/site.py).
SITE_NAME = re.compile(r"[a-z][a-z0-9-]*")


class BuildError(Exception):
    """A command failed or took too long; the message holds the last lines of its output, without passwords in URLs."""

    def __init__(self, message: str) -> None:
        super().__init__(without_credentials(message))


@dataclass(frozen=True)
class Job:
    """A command, and the options of its unit."""

    #: of the blog; the unit is called C(NAME-build.service)
    name: str
    #: the build account, whose group has the same name
    account: str
    command: Sequence[str]
    #: seconds
    timeout: int
    #: as in P(cage.file_system)
    writable: Mapping[str, str] = field(default_factory=dict)
    readable: Sequence[str] = ()

    @property
    def unit(self) -> str:
        """Return the unit's name. It is one for each blog, so the next run can stop a leftover."""
        return unit_name(self.name)


def unit_name(name: str) -> str:
    """Return the name of the unit in which a blog's builds run."""
    return f"{name}-build.service"


def properties(job: Job) -> dict[str, str]:
    """Return the properties of a job's unit (systemd.exec(5), systemd.resource-control(5))."""
    return {
        "User": job.account,
        "Group": job.account,
        "UMask": "0022",
        # The processes that the first one leaves are killed at once, even if they ignore SIGTERM.
        "KillMode": "control-group",
        "KillSignal": "SIGKILL",
        "RuntimeMaxSec": str(job.timeout),
        "TimeoutStopSec": "5",
        **RESOURCES,
        **KERNEL,
        **cage.HARDENING,
        **cage.file_system(job.readable, job.writable, [f"-{path}" for path in settings_folders()], network=True),
    }


def settings_folders() -> list[str]:
    """Return the folders in /etc with the settings of the blogs on this host."""
    folders = [os.path.dirname(path) for path in sorted(glob.glob("/etc/*/site.json"))]
    named = [folder for folder in folders if SITE_NAME.fullmatch(os.path.basename(folder))]
    return ["/etc/flask-blog-hosting", *named]


def environment(cache: str, temporary: str) -> dict[str, str]:
    """Return the environment of a build's commands: of the host's variables, only the proxies.

    Pass it on standard input, as every account can read a unit's environment.

    :param cache: the account's own directory.
    :param temporary: the directory for temporary files. Those of a large package fill a /tmp in memory.
    """
    proxies = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    return {
        "HOME": cache,
        "LANG": "C.UTF-8",
        "PATH": "/usr/bin:/bin",
        "TMPDIR": temporary,
        "XDG_CACHE_HOME": cache,
        **proxies,
    }


def stop(name: str) -> None:
    """Stop the unit of a blog's builds, which a killed run may have left, and wait until it has ended."""
    subprocess.run(["systemctl", "--quiet", "stop", unit_name(name)], capture_output=True, check=False)


def run(job: Job, feed: Callable[[IO[bytes]], None] | None = None) -> str:
    """Run a job until it and all processes that it started have ended.

    :param feed: writes the command's standard input.
    :returns: the end of its output, printable.
    :raises BuildError: if it fails or takes too long.
    """
    cage.prepare()
    stop(job.name)
    command = cage.command(f"{job.name}: build", properties(job), options=("--pipe", "--wait", f"--unit={job.unit}"))
    begun = time.monotonic()
    with _process([*command, *job.command], job.name) as process:
        if feed and process.stdin:
            threading.Thread(target=_write, args=(feed, process.stdin), daemon=True).start()
        output = Output()
        _read(process, output, begun + job.timeout + GRACE)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
    if process.returncode == 0:
        return output.end()
    if process.returncode is None or time.monotonic() - begun >= job.timeout:
        raise BuildError(f"It took longer than {job.timeout} s.\n{output.end()}".strip())
    if process.returncode == KILLED:
        raise BuildError(
            f"It was killed, most likely as it took more than {RESOURCES['MemoryMax']} of the server's memory. Require"
            " versions of the packages with a wheel for this Python, or give the server more memory.\n\nThe end of the"
            f" output:\n{output.end(LAST_LINES_OF_KNOWN)}"
        )
    raise BuildError(output.error() or f"It ended with status {process.returncode} and printed nothing.")


class Output:
    """The output of a command: its end, and its first error. Neither takes more memory if there is more of it."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._tail = bytearray()
        self._line = bytearray()
        self._first = diagnosis.Diagnosis()

    def add(self, block: bytes) -> None:
        """Take the next piece of the output."""
        self._tail += block
        del self._tail[:-KEPT_OUTPUT]
        *lines, rest = block.split(b"\n")
        for line in lines:
            self._line += line
            self._first.read(self._line[:LONGEST_LINE].decode(errors="replace").rstrip("\r"))
            self._line.clear()
        self._line += rest[: max(0, LONGEST_LINE - len(self._line))]

    def end(self, lines: int = LAST_LINES) -> str:
        """Return its last lines, printable."""
        return printable("\n".join(self._tail.decode(errors="replace").rstrip("\n").splitlines()[-lines:]))

    def error(self) -> str:
        """Return its first error with the remedy, if there is one, and its last lines, printable."""
        self.add(b"\n")  # its last line may have no end
        first = printable(self._first.explain())
        return f"{first}\n\nThe end of the output:\n{self.end(LAST_LINES_OF_KNOWN)}" if first else self.end()


@contextlib.contextmanager
def _process(command: Sequence[str], name: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a unit's command; at the end of the context no process of the unit is left."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                stop(name)
                process.kill()


def _write(feed: Callable[[IO[bytes]], None], stream: IO[bytes]) -> None:
    """Write a command's input; if the command ends early, the rest is dropped."""
    with contextlib.suppress(BrokenPipeError), stream:
        feed(stream)


def _read(process: subprocess.Popen[bytes], output: Output, deadline: float) -> None:
    """Read a command's output until all its writers have ended."""
    if process.stdout is None:
        return
    descriptor = process.stdout.fileno()
    while time.monotonic() < deadline:
        if select.select([descriptor], [], [], 1.0)[0]:
            block = os.read(descriptor, KEPT_OUTPUT)
            if not block:
                return
            output.add(block)
        elif process.poll() is not None:
            return
