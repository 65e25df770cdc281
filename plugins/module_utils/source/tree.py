# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A source as a list of paths, checked before anything is written: names, conflicts, and the targets of links.

Nothing here uses a file system, so the same checks hold for a folder, an archive and a commit.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from ansible_collections.flaskblog.hosting.plugins.module_utils.contract import MANIFEST
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import (
    SourceError,
    link_outside,
    link_without_path,
    outside,
    shown,
    too_long,
)

#: Folders inside each other, and the bytes of a path and of one name in it (limits.h has 4096 and 255 for Linux, and
#: the release's own path comes before).
DEEPEST = 64
LONGEST_PATH = 2048
LONGEST_NAME = 255
#: Links that are followed for one path, as in the kernel (path_resolution(7)).
MOST_LINKS = 40


def check_path(path: str) -> list[str]:
    """Return the names that a relative path consists of.

    :raises SourceError: if it is absolute, has an empty name, C(.) or C(..), is too long or too deep, or is the
        manifest.
    """
    names = path.split("/")
    if "\0" in path or any(name in ("", ".", "..") for name in names):
        raise outside(path)
    if len(names) > DEEPEST:
        raise SourceError(f"{shown(path)} lies in more than {DEEPEST} folders inside each other. Flatten them")
    if len(os.fsencode(path)) > LONGEST_PATH or any(len(os.fsencode(name)) > LONGEST_NAME for name in names):
        raise too_long(path)
    if MANIFEST in names:  # at any depth, as gunicorn.conf.py looks for it from the app's folder upwards
        raise SourceError(f"it holds {shown(path)}, and {MANIFEST} is a release's own manifest. Remove it")
    return names


class Tree:
    """The files and links of a source by path; folders are what lies above them, or was added for itself."""

    def __init__(self) -> None:
        """Start empty."""
        #: every link's target by its path
        self.links: dict[str, str] = {}
        #: the paths of all regular files
        self.files: set[str] = set()
        self._folders: set[str] = {""}

    def add_file(self, path: str) -> None:
        """Add a file.

        :raises SourceError: for a path that P(check_path) refuses, exists already, or lies below a file or a link.
        """
        self._add_leaf(path)
        self.files.add(path)

    def add_link(self, path: str, target: str) -> None:
        """Add a symbolic link to any target; P(check_links) checks where it leads.

        :raises SourceError: as P(add_file), or for a target that no file system takes.
        """
        if not target or "\0" in target or len(os.fsencode(target)) > LONGEST_PATH:
            raise link_without_path(path)
        self._add_leaf(path)
        self.links[path] = target

    def add_folder(self, path: str) -> None:
        """Add a folder; one that is there already is no error.

        :raises SourceError: for a path that P(check_path) refuses, or a file or a link in its place or above it.
        """
        self._add_folders(check_path(path))

    def is_file(self, path: str) -> bool:
        """Return whether a regular file was added under this path."""
        return path in self.files

    def is_folder(self, path: str) -> bool:
        """Return whether a folder was added under this path, or something below it."""
        return path in self._folders

    def _add_leaf(self, path: str) -> None:
        names = check_path(path)
        self._add_folders(names[:-1])
        if path in self._folders or path in self.files or path in self.links:
            raise SourceError(f"it holds {shown(path)} twice. Remove one of the two")

    def _add_folders(self, names: list[str]) -> None:
        path = "/".join(names)
        for depth in range(len(names), 0, -1):
            if path in self._folders:
                return
            self._refuse_leaf(path)
            self._folders.add(path)
            path = "/".join(names[: depth - 1])

    def _refuse_leaf(self, path: str) -> None:
        if path in self.links:
            raise SourceError(f"it holds {shown(path)} as a link and as a folder. Remove one of the two")
        if path in self.files:
            raise SourceError(f"it holds {shown(path)} as a file and as a folder. Remove one of the two")

    def check_links(self, managed: Iterable[str] = (), without: Iterable[str] = ()) -> None:
        """Follow every link in the described tree, as the kernel would.

        A link to something that is missing inside the tree is allowed.

        :param managed: paths at which the release has links to the blog's data and environment.
        :param without: links that are not checked, as they are not written.
        :raises SourceError: for a link that leaves the tree, goes through a managed link or to the manifest, or is
            part of a loop.
        """
        places, left_out = frozenset(managed), frozenset(without)
        for path, target in self.links.items():
            if path not in left_out:
                resolve(self.links, path, target, places)

    def check_managed(self, path: str) -> None:
        """Check that a link of the role's own can be laid in the tree.

        :raises SourceError: if a folder above it is a link or a file of the source.
        """
        names = path.split("/")
        for depth in range(1, len(names)):
            above = "/".join(names[:depth])
            if above in self.links or above in self.files:
                kind = "link" if above in self.links else "file"
                raise SourceError(
                    f"{shown(path)} leads to the blog's data or environment in a release, and {shown(above)} above it"
                    f" is a {kind}. Make it a folder"
                )


def resolve(links: Mapping[str, str], path: str, target: str, managed: frozenset[str] = frozenset()) -> str:
    """Return the path inside the tree to which a link leads, one component after the other (path_resolution(7)).

    :param links: the target of each link in the tree.
    :raises SourceError: as P(Tree.check_links).
    """
    reached = path.split("/")[:-1]
    names = target.split("/")[::-1]
    if target.startswith("/"):
        raise link_outside(path, target)
    followed = 0
    while names:
        name = names.pop()
        if name in ("", "."):
            continue
        if name == "..":
            if not reached:
                raise link_outside(path, target)
            reached.pop()
            continue
        if name == MANIFEST:
            raise SourceError(f"{shown(path)} is a link to {shown(target)}, a release's own manifest. Remove it")
        here = "/".join([*reached, name])
        if here in managed:
            raise SourceError(
                f"{shown(path)} is a link (to {shown(target)}) through {shown(here)}, which leads to the blog's data or"
                " environment in a release. Remove it"
            )
        following = links.get(here)
        if following is None:
            reached.append(name)
            continue
        followed += 1
        if followed > MOST_LINKS:
            raise SourceError(
                f"{shown(path)} is a link (to {shown(target)}) that leads from link to link without an end. Remove it"
            )
        if following.startswith("/"):
            raise link_outside(path, target)
        names += following.split("/")[::-1]
    return "/".join(reached)
