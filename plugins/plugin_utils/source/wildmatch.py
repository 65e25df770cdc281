# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Match a path against all patterns of a .gitignore at once, in time proportional to both lengths (gitignore(5)).

A regular expression with several stars backtracks: six C(*a) and a C(*b) took 67 s. Here a pattern is a sequence of
tokens. The set of all places between tokens that the path so far can lead to is kept as the bits of one number, so no
place is visited twice for a character.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

#: What [[:alpha:]] and the others stand for (ctype.h in the C locale): first and last character of each range.
CLASSES: dict[str, tuple[str, ...]] = {
    "alnum": ("09", "AZ", "az"),
    "alpha": ("AZ", "az"),
    "blank": ("  ", "\t\t"),
    "cntrl": ("\x00\x1f", "\x7f\x7f"),
    "digit": ("09",),
    "graph": ("!~",),
    "lower": ("az",),
    "print": (" ~",),
    "punct": ("!/", ":@", "[`", "{~"),
    "space": ("  ", "\t\r"),
    "upper": ("AZ",),
    "xdigit": ("09", "AF", "af"),
}

#: All characters of a path, which are bytes.
NO_SLASH = frozenset(map(chr, range(256))) - {"/"}
#: A pattern that wants more characters than a path has cannot match. (PATH_MAX of Linux.)
LONGEST = 4096


@dataclass(frozen=True)
class Step:
    """One character of the path."""

    taken: frozenset[str]


@dataclass(frozen=True)
class Loop:
    """Any number of characters, slashes among them or not."""

    slashes: bool


@dataclass(frozen=True)
class Folders:
    """Any number of whole folders, each with its slash."""


Token = Step | Loop | Folders


class _Bits(dict[str, bytearray]):
    """Sets of places by name, built in time proportional to their number: C(number |= bit) copies it each time."""

    def __init__(self, places: int) -> None:
        super().__init__()
        self._size = places // 8 + 1

    def add(self, name: str, place: int) -> None:
        found = self.get(name)
        if found is None:
            found = self[name] = bytearray(self._size)
        found[place >> 3] |= 1 << (place & 7)

    def number(self, name: str) -> int:
        return int.from_bytes(self.get(name, b""), "little")


class Patterns:
    """The patterns of one file. The last one that matches is the one that counts."""

    def __init__(self, patterns: Sequence[Sequence[Token]]) -> None:
        """Give each place between two tokens a bit, pattern after pattern."""
        self._size = sum(2 * len(tokens) + 1 for tokens in patterns)
        #: the place at the end of each pattern, in their order
        self._ends: list[int] = []
        moves, other = _Bits(self._size), _Bits(self._size)
        place = 0
        for tokens in patterns:
            other.add("starts", place)
            for token in tokens:
                place = _lay(token, place, moves, other)
            self._ends.append(place)
            place += 1
        #: places that a character moves on to the next one; C(any) for all but the slash
        self._moves = {character: moves.number(character) for character in moves}
        self._any = other.number("any")
        #: places that a character, and a slash, leaves as they are
        self._stays, self._stays_at_slash = other.number("stays"), other.number("stays at slash")
        #: places that lead to the next one, and to the one after it, without a character
        self._free, self._skips = other.number("free"), other.number("skips")
        self._start = self._spread(other.number("starts"))
        #: the last folder that was matched, and the places that it leads to
        self._last = ("", self._start)

    def ends(self, chosen: Iterable[int]) -> int:
        """Return the set that P(matches) takes, for some of the patterns by their position."""
        bits = _Bits(self._size)
        for position in chosen:
            bits.add("ends", self._ends[position])
        return bits.number("ends")

    def matches(self, path: str, among: int) -> int:
        """Return the position of the last pattern that describes all of a path, or -1.

        :param path: Latin-1 text of its bytes.
        :param among: the patterns that count, from P(ends).
        """
        folder, slash, name = path.rpartition("/")
        if self._last[0] != folder + slash:
            self._last = (folder + slash, self._reached(self._start, folder + slash))
        found = self._reached(self._last[1], name) & among
        return bisect.bisect_left(self._ends, found.bit_length() - 1) if found else -1

    def _reached(self, places: int, text: str) -> int:
        for character in text:
            if not places:
                break
            slash = character == "/"
            moves = self._moves.get(character, 0) | (0 if slash else self._any)
            stays = self._stays_at_slash if slash else self._stays
            places = self._spread(places & stays | (places & moves) << 1)
        return places

    def _spread(self, places: int) -> int:
        """Add the places that some lead to without another character."""
        added = places
        while added := (((added & self._free) << 1) | ((added & self._skips) << 2)) & ~places:
            places |= added
        return places


def _lay(token: Token, place: int, moves: _Bits, other: _Bits) -> int:
    """Lay a token at a place; return the place that follows."""
    if isinstance(token, Step):
        if token.taken == NO_SLASH:
            other.add("any", place)
        else:
            for character in token.taken:
                moves.add(character, place)
        return place + 1
    other.add("free", place)
    if isinstance(token, Loop):
        other.add("stays", place)
        if token.slashes:
            other.add("stays at slash", place)
        return place + 1
    # No folder at all; or a place that takes every character, and is left with a slash.
    other.add("skips", place)
    other.add("stays", place + 1)
    other.add("stays at slash", place + 1)
    moves.add("/", place + 1)
    return place + 2


def parse(glob: str, anywhere: bool) -> list[Token] | None:
    """Read a pattern of gitignore(5) without its slashes at both ends; None if it is empty, or can match nothing.

    :param anywhere: it describes a name, in any folder.
    """
    tokens: list[Token] = [Folders()] if anywhere else []
    begun, position = len(tokens), 0
    while position < len(glob):
        found = _token(glob, position)
        if found is None:
            return None
        token, position = found
        # A row of the same loops means one of them.
        if isinstance(token, Step) or not tokens or tokens[-1] != token:
            tokens.append(token)
    if len(tokens) == begun or sum(isinstance(token, Step) for token in tokens) > LONGEST:
        return None
    return tokens


def _token(glob: str, position: int) -> tuple[Token, int] | None:
    """Read one token, and say where the next one begins; None if it is malformed."""
    character = glob[position]
    if character == "*":
        end = position
        while glob[end : end + 1] == "*":
            end += 1
        return _stars(glob, position, end)
    if character == "?":
        return Step(NO_SLASH), position + 1
    if character == "[":
        bracket = _bracket(glob, position + 1)
        return (Step(bracket[0]), bracket[1]) if bracket else None
    if character == "\\":
        position += 1
        if position == len(glob):
            return None
    return Step(frozenset(glob[position])), position + 1


def _stars(glob: str, start: int, end: int) -> tuple[Token, int]:
    """Read a run of stars: two or more between slashes stand for any number of folders."""
    whole = end - start > 1 and (start == 0 or glob[start - 1] == "/") and glob[end : end + 1] in ("", "/")
    if not whole:
        return Loop(slashes=False), end
    return (Loop(slashes=True), end) if end == len(glob) else (Folders(), end + 1)


def _bracket(glob: str, position: int) -> tuple[frozenset[str], int] | None:
    """Read what follows C([); None if it is not closed, or names an unknown class."""
    negated = glob[position : position + 1] in ("!", "^")
    position += negated
    start, taken = position, set[str]()
    while position < len(glob) and (glob[position] != "]" or position == start):
        if glob.startswith("[:", position):
            end = glob.find(":]", position)
            if end < 0 or (name := glob[position + 2 : end]) not in CLASSES:
                return None
            for ends in CLASSES[name]:
                taken.update(_range(ends[0], ends[1]))
            position = end + 2
            continue
        first, position = _member(glob, position)
        last = first
        if glob[position : position + 1] == "-" and glob[position + 1 : position + 2] not in ("", "]"):
            last, position = _member(glob, position + 1)
        # A range that runs backwards still has its first character.
        taken.update(_range(first, max(first, last)))
    if position >= len(glob):
        return None
    return frozenset(NO_SLASH - taken if negated else taken - {"/"}), position + 1


def _range(first: str, last: str) -> Iterator[str]:
    return map(chr, range(ord(first), ord(last) + 1))


def _member(glob: str, position: int) -> tuple[str, int]:
    """Return a character of a bracket, freed of its backslash, and where the next one begins."""
    position += glob[position] == "\\" and position + 1 < len(glob)
    return glob[position], position + 1
