"""Start programs with the rights of the app's account: commands, an instance to try, and work on the data.

What works on a copy of the data gets a file system with nothing of the host in it but the release, and no network: a
rehearsal must not reach anything real. What works on the live data has what the service has.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from . import cage
from .printable import printable
from .services import command_unit, data_unit, inherited, instance_unit, log, stop_transient
from .site import OperationError, Site

#: Seconds that a program has to end after its time is up.
END = 10
#: Bytes of one line of output, and lines that are kept for a message.
LINE, LINES = 8192, 200
#: Lines of one program that go to the journal; the rest is dropped, so that no program can fill it.
LOGGED = 5000
#: Set in a unit that confines blogctl already (NAME-backup.service): it may not start units, and needs none.
CONFINED = "BLOGCTL_CONFINED"
#: Starts the work on the data (inside.py); the arguments are where blogctl lies, and the request.
INSIDE = "import sys; sys.path.insert(0, sys.argv[1]); from blogctl.inside import main; sys.exit(main(sys.argv[2:]))"
#: Where the work on the data finds a second folder, such as that of a copy.
TARGET = "/mnt"

Properties = dict[str, str | int | list[str]]


def properties_as_app(site: Site, folder: Path, place: Path) -> Properties:
    """Return the properties of a unit that runs as the app does, on the data in a place.

    :param folder: the folder of a release's app.
    :param place: the data folder, or a copy, which the program then finds in the data folder's place.
    """
    settings = site.settings
    config = settings["config"]
    properties: Properties = {
        **settings["sandbox"],
        "User": settings["user"],
        "Group": settings["group"],
        "WorkingDirectory": str(folder),
        "EnvironmentFile": f"{config}/environment",
        "SyslogIdentifier": settings["name"],
    }
    if is_copy(site, place):
        cage.prepare()
        # /var/www/NAME: some apps have their own path in their settings.
        readable = [settings["root"], f"-{settings['link']}"]
        temporary = properties.get("TemporaryFileSystem")
        properties |= cage.file_system(readable=readable, writable={str(place): settings["data"]})
        if temporary:  # the service's limits of /dev/shm
            properties["TemporaryFileSystem"] = f"/ {temporary}"
        properties["EnvironmentFile"] = [f"{config}/environment", f"-{config}/rehearsal-environment"]
        # Nobody waits for what happens on a copy, so it must not slow down those who wait for a page.
        properties |= {"Nice": "10", "IOSchedulingClass": "idle"}
    return properties


def is_copy(site: Site, place: Path) -> bool:
    """Say whether a place is not the live data."""
    return place != site.path("data")


def environment_as_app(site: Site, folder: Path, source_root: str, role: str) -> list[str]:
    """Return the variables that every program of a release finds, as C(NAME=value).

    :param role: C(web), C(rehearsal) or C(command): so that an app can leave its scheduler off in a rehearsal.
    """
    settings = site.settings
    return [
        f"PATH={folder}/venv/bin:/usr/bin:/bin",
        "PYTHONDONTWRITEBYTECODE=1",
        "PYTHONUNBUFFERED=1",
        "MALLOC_ARENA_MAX=2",
        f"HOME={settings['data']}",
        f"FLASK_BLOG_RELEASE={folder.relative_to(settings['releases']).parts[0]}",
        f"FLASK_BLOG_ROLE={role}",
        f"PYTHONPATH={os.path.normpath(folder / source_root)}",
    ]


class Output:
    """What a program says, line by line: kept as far as a message needs it, and told to the journal."""

    def __init__(self, site: Site, stream: int) -> None:
        self._site = site
        self._stream = stream
        self._rest = b""
        self._logged = 0
        self._kept: deque[str] = deque(maxlen=LINES)

    def lines(self, seconds: float) -> Iterator[str]:
        """Yield each line as it comes, cut to a length, until the program closes its output or the time is up."""
        deadline = time.monotonic() + seconds
        poll = _poll(self._stream)
        while (left := deadline - time.monotonic()) > 0:
            if not poll(left):
                continue
            block = os.read(self._stream, LINE)
            if not block:
                break
            *whole, self._rest = (self._rest + block).split(b"\n")
            if len(self._rest) > LINE:
                whole, self._rest = [*whole, self._rest], b""
            for line in whole:
                yield self._take(line)
        if self._rest:
            rest, self._rest = self._rest, b""
            yield self._take(rest)

    def _take(self, line: bytes) -> str:
        text = printable(line.decode("utf-8", "replace"))
        self._kept.append(text)
        self._logged += 1
        if self._logged < LOGGED:
            log(self._site, text)
        elif self._logged == LOGGED:
            log(self._site, f"it said more than {LOGGED} lines; the others are not in the journal")
        return text

    def last(self, lines: int) -> str:
        """Return the last lines."""
        return "\n".join(list(self._kept)[-lines:]) or "(it said nothing)"


def _poll(stream: int) -> Any:
    poll = select.poll()
    poll.register(stream, select.POLLIN | select.POLLHUP)
    return lambda seconds: poll.poll(min(seconds, 1.0) * 1000)


@contextlib.contextmanager
def started(
    site: Site, unit: str, description: str, properties: Properties, environment: list[str], words: list[str]
) -> Iterator[tuple[subprocess.Popen[bytes], Output]]:
    """Run a program in a transient unit, which has ended with all its processes when this is over."""
    # It has a name, as it outlives a blogctl that is killed: whoever undoes what it did stops it first.
    stop_transient(unit)
    start = cage.command(description, properties, environment, ["--pipe", "--wait", f"--unit={unit}"])
    try:
        with subprocess.Popen(
            [*start, *words],
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


def run_as_app(site: Site, folder: Path, source_root: str, command: str, data: Path) -> str:
    """Run a shell command the way the app runs: its account, environment, release and limits.

    What it says is returned, and goes to the journal as well, line by line as it comes.

    :param folder: the folder of the release's app.
    :param data: what the command finds in the place of the data folder.
    :raises OperationError: if it fails or takes longer than the site's C(command_timeout) seconds.
    """
    seconds = site.settings["command_timeout"]
    properties = properties_as_app(site, folder, data)
    # One that does not heed SIGTERM is killed.
    properties |= {"RuntimeMaxSec": str(seconds), "TimeoutStopSec": str(END)}
    role = "rehearsal" if is_copy(site, data) else "command"
    environment = environment_as_app(site, folder, source_root, role)
    log(site, f"runs the command: {command}")
    began = time.monotonic()
    shell = ["/bin/sh", "-c", command]
    description = f"A command of {site.name}"
    with started(site, command_unit(site), description, properties, environment, shell) as (process, output):
        for _ in output.lines(seconds + 2 * END):
            pass
        if process.poll() is None and time.monotonic() - began >= seconds:
            stop_transient(command_unit(site))
        process.wait()
    took = time.monotonic() - began
    if process.returncode:
        why = f"failed (status {process.returncode})"
        if took >= seconds:
            why = f"took longer than flask_blog_command_timeout, {seconds} s, and was ended"
        log(site, f"the command {why}: {command}")
        raise OperationError(f"the command '{command}' {why}:\n{output.last(30)}")
    log(site, f"the command succeeded after {took:.1f} s: {command}")
    return output.last(LINES)


def attach_as_app(site: Site, folder: Path, source_root: str, words: list[str], lock: int) -> int:
    """Run a command as the app does, on this terminal, and return its exit status.

    :param lock: says that the command uses the data, also if this process is killed.
    """
    terminal = "--pty" if os.isatty(0) and os.isatty(1) else "--pipe"
    properties = properties_as_app(site, folder, site.path("data"))
    unit = f"{site.name}-run-{os.getpid()}"
    start = cage.command(
        f"A command of {site.name} run by hand",
        properties,
        environment_as_app(site, folder, source_root, "command"),
        [terminal, "--wait", f"--unit={unit}"],
    )
    try:
        return subprocess.run([*start, "/usr/bin/env", *words], check=False, pass_fds=(lock,)).returncode
    except BaseException:
        # Without a terminal that goes away with us, it would outlive whoever started it.
        stop_transient(unit)
        raise


def instance(site: Site, folder: Path, source_root: str, place: Path) -> Any:
    """Run an instance of a release that no visitor reaches, and that tries its own pages (gunicorn.conf.py).

    :param place: what it finds in the place of the data folder.
    :returns: what P(started) does.
    """
    config = site.settings["config"]
    properties = properties_as_app(site, folder, place)
    # gunicorn gives a socket in the file system to its account, which it belongs to already.
    properties["SystemCallFilter"] = f"{properties.get('SystemCallFilter', '@system-service')} @chown"
    if is_copy(site, place):
        # Nobody waits for what it does at its end, as its data is thrown away.
        properties["KillSignal"] = "SIGKILL"
    environment = [
        *environment_as_app(site, folder, source_root, "rehearsal"),
        "FLASK_BLOG_INSTANCE=rehearsal",
        f"FLASK_BLOG_DATA={site.settings['data']}",
        f"FLASK_BLOG_PROXY_KEY={site.settings['proxy_key']}",
        f"FLASK_BLOG_HOST={site.settings['host']}",
        f"FLASK_BLOG_TRY_AS={site.settings['host']}",
        f"FLASK_BLOG_HEALTH_PATH={site.settings['health_path']}",
    ]
    # In /tmp, which is the unit's own. The time that a page may take is limited by who waits for it.
    words = [f"{folder}/venv/bin/gunicorn", "--config", f"{config}/gunicorn.conf.py", "--bind", "unix:/tmp/app.sock"]
    words += ["--workers", "1", "--threads", "2", "--timeout", "0", str(site.settings["wsgi"])]
    return started(site, instance_unit(site), f"{site.name}, tried before it serves", properties, environment, words)


def start_inside(
    site: Site, request: Mapping[str, Any], end: socket.socket, folder: Path, target: Path | None, *, niced: bool
) -> subprocess.Popen[bytes]:
    """Start the work on a data folder, with the rights of the app's account and a view of nothing else (inside.py).

    :param request: C(operation), C(seconds) and what the operation needs.
    :param end: the end of the channel that the work has.
    :param folder: the data, or a copy of it.
    :param target: a second folder that belongs to the app's account.
    """
    settings = site.settings
    library = str(Path(__file__).resolve().parent.parent)
    words = ["/usr/bin/python3", "-I", "-B", "-c", INSIDE, library]
    pipes: dict[str, Any] = {"stdin": end, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "umask": 0o027}
    if os.environ.get(CONFINED):
        where = {"data": str(folder), "target": str(target)}
        if os.geteuid() == 0:
            pipes |= {"user": settings["user"], "group": settings["group"], "extra_groups": []}
        return subprocess.Popen([*words, json.dumps({**request, **where})], cwd="/", **pipes)
    cage.prepare()
    unit = data_unit(site)
    stop_transient(unit)
    writable = {str(folder): settings["data"]} | ({str(target): TARGET} if target else {})
    properties = {
        **cage.HARDENING,
        "SystemCallFilter": "@system-service",
        "RestrictAddressFamilies": "AF_UNIX",
        "User": settings["user"],
        "Group": settings["group"],
        "UMask": "0027",
        "KillSignal": "SIGKILL",
        "RuntimeMaxSec": str(request["seconds"]),
        # A hostile database's schema can ask for any amount of memory.
        "MemoryMax": settings["sandbox"].get("MemoryMax", "45%"),
        "TasksMax": "64",
        "OOMPolicy": "continue",
        **({"Nice": "10", "IOSchedulingClass": "idle"} if niced else {}),
        **cage.file_system(writable=writable, hidden=[settings["config"]]),
    }
    start = cage.command(f"Work on the data of {site.name}", properties, (), ["--pipe", "--wait", f"--unit={unit}"])
    where = {"data": settings["data"], "target": TARGET}
    return subprocess.Popen([*start, *words, json.dumps({**request, **where})], pass_fds=inherited(), **pipes)
