# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Releases and virtual environments: how they are named, and what a release on disk must look like.

Shared by the controller, which names a release before the host has it, and by the host, which checks it.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils.tree import MANIFEST as MANIFEST

#: Names of identifiers are this many hexadecimal digits: 48 bits, and still easy to type at 3 a.m.
ID_LENGTH = 12

#: Marks a virtual environment whose installation came to its end.
COMPLETE = ".complete.json"

#: Owner and group of a virtual environment.
ROOT = (0, 0)

#: Mode of an environment's folder and of those above it, even if the umask is stricter.
FOLDER_MODE = 0o755

#: What is said of an environment that has to be built.
NOT_BUILT = "not built yet"

#: How far what prepares a release steps back on the processor (nice(2)): visitors are waiting for pages meanwhile.
YIELDING = 10


def digest(*parts: object) -> str:
    """Return an identifier made from the JSON of some values: the same values, the same identifier."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:ID_LENGTH]


@dataclass(frozen=True, order=True)
class Entry:
    """One file or link of a release: its path relative to the release, and its identity."""

    path: str
    #: C(file), C(program) (a file that may be executed) or C(link)
    kind: str
    #: the sha256 of a file, or the target of a link
    identity: str


def tree_digest(entries: Iterable[Entry]) -> str:
    """Return the sha256 of a whole tree; the order in which it was read does not matter."""
    total = hashlib.sha256()
    for entry in sorted(entries):
        total.update(f"{entry.kind}\0{entry.path}\0{entry.identity}\n".encode("utf-8", "surrogateescape"))
    return total.hexdigest()


def file_digest(path: str) -> str:
    """Return the sha256 of a file's content."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def read_tree(root: str, leave_out: Iterable[str] = ()) -> Iterator[Entry]:
    """Walk a folder and yield what is in it, without following links.

    :param leave_out: paths relative to C(root) that are passed over, with all below them.
    """
    skipped = set(leave_out)
    for folder, directories, files in os.walk(root):
        relative = os.path.relpath(folder, root)
        prefix = "" if relative == "." else f"{relative}/"
        for name in sorted([*directories, *files]):
            path, full = f"{prefix}{name}", os.path.join(folder, name)
            if path in skipped:
                continue
            mode = os.lstat(full).st_mode
            if stat.S_ISLNK(mode):
                yield Entry(path, "link", os.readlink(full))
            elif stat.S_ISREG(mode):
                yield Entry(path, "program" if mode & stat.S_IXUSR else "file", file_digest(full))
        directories[:] = [name for name in directories if f"{prefix}{name}" not in skipped]


def is_below(path: str, folders: Iterable[str]) -> bool:
    """Say whether a relative path is one of some folders, or lies below one."""
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def clean(path: str) -> str:
    """Return a relative path without C(./), doubled and trailing slashes; C("") for the folder itself."""
    normal = os.path.normpath(path) if path else ""
    return "" if normal == "." else normal


def release_mode(kind: str, served: bool) -> int:
    """Return the mode of something in a release: read-only for the app, readable for nginx where it is served.

    The owner is root and the group is the app's, so the app reads its code and cannot change it; others pass
    through a directory, without seeing what is in it.
    """
    if kind == "directory":
        return 0o755 if served else 0o751
    if kind == "program":
        return 0o755 if served else 0o750
    return 0o644 if served else 0o640


def venv_id(requirements: str, python: str) -> str:
    """Return the name of the virtual environment for some requirements and a Python version such as C(3.11)."""
    # "build": environments of before were built by the app's account, which may have changed them. They are not reused.
    return digest("build", requirements, python)


def check_venv(path: str) -> list[str]:
    """Say how a virtual environment on disk differs from a complete one that every account can enter.

    Only root can have marked it: a mark of another account, or one in a folder of another account, counts for nothing.

    :returns: C([NOT_BUILT]) if it has to be built, or its wrong attributes.
    """
    try:
        folder, mark = os.lstat(path), os.lstat(os.path.join(path, COMPLETE))
    except (FileNotFoundError, NotADirectoryError):
        return [NOT_BUILT]
    if not (stat.S_ISDIR(folder.st_mode) and stat.S_ISREG(mark.st_mode)):
        return [NOT_BUILT]
    if folder.st_uid != ROOT[0] or mark.st_uid != ROOT[0]:
        return [NOT_BUILT]
    mode = stat.S_IMODE(folder.st_mode)
    if mode != FOLDER_MODE:
        return [f"mode {mode:04o} -> {FOLDER_MODE:04o}"]
    return [] if folder.st_gid == ROOT[1] else [f"group {folder.st_gid} -> {ROOT[1]}"]


def differences(expected: Mapping[str, str], actual: Mapping[str, str]) -> list[str]:
    """Name the files that a hand changed, added or removed; both map a path to its identity."""
    words = [f"{path}: missing" for path in expected.keys() - actual.keys()]
    words += [f"{path}: added" for path in actual.keys() - expected.keys()]
    words += [f"{path}: changed" for path in expected.keys() & actual.keys() if expected[path] != actual[path]]
    return sorted(words)


def check_release(path: str, wanted: Mapping[str, Any], uid: int, gid: int | None) -> list[str]:
    """Say how a release on disk differs from what is wanted; an empty list means it is whole.

    :param path: the release's folder.
    :param wanted: what M(flaskblog.hosting.plan) says of a release: C(digest) of the tree, C(links) (relative path to
        target), C(served) folders, and what its manifest says.
    :param uid: of the owner, root.
    :param gid: of the app's group, or None where it does not exist yet.
    """
    if not os.path.isdir(path):
        return ["not unpacked yet"]
    links: Mapping[str, str] = wanted["links"]
    actual = list(read_tree(path, leave_out=[*links, MANIFEST]))
    kept = _read_manifest(path)
    words = []
    if tree_digest(actual) != wanted["digest"]:
        words = differences(kept.get("files", {}), {entry.path: f"{entry.kind} {entry.identity}" for entry in actual})
    # Another branch, or another address of the repository, may lead to the same commit: still the same release.
    same: dict[str, Any] = {key: kept[key] for key in ("ref", "repository") if key in kept and "commit" in wanted}
    if not words and kept != {**manifest(wanted, actual), **same}:
        words = [f"{MANIFEST}: missing or changed"]
    for relative, target in links.items():
        full = os.path.join(path, relative)
        if not os.path.islink(full) or os.readlink(full) != target:
            words.append(f"{relative}: not a link to {target}")
    return words + list(_wrong_attributes(path, wanted, uid, gid))


def manifest(release: Mapping[str, Any], entries: Iterable[Entry]) -> dict[str, Any]:
    """Return what a release says of itself.

    :param release: C(id), C(path), C(app_path), C(digest), C(source_root), and C(commit), C(ref) and C(repository)
        where it comes from Git.
    """
    git = {key: release[key] for key in ("commit", "ref", "repository") if key in release}
    return {
        **git,
        "id": release["id"],
        "digest": release["digest"],
        "app_dir": os.path.relpath(release["app_path"], release["path"]),
        "source_root": release["source_root"],
        "files": {entry.path: f"{entry.kind} {entry.identity}" for entry in entries},
    }


def _read_manifest(path: str) -> dict[str, Any]:
    try:
        with open(os.path.join(path, MANIFEST), encoding="utf-8") as handle:
            return dict(json.load(handle))
    except (OSError, ValueError, TypeError):
        return {}


def _wrong_attributes(path: str, wanted: Mapping[str, object], uid: int, gid: int | None) -> Iterator[str]:
    served: Iterable[str] = wanted["served"]  # type: ignore[assignment]
    for full, relative, kind in walk_attributes(path):
        found = os.lstat(full)
        mode = release_mode(kind, is_below(relative, served))
        if (found.st_uid, found.st_gid) != (uid, gid) or stat.S_IMODE(found.st_mode) != mode:
            yield f"{relative or '.'}: owner, group or mode {stat.S_IMODE(found.st_mode):04o} -> {mode:04o}"


def make_folders(path: str) -> None:
    """Make a folder of root's, and those above it that are missing, with mode 0755 even if the umask is stricter.

    :param path: in a folder that nobody but root can write.
    """
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for folder in reversed(missing):
        try:
            os.mkdir(folder)
        except FileExistsError:
            continue  # another run was faster
        os.chmod(folder, FOLDER_MODE)


def walk_attributes(path: str) -> Iterator[tuple[str, str, str]]:
    """Yield the full path, relative path and kind of each directory and file below a release, links left out."""
    yield path, "", "directory"
    for folder, directories, files in os.walk(path):
        relative = os.path.relpath(folder, path)
        prefix = "" if relative == "." else f"{relative}/"
        for name in directories:
            full = os.path.join(folder, name)
            if not os.path.islink(full):
                yield full, f"{prefix}{name}", "directory"
        for name in files:
            full = os.path.join(folder, name)
            if not os.path.islink(full):
                kind = "program" if os.lstat(full).st_mode & stat.S_IXUSR else "file"
                yield full, f"{prefix}{name}", kind
