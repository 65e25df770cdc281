"""Give a new blog its data, once in its life: what it brings along, and what its init commands make.

That it has been done is noted in a folder of root's own, not in the data: a blog whose data is in a database server may
have no file at all, and init commands such as C(drop_all(); create_all()) must not run there a second time.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from . import data
from .as_app import run_as_app
from .site import OperationError, Site, app_folder, fsync, live_target, release_manifest

#: In the state folder: the blog has its data; its data is being made, with the directories that were there before.
DONE, BEGUN = "initialised", "initialising"


def state_folder(site: Site) -> Path:
    """Return the folder of root's own notes, and make it if it is missing."""
    folder = site.path("state")
    if not folder.is_dir():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    return folder


def is_initialised(site: Site) -> bool:
    """Say whether the blog has been given its data."""
    return (state_folder(site) / DONE).exists()


def note_initialised(site: Site) -> None:
    """Note that the blog has its data, so that its init commands never run again."""
    if not is_initialised(site):
        _write(state_folder(site) / DONE, "")


def _write(path: Path, text: str) -> None:
    aside = path.with_name(f"{path.name}.new")
    aside.write_text(text, encoding="utf-8")
    fsync(aside)
    aside.replace(path)
    fsync(path.parent)


def initialise(site: Site, release: str) -> bool:
    """Make a new blog's data, unless it has any. The blog serves nothing yet.

    If a command fails, what it made in the data folder is removed, and the data folder is as new as before.

    :returns: whether there was something to do.
    :raises OperationError: with what the command said.
    """
    if is_initialised(site):
        return False
    if live_target(site) is not None:  # it was deployed before this was noted
        note_initialised(site)
        return False
    forget_interrupted(site)
    archive, commands = site.path("initial_data"), site.settings["init_commands"]
    found = data.scan(site)
    if found.holds_files:
        archive.unlink(missing_ok=True)
        note_initialised(site)
        return False
    if not commands and not archive.exists():
        return False
    _write(state_folder(site) / BEGUN, json.dumps(found.directories))
    try:
        if archive.exists():
            data.unpack(site, archive)
        root = release_manifest(site, release).get("source_root", "")
        for command in commands:
            run_as_app(site, app_folder(site, release), root, command, site.path("data"))
    except BaseException as problem:
        forget_interrupted(site)
        if isinstance(problem, OperationError):
            raise OperationError(
                f"The data folder {site.path('data')} is as new as before, because {problem}"
            ) from problem
        raise
    note_initialised(site)
    (state_folder(site) / BEGUN).unlink()
    archive.unlink(missing_ok=True)
    return True


def forget_interrupted(site: Site) -> None:
    """Remove what an initialisation has made that failed or was killed."""
    note = state_folder(site) / BEGUN
    if not note.exists():
        return
    if not is_initialised(site):
        try:
            kept = json.loads(note.read_text(encoding="utf-8"))
        except ValueError:
            kept = []  # cut off by a power cut; the next run makes the directories again
        data.empty(site, site.path("data"), kept)
    os.unlink(note)
