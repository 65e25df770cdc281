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
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

#: Notes of changes that are on disk but not yet in a running process. They live in /run because a reboot, which
#: loads everything anew, makes them void.
PENDING = Path("/run/flask-blog-hosting")
LOCKS = Path("/run/lock")


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


def served(run_directory: str, main_pid: str) -> dict[str, Any]:
    """Return what the running gunicorn says it serves: C(release), C(venv), C(revision).

    Empty where nothing runs, or where the note was left by a process that is gone.
    """
    try:
        note = json.loads((Path(run_directory) / "served.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return note if str(note.get("pid")) == main_pid else {}


@contextlib.contextmanager
def building(name: str) -> Iterator[int]:
    """Wait until no other run unpacks a release or builds an environment of this site, and keep others waiting.

    The lock is free as soon as nobody has it open. A program that is to inherit it (C(pass_fds)) keeps it when its
    parent is killed: the next run must not build in a folder in which a pip without a parent still writes.

    :returns: the lock's descriptor.
    """
    LOCKS.mkdir(parents=True, exist_ok=True)
    lock = LOCKS / f"flask-blog-hosting-{name}.build"
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def note_pending(what: str) -> None:
    """Remember, before a change is made, that something must load it; C(what) is such as C(nginx.reload)."""
    PENDING.mkdir(mode=0o755, exist_ok=True)
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
    PENDING.mkdir(mode=0o755, exist_ok=True)
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


def holds_no_file(path: str) -> bool:
    """Say whether a data folder is new: it is missing, or there is no file in it or below it."""
    return not any(files for _, _, files in os.walk(path))


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
    now = served(site["run_directory"], units.get(site["service_unit"], {}).get("MainPID", "0"))
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
