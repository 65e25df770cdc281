"""A site of this host: its settings, its lock, and what is live."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import getpass
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Each site has /etc/NAME/site.json, written by the role.
CONFIGURATION = Path("/etc")
#: Locks of root's, where no other account can make or hold one. It is in memory: a reboot drops them all.
LOCKS = Path("/run/flask-blog-hosting")
#: Notes of changes that a running process has not loaded yet (plugins/module_utils/site.py writes them).
PENDING = Path("/run/flask-blog-hosting")
MANIFEST = ".release.json"
#: Ends the name of a release that is being removed.
DOOMED = ".removed"


class OperationError(Exception):
    """An operation could not be done; the message says what failed, and what was done about it."""

    #: the exit status of blogctl (grammar.py says what each means)
    status = 1

    def __init__(self, *words: object, **details: Any) -> None:
        super().__init__(*words)
        #: what programs get beside the message
        self.details = details


class Busy(OperationError):
    """Another operation is under way; nothing was done."""

    status = 3


class Undecided(OperationError):
    """Somebody has to choose what happens to the data; nothing was done."""

    status = 4


class FollowUpFailed(OperationError):
    """The release is served; a command that follows it failed."""

    status = 5


class Settings(dict[str, Any]):
    """The settings of a site; what an older role did not write is said in words."""

    def __missing__(self, key: str) -> Any:
        """Say what to do."""
        raise OperationError(
            f"{CONFIGURATION}/{self.get('name', '')}/site.json lacks {key!r}; run playbooks/site.yml to write it anew"
        )


class HostError(OperationError):
    """The host failed, and not what runs on it: systemd cannot be reached, or a disk is full."""


@dataclass(frozen=True)
class Site:
    """The settings of one site, as the role wrote them."""

    settings: dict[str, Any]

    @property
    def name(self) -> str:
        """The site's name."""
        return str(self.settings["name"])

    def path(self, key: str) -> Path:
        """One of the site's paths: C(link), C(releases), C(data), C(config), C(backups) ..."""
        return Path(self.settings[key])

    def pending(self, what: str) -> Path:
        """The note of a change that still has to be loaded."""
        return PENDING / f"{self.name}.{what}"


def load(name: str | None) -> Site:
    """Load a site by its name, or the only one of this host.

    :raises OperationError: where it does not exist, or where a name is needed.
    """
    found = {path.parent.name: path for path in CONFIGURATION.glob("*/site.json")}
    if not (found if name is None else name in found) and os.geteuid() != 0:
        raise OperationError(f"{getpass.getuser()} may not read the settings of the sites; use sudo")
    if name is None and len(found) == 1:
        (name,) = found
    if name is None:
        raise OperationError(
            f"this host has {len(found)} sites ({', '.join(sorted(found)) or 'none'}); choose one with --site NAME"
        )
    if name not in found:
        raise OperationError(f"this host has no site {name!r}; it has {', '.join(sorted(found)) or 'none'}")
    try:
        settings = json.loads(found[name].read_text(encoding="utf-8"))
    except PermissionError:
        raise OperationError(f"{found[name]} is readable for root alone; use sudo") from None
    except ValueError as error:
        raise OperationError(f"{found[name]} is damaged ({error}); run playbooks/site.yml to write it anew") from error
    if not isinstance(settings, dict) or settings.get("name") != name:
        raise OperationError(f"{found[name]} is not that of {name}; run playbooks/site.yml to write it anew")
    return Site(Settings(settings))


@contextlib.contextmanager
def locked(site: Site, operation: str = "an operation", wait: float = 60.0) -> Iterator[None]:
    """Hold the site's lock for one operation.

    The kernel drops it with the process, so it is never stale.

    :param operation: what others are told while they wait, such as C(activate 1a2b3c).
    :param wait: seconds to wait for an operation that is under way; without an end where it is infinite.
    :raises OperationError: where it is still under way then, saying who holds the lock.
    """
    with _flock(LOCKS / f"{site.name}.lock", wait) as (handle, held):
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
def starts_held(site: Site, wait: float = 60.0) -> Iterator[None]:
    """Hold back every start of the service: it waits in C(blogctl prepare-start) until this is over."""
    with _flock(hold_path(site), wait) as (_, held):
        if not held:
            raise Busy(f"{site.name} is being started; try again when that is done")
        yield


#: Seconds that a command of C(blogctl run), and a change of the data, wait for each other.
PATIENCE = 60.0


@contextlib.contextmanager
def data_shared(site: Site) -> Iterator[int]:
    """Use the live data beside the app, as C(blogctl run) does: no operation changes or restores it meanwhile.

    :returns: the lock, for a program that may outlive this process.
    """
    with _flock(_data_path(site), PATIENCE, fcntl.LOCK_SH) as (handle, held):
        if not held:
            raise Busy(f"an operation is changing the data of {site.name}; try again when that is done")
        yield handle


@contextlib.contextmanager
def data_alone(site: Site) -> Iterator[None]:
    """Change or restore the live data while no command of C(blogctl run) uses it."""
    with _flock(_data_path(site), PATIENCE) as (_, held):
        if not held:
            raise Busy(
                f"a command of 'blogctl run' has used the data of {site.name} for {PATIENCE:.0f} s, so nothing was"
                f" changed. 'systemctl list-units {site.name}-run-*' names it: end it, or stop its unit, and try again."
            )
        yield


def _data_path(site: Site) -> Path:
    return LOCKS / f"{site.name}.data"


def calls_path(site: Site) -> Path:
    """Return the lock that the programs of an operation share with it (C(services.claimed))."""
    return LOCKS / f"{site.name}.calls"


def hold_path(site: Site) -> Path:
    """Return the lock that a starting service waits for."""
    return LOCKS / f"{site.name}.hold"


def open_lock(path: Path) -> int:
    """Open a file to lock, and make it if it is missing; nobody but root may open it, as that is enough to lock it."""
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.parent.chmod(0o755)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


@contextlib.contextmanager
def _flock(path: Path, wait: float, kind: int = fcntl.LOCK_EX) -> Iterator[tuple[int, bool]]:
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
                time.sleep(0.05)
            else:
                yield handle, True
                return
    finally:
        os.close(handle)


def is_whole(release: str) -> bool:
    """Say whether a folder among the releases is one, from its name, and not one that is being unpacked or removed."""
    return not release.endswith((".incomplete", DOOMED))


def release_names(site: Site) -> list[str]:
    """Return the ids of all whole releases on this host."""
    found = (path.parent.name for path in site.path("releases").glob(f"*/{MANIFEST}"))
    return sorted(filter(is_whole, found))


def release_manifest(site: Site, release: str) -> dict[str, Any]:
    """Return what a release says of itself.

    :raises OperationError: for a release that is not on this host.
    """
    known = release_names(site)
    if release not in known:
        raise OperationError(f"there is no release {release!r}; there are {', '.join(known) or 'none'}")
    path = site.path("releases") / release / MANIFEST
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise OperationError(
            f"{path} is damaged ({error}); run the playbook again to bring the release anew"
        ) from error


def app_folder(site: Site, release: str) -> Path:
    """Return the folder in which a release's app runs."""
    return site.path("releases") / release / release_manifest(site, release).get("app_dir", "")


def live_target(site: Site) -> str | None:
    """Return where the live link leads to, or None where there is none."""
    try:
        return os.readlink(site.path("link"))
    except OSError:
        return None


def point_link(site: Site, target: str) -> None:
    """Point the live link somewhere."""
    link = site.path("link")
    link.parent.mkdir(parents=True, exist_ok=True)
    point_link_at(link, target)


def link_aside(link: Path) -> Path:
    """Return where a link is made before it takes the place of the one before."""
    return link.with_name(f".{link.name}.new")


def point_link_at(link: Path, target: str) -> None:
    """Point a link somewhere in one step: at no moment is it missing."""
    temporary = link_aside(link)
    temporary.unlink(missing_ok=True)  # left by a process that was killed
    temporary.symlink_to(target)
    try:
        temporary.replace(link)
    except BaseException:
        temporary.unlink()
        raise
    fsync(link.parent)


def fsync(path: Path) -> None:
    """See that a file's content, or a folder's names, outlive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def previous_settings(site: Site) -> dict[Path, Path]:
    """Return the settings that the running process was started with: each file's place and its kept copy."""
    kept = site.pending("previous")
    return {Path(path): kept / path.replace("/", "%") for path in site.settings["settings_files"]}


def _settings_aside(place: Path) -> Path:
    return place.with_name(f".{place.name}.restored")


def restore_settings(site: Site) -> bool:
    """Put back the settings from before the change that failed; False where none were kept."""
    restored = False
    for place, copy in previous_settings(site).items():
        if copy.is_file():
            status = copy.stat()
            temporary = _settings_aside(place)
            shutil.copy2(copy, temporary)
            os.chown(temporary, status.st_uid, status.st_gid)
            temporary.replace(place)
            restored = True
    return restored


def forget_pending(site: Site) -> None:
    """Forget the notes of changes, once the running process has loaded them."""
    for what in ("activate", "socket"):
        site.pending(what).unlink(missing_ok=True)
    for place in previous_settings(site):
        _settings_aside(place).unlink(missing_ok=True)
    shutil.rmtree(site.pending("previous"), ignore_errors=True)
