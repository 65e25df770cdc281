"""The locks of a site, in a directory of root's: an operation, a start of the service, use of the live data, programs.

The kernel drops a lock with the last process that has it open, so no lock is ever stale.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from ..errors import Busy
from ..shared import contract
from ..site import Site

#: Seconds that an operation waits for the one that is under way.
OPERATION_TIMEOUT = 60.0
#: Seconds that a command of C(blogctl run) and a change of the data wait for each other.
DATA_TIMEOUT = 60.0
#: Seconds that C(blogctl rebuild) waits for a build of the controller's.
BUILD_TIMEOUT = 60.0
#: Seconds to wait for another process that sees to the certificate: as long as its unit may take.
CERTIFICATE_TIMEOUT = 1800.0
#: Seconds to wait for another process that sends messages: as long as all channels may take.
NOTIFY_TIMEOUT = 75.0
#: Seconds between two attempts to take a lock.
POLL_INTERVAL = 0.05

#: Descriptors that the programs of an operation inherit: the lock that says that one of them still runs.
_inherited: tuple[int, ...] = ()


def lock_path(site: Site, lock: str) -> Path:
    """Return the file of one of a site's locks (contract.LOCKS)."""
    return Path(contract.lock_path(site.name, lock))


@contextlib.contextmanager
def locked(site: Site, operation: str = "an operation", wait: float = OPERATION_TIMEOUT) -> Iterator[None]:
    """Hold the site's lock for one operation.

    :param operation: what others read while they wait, such as C(activate 1a2b3c).
    :param wait: seconds to wait for another operation; infinity waits without an end.
    :raises Busy: naming the holder of the lock, if it still holds it then.
    """
    with _flock(lock_path(site, "lock"), wait) as (handle, held):
        if not held:
            holder = os.pread(handle, 1000, 0).decode(errors="replace").strip()
            raise Busy(
                f"another operation on {site.name} is under way ({holder or 'it has just begun'}); waited {wait:.0f} s"
                " for it. Try again when it is done."
            )
        began = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        os.truncate(handle, 0)
        os.pwrite(handle, f"{operation}, process {os.getpid()}, since {began}\n".encode(), 0)
        try:
            yield
        finally:
            os.truncate(handle, 0)


@contextlib.contextmanager
def _alone(site: Site, lock: str, wait: float, refusal: str) -> Iterator[None]:
    """Hold one of a site's locks.

    :raises Busy: with the refusal, if another process holds it for longer than C(wait) seconds.
    """
    with _flock(lock_path(site, lock), wait) as (_, held):
        if not held:
            raise Busy(refusal)
        yield


def starts_held(site: Site, wait: float = OPERATION_TIMEOUT) -> AbstractContextManager[None]:
    """Hold back every start of the service: it waits in C(blogctl prepare-start) until this is over.

    :raises Busy: if the service is being started for longer than C(wait) seconds.
    """
    return _alone(site, "hold", wait, f"{site.name} is being started; try again when that is done")


@contextlib.contextmanager
def data_shared(site: Site) -> Iterator[int]:
    """Use the live data beside the app, as C(blogctl run) does: no operation changes or restores it meanwhile.

    :returns: the lock, for a program that may outlive this process.
    :raises Busy: if an operation changes the data for longer than C(DATA_TIMEOUT).
    """
    with _flock(lock_path(site, "data"), DATA_TIMEOUT, fcntl.LOCK_SH) as (handle, held):
        if not held:
            raise Busy(f"an operation is changing the data of {site.name}; try again when that is done")
        yield handle


def data_alone(site: Site) -> AbstractContextManager[None]:
    """Change or restore the live data while no command of C(blogctl run) uses it.

    :raises Busy: naming the command's unit, if one uses the data for longer than C(DATA_TIMEOUT).
    """
    return _alone(
        site,
        "data",
        DATA_TIMEOUT,
        f"a command of 'blogctl run' has used the data of {site.name} for {DATA_TIMEOUT:.0f} s; nothing was"
        f" changed. 'systemctl list-units {site.name}-run-*' names it: end it, or stop its unit, and try again.",
    )


def building(site: Site) -> AbstractContextManager[None]:
    """Build an environment while no playbook unpacks a release or builds one (plugins/module_utils/live.py).

    :raises Busy: if one does for longer than C(BUILD_TIMEOUT).
    """
    return _alone(
        site,
        "build",
        BUILD_TIMEOUT,
        f"a run of a playbook is building a release of {site.name}; nothing was changed. Try again when that is done.",
    )


def certificate_alone(site: Site) -> AbstractContextManager[None]:
    """See to the site's certificate, one process at a time. Operations go on meanwhile.

    :raises Busy: if another process does so for longer than C(CERTIFICATE_TIMEOUT).
    """
    return _alone(
        site,
        "certificate",
        CERTIFICATE_TIMEOUT,
        f"another process sees to the certificate of {site.name}, and the authority takes its time; nothing was"
        " done. Try again when that is done.",
    )


def offsite_alone(site: Site) -> AbstractContextManager[None]:
    """Copy backups to the site's repository, one process at a time. Operations and backups go on meanwhile.

    :raises Busy: if another process does so.
    """
    return _alone(
        site,
        "offsite",
        0.0,
        f"another process copies a backup of {site.name} off-site; nothing was done. Try again when that is done.",
    )


def notifying(site: Site) -> AbstractContextManager[None]:
    """Be the only process that reports a failure of the site, or that it works again.

    :raises Busy: if another one takes too long; the unit tries again.
    """
    return _alone(site, "notify", NOTIFY_TIMEOUT, f"another message about {site.name} is being sent")


@contextlib.contextmanager
def claimed(site: Site) -> Iterator[None]:
    """Share a lock with every program that is started meanwhile.

    A program outlives a blogctl that is killed: "systemctl restart" may reach systemd a moment later. The recovery
    waits for this lock first (systemd.end_orphans).
    """
    global _inherited
    handle = open_lock(lock_path(site, "calls"))
    try:
        fcntl.flock(handle, fcntl.LOCK_SH)
        _inherited = (handle,)
        yield
    finally:
        _inherited = ()
        os.close(handle)


def inherited() -> tuple[int, ...]:
    """Return the descriptors that a program of the operation under way inherits."""
    return _inherited


def open_lock(path: Path) -> int:
    """Open a lock's file, and create it if it is missing. Only root may open it, as that is enough to lock it."""
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.parent.chmod(0o755)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


@contextlib.contextmanager
def _flock(path: Path, wait: float, kind: int = fcntl.LOCK_EX) -> Iterator[tuple[int, bool]]:
    """Yield the open lock and whether it is held: it is not if another process kept it for C(wait) seconds."""
    deadline = time.monotonic() + wait
    handle = open_lock(path)
    try:
        while True:
            try:
                fcntl.flock(handle, kind | (0 if wait == float("inf") else fcntl.LOCK_NB))
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    yield handle, False
                    return
                time.sleep(POLL_INTERVAL)
            else:
                yield handle, True
                return
    finally:
        os.close(handle)
