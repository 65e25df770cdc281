# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What is live on a host, and which changes still wait to be loaded by a running service."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils import beneath
from ansible_collections.flaskblog.hosting.plugins.module_utils.printable import printable

#: Notes of changes that are on disk but not yet in a running process. They live in /run because a reboot, which
#: loads everything anew, makes them void.
PENDING = Path("/run/flask-blog-hosting")
#: Root's own directory, as anybody could take a lock in /run/lock (mode 1777) before root does.
LOCKS = Path("/run/flask-blog-hosting")
#: In the directory of the site's state; says that the blog has got its first data. blogctl writes it.
INITIALISED = "initialised"


def settings_revision(paths: Iterable[str]) -> str:
    """Return the sha256 over the files that a site's processes read when they start.

    gunicorn.conf.py computes the same when it starts: where the two differ, the process runs on old settings.
    """
    total = hashlib.sha256()
    for path in paths:
        try:
            content = Path(path).read_bytes()
        except OSError:
            content = b"missing"
        total.update(f"{path}\0{len(content)}\0".encode())
        total.update(content)
    return total.hexdigest()


def served(unit: Mapping[str, str]) -> dict[str, str]:
    """Return what the running gunicorn says it serves: C(release), C(venv), C(revision), as text for a terminal.

    Its master says so to systemd (sd_notify(3), C(STATUS=)), as a JSON object. The app can say anything in its place,
    so all but an object of texts and numbers from the unit's main process counts as unknown.

    :param unit: properties of the site's service, such as P(host.show_units) returns.
    :returns: an empty mapping if it is unknown.
    """
    try:
        note = json.loads(unit.get("StatusText", ""))
    except (ValueError, RecursionError):
        return {}
    if not isinstance(note, dict) or not all(type(value) in (str, int) for value in note.values()):
        return {}
    found = {str(key): printable(str(value)) for key, value in note.items()}
    return found if found.get("pid") == unit.get("MainPID") != "0" else {}


def make_run_directory(folder: Path) -> None:
    """Make a directory of root's in /run, open for everybody to pass through, whatever the umask is."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        return
    folder.chmod(0o755)


@contextlib.contextmanager
def building(name: str) -> Iterator[int]:
    """Wait until no other run unpacks a release or builds an environment of this site, and keep others waiting.

    The kernel drops the lock with this process. A unit that outlives it is stopped by the next run (build.py).

    :returns: the lock's descriptor.
    """
    make_run_directory(LOCKS)
    lock = LOCKS / f"{name}.build"
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def note_pending(what: str) -> None:
    """Remember, before a change is made, that something must load it; C(what) is such as C(nginx.reload)."""
    make_run_directory(PENDING)
    (PENDING / what).touch()


def keep_previous(name: str, paths: Iterable[str]) -> None:
    """Keep a copy of the settings that the running process was started with, until new ones are proved to work.

    C(blogctl activate) puts them back where the process does not start with the new ones. Where an earlier run was
    interrupted, its copies are the older ones and stay.
    """
    folder = PENDING / f"{name}.previous"
    if is_pending(f"{name}.activate") and folder.is_dir():
        return
    shutil.rmtree(folder, ignore_errors=True)
    make_run_directory(PENDING)
    folder.mkdir(mode=0o700)
    for path in paths:
        if os.path.isfile(path):
            status = os.stat(path)
            copy = folder / path.replace("/", "%")
            shutil.copy2(path, copy)
            os.chown(copy, status.st_uid, status.st_gid)


def is_pending(what: str) -> bool:
    """Say whether a change still waits, perhaps since a run that was interrupted."""
    return (PENDING / what).exists()


def clear_pending(what: str) -> None:
    """Forget a note, once the change is loaded."""
    (PENDING / what).unlink(missing_ok=True)


def is_new(site: Mapping[str, Any]) -> bool:
    """Say whether a blog has yet to get its first data.

    It is not new if root's state says that it has had it, if it has a live release, or if its data folder holds a file.
    """
    return not (
        os.path.lexists(os.path.join(site["state"], INITIALISED))
        or os.path.islink(site["link"])
        or not holds_no_file(site["data"])
    )


def holds_no_file(path: str) -> bool:
    """Say whether a data folder is missing, or has nothing but folders in it."""
    try:
        return all(stat.S_ISDIR(entry.status.st_mode) and not entry.unread for entry in beneath.walk(path))
    except FileNotFoundError:
        return True
    except beneath.Blocked:
        return False


def reasons_to_activate(site: Mapping[str, Any], release: Mapping[str, Any], units: Mapping[str, Any]) -> list[str]:
    """Say why the wanted release has to be activated; an empty list means that it is what visitors get.

    The question is always what is *served*: a link or a file can be right while the process is old.
    """
    reasons = []
    live = os.readlink(site["link"]) if os.path.islink(site["link"]) else None
    if live != release["live_path"]:
        reasons.append(f"{site['link']} leads to {live or 'nothing'}, not to {release['live_path']}")
    for unit in (site["socket_unit"], site["service_unit"]):
        if units.get(unit, {}).get("ActiveState") != "active":
            reasons.append(f"{unit} is not running")
    if is_pending(f"{site['name']}.activate") or is_pending(f"{site['name']}.socket"):
        reasons.append("an earlier run was interrupted before its changes were loaded")
    now = served(units.get(site["service_unit"], {}))
    wanted = {
        "release": release["id"],
        "venv": release["venv_path"],
        "revision": settings_revision(site["settings_files"]),
    }
    reasons += [
        f"the running process has {what} {now.get(what, 'unknown')}, not {value}"
        for what, value in wanted.items()
        if now.get(what) != value
    ]
    return reasons
