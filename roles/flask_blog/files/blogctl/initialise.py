"""Give a new blog its data: what it brings along, and what its init commands make. All of it, or nothing."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import tarfile
from pathlib import Path

from .services import run_as_app
from .site import OperationError, Site, app_folder, release_manifest

#: The data is made here, inside the data folder and so on its file system ...
STAGING = ".initialising"
#: ... and is complete once it has this name. What is left to do then is to move it up.
COMPLETE = ".initialised"
OWN = frozenset({STAGING, COMPLETE})


def is_new(data: Path) -> bool:
    """Say whether a data folder is new: there is no file in it, but for what an interrupted start left."""
    for folder, directories, files in os.walk(data):
        if files:
            return False
        if Path(folder) == data:
            directories[:] = [name for name in directories if name not in OWN]
    return True


def initialise(site: Site, release: str) -> bool:
    """Make a new blog's data, unless it has any.

    The init commands find a staging folder in the data folder's place. Where one of them fails, the staging folder
    is removed and the data folder is as new as before.

    :returns: whether there was something to do.
    :raises OperationError: with what the command said.
    """
    data = site.path("data")
    if (data / COMPLETE).is_dir():
        _move_up(data)
        return True
    archive = site.path("initial_data")
    if not is_new(data):
        archive.unlink(missing_ok=True)
        return False
    shutil.rmtree(data / STAGING, ignore_errors=True)
    if not site.settings["init_commands"] and not archive.exists():
        return False
    staging = _stage(data)
    try:
        if archive.exists():
            _unpack(archive, staging, site.settings["user"])
        manifest = release_manifest(site, release)
        for command in site.settings["init_commands"]:
            run_as_app(site, app_folder(site, release), manifest.get("source_root", ""), command, staging)
    except BaseException as problem:
        shutil.rmtree(staging, ignore_errors=True)
        if isinstance(problem, OperationError):
            raise OperationError(f"The data folder {data} is as new as before, because {problem}") from problem
        raise
    staging.rename(data / COMPLETE)
    _move_up(data)
    archive.unlink(missing_ok=True)
    return True


def _stage(data: Path) -> Path:
    """Make the staging folder with the same folders, owners and modes as the data folder has."""
    staging = data / STAGING
    for folder, directories, _ in os.walk(data):
        directories[:] = [name for name in directories if name not in OWN]
        twin = staging / Path(folder).relative_to(data)
        twin.mkdir(mode=0o700)
        found = os.stat(folder)
        os.chown(twin, found.st_uid, found.st_gid)
        os.chmod(twin, stat.S_IMODE(found.st_mode))
        directories[:] = [name for name in directories if not os.path.islink(os.path.join(folder, name))]
    return staging


def _unpack(archive: Path, staging: Path, user: str) -> None:
    """Unpack the data that the blog brings.

    Each file belongs to the app, and to its folder's group where that says so.
    """
    account = pwd.getpwnam(user)
    with tarfile.open(archive) as tar:
        for member in tar:
            source = tar.extractfile(member) if member.isreg() else None
            if source is None:
                continue
            path = staging / member.name
            _make_folders(path.parent, staging, account)
            with source, open(path, "xb") as target:
                shutil.copyfileobj(source, target)
            parent = path.parent.stat()
            os.chown(path, account.pw_uid, parent.st_gid if parent.st_mode & stat.S_ISGID else account.pw_gid)
            os.chmod(path, 0o640)


def _make_folders(folder: Path, staging: Path, account: pwd.struct_passwd) -> None:
    """Make the missing folders on the way; one below a set-group-id folder is like it."""
    if folder.is_dir():
        return
    _make_folders(folder.parent, staging, account)
    folder.mkdir()
    parent = folder.parent.stat()
    shared = parent.st_mode & stat.S_ISGID
    os.chown(folder, account.pw_uid, parent.st_gid if shared else account.pw_gid)
    os.chmod(folder, 0o2750 if shared else 0o750)


def _move_up(data: Path) -> None:
    """Move complete data to its place, each file in one step; done again after an interruption, it ends the same."""
    complete = data / COMPLETE
    for folder, directories, files in os.walk(complete):
        place = data / Path(folder).relative_to(complete)
        if not place.is_dir():
            place.mkdir()
            found = os.stat(folder)
            os.chown(place, found.st_uid, found.st_gid)
            os.chmod(place, stat.S_IMODE(found.st_mode))
        links = [name for name in directories if os.path.islink(os.path.join(folder, name))]
        for name in [*files, *links]:
            os.rename(os.path.join(folder, name), place / name)
    shutil.rmtree(complete)
