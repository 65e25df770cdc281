"""Talk to systemd: units, the journal, and commands that run as the app does."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from .site import HostError, OperationError, Site, calls_path, open_lock

#: What the programs of an operation inherit from it: the lock that says that one of them still runs.
_inherited: tuple[int, ...] = ()


@contextlib.contextmanager
def claimed(site: Site) -> Iterator[None]:
    """Share a lock with every program that is started meanwhile.

    A program outlives a blogctl that is killed: "systemctl restart" may reach systemd a moment later. Whoever finishes
    what was begun waits for this lock first (C(end_orphans)).
    """
    global _inherited
    handle = open_lock(calls_path(site))
    try:
        fcntl.flock(handle, fcntl.LOCK_SH)
        _inherited = (handle,)
        yield
    finally:
        _inherited = ()
        os.close(handle)


def end_orphans(site: Site, seconds: float) -> None:
    """End what a killed operation runs as the app, and wait until none of the programs that it started is left.

    :param seconds: to wait at most, for one that waits for a unit that does not come up.
    """
    deadline = time.monotonic() + seconds
    handle = open_lock(calls_path(site))
    try:
        gone = False
        while not gone:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                gone = True
            except BlockingIOError:
                gone = time.monotonic() >= deadline
            # After the question: one that was there a moment ago may have started its unit since the last round.
            for unit in (command_unit(site), instance_unit(site)):
                stop_transient(unit)
            time.sleep(0.0 if gone else 0.05)
    finally:
        os.close(handle)


def systemctl(*arguments: str) -> None:
    """Run systemctl.

    :raises OperationError: with what it said, where it fails.
    """
    result = subprocess.run(["systemctl", *arguments], capture_output=True, text=True, check=False, pass_fds=_inherited)
    if result.returncode:
        raise OperationError(f"'systemctl {' '.join(arguments)}' failed: {(result.stderr or result.stdout).strip()}")


def is_active(unit: str) -> bool:
    """Say whether a unit is running.

    :raises HostError: where systemd does not say: that is not the unit's fault.
    """
    command = ["systemctl", "is-active", unit]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if not result.stdout.strip():
        raise HostError(f"'{' '.join(command)}' failed: {result.stderr.strip()}")
    return result.returncode == 0


def recovery_unit(site: Site) -> str:
    """Return the unit that ends, or undoes, an operation whose blogctl was killed."""
    return f"{site.name}-recovery.service"


def watch(site: Site) -> None:
    """Have an operation ended by the host itself, should this process be killed. The site's lock is held.

    The unit waits for the lock, which the kernel drops with this process. Started anew, not just started: one that
    waited for the operation before, and is about to end, would be taken for one that waits for this.
    """
    result = subprocess.run(
        ["systemctl", "restart", "--no-block", recovery_unit(site)], capture_output=True, text=True, check=False
    )
    if result.returncode:
        log(site, f"nothing watches over this operation: {result.stderr.strip()}")


def main_pid(unit: str) -> str:
    """Return the process id of a service's main process; C(0) where it does not run."""
    result = subprocess.run(
        ["systemctl", "show", "--property=MainPID", "--value", unit], capture_output=True, text=True, check=False
    )
    return result.stdout.strip() or "0"


def state_of(unit: str) -> tuple[str, str]:
    """Return a unit's state and sub-state, such as C(("activating", "start-pre"))."""
    result = subprocess.run(
        ["systemctl", "show", "--property=ActiveState,SubState", unit], capture_output=True, text=True, check=False
    )
    values = dict(line.split("=", 1) for line in result.stdout.splitlines() if "=" in line)
    return values.get("ActiveState", "unknown"), values.get("SubState", "unknown")


def cursor() -> str:
    """Return the journal's present end, to read on from there later."""
    result = subprocess.run(
        ["journalctl", "--quiet", "--no-pager", "--lines=0", "--show-cursor"],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    return result.stdout.rpartition("-- cursor: ")[2].strip()


def journal(unit: str, lines: int = 120, since: str = "") -> str:
    """Return a unit's last lines in the journal, after a cursor where one is given.

    An app that cannot be imported makes gunicorn write about 95 lines at each attempt, and the app's own error stands
    in the middle of them.
    """
    command = ["journalctl", "--quiet", "--no-pager", "--output=short-iso", f"--unit={unit}", f"--lines={lines}"]
    if since:
        command.append(f"--after-cursor={since}")
    result = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    return result.stdout.strip() or "(the journal holds nothing)"


def _as_app(
    site: Site, folder: Path, place: Path, properties: dict[str, str], environment: dict[str, str]
) -> list[str]:
    """Return the options of systemd-run for something that runs as the app does, on the data in C(place).

    It has the sandbox of the app's own service: what works here, works there.
    """
    settings = site.settings
    all_properties = {
        **settings["sandbox"],
        "User": settings["user"],
        "Group": settings["group"],
        "WorkingDirectory": str(folder),
        "EnvironmentFile": f"{settings['config']}/environment",
        "SyslogIdentifier": settings["name"],
        **properties,
    }
    if place != site.path("data"):
        all_properties["BindPaths"] = f"{place}:{settings['data']}"
        # Nobody waits for what happens on a copy, so it must not slow down those who wait for a page.
        all_properties |= {"Nice": "10", "IOSchedulingClass": "idle"}
    all_environment = {
        "PATH": f"{folder}/venv/bin:/usr/bin:/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "HOME": settings["data"],
        "FLASK_BLOG_RELEASE": folder.relative_to(settings["releases"]).parts[0],
        **environment,
    }
    return [
        # systemd would take the command for it, and lines of a command for settings.
        f"--description=What blogctl runs as {settings['name']}",
        *(f"--property={name}={value}" for name, value in all_properties.items()),
        *(f"--setenv={name}={value}" for name, value in all_environment.items()),
    ]


#: Seconds that a command has to end after its time is up.
END = 10


def units_of(site: Site) -> list[str]:
    """Return all units of a site whose journal tells of it. A pattern would take in those of a site called NAME-two."""
    kinds = ("-next", "-rehearsal", "-command", "-recovery", "-backup")
    return [
        site.settings["service_unit"],
        site.settings["socket_unit"],
        *(f"{site.name}{one}.service" for one in kinds),
    ]


def command_unit(site: Site) -> str:
    """Return the transient unit of a command of the site, without its ending."""
    return f"{site.name}-command"


def instance_unit(site: Site) -> str:
    """Return the transient unit of the instance that no visitor reaches, without its ending."""
    return f"{site.name}-rehearsal"


def run_as_app(site: Site, folder: Path, source_root: str, command: str, data: Path) -> str:
    """Run a shell command the way the app runs: its account, environment, release and limits.

    What it says is returned, and goes to the journal as well, line by line as it comes.

    :param folder: the folder of the release's app.
    :param data: what the command finds in the place of the data folder.
    :raises OperationError: where it fails or takes longer than the site's C(command_timeout) seconds.
    """
    seconds = site.settings["command_timeout"]
    options = _as_app(
        site,
        folder,
        data,
        # One that does not heed SIGTERM is killed.
        {"RuntimeMaxSec": str(seconds), "TimeoutStopSec": str(END)},
        {"PYTHONPATH": os.path.normpath(folder / source_root)},
    )
    unit = command_unit(site)
    # It has a name, as it outlives a blogctl that is killed: whoever undoes what it did stops it first.
    stop_transient(unit)
    words = ["systemd-run", "--quiet", "--collect", "--wait", "--pipe", "--service-type=exec", f"--unit={unit}"]
    log(site, f"runs the command: {command}")
    said = []
    began = time.monotonic()
    try:
        with subprocess.Popen(
            [*words, *options, "/bin/sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            pass_fds=_inherited,
        ) as process:
            for line in process.stdout or ():
                said.append(line.rstrip("\n"))
                log(site, said[-1])
    except BaseException:
        stop_transient(unit)
        raise
    took = time.monotonic() - began
    if process.returncode:
        why = f"failed (status {process.returncode})"
        if took >= seconds:
            why = f"took longer than flask_blog_command_timeout, {seconds} s, and was ended"
        log(site, f"the command {why}: {command}")
        last = "\n".join(said[-30:]) or "(it said nothing)"
        raise OperationError(f"the command '{command}' {why}:\n{last}")
    log(site, f"the command ended well after {took:.1f} s: {command}")
    return "\n".join(said)


def attach_as_app(site: Site, folder: Path, source_root: str, words: list[str], lock: int) -> int:
    """Run a command as the app does, on this terminal, and return its exit status.

    :param lock: says that the command uses the data, also where this process is killed.
    """
    terminal = "--pty" if os.isatty(0) and os.isatty(1) else "--pipe"
    options = _as_app(site, folder, site.path("data"), {}, {"PYTHONPATH": os.path.normpath(folder / source_root)})
    unit = f"{site.name}-run-{os.getpid()}"
    command = ["systemd-run", "--quiet", "--collect", "--wait", terminal, "--service-type=exec", f"--unit={unit}"]
    try:
        return subprocess.run([*command, *options, "/usr/bin/env", *words], check=False, pass_fds=(lock,)).returncode
    except BaseException:
        # Without a terminal that goes away with us, it would outlive whoever started it.
        stop_transient(unit)
        raise


#: Where the journal takes entries with fields of their own (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/).
JOURNAL = "/run/systemd/journal/socket"


def log(site: Site, text: str) -> None:
    """Write a line to the journal under the site's name, so that C(journalctl -u NAME) shows it among the app's own.

    The journal takes it from root alone that an entry is about a unit. Without a journal nothing is written.
    """
    fields = {
        "MESSAGE": text.replace("\n", " | ")[:32000],
        "PRIORITY": "6",
        "SYSLOG_IDENTIFIER": site.name,
        "OBJECT_SYSTEMD_UNIT": str(site.settings["service_unit"]),
    }
    entry = "".join(f"{name}={value}\n" for name, value in fields.items())
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journald:
        journald.sendto(entry.encode(errors="replace"), JOURNAL)


def start_transient(
    site: Site,
    unit: str,
    folder: Path,
    place: Path,
    properties: dict[str, str],
    environment: dict[str, str],
    command: list[str],
) -> None:
    """Start a unit that lasts until it is stopped, and runs as the app does."""
    options = _as_app(site, folder, place, properties, environment)
    result = subprocess.run(
        ["systemd-run", "--quiet", "--collect", f"--unit={unit}", "--service-type=exec", *options, *command],
        capture_output=True,
        text=True,
        check=False,
        pass_fds=_inherited,
    )
    if result.returncode:
        raise OperationError(f"'{command[0]}' cannot be started: {result.stderr.strip()}")


def forget_failure(unit: str) -> None:
    """Let systemd forget that a unit failed: what came of it has been seen to."""
    subprocess.run(["systemctl", "reset-failed", unit], capture_output=True, check=False, pass_fds=_inherited)


def stop_transient(unit: str) -> None:
    """Stop a transient unit, if it is there, until it is gone, and forget that it failed."""
    command = ["systemctl", "stop", f"{unit}.service"]
    subprocess.run(command, capture_output=True, check=False, pass_fds=_inherited)
    forget_failure(f"{unit}.service")
