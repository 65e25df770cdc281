"""blogctl complete: called by the shells for the Tab key. The words that may come next follow from the grammar."""

from __future__ import annotations

import argparse
import contextlib
import os
from pathlib import Path

from .. import site as site_module
from ..errors import OperationError
from ..site import Site, load
from . import NAMES, load_all
from .grammar import parser, subparsers

#: Each site has its releases in /opt/NAME/releases; everybody may read the names.
RELEASES = Path("/opt")


def complete(words: list[str]) -> list[str]:
    """Return the candidates for the last word.

    There is no error: names that cannot be read, as without root, are not offered.

    :param words: the words after C(blogctl), at least one; the last one, perhaps empty, is completed.
    """
    # bash splits --site=NAME at the "=".
    before, word = [one for one in words[:-1] if one != "="], "" if words[-1] == "=" else words[-1]
    line = _Line(before)
    with contextlib.suppress(OperationError, OSError, ValueError):
        return sorted(one for one in line.candidates(word) if one.startswith(word))
    return []


class _Line:
    """The words before the one to complete."""

    def __init__(self, before: list[str]) -> None:
        commands = load_all()
        self.commands = {command.name: command for command in commands}
        self.parser: argparse.ArgumentParser = parser(commands)
        self.command = ""
        self.site = os.environ.get("BLOGCTL_SITE")
        self.waiting: argparse.Action | None = None
        self.positionals = 0
        self.after_dashes: int | None = None
        for word in before:
            self._read(word)

    def _read(self, word: str) -> None:
        if self.after_dashes is not None:
            self.after_dashes += 1
        elif self.waiting:
            if self.waiting.dest == "site":
                self.site = word
            self.waiting = None
        elif word == "--":
            self.after_dashes = 0
        elif word.startswith("-"):
            option, _, value = word.partition("=")
            action = self.parser._option_string_actions.get(option)
            if action and value and action.dest == "site":
                self.site = value
            elif action and action.nargs != 0 and not value:
                self.waiting = action
        elif not self.command:
            self.command = word
            self.parser = subparsers(self.parser).get(word, argparse.ArgumentParser(add_help=False))
        else:
            self.positionals += 1

    def candidates(self, word: str) -> list[str]:
        """Return everything that may stand here."""
        command = self.commands.get(self.command)
        if self.after_dashes is not None:
            programs = command.complete_program if command else None
            return programs(self._site()) if programs and self.after_dashes == 0 else []
        if self.waiting:
            return _sites() if self.waiting.dest == "site" else []
        if word.startswith("-"):
            options = [one for one in self.parser._option_string_actions if one.startswith("--")]
            return [*options, "--"] if command and command.complete_program else options
        if not self.command:
            return list(NAMES)
        if self.positionals:
            return []
        if command and command.complete:
            return command.complete(self._site())
        choices = [action.choices for action in self.parser._actions if not action.option_strings and action.choices]
        return [str(one) for one in choices[0]] if choices else []

    def _site(self) -> Site:
        """Return the site that was named or is the only one; without root, what everybody may know of it."""
        try:
            return load(self.site)
        except OperationError:
            names = _sites()
            name = self.site or (names[0] if len(names) == 1 else "")
            root = RELEASES / name
            return Site({"name": name, "root": root, "releases": root / "releases", "link": f"/var/www/{name}"})


def _sites() -> list[str]:
    named = {path.parent.name for path in site_module.CONFIGURATION.glob("*/site.json")}
    return sorted(named or {path.parent.name for path in RELEASES.glob("*/releases")})
