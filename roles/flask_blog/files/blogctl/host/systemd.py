"""systemd: start, stop and ask units."""

from __future__ import annotations

import fcntl
import os
import subprocess
import time

from ..errors import HostError, OperationError
from ..site import Site
from . import journal
from .locks import POLL_INTERVAL, inherited, lock_path, open_lock
from .units import recovery_unit, transient_units

#: Where systemd has the files of transient units (systemd.unit(5)). Only root can write there.
TRANSIENT = "/run/systemd/transient"


def systemctl(*arguments: str) -> None:
    """Run systemctl.

    :raises OperationError: with its output, if it fails.
    """
    result = subprocess.run(
        ["systemctl", *arguments], capture_output=True, text=True, check=False, pass_fds=inherited()
    )
    if result.returncode:
        said = (result.stderr or result.stdout).strip() or f"it wrote nothing and ended with status {result.returncode}"
        ended = "".join(filter(None, map(how_it_ended, arguments[1:])))
        raise OperationError(f"'systemctl {' '.join(arguments)}' failed: {said}{ended}")


def is_active(unit: str) -> bool:
    """Say whether a unit is running.

    :raises HostError: if systemd does not answer, which is not the unit's fault.
    """
    command = ["systemctl", "is-active", unit]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if not result.stdout.strip():
        raise HostError(f"'{' '.join(command)}' failed: {result.stderr.strip()}")
    return result.returncode == 0


def properties_of(unit: str, *names: str) -> dict[str, str]:
    """Return some properties of a unit, as systemctl(1) shows them; one that is not known is missing."""
    result = subprocess.run(
        ["systemctl", "show", f"--property={','.join(names)}", unit], capture_output=True, check=False
    )
    # Split at newlines alone: the app may put characters into its status that Python takes for the end of a line.
    lines = result.stdout.decode(errors="replace").split("\n")
    return dict(line.split("=", 1) for line in lines if "=" in line)


def how_it_ended(unit: str) -> str:
    """Return how a unit that failed ended, for a message; an empty text for any other word of a command line."""
    if unit.startswith("-"):
        return ""
    found = properties_of(unit, "Result", "ExecMainStatus")
    result, status = found.get("Result", ""), found.get("ExecMainStatus", "0")
    if result in ("", "success"):
        return ""
    # From 200 on, systemd itself failed before the program ran (systemd.exec(5), "Process Exit Codes").
    return f" ({unit}: {result}{'' if status == '0' else f', status {status}'})"


def main_pid(unit: str) -> str:
    """Return the process id of a service's main process; C(0) if it does not run."""
    return properties_of(unit, "MainPID").get("MainPID") or "0"


def state_of(unit: str) -> tuple[str, str]:
    """Return a unit's state and sub-state, such as C(("activating", "start-pre"))."""
    values = properties_of(unit, "ActiveState", "SubState")
    return values.get("ActiveState", "unknown"), values.get("SubState", "unknown")


def started_at(unit: str) -> float:
    """Return when a service's main process was started, in seconds since the epoch; 0 if none was.

    systemd measures it (systemctl(1), C(ExecMainStartTimestampMonotonic) in microseconds), so the app cannot forge it.
    """
    found = properties_of(unit, "ExecMainStartTimestampMonotonic").get("ExecMainStartTimestampMonotonic", "")
    if not found.isdigit() or found == "0":
        return 0.0
    return time.time() - time.monotonic() + int(found) / 1e6


def start_recovery(site: Site) -> None:
    """Have the host itself recover this operation if this process is killed. The site's lock is held.

    The unit waits for the lock, which the kernel drops with this process. It is restarted, not started: the one of the
    operation before may be about to end, and "start" would do nothing then.
    """
    result = subprocess.run(
        ["systemctl", "restart", "--no-block", recovery_unit(site)], capture_output=True, text=True, check=False
    )
    if result.returncode:
        journal.log(site, f"this operation is not recovered if it is killed: {result.stderr.strip()}")


def end_orphans(site: Site, seconds: float) -> None:
    """End what a killed operation runs as the app, and wait until the programs that it started are gone.

    :param seconds: to wait at most, for a program that waits for a unit that does not come up.
    """
    deadline = time.monotonic() + seconds
    handle = open_lock(lock_path(site, "calls"))
    try:
        gone = False
        while not gone:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                gone = True
            except BlockingIOError:
                gone = time.monotonic() >= deadline
            # After the attempt: a program that was there a moment ago may have started its unit since the last round.
            stop_transient(*transient_units(site))
            time.sleep(0.0 if gone else POLL_INTERVAL)
    finally:
        os.close(handle)


def reset_failed(*units: str) -> None:
    """Let systemd forget that units failed, once the failure was handled."""
    subprocess.run(["systemctl", "reset-failed", *units], capture_output=True, check=False, pass_fds=inherited())


def stop_transient(*units: str) -> None:
    """Stop transient units and wait until they are gone; forget that they failed.

    :param units: their names without the ending.
    """
    # systemd keeps the file of a transient unit for as long as it knows the unit.
    names = [f"{unit}.service" for unit in units if os.path.lexists(f"{TRANSIENT}/{unit}.service")]
    if not names:
        return
    subprocess.run(["systemctl", "stop", *names], capture_output=True, check=False, pass_fds=inherited())
    reset_failed(*names)
