"""Find the app's own error in what it wrote: the last line of its first traceback, and the line of code behind it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

#: Characters of one line that are looked at, and of an error in a message.
LINE_LIMIT, ERROR_LIMIT = 2000, 300
#: Lines of the app's own traceback that a message shows.
EXCERPT_LIMIT = 24
#: Groups of exceptions in each other: more are forged, and Python's own stack ends.
DEPTH_LIMIT = 10

#: What journalctl writes before a line (--output=short-iso): time, host, program and process.
JOURNAL = re.compile(r"^\d{4}-\d\d-\d\dT\S+ \S+ (?P<program>[^\s:\[]+)(?:\[(?P<pid>\d+)\])?: ?(?P<text>.*)$")
#: What a traceback, and one of an exception group (PEP 654), starts with; a group's lines have a margin.
HEAD = re.compile(r"^(?:Exception Group )?Traceback \(most recent call last\):$")
MARGIN = re.compile(r"^(?: *[|+](?:-\+?)?)+-* ?")
#: A line of code in a traceback. A syntax error names one without a function, and python(1) prints it without a head.
FRAME = re.compile(r'^  File "(?P<file>[^"\n]+)", line (?P<line>\d+)(?P<function>, in .*)?$')
#: The last line of a traceback: the exception's class, and perhaps a text.
ERROR = re.compile(r"^(?P<name>[A-Za-z_][\w.]*)(?:: (?P<text>.*)|:)?$")
#: Errors whose reason is in the lines that follow.
CONTINUED = re.compile(r":$|\bvalidation errors? for\b")
#: A traceback that follows is the one of the failure: gunicorn's, Flask's and asyncio's loggers write it before.
FAILURE = re.compile(r"Exception in worker process|Exception on \S+ \[\w+\]|Error handling request")
#: Gunicorn's master ends so if a worker failed, which says nothing of the reason.
OF_MASTER = frozenset({"gunicorn.errors.HaltServer"})
#: Links two tracebacks. The first one is the cause, or it was handled, and a library's own is then of no interest.
CHAINED = re.compile(
    r"^(?:(?P<handled>During handling of the above exception)|The above exception was the direct cause)"
)


@dataclass(frozen=True)
class Error:
    """An error of the app: its last line, and the place in the app; an empty text if that is unknown."""

    #: such as C(ModuleNotFoundError: No module named 'yaml')
    text: str
    #: such as C(app.py, line 3)
    place: str = ""
    #: whether the place is in the app's own code
    is_own: bool = False
    #: what the error led to, if the app or a library raised another one for it
    then: str = ""
    #: the lines of the traceback, without those of libraries
    lines: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return one line for people."""
        return f"{self.text}{f' ({self.place})' if self.place else ''}{f'; then {self.then}' if self.then else ''}"

    def followed_by(self, error: Error, *, handled: bool) -> Error:
        """Return this error as the cause of another one, or the other one alone if a library handled this one."""
        if handled and not self.is_own:
            return error
        message = self.text.partition(": ")[2] or self.text
        place = error if error.is_own and not self.is_own else self
        return replace(
            self,
            place=place.place,
            is_own=place.is_own,
            then="" if message in error.text else error.text,
            lines=(*self.lines, *error.lines)[-EXCERPT_LIMIT:],
        )


def first_error(output: str, folder: str = "") -> Error | None:
    """Return the app's first error.

    :param output: lines of a program, or of the journal with the output of several workers; they may be forged.
    :param folder: the directory of all releases: a line of code below it is the app's own.
    """
    found: Error | None = None
    for lines in _by_process(output.split("\n")):
        for is_failure, error in _errors(lines, folder):
            if is_failure:
                return error
            found = found or error
    return found


def _by_process(lines: Iterable[str]) -> list[list[str]]:
    """Return the lines of each process, without the journal's prefix, in the order of their first lines."""
    processes: dict[str, list[str]] = {}
    for line in lines:
        line = line[:LINE_LIMIT].rstrip()
        match = JOURNAL.match(line)
        if match and match["program"] == "systemd":
            continue
        processes.setdefault(match["pid"] or "" if match else "", []).append(match["text"] if match else line)
    return list(processes.values())


def _errors(lines: list[str], folder: str) -> Iterator[tuple[bool, Error]]:
    """Yield each error with whether its traceback is that of the failure; a chain of errors is one."""
    is_failure, number = False, 0
    chained: re.Match[str] | None = None
    waiting: tuple[bool, Error] | None = None
    while number < len(lines):
        line = _plain(lines[number])
        frame = FRAME.match(line)
        if not HEAD.match(line) and (not frame or frame["function"]):
            is_failure = is_failure or bool(FAILURE.search(line))
            chained = chained or CHAINED.match(line)
            number += 1
            continue
        error, number = _read(lines, number, folder)
        if error and waiting and chained:
            waiting = waiting[0], waiting[1].followed_by(error, handled=bool(chained["handled"]))
        elif error:
            if waiting:
                yield waiting
            waiting = is_failure, error
        is_failure, chained = False, None
    if waiting:
        yield waiting


def _plain(line: str) -> str:
    """Return a line without the margin of an exception group."""
    return MARGIN.sub("", line) if line.lstrip().startswith(("|", "+")) else line


def _read(lines: list[str], number: int, folder: str, depth: int = 0) -> tuple[Error | None, int]:
    """Read one traceback; return its error and the number of the line after it.

    :param depth: the number of groups around it.
    """
    begin, own, last = number, "", ""
    kept: list[str] = []
    is_own = True
    number += bool(HEAD.match(_plain(lines[number])))
    while number < len(lines):
        line = _plain(lines[number])
        if frame := FRAME.match(line):
            place = _own_place(frame["file"], folder)
            is_own = bool(place)
            if place:
                own = f"{place}, line {frame['line']}"
            last = f"{frame['file']}, line {frame['line']}"
        if not line.startswith(" ") and line:
            break
        if is_own and line:
            kept.append(line)
        number += 1
    match = ERROR.match(_plain(lines[number])) if number < len(lines) else None
    if not match or number == begin or match["name"] in OF_MASTER:
        return None, max(number, begin + 1)
    text, number = _plain(lines[number]), number + 1
    kept.append(text)
    if "sub-exception" in text and depth < DEPTH_LIMIT:
        inner, number = _inner(lines, number, folder, depth + 1)
        if inner:
            text, own = f"{text}: {inner.text}", own or inner.place
            kept += inner.lines
    elif CONTINUED.search(text):
        for line in lines[number : number + 2]:
            if not line.strip() or line.startswith("[") or HEAD.match(line):
                break
            text, number = f"{text} {line.strip()}", number + 1
            kept.append(line)
    return Error(text[:ERROR_LIMIT], own or _short(last), bool(own), lines=tuple(kept[-EXCERPT_LIMIT:])), number


def _inner(lines: list[str], number: int, folder: str, depth: int) -> tuple[Error | None, int]:
    """Read the first exception of a group; one without a traceback is its last line alone."""
    while number < len(lines) and lines[number].lstrip().startswith(("|", "+")):
        line = _plain(lines[number])
        if HEAD.match(line):
            return _read(lines, number, folder, depth)
        if line and ERROR.match(line) and not set(line) <= set("-0123456789 "):
            return Error(line, lines=(line,)), number + 1
        number += 1
    return None, number


def _own_place(file: str, folder: str) -> str:
    """Return a file's path in the release; an empty text if it is not the app's own."""
    if not file.startswith("/"):
        return "" if file.startswith("<") else file
    if not folder or not file.startswith(f"{folder}/"):
        return ""
    path = file.removeprefix(f"{folder}/").partition("/")[2]
    return "" if "/site-packages/" in path or path.startswith("venv/") or "/venv/" in path else path


def _short(place: str) -> str:
    """Return a place outside the app without the folders that everybody knows."""
    return place.rpartition("/site-packages/")[2] or place
