# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Requirements that no server can install, as they were written by and for another computer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import SourceError, shown
from ansible_collections.flaskblog.hosting.plugins.module_utils.venv.causes import OF_THE_SYSTEM, WINDOWS

#: A line that installs from an absolute path, such as C(x @ file:///home/me/x). A build sees /usr and /etc alone.
ELSEWHERE = re.compile(
    r"(?:[\w.-]{1,100}\s{0,9}(?:\[[^\]]{0,100}\])?\s{0,9}@\s{0,9}|-e\s{1,9}|--editable[ =]\s{0,9})?"
    r"(?:file://(?:localhost)?/(?!/?(?:usr|etc)/)|/(?!(?:usr|etc)/)|[A-Za-z]:[\\/])"
)
#: A line whose repository is opened by SSH.
BY_SSH = re.compile(r"git\+(?:ssh://|git@)")
IN_GIT = re.compile(r"(?:^|[\s@=])git\+[a-z]{1,10}://")

#: Lines that a message names.
SHOWN = 5


def check(lines: Sequence[str], file: str) -> None:
    """Check the lines of requirements.

    :param file: for the message.
    :raises SourceError: with the lines and the remedy.
    """
    if found := [line for line in lines if ELSEWHERE.match(line)]:
        raise SourceError(
            f"its {file} names files of the computer that it was written on: {_shown(found)}. Write the name and the"
            " version of each package ('pip list --format=freeze > requirements.txt'; conda's 'pip freeze' writes such"
            " lines), or put the file into the source and write './NAME'"
        )
    if found := [line for line in lines if ";" not in line and _name(line) in WINDOWS]:
        raise SourceError(
            f"its {file} names packages that exist for Windows alone: {_shown(found)}. Remove them, or write"
            f" '{shown(found[0])}; sys_platform == \"win32\"'"
        )
    if found := [line for line in lines if ";" not in line and _name(line) in OF_THE_SYSTEM]:
        raise SourceError(
            f"its {file} names parts of the system that 'pip freeze' ran on, which no package index has:"
            f" {_shown(found)}. Remove them"
        )
    if found := [line for line in lines if BY_SSH.search(line)]:
        raise SourceError(
            f"its {file} names repositories that are opened by SSH, for which the build has no key: {_shown(found)}."
            " Write 'git+https://…' if they are public; otherwise put a copy into the source and write './NAME'"
        )


def needs_git(lines: Iterable[str]) -> bool:
    """Return whether pip needs Git to install some requirements."""
    return any(IN_GIT.search(line) for line in lines)


def _name(line: str) -> str:
    found = re.match(r"[A-Za-z0-9][\w.-]{0,100}", line)
    return found[0].lower().replace("_", "-") if found else ""


def _shown(lines: Sequence[str]) -> str:
    more = f" and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    return ", ".join(f"'{shown(line)}'" for line in lines[:SHOWN]) + more
