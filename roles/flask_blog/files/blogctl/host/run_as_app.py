"""Run programs with the rights of the app's account: commands, and an instance to try.

A program that works on a copy of the data gets a file system with nothing of the host in it but the release, and no
network: a rehearsal must not reach anything real. A program that works on the live data gets what the service has.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import HostError, OperationError
from ..shared import cage
from ..shared.mask import MASKED
from ..shared.printable import printable
from ..site import Site
from . import diagnosis, journal, memory
from .locks import inherited
from .systemd import stop_earlier, stop_transient
from .units import command_unit, instance_unit

#: Seconds that a program has to end after its time is up.
STOP_TIMEOUT = 10
#: Bytes of one line of output.
LINE_LIMIT = 8192
#: Lines that are kept for a message.
KEPT_LINES = 300
#: Lines of one program that go to the journal; the rest is dropped, so that no program can fill it.
LOGGED_LINES = 5000

#: What a site has for all programs that an older role deployed, which wrote no C(process_environment).
OLDER_ENVIRONMENT = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1", "MALLOC_ARENA_MAX": "2"}
#: For commands. A call of app.run() outside of a guard would never end, and Flask ignores it with this; an instance
#: does so itself (gunicorn_workers.py).
OF_COMMANDS = ["FLASK_RUN_FROM_CLI=true"]
#: Gunicorn's options for such a site.
OLDER_OPTIONS = {"threads": "2", "timeout": "0"}

Properties = dict[str, str | int | list[str]]


def properties_as_app(site: Site, folder: Path, data: Path) -> Properties:
    """Return the properties of a unit that runs as the app does.

    :param folder: the directory of a release's app.
    :param data: the data folder, or a copy, which is then mounted at the data folder's path.
    """
    settings = site.settings
    properties: Properties = {
        **settings["sandbox"],
        "User": settings["user"],
        "Group": settings["group"],
        "WorkingDirectory": str(folder),
        "EnvironmentFile": [str(path) for path in site.environments],
        "SyslogIdentifier": settings["name"],
    }
    if is_copy(site, data):
        cage.prepare()
        # /var/www/NAME: some apps have their own path in their settings.
        readable = [settings["root"], f"-{settings['link']}"]
        temporary = properties.get("TemporaryFileSystem")
        properties |= cage.file_system(readable=readable, writable={str(data): settings["data"]})
        if temporary:  # the service's limits of /dev/shm
            properties["TemporaryFileSystem"] = f"/ {temporary}"
        properties["EnvironmentFile"] = [*map(str, site.environments), f"-{site.path('rehearsal_environment')}"]
        # Nobody waits for a rehearsal, so it must not slow down visitors.
        properties |= {"Nice": "10", "IOSchedulingClass": "idle"}
    return properties


def is_copy(site: Site, data: Path) -> bool:
    """Say whether a directory is not the live data."""
    return data != site.path("data")


def environment_as_app(site: Site, folder: Path, source_root: str, role: str) -> list[str]:
    """Return the environment variables of every program of a release, as C(NAME=value).

    :param role: C(web), C(rehearsal) or C(command): so that an app can leave its scheduler off in a rehearsal.
    """
    settings = site.settings
    common = settings.get("process_environment") or {**OLDER_ENVIRONMENT, "HOME": settings["data"]}
    return [
        *(f"{name}={value}" for name, value in common.items()),
        f"PATH={folder}/venv/bin:/usr/bin:/bin",
        f"FLASK_BLOG_RELEASE={folder.relative_to(settings['releases']).parts[0]}",
        f"FLASK_BLOG_ROLE={role}",
        f"PYTHONPATH={os.path.normpath(folder / source_root)}",
    ]


class Output:
    """A program's output, line by line: the last lines are kept for a message, and all go to the journal."""

    def __init__(self, site: Site, stream: int) -> None:
        self._site = site
        self._stream = stream
        #: texts that are masked
        self.hidden: Sequence[str] = ()
        self._rest = b""
        self._logged = 0
        self._kept: deque[str] = deque(maxlen=KEPT_LINES)

    def lines(self, seconds: float) -> Iterator[str]:
        """Yield each line as it comes, cut to a length, until the program closes its output or the time is up."""
        deadline = time.monotonic() + seconds
        poll = _poll(self._stream)
        while (left := deadline - time.monotonic()) > 0:
            if not poll(left):
                continue
            block = os.read(self._stream, LINE_LIMIT)
            if not block:
                break
            *whole, self._rest = (self._rest + block).split(b"\n")
            if len(self._rest) > LINE_LIMIT:
                whole, self._rest = [*whole, self._rest], b""
            for line in whole:
                yield self._take(line)
        if self._rest:
            rest, self._rest = self._rest, b""
            yield self._take(rest)

    def _take(self, line: bytes) -> str:
        text = printable(line.decode("utf-8", "replace"))
        for secret in self.hidden:
            text = text.replace(secret, MASKED)
        self._kept.append(text)
        self._logged += 1
        if self._logged < LOGGED_LINES:
            journal.log(self._site, text)
        elif self._logged == LOGGED_LINES:
            journal.log(self._site, f"it wrote more than {LOGGED_LINES} lines; the others are not in the journal")
        return text

    def text(self) -> str:
        """Return what is kept; an empty text if it wrote nothing."""
        return "\n".join(self._kept)

    def last(self, lines: int) -> str:
        """Return the last lines."""
        return "\n".join(list(self._kept)[-lines:]) or "(no output)"


def _poll(stream: int) -> Any:
    poll = select.poll()
    poll.register(stream, select.POLLIN | select.POLLHUP)
    return lambda seconds: poll.poll(min(seconds, 1.0) * 1000)


@contextlib.contextmanager
def started(
    site: Site, unit: str, description: str, properties: Properties, environment: list[str], arguments: list[str]
) -> Iterator[tuple[subprocess.Popen[bytes], Output]]:
    """Run a program in a transient unit. At the end of the context, the unit and all its processes have ended."""
    # The unit outlives a blogctl that is killed. It has a name so that the recovery can stop it.
    stop_earlier(unit)
    start = cage.command(description, properties, environment, ["--pipe", "--wait", f"--unit={unit}"])
    try:
        with subprocess.Popen(
            [*start, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=inherited(),
        ) as process:
            try:
                yield process, Output(site, process.stdout.fileno())  # type: ignore[union-attr]
            finally:
                if process.poll() is None:
                    stop_transient(unit)
    except BaseException:
        stop_transient(unit)
        raise


def run(site: Site, folder: Path, source_root: str, command: str, data: Path) -> str:
    """Run a shell command as the app runs: with its account, environment, release and limits.

    Its output goes to the journal, line by line as it comes.

    :param folder: the directory of the release's app.
    :param data: the data folder, or a copy, which is then mounted at the data folder's path.
    :returns: the last lines of its output.
    :raises OperationError: if it fails or takes longer than the site's C(command_timeout) seconds.
    """
    seconds = site.settings["command_timeout"]
    properties = properties_as_app(site, folder, data)
    # A command that ignores SIGTERM is killed.
    properties |= {"RuntimeMaxSec": str(seconds), "TimeoutStopSec": str(STOP_TIMEOUT)}
    role = "rehearsal" if is_copy(site, data) else "command"
    environment = [*environment_as_app(site, folder, source_root, role), *OF_COMMANDS]
    journal.log(site, f"runs the command: {command}")
    began, counted = time.monotonic(), memory.of_services()
    shell = ["/bin/sh", "-c", command]
    description = f"A command of {site.name}"
    with started(site, command_unit(site), description, properties, environment, shell) as (process, output):
        for _ in output.lines(seconds + 2 * STOP_TIMEOUT):
            pass
        if process.poll() is None and time.monotonic() - began >= seconds:
            stop_transient(command_unit(site))
        process.wait()
    took = time.monotonic() - began
    if process.returncode:
        why = f"failed (status {process.returncode})"
        if took >= seconds:
            why = f"took longer than flask_blog_command_timeout, {seconds} s, and was ended"
        journal.log(site, f"the command {why}: {command}")
        raise _failure(site, folder, f"the command '{command}' {why}", output, counted, was_ended=took >= seconds)
    journal.log(site, f"the command succeeded after {took:.1f} s: {command}")
    return output.last(KEPT_LINES)


def _failure(
    site: Site, folder: Path, what: str, output: Output, counted: memory.Events, *, was_ended: bool
) -> OperationError:
    """Return the error of a command that failed, with its first error and its last lines.

    :param counted: what the kernel had counted before.
    :param was_ended: whether its time was up, so that its last words say nothing about the reason.
    """
    found = diagnosis.diagnose(site, output.text(), folder, memory.of_services().since(counted))
    cause = found.cause
    if not cause and not was_ended:
        # A unit that cannot be started writes nothing itself; systemd's lines say why.
        cause = diagnosis.last_line(output.text()) or diagnosis.of_systemd(journal.last_lines(command_unit(site), 20))
    first = f"{what}: {cause}" if cause else what
    shown = "\n".join((*diagnosis.before_traceback(output.text()), *found.lines)) or "(no output)"
    message = "\n".join(part for part in (first, found.remedy, "Its output:", shown) if part)
    return HostError(message) if found.of_host else OperationError(message)


def attach(site: Site, folder: Path, source_root: str, words: list[str], lock: int) -> int:
    """Run a command as the app does, on this terminal, and return its exit status.

    :param words: the command and its arguments.
    :param lock: is held while the command uses the data, also if this process is killed.
    """
    terminal = "--pty" if os.isatty(0) and os.isatty(1) else "--pipe"
    properties = properties_as_app(site, folder, site.path("data"))
    unit = f"{site.name}-run-{os.getpid()}"
    start = cage.command(
        f"A command of {site.name} run by hand",
        properties,
        [*environment_as_app(site, folder, source_root, "command"), *OF_COMMANDS],
        [terminal, "--wait", f"--unit={unit}"],
    )
    try:
        return subprocess.run([*start, "/usr/bin/env", *words], check=False, pass_fds=(lock,)).returncode
    except BaseException:
        # Without a terminal, the command would outlive this process.
        stop_transient(unit)
        raise


def instance(site: Site, folder: Path, source_root: str, data: Path, paths: Sequence[str] = ()) -> Any:
    """Run an instance of a release that no visitor reaches, and that requests its own pages (gunicorn.conf.py).

    :param data: the data folder, or a copy, which is then mounted at the data folder's path.
    :param paths: pages that it requests as well, without white space.
    :returns: the same as P(started).
    """
    properties = properties_as_app(site, folder, data)
    # gunicorn gives a socket in the file system to its account, which it belongs to already.
    properties["SystemCallFilter"] = f"{properties.get('SystemCallFilter', '@system-service')} @chown"
    if is_copy(site, data):
        # Its data is thrown away, so it need not end cleanly.
        properties["KillSignal"] = "SIGKILL"
    scheme = site.scheme
    environment = [
        *environment_as_app(site, folder, source_root, "rehearsal"),
        "FLASK_BLOG_INSTANCE=rehearsal",
        f"FLASK_BLOG_TRY_AS={scheme.host}",
        # In the environment as well, unless an older role deployed the site.
        f"FLASK_BLOG_DATA={site.settings['data']}",
        f"FLASK_BLOG_PROXY_KEY={site.settings['proxy_key']}",
        f"FLASK_BLOG_HOST={scheme.host}",
        f"FLASK_BLOG_SCHEME={scheme.scheme}",
        f"FLASK_BLOG_PUBLIC_SCHEMES={','.join(scheme.public_schemes)}",
        f"FLASK_BLOG_HEALTH_PATH={site.settings['health_path']}",
        *([f"FLASK_BLOG_PROOF_PATHS={' '.join(paths)}"] if paths else []),
    ]
    options = {**site.settings.get("gunicorn_options", OLDER_OPTIONS), "workers": 1}
    # /tmp is the unit's own.
    arguments = [
        f"{folder}/venv/bin/gunicorn",
        "--config",
        str(site.path("gunicorn_config")),
        "--bind",
        "unix:/tmp/app.sock",
    ]
    arguments += [word for name, value in sorted(options.items()) for word in (f"--{name}", str(value))]
    arguments.append(str(site.settings["wsgi"]))
    return started(
        site, instance_unit(site), f"{site.name}, tried before it serves", properties, environment, arguments
    )
