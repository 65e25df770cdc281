"""Talk to systemd: units and the journal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import subprocess
import time
from collections.abc import Iterator

from .printable import printable
from .site import HostError, OperationError, Site, calls_path, forget_pending, open_lock

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
            stop_transient(*transient_units(site))
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


def inherited() -> tuple[int, ...]:
    """Return the descriptors that a program of the operation under way inherits."""
    return _inherited


def properties_of(unit: str, *names: str) -> dict[str, str]:
    """Return some properties of a unit, as systemctl(1) shows them; one that is not known is missing."""
    result = subprocess.run(
        ["systemctl", "show", f"--property={','.join(names)}", unit], capture_output=True, check=False
    )
    # At newlines alone: the app may put characters into its status that Python takes for the end of a line.
    lines = result.stdout.decode(errors="replace").split("\n")
    return dict(line.split("=", 1) for line in lines if "=" in line)


def main_pid(unit: str) -> str:
    """Return the process id of a service's main process; C(0) if it does not run."""
    return properties_of(unit, "MainPID").get("MainPID") or "0"


def state_of(unit: str) -> tuple[str, str]:
    """Return a unit's state and sub-state, such as C(("activating", "start-pre"))."""
    values = properties_of(unit, "ActiveState", "SubState")
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
    return printable(result.stdout.strip()) or "(the journal holds nothing)"


def units_of(site: Site) -> list[str]:
    """Return all units of a site whose journal tells of it. A pattern would take in those of a site called NAME-two."""
    kinds = ("-next", "-rehearsal", "-command", "-recovery", "-backup", "-data", "-hold")
    return [
        site.settings["service_unit"],
        site.settings["socket_unit"],
        *(f"{site.name}{one}.service" for one in kinds),
    ]


def command_unit(site: Site) -> str:
    """Return the transient unit of a command of the site, without its ending."""
    return f"{site.name}-command"


def data_unit(site: Site) -> str:
    """Return the transient unit of what works in the data folder, without its ending."""
    return f"{site.name}-data"


def transient_units(site: Site) -> tuple[str, ...]:
    """Return the transient units that an operation starts, without their endings; they outlive a killed blogctl."""
    return command_unit(site), instance_unit(site), data_unit(site)


def hold_unit(site: Site) -> str:
    """Return the transient unit that keeps the address to which the socket moves, without its ending."""
    return f"{site.name}-hold"


def forget_changes(site: Site) -> None:
    """Forget the notes of changes, once the running process has loaded them, and release the addresses kept for it.

    Not before: until then the socket may start anew, as when a failed activation is taken back.
    """
    moved = site.pending("socket").exists()
    forget_pending(site)
    if moved:
        stop_transient(hold_unit(site))


def instance_unit(site: Site) -> str:
    """Return the transient unit of the instance that no visitor reaches, without its ending."""
    return f"{site.name}-rehearsal"


#: Where the journal takes entries with fields of their own (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/).
JOURNAL = "/run/systemd/journal/socket"


def log(site: Site, text: str) -> None:
    """Write a line to the journal under the site's name, so that C(journalctl -u NAME) shows it among the app's own.

    The journal takes it from root alone that an entry is about a unit. Without a journal nothing is written.
    """
    fields = {
        "MESSAGE": printable(text).replace("\n", " | ")[:32000],
        "PRIORITY": "6",
        "SYSLOG_IDENTIFIER": site.name,
        "OBJECT_SYSTEMD_UNIT": str(site.settings["service_unit"]),
    }
    entry = "".join(f"{name}={value}\n" for name, value in fields.items())
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journald:
        journald.sendto(entry.encode(errors="replace"), JOURNAL)


def forget_failure(*units: str) -> None:
    """Let systemd forget that units failed: what came of it has been seen to."""
    subprocess.run(["systemctl", "reset-failed", *units], capture_output=True, check=False, pass_fds=_inherited)


def stop_transient(*units: str) -> None:
    """Stop transient units, if they are there, until they are gone, and forget that they failed.

    :param units: their names without the ending.
    """
    names = [f"{unit}.service" for unit in units]
    subprocess.run(["systemctl", "stop", *names], capture_output=True, check=False, pass_fds=_inherited)
    forget_failure(*names)
