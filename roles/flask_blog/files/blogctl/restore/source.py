"""Choose the backup to restore, and verify the whole of it before anything is changed.

A backup lies in a directory of root's own. It may be damaged, truncated or made by somebody else all the same: what it
says is checked, and nothing but regular files is read.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..backup.retention import NAME_FORMAT, complete_backups
from ..backup.verify import FORMAT, MANIFEST
from ..data import tree
from ..data.process import checked_path
from ..data.transaction import SAFETY_PREFIX
from ..errors import HostError, OperationError
from ..shared.printable import printable
from ..site import Site

LATEST = "latest"
#: Bytes of a manifest; 20,000 files take 4 MB.
MANIFEST_LIMIT = 64 << 20
#: The name of a backup, which is no moment: one that is unknown is refused (retention.NAME_FORMAT).
EXACT = re.compile(r"\d{8}T\d{6}Z")
#: The id of a release.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
DIGEST = re.compile(r"[0-9a-f]{64}")
#: Names in a message.
NAMED = 5

NOTHING_CHANGED = "nothing was changed"


@dataclass(frozen=True)
class Backup:
    """A backup whose manifest makes sense."""

    name: str
    folder: Path
    manifest: dict[str, Any]

    @property
    def root(self) -> Path:
        """The directory with its files."""
        return self.folder / "data"

    @property
    def files(self) -> dict[str, dict[str, Any]]:
        """C(size), C(sha256) and C(mode) of each file, by its path; of a database also C(tables) and C(rows)."""
        found: dict[str, dict[str, Any]] = self.manifest["files"]
        return found

    @property
    def release(self) -> str | None:
        """The release that was live; None if the backup does not say."""
        found = self.manifest.get("release")
        name = found.get("id") if isinstance(found, dict) else None
        return name if isinstance(name, str) and NAME.fullmatch(name) else None

    @property
    def only(self) -> list[str] | None:
        """The paths that a safety copy holds; None for all data."""
        found = self.manifest.get("only")
        return [checked_path(path) for path in found] if isinstance(found, list) else None

    @property
    def skipped(self) -> list[str]:
        """The files of the data that it lacks because they could not be read, as far as it names them."""
        found = self.manifest.get("skipped")
        names = [path for path in found if isinstance(path, str)] if isinstance(found, dict) else []
        return [path for path in names if _is_path(path)]

    @property
    def moment(self) -> float:
        """When it was begun, in seconds since the epoch; 0 if its name does not say."""
        text = self.name.removeprefix(SAFETY_PREFIX)
        try:
            return datetime.datetime.strptime(text, NAME_FORMAT).replace(tzinfo=datetime.UTC).timestamp()
        except ValueError:
            return 0.0


def _is_path(path: object) -> bool:
    try:
        checked_path(path)
    except HostError:
        return False
    return True


# -- which one ---------------------------------------------------------------------------------------------------------


def choose(site: Site, wanted: str) -> Backup:
    """Return the backup that is wanted: C(latest), a name, or the newest one of a moment or before.

    :raises OperationError: if there is none, or its manifest makes no sense; nothing was changed.
    """
    root = site.path("backups")
    names = complete_backups(root)
    safety = safety_copies(site)
    if wanted in safety:
        return load(site, site.path("snapshots") / wanted)
    is_name = EXACT.fullmatch(wanted) is not None
    if is_name and os.path.lexists(root / wanted):
        return load(site, root / wanted)
    if wanted == LATEST:
        if not names:
            raise OperationError(f"{root} holds no backup; {NOTHING_CHANGED}. 'blogctl backup' makes one.")
        return load(site, root / names[-1])
    until = None if is_name else _moment(wanted)
    if until is None:
        known = ", ".join([*names[-NAMED:], *safety[-NAMED:]]) or "none"
        raise OperationError(
            f"there is no backup {printable(wanted)[:100]!r}; {NOTHING_CHANGED}. There are: {known}."
            " A moment is written as 2026-11-27, or 2026-11-27T18:30 in UTC."
        )
    earlier = [name for name in names if name <= until.strftime(NAME_FORMAT)]
    if not earlier:
        oldest = f"the oldest one is {names[0]}" if names else "there is none"
        raise OperationError(f"there is no backup of {wanted} or before: {oldest}; {NOTHING_CHANGED}")
    return load(site, root / earlier[-1])


def safety_copies(site: Site) -> list[str]:
    """Return the names of the safety copies that earlier restores took, the oldest first."""
    return sorted(path.parent.name for path in site.path("snapshots").glob(f"{SAFETY_PREFIX}*Z/{MANIFEST}"))


def _moment(text: str) -> datetime.datetime | None:
    """Return a moment in UTC; a date alone stands for the end of its day. None if it is neither."""
    try:
        found = datetime.datetime.fromisoformat(text)
        if re.fullmatch(r"\d{4}-?\d{2}-?\d{2}", text):
            found += datetime.timedelta(days=1, seconds=-1)
        return (found if found.tzinfo else found.replace(tzinfo=datetime.UTC)).astimezone(datetime.UTC)
    except (ValueError, OverflowError):
        return None


# -- what it says ------------------------------------------------------------------------------------------------------


def load(site: Site, folder: Path) -> Backup:
    """Read a backup's manifest.

    :raises OperationError: if it is missing, damaged, or that of another site or of a newer version.
    """
    try:
        manifest = json.loads(_read(folder / MANIFEST))
        if not isinstance(manifest, dict):
            raise ValueError("it is no JSON object")
        name, version = manifest.get("site"), manifest.get("format", 1)
        if name != site.name:
            raise ValueError(f"it is that of the site {printable(str(name))[:50]!r}, and this is {site.name!r}")
        if type(version) is not int or not 1 <= version <= FORMAT:
            raise ValueError(
                f"its form is {str(version)[:20]}, and this blogctl reads up to {FORMAT}; a newer version of the"
                " collection made it"
            )
        _check_files(manifest.get("files"))
        found = Backup(folder.name, folder, manifest)
        _ = found.only
    except (OSError, ValueError, RecursionError, HostError) as error:
        raise OperationError(
            f"The backup {folder.name} cannot be restored: its manifest, {folder / MANIFEST}, cannot be used: {error};"
            f" {NOTHING_CHANGED}"
        ) from error
    return found


def _read(path: Path) -> bytes:
    for one in (path.parent.parent, path.parent):
        if not stat.S_ISDIR(os.lstat(one).st_mode):
            raise ValueError(f"{one} is no directory")
    handle = os.open(path, tree.OPEN_FILE)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise ValueError("it is no file")
        content = file.read(MANIFEST_LIMIT + 1)
    if len(content) > MANIFEST_LIMIT:
        raise ValueError(f"it is larger than {MANIFEST_LIMIT >> 20} MiB")
    return content


def _check_files(files: object) -> None:
    """Check what a manifest says about its files.

    :raises ValueError: naming the entry that makes no sense.
    """
    if not isinstance(files, dict):
        raise ValueError("it names no files")
    for path, entry in files.items():
        if not _is_path(path) or path.split("/")[0] == tree.EXCHANGE:
            raise ValueError(f"it names {printable(str(path))[:100]!r}, which is no path in the data")
        valid = (
            isinstance(entry, dict)
            and _is_count(entry.get("size"))
            and _is_count(entry.get("mode"))
            and isinstance(entry.get("sha256"), str)
            and DIGEST.fullmatch(entry["sha256"])
            and (entry.get("tables") is None or _is_count(entry["tables"]))
            and (entry.get("journal_mode") is None or isinstance(entry["journal_mode"], str))
        )
        if not valid:
            raise ValueError(f"its entry of {printable(path)[:100]!r} makes no sense")


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


# -- whether it is whole -----------------------------------------------------------------------------------------------


def verify(backup: Backup) -> None:
    """Read every file of a backup and compare it with the manifest.

    :raises OperationError: for the first difference; nothing was changed.
    """
    try:
        left = dict(backup.files)
        for path in _paths_below(backup.root):
            entry = left.pop(path, None)
            if entry is None:
                raise ValueError(f"it holds {printable(path)[:200]!r}, which its manifest does not name")
            _compare(backup.root / path, path, entry)
        if left:
            raise ValueError(f"it lacks {printable(min(left))[:200]!r}, which its manifest names")
    except (OSError, ValueError) as error:
        raise OperationError(
            f"The backup {backup.name} cannot be restored: {error}; {NOTHING_CHANGED}. Choose another one:"
            " 'blogctl restore --dry-run ID' says what it would do."
        ) from error


def _paths_below(root: Path) -> list[str]:
    """Return the relative paths of all files below a directory.

    :raises ValueError: for what is neither a file nor a directory.
    """
    found, left = list[str](), [""]
    if not stat.S_ISDIR(os.lstat(root).st_mode):
        raise ValueError(f"{root} is no directory")
    while left:
        above = left.pop()
        if above.count("/") > tree.DEPTH_LIMIT:
            raise ValueError(f"it holds directories more than {tree.DEPTH_LIMIT} deep")
        with os.scandir(root / above) as entries:
            for entry in entries:
                path = f"{above}/{entry.name}" if above else entry.name
                if entry.is_dir(follow_symlinks=False):
                    left.append(path)
                elif entry.is_file(follow_symlinks=False):
                    found.append(path)
                else:
                    what = "a symbolic link" if entry.is_symlink() else "neither a file nor a directory"
                    raise ValueError(f"it holds {printable(path)[:200]!r}, which is {what}")
    return found


def _compare(place: Path, path: str, entry: dict[str, Any]) -> None:
    handle = os.open(place, tree.OPEN_FILE)
    with os.fdopen(handle, "rb") as file:
        size = os.fstat(handle).st_size
        if size != entry["size"]:
            raise ValueError(f"{printable(path)[:200]!r} has {size} bytes, and its manifest says {entry['size']}")
        if hashlib.file_digest(file, "sha256").hexdigest() != entry["sha256"]:
            raise ValueError(f"{printable(path)[:200]!r} reads differently from when it was backed up")


def paths_of(backup: Backup, only: list[str]) -> list[str] | None:
    """Return what is exchanged: the files or directories that are wanted; None for all data.

    :raises OperationError: for a path that the backup does not have.
    """
    if not only:
        return backup.only
    found = []
    for wanted in only:
        path = wanted.rstrip("/")
        if not _is_path(path) or not any(one == path or one.startswith(f"{path}/") for one in backup.files):
            names = ", ".join(sorted({one.split("/")[0] for one in backup.files})[:NAMED])
            raise OperationError(
                f"the backup {backup.name} has no {printable(wanted)[:200]!r}; {NOTHING_CHANGED}. Paths are relative to"
                f" the data folder; it has: {printable(names)}."
            )
        found.append(path)
    # A path below another one that is wanted goes with it.
    inner = {path for path in found for other in found if path.startswith(f"{other}/")}
    return sorted(set(found) - inner)


def files_below(backup: Backup, paths: list[str] | None) -> dict[str, dict[str, Any]]:
    """Return the files that are exchanged."""
    return {path: entry for path, entry in backup.files.items() if is_below(path, paths)}


def is_below(path: str, paths: list[str] | None) -> bool:
    """Say whether a path is one of some, or lies below one of them; None stands for everything."""
    return paths is None or any(path == one or path.startswith(f"{one}/") for one in paths)
