# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A source as a list of paths, checked before anything of it is written: names, conflicts, and where links lead.

Nothing here asks a file system, so that the same checks hold for a folder, an archive and a commit.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from ansible_collections.flaskblog.hosting.plugins.module_utils.printable import printable

#: The manifest that a release carries. It is the role's own: a source with this name in it is refused, at any depth, as
#: gunicorn.conf.py looks for the manifest from the app's folder upwards.
MANIFEST = ".release.json"

#: Folders inside each other, and the bytes of a path and of one name in it (limits.h has 4096 and 255 for Linux, and
#: the release's own path comes before).
DEEPEST = 64
LONGEST_PATH = 2048
LONGEST_NAME = 255
#: Links that are followed for one path, as in the kernel (path_resolution(7)).
MOST_LINKS = 40


class SourceError(ValueError):
    """The source cannot become a release; the message names the rule and the remedy."""


def check_path(path: str) -> list[str]:
    """Return the names that a relative path consists of.

    :raises SourceError: if it is absolute, has an empty name, C(.) or C(..), is too long or too deep, or is the
        manifest.
    """
    names = path.split("/")
    if "\0" in path or any(name in ("", ".", "..") for name in names):
        raise SourceError(f"it would write outside its folder: {shown(path)}. Remove that path from it")
    if len(names) > DEEPEST:
        raise SourceError(f"{shown(path)} lies in more than {DEEPEST} folders inside each other. Flatten them")
    if len(os.fsencode(path)) > LONGEST_PATH or any(len(os.fsencode(name)) > LONGEST_NAME for name in names):
        raise SourceError(f"{shown(path)} is too long a name for a file system. Shorten it")
    if MANIFEST in names:
        raise SourceError(f"it holds {shown(path)}, and {MANIFEST} is a release's own manifest. Remove it")
    return names


def shown(path: str) -> str:
    """Return a path as a message shows it: on one line, harmless for a terminal, and all of it or its end."""
    text = printable(path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")).replace("\n", "\\n")
    return text if len(text) <= 160 else f"…{text[-159:]}"


class Tree:
    """The files and links of a source by path; folders are what lies above them, or was added for itself."""

    def __init__(self) -> None:
        """Start with nothing."""
        #: every link's target by its path
        self.links: dict[str, str] = {}
        #: the paths of all regular files
        self.files: set[str] = set()
        self._folders: set[str] = {""}

    def add_file(self, path: str) -> None:
        """Add a file.

        :raises SourceError: for a path that P(check_path) refuses, is there already, or lies below a file or a link.
        """
        self._add_leaf(path)
        self.files.add(path)

    def add_link(self, path: str, target: str) -> None:
        """Add a symbolic link, wherever it leads to; P(check_links) says whether that is right.

        :raises SourceError: as P(add_file), or for a target that no file system takes.
        """
        if not target or "\0" in target or len(os.fsencode(target)) > LONGEST_PATH:
            raise SourceError(f"{shown(path)} is a link that leads to no path. Put a copy in its place")
        self._add_leaf(path)
        self.links[path] = target

    def add_folder(self, path: str) -> None:
        """Add a folder; one that is there already is no error.

        :raises SourceError: for a path that P(check_path) refuses, or a file or a link in its place or above it.
        """
        self._add_folders(check_path(path))

    def is_file(self, path: str) -> bool:
        """Say whether a regular file was added under this path."""
        return path in self.files

    def is_folder(self, path: str) -> bool:
        """Say whether a folder was added under this path, or something below it."""
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
        :param without: links that are not looked at, as they are not written.
        :raises SourceError: for a link that leaves the tree, goes through a managed link or to the manifest, or never
            ends.
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
    said = f"{shown(path)} is a link"
    reached = path.split("/")[:-1]
    names = target.split("/")[::-1]
    if target.startswith("/"):
        raise SourceError(f"{said} that leaves the source (to {shown(target)}); put a copy in its place")
    followed = 0
    while names:
        name = names.pop()
        if name in ("", "."):
            continue
        if name == "..":
            if not reached:
                raise SourceError(f"{said} that leaves the source (to {shown(target)}); put a copy in its place")
            reached.pop()
            continue
        if name == MANIFEST:
            raise SourceError(f"{said} to {shown(target)}, a release's own manifest; remove it")
        here = "/".join([*reached, name])
        if here in managed:
            raise SourceError(
                f"{said} (to {shown(target)}) through {shown(here)}, which leads to the blog's data or environment in a"
                " release; remove it"
            )
        following = links.get(here)
        if following is None:
            reached.append(name)
            continue
        followed += 1
        if followed > MOST_LINKS:
            raise SourceError(f"{said} (to {shown(target)}) that leads from link to link without an end; remove it")
        if following.startswith("/"):
            raise SourceError(f"{said} that leaves the source (to {shown(target)}); put a copy in its place")
        names += following.split("/")[::-1]
    return "/".join(reached)
