# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Apply a folder's .gitignore files (https://git-scm.com/docs/gitignore) without Git.

A folder must make the same release on every controller, with or without Git. So only the shared .gitignore files count,
not C(.git/info/exclude) and the user's C(core.excludesFile).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.flaskblog.hosting.plugins.module_utils.source.entry import is_below
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import SourceError
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.source import wildmatch

FILE = ".gitignore"

#: Bytes of a .gitignore, and of Git's index, that are read.
LARGEST_FILE = 1 << 18
LARGEST_INDEX = 256 << 20


@dataclass(frozen=True)
class Line:
    """One line of a .gitignore."""

    tokens: list[wildmatch.Token]
    #: C(!) takes back what an earlier line left out
    negated: bool
    #: the line ended with a slash
    directories_only: bool


def parse(line: str) -> Line | None:
    """Read one line; None if it is empty, a comment, or can match nothing."""
    line = _without_trailing_spaces(line)
    if line.startswith("#"):
        return None
    negated = line.startswith("!")
    line = line.removeprefix("!")
    directories_only = line.endswith("/")
    line = line.removesuffix("/")
    # Without a slash inside, it names something at any depth.
    tokens = wildmatch.parse(line.removeprefix("/"), anywhere="/" not in line)
    return Line(tokens, negated, directories_only) if tokens else None


class Lines:
    """All lines of a .gitignore."""

    def __init__(self, lines: Sequence[Line] = ()) -> None:
        """Prepare to match them all at once."""
        self._lines = lines
        self._patterns = wildmatch.Patterns([line.tokens for line in lines])
        self._for_folders = self._patterns.ends(range(len(lines)))
        self._for_files = self._patterns.ends(
            position for position, line in enumerate(lines) if not line.directories_only
        )

    def decide(self, path: str, is_directory: bool) -> bool | None:
        """Return whether a path is ignored; None if no line matches it."""
        if not self._lines:
            return None
        found = self._patterns.matches(path, self._for_folders if is_directory else self._for_files)
        return None if found < 0 else not self._lines[found].negated


def _without_trailing_spaces(line: str) -> str:
    """Take spaces from the end, but for those after a backslash."""
    end = len(line)
    while end and line[end - 1] == " ":
        end -= 1
    backslashes = end - len(line[:end].rstrip("\\"))
    return line[: end + 1] if backslashes % 2 and end < len(line) else line[:end]


def read(path: Path) -> Lines:
    """Read a .gitignore; no lines if there is none.

    :raises SourceError: if it is too large.
    """
    try:
        with path.open("rb") as handle:
            content = handle.read(LARGEST_FILE + 1)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return Lines()
    if len(content) > LARGEST_FILE:
        raise SourceError(f"{path} has more than {LARGEST_FILE >> 10} KiB. Remove it, or shorten it")
    # Git compares bytes, so that "?" is one of the two in an "é".
    text = content.removeprefix(b"\xef\xbb\xbf").decode("latin-1")
    found = (parse(line.removesuffix("\r")) for line in text.split("\n"))
    return Lines([line for line in found if line])


class Ignored:
    """The files that a folder's .gitignore files exclude from a release.

    Files that Git tracks, or that the user includes, are never excluded.
    """

    def __init__(self, source: Path, include: Sequence[str] = ()) -> None:
        """Find the checkout that the source is, or lies in.

        :param include: files and folders, relative to the source, that belong in the release.
        """
        self._source = source.resolve()
        self._include = list(include)
        self._patterns: dict[str, Lines] = {}
        self._folders: dict[str, bool] = {"": False}
        self._tracked: frozenset[str] | None = None
        #: folders above the source, up to the top of its checkout, with the source's path relative to each
        self._above: list[tuple[Lines, str]] = []
        self._checkout = next((folder for folder in (self._source, *self._source.parents) if _is_top(folder)), None)
        if self._checkout:
            above = [folder for folder in self._source.parents if folder.is_relative_to(self._checkout)]
            found = [(read(folder / FILE), self._source.relative_to(folder).as_posix()) for folder in above]
            # A folder that a .gitignore above leaves out, such as build/, stays: the user has named it.
            if not any(self._match(part, found) for part in self._ways()):
                self._above = found

    def _ways(self) -> Iterator[str]:
        """Yield the source and each folder above it inside the checkout, relative to the source: C(.), C(..), ..."""
        for depth in range(len(self._source.relative_to(self._checkout or self._source).parts)):
            yield "/".join([".."] * depth) or "."

    def leaves_out(self, path: str, is_directory: bool) -> bool:
        """Say whether a file, link or folder of the source is left out, with all below it.

        :param path: relative to the source.
        :param is_directory: a link to a folder is none.
        """
        if is_below(path, self._include) or (is_directory and any(is_below(kept, [path]) for kept in self._include)):
            return False
        return self._excluded(path, is_directory) and not self._is_tracked(path, is_directory)

    def _excluded(self, path: str, is_directory: bool) -> bool:
        if path in self._folders:
            return self._folders[path]
        parent = path.rpartition("/")[0]
        result = self._excluded(parent, True) or self._matched(path, is_directory)
        if is_directory:
            self._folders[path] = result
        return result

    def _matched(self, path: str, is_directory: bool) -> bool:
        """Check the .gitignore files, the nearest first; in each, the last line that matches decides."""
        path = path if path.isascii() else os.fsencode(path).decode("latin-1")
        folder = path
        while folder:
            folder = folder.rpartition("/")[0]
            decided = self._of(folder).decide(path[len(folder) + 1 :] if folder else path, is_directory)
            if decided is not None:
                return decided
        for lines, prefix in self._above:
            decided = lines.decide(f"{prefix}/{path}", is_directory)
            if decided is not None:
                return decided
        return False

    def _of(self, folder: str) -> Lines:
        if folder not in self._patterns:
            name = folder if folder.isascii() else os.fsdecode(folder.encode("latin-1"))
            self._patterns[folder] = read(self._source / name / FILE)
        return self._patterns[folder]

    def _match(self, way: str, above: list[tuple[Lines, str]]) -> bool:
        """Say whether the folders above leave out the source, or one of the folders between."""
        for lines, prefix in above:
            relative = os.path.normpath(f"{prefix}/{way}")
            if relative == "." or relative.startswith(".."):
                continue
            decided = lines.decide(relative, True)
            if decided is not None:
                return decided
        return False

    def _is_tracked(self, path: str, is_directory: bool) -> bool:
        if self._tracked is None:
            self._tracked = self._read_index()
        return path in self._tracked or (is_directory and any(name.startswith(f"{path}/") for name in self._tracked))

    def _read_index(self) -> frozenset[str]:
        if not self._checkout:
            return frozenset()
        prefix = self._source.relative_to(self._checkout).as_posix()
        prefix = "" if prefix == "." else f"{prefix}/"
        found = tracked(_git_folder(self._checkout) / "index")
        return frozenset(name.removeprefix(prefix) for name in found if name.startswith(prefix))


def _is_top(folder: Path) -> bool:
    return (folder / ".git" / "HEAD").is_file() or (folder / ".git").is_file()


def _git_folder(checkout: Path) -> Path:
    """Return where Git keeps a checkout's index; a worktree and a submodule name the folder in a file."""
    place = checkout / ".git"
    if place.is_file():
        return checkout / place.read_text(encoding="utf-8", errors="surrogateescape").partition(":")[2].strip()
    return place


def tracked(index: Path) -> list[str]:
    """Return the paths in Git's index (https://git-scm.com/docs/index-format); none if it cannot be read."""
    try:
        with index.open("rb") as handle:
            content = handle.read(LARGEST_INDEX + 1)
        return list(_entries(content)) if len(content) <= LARGEST_INDEX else []
    except (OSError, ValueError, IndexError, struct.error):
        return []


def _entries(content: bytes) -> Iterator[str]:
    signature, version, count = struct.unpack_from(">4sII", content)
    if signature != b"DIRC" or version not in (2, 3, 4):
        raise ValueError("no index that is known")
    position, name = 12, b""
    for _ in range(count):
        # 40 bytes of times, numbers and size; the object's id (SHA-1); flags, and more flags where their bit is set
        (flags,) = struct.unpack_from(">H", content, position + 60)
        start = position + 62 + (2 if flags & 0x4000 else 0)
        if version == 4:
            dropped, start = _offset(content, start)
            end = content.index(b"\0", start)
            name = name[: len(name) - dropped] + content[start:end]
            position = end + 1
        else:
            end = content.index(b"\0", start)
            name = content[start:end]
            position += (end - position + 8) // 8 * 8
        yield os.fsdecode(name)


def _offset(content: bytes, position: int) -> tuple[int, int]:
    """Read a number as packs encode an offset (gitformat-pack(5)); return it and where the next field begins."""
    value = content[position] & 0x7F
    while content[position] & 0x80:
        position += 1
        value = ((value + 1) << 7) | (content[position] & 0x7F)
    return value, position + 1
