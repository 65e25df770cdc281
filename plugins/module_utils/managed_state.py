# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A record of the managed objects on the host, so that a manual change is found there without the controller.

The module apply writes it: for each file, directory and link the owner, group, mode and digest or target, for files
that everybody may read also the text, and for each unit whether it is enabled and runs. blogctl compares it with the
host (roles/flask_blog/files/blogctl/shared/managed_state.py is a link to this file). What lies in the app's data folder
is left out: no path in it is safe for root.
"""

from __future__ import annotations

import grp
import hashlib
import json
import os
import pwd
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

#: In the site's state directory: the objects with C(scope: site), and the units.
RECORD = "managed.json"
#: The objects that all sites of the host share; a run of any site writes it.
HOST_RECORD = "/var/lib/flask-blog-hosting/managed.json"

#: Bytes of a managed file that are read, of a text that is kept, and of a record.
READ_LIMIT, TEXT_LIMIT, RECORD_LIMIT = 8 << 20, 128 * 1024, 32 << 20
#: Everybody may read the file, so its text is no secret.
READABLE = stat.S_IROTH


@dataclass(frozen=True)
class Entry:
    """What one object was like after the role applied it."""

    path: str
    #: C(file), C(directory), C(link), C(attributes) (of a file that another program writes) or C(absent)
    kind: str
    owner: str = ""
    group: str = ""
    mode: int = 0
    #: sha256 of a file
    digest: str = ""
    #: of a file that everybody may read
    text: str | None = None
    #: of a link
    target: str = ""
    #: targets to which the host may lead a link, each with the path that must exist then
    others: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Drift:
    """How an object differs from its record: C(reasons), and both texts if they may be shown."""

    entry: Entry
    reasons: list[str]
    #: whether nothing but owner, group or mode differs
    is_attributes: bool
    before: str | None = None
    after: str | None = None


# -- the module's side --


def record(site: Mapping[str, Any], wanted: Iterable[Mapping[str, Any]], units: Iterable[Mapping[str, Any]]) -> None:
    """Record objects and units that were applied.

    :param site: its C(state), a directory that is one of the objects.
    :raises OSError: if the record cannot be written.
    """
    objects = [dict(item) for item in wanted]
    if os.path.isdir(state := str(site.get("state", ""))):
        known = [_entry(item) for item in objects if item.get("scope") == "site"]
        _write(Path(state, RECORD), [one for one in known if one], [dict(unit) for unit in units])
    shared = [_entry(item) for item in objects if item.get("scope") == "host"]
    if not shared:
        return  # those of a newer collection stay
    # Another site of the host may need more than this one.
    before = {one.path: one for one in read(HOST_RECORD)[0] if os.path.lexists(one.path)}
    folder = Path(HOST_RECORD).parent
    if not folder.is_dir():
        folder.mkdir(parents=True)
        folder.chmod(0o755)
    _write(Path(HOST_RECORD), [*{**before, **{one.path: one for one in shared if one}}.values()], [])


def _entry(wanted: Mapping[str, Any]) -> Entry | None:
    """Return an object as it is on the host now; None if it is not recorded."""
    path, kind = str(wanted["path"]), str(wanted["kind"])
    # "beneath" is the app's data folder. A package's own file may come back with an upgrade.
    if "beneath" in wanted or "conffile" in wanted or kind not in ("file", "directory", "link", "attributes", "absent"):
        return None
    if kind == "absent":
        return Entry(path, kind)
    try:
        found = os.lstat(path)
    except OSError:
        return None
    if kind == "link":
        others = {str(target): str(needed) for target, needed in (wanted.get("others") or {}).items()}
        return Entry(path, kind, target=str(wanted["target"]), others=others)
    entry = Entry(path, kind, user_name(found.st_uid), group_name(found.st_gid), stat.S_IMODE(found.st_mode))
    if kind != "file" or (content := _content(path)) is None:
        return entry if kind != "file" else None
    is_shown = entry.mode & READABLE and not wanted.get("secret") and len(content) <= TEXT_LIMIT
    # A module of the tool is replaced as a whole, so its text helps nobody.
    is_shown = is_shown and wanted.get("reload") is not None
    text = content.decode("utf-8", "surrogateescape") if is_shown else None
    return Entry(**{**asdict(entry), "digest": hashlib.sha256(content).hexdigest(), "text": text})


def _write(path: Path, entries: list[Entry], units: list[dict[str, Any]]) -> None:
    aside = path.with_suffix(".new")
    content = json.dumps({"objects": [asdict(one) for one in entries], "units": units})
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as handle:
        os.fchmod(descriptor, 0o600)
        handle.write(content)
    aside.replace(path)


# -- blogctl's side --


def read(path: str | os.PathLike[str]) -> tuple[list[Entry], list[dict[str, Any]]]:
    """Return the recorded objects and units; nothing without a record, and of a damaged one."""
    content = _content(str(path), RECORD_LIMIT)
    try:
        found = json.loads(content or b"{}")
        known = Entry.__dataclass_fields__
        entries = [Entry(**{key: one[key] for key in known if key in one}) for one in found.get("objects", [])]
        return entries, [dict(unit) for unit in found.get("units", [])]
    except (ValueError, TypeError, AttributeError, RecursionError):
        return [], []


def drifts(entries: Iterable[Entry]) -> Iterator[Drift]:
    """Yield each object that is not as recorded."""
    for entry in entries:
        if found := _drift(entry):
            yield found


def _drift(entry: Entry) -> Drift | None:
    try:
        found = os.lstat(entry.path)
    except FileNotFoundError:
        # A log is made again by the program that writes it.
        return None if entry.kind in ("absent", "attributes") else Drift(entry, ["missing"], False)
    except OSError as error:
        return Drift(entry, [str(error.strerror)], False)
    if entry.kind == "absent":
        return Drift(entry, ["it should not be there"], False)
    if entry.kind == "link":
        return _link_drift(entry, found)
    is_right = stat.S_ISDIR(found.st_mode) if entry.kind == "directory" else stat.S_ISREG(found.st_mode)
    if not is_right:
        return Drift(entry, ["something else stands there"], False)
    reasons = _attribute_reasons(entry, found)
    content = _content(entry.path) if entry.kind == "file" else None
    if content is None or hashlib.sha256(content).hexdigest() == entry.digest:
        return Drift(entry, reasons, True) if reasons else None
    after = content.decode("utf-8", "surrogateescape") if entry.text is not None else None
    return Drift(entry, ["its content was changed", *reasons], False, entry.text, after)


def _link_drift(entry: Entry, found: os.stat_result) -> Drift | None:
    if not stat.S_ISLNK(found.st_mode):
        return Drift(entry, ["something else stands there"], False)
    target = os.readlink(entry.path)
    needed = entry.others.get(target)
    if target == entry.target or (needed and os.path.exists(needed)):
        return None
    return Drift(entry, [f"it leads to {target}, not to {entry.target}"], False)


def _attribute_reasons(entry: Entry, found: os.stat_result) -> list[str]:
    owner, group, mode = user_name(found.st_uid), group_name(found.st_gid), stat.S_IMODE(found.st_mode)
    return [
        *([f"owner {owner} instead of {entry.owner}"] if owner != entry.owner else []),
        *([f"group {group} instead of {entry.group}"] if group != entry.group else []),
        *([f"mode {mode:04o} instead of {entry.mode:04o}"] if mode != entry.mode else []),
    ]


def _content(path: str, limit: int = READ_LIMIT) -> bytes | None:
    """Return the content of a regular file of root's, up to a limit; None if it is missing or something else."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(handle, "rb") as file:
        return file.read(limit) if stat.S_ISREG(os.fstat(handle).st_mode) else None


def user_name(number: int) -> str:
    """Return the name of an account; its number without one."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def group_name(number: int) -> str:
    """Return the name of a group; its number without one."""
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
