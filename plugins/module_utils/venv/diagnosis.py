# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Find the first error in the output of pip, the package that it is about, and the remedy.

The output is untrusted and has no end: it is read line by line, with limits, and only the first error is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from . import causes

#: Characters of a line that are looked at, at its beginning and at its end: pip lists all versions in one line.
BEGINNING, END = 1000, 200

#: Characters of a first error that are shown.
SHOWN = 300

#: Names the package that is being worked on.
PACKAGE = re.compile(
    r"^(?:Collecting|\s{0,2}Building wheel for|ERROR: Failed building wheel for)"
    r" ([A-Za-z0-9][\w.-]{0,80})"
)

#: Looks like an error, for what is in no table.
ERROR = re.compile(r"^\s*(?:ERROR|[Ee]rror|fatal|.{1,200}: (?:fatal )?error|[\w.]{0,80}(?:Error|Exception|Exit)): ?\S")
#: pip's own words around a package's error, and what it says of every one.
AROUND = re.compile(
    r"subprocess-exited-with-error|metadata-generation-failed|legacy-install-failure|Failed (?:building|to build)"
    r"|^ERROR: Exception:|^ERROR: Ignored the following"
)

#: The program's own line before it installs what a project depends on, in place of the project.
AGAIN = "; trying without the project itself"

FROM_VERSIONS = re.compile(r"\(from versions: (.{0,1300}?)\)?$")


class Diagnosis:
    """The first error of a build, found while its output is read."""

    def __init__(self) -> None:
        """Start with an empty output."""
        self._begin()

    def _begin(self) -> None:
        self._package = ""
        self._cause: causes.Cause | None = None
        self._hint: tuple[causes.Cause, str] | None = None
        self._found = ""
        self._error = ""
        self._newest = ""

    def read(self, line: str) -> None:
        """Take the next line of the output."""
        if line.endswith(AGAIN):
            self._begin()
            return
        if self._cause:
            return
        if len(line) > BEGINNING + END:
            line = f"{line[:BEGINNING]} … {line[-END:]}"
        if package := PACKAGE.match(line):
            self._package = package[1]
        if versions := FROM_VERSIONS.search(line):
            self._newest = versions[1].rpartition(" ")[2]
        for cause in causes.CAUSES:
            if match := cause.pattern.search(line):
                found = next((group for group in match.groups() if group), "")
                if cause.is_hint:
                    self._hint = self._hint or (cause, found)
                    return
                self._cause, self._found = cause, found
                self._error = line.strip()
                return
        if not self._error and ERROR.match(line) and not AROUND.search(line):
            self._error = line.strip()

    def explain(self) -> str:
        """Return the first error, with its package, its meaning and the remedy; empty if there is none."""
        if not self._error:
            return ""
        cause, found = self._cause, self._found
        package = "" if cause and cause.is_general else self._package
        if cause and "No matching distribution" in cause.pattern.pattern:
            package = re.split(r"[<>=!~\[;@]", found)[0]
            if package.lower() in causes.WINDOWS:
                return (
                    f"{package} exists for Windows alone. Remove it from the requirements, or write"
                    f" '{found}; sys_platform == \"win32\"'."
                )
            if self._hint:
                cause, found = self._hint
            elif self._newest not in ("", "none"):
                return f"The package index has no {found}; the newest version for this Python is {self._newest}."
        elif cause is None and self._hint:
            cause, found = self._hint
        head = f"{package or 'The requirements'} cannot be installed: {self._error[:SHOWN]}"
        return "\n".join([head, *_advice(cause, found, package)])


def _advice(cause: causes.Cause | None, found: str, package: str) -> list[str]:
    """Return the lines with a cause's meaning and the remedy."""
    if cause is None:
        return []
    name = package.lower()
    debian, remedy = set(cause.packages), cause.remedy
    if "apt-file" in remedy and (known := _package_of(found)):
        debian, remedy = {known}, ""
    if debian - {"git"}:
        debian |= {*causes.COMPILER, *causes.NEEDED.get(name, ())}
    lines = [cause.meaning.replace("{0}", found)]
    if debian:
        names = " ".join(sorted(debian))
        lines.append(f"Install on the server what it needs, and run again: apt install {names}")
    if remedy:
        lines.append(remedy.replace("{0}", found))
    if debian and (instead := causes.INSTEAD.get(name)):
        lines.append(instead)
    return lines


def _package_of(found: str) -> str:
    """Return the Debian package of a header or a library; empty if it is not known."""
    headers = (package for start, package in causes.HEADERS.items() if found.endswith(".h") and found.startswith(start))
    return next(headers, causes.LIBRARIES.get(found, ""))


def explain(lines: Iterable[str]) -> str:
    """Return the first error in an output, with its meaning and the remedy; empty if there is none."""
    diagnosis = Diagnosis()
    for line in lines:
        diagnosis.read(line)
    return diagnosis.explain()
