# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a folder's .gitignore files leave out (https://git-scm.com/docs/gitignore), read without Git.

The same folder must make the same release on every controller, with or without Git. So only the .gitignore files count,
which everybody shares, and not C(.git/info/exclude) and the user's own C(core.excludesFile).
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.flaskblog.hosting.plugins.module_utils.releases import is_below

FILE = ".gitignore"

#: What [[:alpha:]] and the others stand for (ctype.h in the C locale), as ranges for a regular expression.
CLASSES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "blank": " \\t",
    "cntrl": "\\x00-\\x1f\\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": "!-/:-@\\[-`{-~",
    "space": " \\t-\\r",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}


@dataclass(frozen=True)
class Pattern:
    """One line of a .gitignore."""

    matcher: re.Pattern[str]
    #: C(!) takes back what an earlier line left out
    negated: bool
    #: the line ended with a slash
    directories_only: bool
    #: without a slash inside, it names something at any depth
    anchored: bool


def parse(line: str) -> Pattern | None:
    """Read one line; None where it is empty, a comment, or can match nothing."""
    line = _without_trailing_spaces(line)
    if line.startswith("#"):
        return None
    negated = line.startswith("!")
    line = line.removeprefix("!")
    directories_only = line.endswith("/")
    line = line.removesuffix("/")
    anchored = "/" in line
    expression = _translated(line.removeprefix("/"))
    if not expression:
        return None
    return Pattern(re.compile(expression, re.DOTALL), negated, directories_only, anchored)


def _without_trailing_spaces(line: str) -> str:
    """Take spaces from the end, but for those after a backslash."""
    end = len(line)
    while end and line[end - 1] == " ":
        end -= 1
    backslashes = end - len(line[:end].rstrip("\\"))
    return line[: end + 1] if backslashes % 2 and end < len(line) else line[:end]


def _translated(glob: str) -> str | None:
    """Return a regular expression for a pattern of gitignore(5), or None where it is malformed and matches nothing."""
    parts: list[str] = []
    position = 0
    while position < len(glob):
        character = glob[position]
        if character == "*":
            end = position
            while glob[end : end + 1] == "*":
                end += 1
            part, position = _stars(glob, position, end)
        elif character == "?":
            part, position = "[^/]", position + 1
        elif character == "[":
            bracket = _bracket(glob, position + 1)
            if bracket is None:
                return None
            part, position = bracket
        elif character == "\\":
            if position + 1 == len(glob):
                return None
            part, position = re.escape(glob[position + 1]), position + 2
        else:
            part, position = re.escape(character), position + 1
        parts.append(part)
    return "".join(parts)


def _stars(glob: str, start: int, end: int) -> tuple[str, int]:
    """Translate a run of stars: two or more between slashes stand for any number of folders."""
    whole = end - start > 1 and (start == 0 or glob[start - 1] == "/") and glob[end : end + 1] in ("", "/")
    if not whole:
        return "[^/]*", end
    return ("(?:.*/)?", end + 1) if end < len(glob) else (".*", end)


def _bracket(glob: str, position: int) -> tuple[str, int] | None:
    """Translate what follows C([); None where it is not closed, or names an unknown class."""
    negated = glob[position : position + 1] in ("!", "^")
    position += negated
    start, ranges = position, list[str]()
    while position < len(glob) and (glob[position] != "]" or position == start):
        if glob.startswith("[:", position):
            end = glob.find(":]", position)
            if end < 0 or (name := glob[position + 2 : end]) not in CLASSES:
                return None
            ranges.append(CLASSES[name])
            position = end + 2
            continue
        first, position = _member(glob, position)
        last = first
        if glob[position : position + 1] == "-" and glob[position + 1 : position + 2] not in ("", "]"):
            last, position = _member(glob, position + 1)
        # A range that runs backwards still has its first character.
        ranges.append(f"{re.escape(first)}-{re.escape(max(first, last))}")
    if position >= len(glob):
        return None
    return f"(?!/)[{'^' if negated else ''}{''.join(ranges)}]", position + 1


def _member(glob: str, position: int) -> tuple[str, int]:
    """Return a character of a bracket, freed of its backslash, and where the next one begins."""
    position += glob[position] == "\\" and position + 1 < len(glob)
    return glob[position], position + 1


def read(path: Path) -> list[Pattern]:
    """Read a .gitignore; an empty list where there is none."""
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return []
    # Git compares bytes, so that "?" is one of the two in an "é".
    text = content.removeprefix(b"\xef\xbb\xbf").decode("latin-1")
    found = (parse(line.removesuffix("\r")) for line in text.split("\n"))
    return [pattern for pattern in found if pattern]


class Ignored:
    """What a folder's .gitignore files leave out of a release.

    Two things stay although a line matches them: what Git tracks all the same, and what the user includes.
    """

    def __init__(self, source: Path, include: Sequence[str] = ()) -> None:
        """Find the checkout that the source is, or lies in.

        :param include: files and folders, relative to the source, that belong in the release.
        """
        self._source = source.resolve()
        self._include = list(include)
        self._patterns: dict[str, list[Pattern]] = {}
        self._folders: dict[str, bool] = {"": False}
        self._tracked: frozenset[str] | None = None
        #: folders above the source, up to the top of its checkout, with the source's path relative to each
        self._above: list[tuple[list[Pattern], str]] = []
        self._checkout = next((folder for folder in (self._source, *self._source.parents) if _is_top(folder)), None)
        if self._checkout:
            above = [folder for folder in self._source.parents if folder.is_relative_to(self._checkout)]
            found = [(read(folder / FILE), self._source.relative_to(folder).as_posix()) for folder in above]
            # A folder that its surroundings leave out, such as build/, was named by the user all the same.
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
        """Ask the .gitignore files, the nearest first; in each, the last line that matches decides."""
        path = path if path.isascii() else os.fsencode(path).decode("latin-1")
        folder = path
        while folder:
            folder = folder.rpartition("/")[0]
            decided = _decide(self._of(folder), path[len(folder) + 1 :] if folder else path, is_directory)
            if decided is not None:
                return decided
        for patterns, prefix in self._above:
            decided = _decide(patterns, f"{prefix}/{path}", is_directory)
            if decided is not None:
                return decided
        return False

    def _of(self, folder: str) -> list[Pattern]:
        if folder not in self._patterns:
            name = folder if folder.isascii() else os.fsdecode(folder.encode("latin-1"))
            self._patterns[folder] = read(self._source / name / FILE)
        return self._patterns[folder]

    def _match(self, way: str, above: list[tuple[list[Pattern], str]]) -> bool:
        """Say whether the folders above leave out the source, or one of the folders between."""
        for patterns, prefix in above:
            relative = os.path.normpath(f"{prefix}/{way}")
            if relative == "." or relative.startswith(".."):
                continue
            decided = _decide(patterns, relative, True)
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


def _decide(patterns: Sequence[Pattern], path: str, is_directory: bool) -> bool | None:
    name = path.rpartition("/")[2]
    for pattern in reversed(patterns):
        if pattern.directories_only and not is_directory:
            continue
        if pattern.matcher.fullmatch(path if pattern.anchored else name):
            return not pattern.negated
    return None


def _is_top(folder: Path) -> bool:
    return (folder / ".git" / "HEAD").is_file() or (folder / ".git").is_file()


def _git_folder(checkout: Path) -> Path:
    """Return where Git keeps a checkout's index; a worktree and a submodule name the folder in a file."""
    place = checkout / ".git"
    if place.is_file():
        return checkout / place.read_text(encoding="utf-8", errors="surrogateescape").partition(":")[2].strip()
    return place


def tracked(index: Path) -> list[str]:
    """Return the paths in Git's index (https://git-scm.com/docs/index-format); none where it cannot be read."""
    try:
        return list(_entries(index.read_bytes()))
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
