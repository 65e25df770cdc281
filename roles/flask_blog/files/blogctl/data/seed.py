"""The first data of a new blog: the archive of flask_blog_initial_data, and what its init commands create.

A note in a directory of root's own says that the blog has its data. The data folder cannot say so: a blog with a
database server may have no file at all, and init commands such as C(drop_all(); create_all()) must never run again.
"""

from __future__ import annotations

import json
from pathlib import Path

from ..errors import OperationError
from ..host import journal, run_as_app
from ..host.files import write_atomically
from ..host.releases import app_folder, live_target, release_manifest
from ..shared import contract
from ..site import Site
from . import folder

#: In the state directory while the first data is being created: the directories that the data folder had before.
INITIALISING = "initialising"


def state_folder(site: Site) -> Path:
    """Return the directory of root's own notes, and create it if it is missing."""
    state = site.path("state")
    if not state.is_dir():
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        state.chmod(0o700)
    return state


def is_initialised(site: Site) -> bool:
    """Say whether the blog has its first data."""
    return (state_folder(site) / contract.INITIALISED).exists()


def note_initialised(site: Site) -> None:
    """Note that the blog has its data, so that its init commands never run again."""
    if not is_initialised(site):
        write_atomically(state_folder(site) / contract.INITIALISED, "")
    _left_behind(site).unlink(missing_ok=True)


def note_left_behind(site: Site) -> None:
    """Note the files that a new blog's release left in the data folder when it failed.

    An app that cannot start has often made an empty database or a log file. They must not keep the next release from
    the blog's first data; they stay until then, as a log may say why it failed.
    """
    found = folder.scan(site)
    if found.files:
        write_atomically(_left_behind(site), json.dumps(found.files))


def _left_behind(site: Site) -> Path:
    return state_folder(site) / contract.LEFT_BEHIND


def _holds_data(site: Site, found: folder.Scan) -> bool:
    """Say whether a data folder holds a file that no failed first release has left there."""
    known = contract.left_behind(site.path("state"))
    return found.holds_files and (
        not found.files or any(known.get(path) != identity for path, identity in found.files.items())
    )


def forget_initialised(site: Site) -> None:
    """Let the init commands run again at the next attempt: what they created is not where the app keeps its data."""
    (state_folder(site) / contract.INITIALISED).unlink(missing_ok=True)


def initialise(site: Site, release: str) -> bool:
    """Create a new blog's data, unless it has any. The blog serves nothing yet.

    If a command fails, everything that was created in the data folder is removed.

    :returns: whether there was something to do.
    :raises OperationError: with the command's output.
    """
    if not _is_new(site, holds_files=False):
        note_initialised(site)  # an older version of the collection did not
        return False
    remove_interrupted(site)
    archive, commands = site.path("initial_data"), site.settings["init_commands"]
    found = folder.scan(site)
    if not _is_new(site, holds_files=_holds_data(site, found)):
        if commands or archive.exists():
            journal.log(
                site,
                f"the data folder {site.path('data')} holds files already, so the blog is not new:"
                " flask_blog_init_commands and flask_blog_initial_data are left out",
            )
        archive.unlink(missing_ok=True)
        note_initialised(site)
        return False
    if not commands and not archive.exists():
        return False
    if found.holds_files:
        folder.empty(site, site.path("data"), found.directories)
    _left_behind(site).unlink(missing_ok=True)
    write_atomically(_note(site), json.dumps(found.directories))
    try:
        if archive.exists():
            folder.unpack(site, archive)
        root = release_manifest(site, release).source_root
        for command in commands:
            run_as_app.run(site, app_folder(site, release), root, command, site.path("data"))
    except BaseException as problem:
        remove_interrupted(site)
        if isinstance(problem, OperationError):
            raise OperationError(
                f"The data folder {site.path('data')} is as new as before, because {problem}"
            ) from problem
        raise
    note_initialised(site)
    _note(site).unlink()
    archive.unlink(missing_ok=True)
    return True


def _is_new(site: Site, *, holds_files: bool) -> bool:
    return contract.data_is_new(
        initialised=is_initialised(site), has_live_release=live_target(site) is not None, holds_files=holds_files
    )


def _note(site: Site) -> Path:
    return state_folder(site) / INITIALISING


def remove_interrupted(site: Site) -> None:
    """Remove what was created by an initialisation that failed or was killed."""
    note = _note(site)
    if not note.exists():
        return
    if not is_initialised(site):
        try:
            kept = json.loads(note.read_text(encoding="utf-8"))
        except ValueError:
            kept = []  # cut off by a power cut; the next run of the playbook creates the directories again
        folder.empty(site, site.path("data"), kept)
    note.unlink()
