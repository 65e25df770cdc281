# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A release: what the controller and the modules tell each other about it, and what it looks like on disk."""

from __future__ import annotations

import dataclasses
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..contract import MANIFEST, SEEDS, Manifest
from .entry import (
    Entry,
    is_below,
    read_tree,
    tree_digest,
)

#: Mode of the folders above releases and environments, regardless of the umask.
FOLDER_MODE = 0o755

#: Unpacking and pip run at this lower CPU priority (nice(2)), as the live release serves at the same time.
NICENESS = 10


#: The fields of a release that its virtual environment is built from.
ENVIRONMENT = (
    "venv_link",
    "requirements",
    "requirements_file",
    "is_project",
    "hashed",
    "keep_source",
    "packages",
    "dependencies",
    "requires_python",
)


@dataclass(frozen=True)
class Release:
    """A release, described before the host has it. It travels as a dictionary (P(to_dict))."""

    #: made from everything below that changes the release on disk
    id: str
    #: sha256 of the tree
    digest: str
    #: on the host
    path: str
    #: the app's folder in it, to which the blog's link leads
    app_path: str
    #: where the app is imported from, relative to its folder
    source_root: str
    #: relative path to target of each link that the role adds
    links: Mapping[str, str]
    #: folders that nginx serves
    served: Sequence[str]
    #: where the link to the virtual environment lies
    venv_link: str
    #: identifies what the environment is built from
    requirements: str
    #: as in P(requirements.Requirements)
    requirements_file: str
    is_project: bool
    hashed: bool
    #: pip needs the source as long as the environment is used
    keep_source: bool
    #: what is installed beside the requirements
    packages: Sequence[str]
    dependencies: Sequence[str] | None = None
    #: of a release from Git: 40 hexadecimal digits
    commit: str | None = None
    ref: str | None = None
    repository: str | None = None
    #: of a release from Git: paths of the commit that do not belong in the release
    left_out: Sequence[str] | None = None
    #: the versions of Python that the project asks for, such as C(>=3.12); empty if it does not say
    requires_python: str = ""
    #: the files that the data folder gets once: path in the source to path in the data folder
    seeds: Mapping[str, str] = field(default_factory=dict)
    #: the virtual environment on the host; empty until the host's Python is known (P(venv.check.complete))
    venv_path: str = ""

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Release:
        """Read a release; other keys, which the plan adds for the role, are ignored.

        :raises ValueError: naming the keys that are missing.
        """
        fields = dataclasses.fields(cls)
        required = [
            one.name
            for one in fields
            if one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
        ]
        if missing := [name for name in required if name not in found]:
            raise ValueError(f"the release lacks {', '.join(missing)}")
        return cls(**{one.name: found[one.name] for one in fields if one.name in found})

    def to_dict(self) -> dict[str, Any]:
        """Return the release as JSON can hold it; unknown values are left out."""
        found = dataclasses.asdict(self) | {"live_path": self.live_path}
        return {key: value for key, value in found.items() if value is not None}

    def environment(self) -> dict[str, Any]:
        """Return what the virtual environment is built from, for the manifest: C(blogctl rebuild) needs it."""
        return {name: getattr(self, name) for name in ENVIRONMENT}

    @property
    def live_path(self) -> str:
        """Return where the blog's link leads while this release is live."""
        return self.app_path

    @property
    def app_dir(self) -> str:
        """Return the app's folder, relative to the release."""
        return os.path.relpath(self.app_path, self.path)


def release_mode(kind: str, served: bool) -> int:
    """Return the mode of something in a release: read-only for the app, readable for nginx if it is served.

    The owner is root and the group is the app's, so the app reads its code and cannot change it; others pass
    through a directory, without seeing what is in it.
    """
    if kind == "directory":
        return 0o755 if served else 0o751
    if kind == "program":
        return 0o755 if served else 0o750
    return 0o644 if served else 0o640


def file_differences(expected: Mapping[str, str], actual: Mapping[str, str]) -> list[str]:
    """Return the reasons for files that were changed, added or removed; both map a path to its identity."""
    reasons = [f"{path}: missing" for path in expected.keys() - actual.keys()]
    reasons += [f"{path}: added" for path in actual.keys() - expected.keys()]
    reasons += [f"{path}: changed" for path in expected.keys() & actual.keys() if expected[path] != actual[path]]
    return sorted(reasons)


def check_release(path: str, wanted: Release, uid: int, gid: int | None) -> list[str]:
    """Return how a release on disk differs from what is wanted; an empty list means that it is whole.

    :param path: the release's folder.
    :param uid: of the owner, root.
    :param gid: of the app's group, or None if it does not exist yet.
    """
    if not os.path.isdir(path):
        return ["not unpacked yet"]
    actual = as_in_source(read_tree(path, leave_out=[*wanted.links, MANIFEST]), wanted.seeds)
    kept = _read_manifest(path)
    expected = manifest(wanted, actual).to_dict()
    reasons = []
    if tree_digest(actual) != wanted.digest:
        reasons = file_differences(kept.get("files", {}), expected["files"])
    # Another branch, or another address of the repository, may lead to the same commit: still the same release.
    same: dict[str, Any] = {
        key: kept[key] for key in ("ref", "repository") if key in kept and wanted.commit is not None
    }
    if not reasons and kept != {**expected, **same}:
        reasons = [f"{MANIFEST}: missing or changed"]
    for relative, target in wanted.links.items():
        full = os.path.join(path, relative)
        if not os.path.islink(full) or os.readlink(full) != target:
            reasons.append(f"{relative}: not a link to {target}")
    return reasons + list(_wrong_attributes(path, wanted, uid, gid))


def as_in_source(entries: Iterable[Entry], seeds: Mapping[str, str]) -> list[Entry]:
    """Return the entries of a release on disk with the paths that its source has.

    :param seeds: as in P(Release).
    """
    originals = {f"{SEEDS}/{place}": path for path, place in seeds.items()}
    return [Entry(originals.get(entry.path, entry.path), entry.kind, entry.identity) for entry in entries]


def manifest(release: Release, entries: Iterable[Entry]) -> Manifest:
    """Return the manifest of a release."""
    return Manifest(
        id=release.id,
        digest=release.digest,
        app_dir=release.app_dir,
        source_root=release.source_root,
        files={entry.path: f"{entry.kind} {entry.identity}" for entry in entries},
        commit=release.commit,
        ref=release.ref,
        repository=release.repository,
        environment=release.environment(),
    )


def _read_manifest(path: str) -> dict[str, Any]:
    """Return a manifest as it is on disk, possibly changed; empty if it cannot be read."""
    try:
        with open(os.path.join(path, MANIFEST), encoding="utf-8") as handle:
            return dict(json.load(handle))
    except (OSError, ValueError, TypeError):
        return {}


def _wrong_attributes(path: str, wanted: Release, uid: int, gid: int | None) -> Iterator[str]:
    for full, relative, kind in walk_attributes(path):
        found = os.lstat(full)
        mode = release_mode(kind, is_below(relative, wanted.served))
        if (found.st_uid, found.st_gid) != (uid, gid) or stat.S_IMODE(found.st_mode) != mode:
            yield f"{relative or '.'}: owner, group or mode {stat.S_IMODE(found.st_mode):04o} -> {mode:04o}"


def make_folders(path: str) -> None:
    """Create a folder and its missing parents with mode 0755, regardless of the umask.

    :param path: in a folder that only root can write.
    """
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for folder in reversed(missing):
        try:
            os.mkdir(folder)
        except FileExistsError:
            continue  # another run created it
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
