# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Write a source below one directory, and nowhere else, through directory descriptors."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator

from ansible_collections.flaskblog.hosting.plugins.module_utils.source.limits import Limits, Meter
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import SourceError, shown
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.tree import Tree

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
BLOCK = 1 << 20


class TreeWriter:
    """Writes files at once, and links when P(lay_links) is called, so that no file can be written through a link.

    Every folder is opened from the one above it without following links. Nothing that exists is ever replaced.
    """

    def __init__(self, descriptor: int, limits: Limits | None = None) -> None:
        """Take a directory; its descriptor stays the caller's to close.

        :param limits: how much may be written; None if the caller has checked it.
        """
        self.tree = Tree()
        self.meter = None if limits is None else Meter(limits, descriptor)
        self._top = descriptor
        #: the folders that are open, from the top down to the one that was used last
        self._open: list[tuple[str, int]] = []

    def __enter__(self) -> TreeWriter:
        """Return the writer itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the folders."""
        self._keep_open(0)

    def write(self, path: str, blocks: Iterable[bytes], program: bool = False) -> None:
        """Write a new file, which only its owner can read until the release is complete.

        :param blocks: the content.
        :raises SourceError: for a path that the tree refuses, or a limit that is exceeded.
        :raises OSError: if it cannot be written.
        """
        self.tree.add_file(path)
        if self.meter:
            self.meter.add_entry(path)
        *folders, name = path.split("/")
        descriptor = os.open(name, NEW_FILE, 0o700 if program else 0o600, dir_fd=self._folder(folders))
        written = 0
        with os.fdopen(descriptor, "wb") as target:
            for block in blocks:
                written += len(block)
                if self.meter:
                    self.meter.check_file(path, written)
                    self.meter.add_bytes(len(block))
                target.write(block)

    def make_folder(self, path: str) -> None:
        """Make a folder, unless it is there.

        :raises SourceError: for a path that the tree refuses.
        """
        known = self.tree.is_folder(path)
        self.tree.add_folder(path)
        if known and self.meter:
            self.meter.add_entry(path)
        self._folder(path.split("/"))

    def add_link(self, path: str, target: str) -> None:
        """Remember a link of the source.

        :raises SourceError: for a path or a target that the tree refuses.
        """
        self.tree.add_link(path, target)
        if self.meter:
            self.meter.add_entry(path)

    def copy(self, path: str, original: str) -> None:
        """Write a file as a copy of one that this writer has written, as for a hard link in an archive.

        :raises SourceError: if there is no such file.
        """
        if not self.tree.is_file(original):
            raise SourceError(f"it holds {shown(path)}, a hard link to {shown(original)}, which is no file before it")
        *folders, name = original.split("/")
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._folder(folders))
        with os.fdopen(descriptor, "rb") as content:
            self.write(path, iter(lambda: content.read(BLOCK), b""), program=bool(os.fstat(descriptor).st_mode & 0o100))

    def lay_links(self, without: Iterable[str] = ()) -> None:
        """Make the remembered links, once all of them were followed in the described tree.

        :param without: links that are not made.
        :raises SourceError: for a link that does not stay in the source.
        """
        left_out = frozenset(without)
        self.tree.check_links(without=left_out)
        for path, target in self.tree.links.items():
            if path not in left_out:
                self.lay(path, target)

    def lay(self, path: str, target: str) -> None:
        """Make one link, such as one to the blog's data, that leads to any place.

        :raises OSError: if a folder above it is a link, or something has its place.
        """
        *folders, name = path.split("/")
        os.symlink(target, name, dir_fd=self._folder(folders))

    def write_private(self, name: str, content: bytes) -> None:
        """Write a new file of the role's own at the top, such as the manifest.

        :raises OSError: if something has its place.
        """
        descriptor = os.open(name, NEW_FILE, 0o600, dir_fd=self._top)
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(content)

    def _folder(self, names: list[str]) -> int:
        """Return the descriptor of a folder, opened or made one below the other."""
        common = 0
        for name, (known, _) in zip(names, self._open, strict=False):
            if name != known:
                break
            common += 1
        self._keep_open(common)
        for name in names[common:]:
            above = self._open[-1][1] if self._open else self._top
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=above)
                if self.meter:
                    self.meter.add_entry("/".join(names))
            self._open.append((name, os.open(name, FOLDER, dir_fd=above)))
        return self._open[-1][1] if self._open else self._top

    def _keep_open(self, count: int) -> None:
        while len(self._open) > count:
            os.close(self._open.pop()[1])


@contextlib.contextmanager
def writer(folder: str, limits: Limits | None = None) -> Iterator[TreeWriter]:
    """Yield a writer below a folder that nobody else can write to."""
    descriptor = os.open(folder, FOLDER)
    try:
        with TreeWriter(descriptor, limits) as found:
            yield found
    finally:
        os.close(descriptor)
