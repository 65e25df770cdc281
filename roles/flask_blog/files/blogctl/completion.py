"""What may come next on a command line that is being typed: for the shell's Tab key.

The shells' own files know nothing: they ask here, and so never fall behind the grammar.
"""

from __future__ import annotations

import argparse
import contextlib
import os
from pathlib import Path

from . import site as site_module
from .grammar import COMMANDS, parser, subparsers
from .operations import History
from .release import release_of
from .site import OperationError, Site, app_folder, is_whole, live_target, load

#: Each site has its releases in /opt/NAME/releases; the names are readable for everybody.
RELEASES = Path("/opt")


def complete(words: list[str]) -> list[str]:
    """Return what the last word may become.

    Nothing is an error: where something cannot be read, as without root, it is not offered.

    :param words: what was typed after C(blogctl), at least one; the last, perhaps an empty one, is to be completed.
    """
    # bash takes --site=NAME apart at the "=".
    before, word = [one for one in words[:-1] if one != "="], "" if words[-1] == "=" else words[-1]
    state = _Read(parser(), before)
    with contextlib.suppress(OperationError, OSError, ValueError):
        return sorted(one for one in state.candidates(word) if one.startswith(word))
    return []


class _Read:
    """What the words before the one to complete say."""

    def __init__(self, top: argparse.ArgumentParser, before: list[str]) -> None:
        self.parser = top
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
        """Return all that may stand here."""
        if self.after_dashes is not None:
            return self._programs() if self.command == "run" and self.after_dashes == 0 else []
        if self.waiting:
            return _sites() if self.waiting.dest == "site" else []
        if word.startswith("-"):
            options = [one for one in self.parser._option_string_actions if one.startswith("--")]
            return [*options, "--"] if self.command == "run" else options
        if not self.command:
            return list(COMMANDS)
        if self.positionals:
            return []
        if self.command in ("activate", "rollback"):
            return self._releases()
        if self.command == "run":
            return ["--"]
        choices = [action.choices for action in self.parser._actions if not action.option_strings and action.choices]
        return [str(one) for one in choices[0]] if choices else []

    def _open(self) -> Site:
        """Return the site that was named or is the only one; without root, what can be known of it."""
        try:
            return load(self.site)
        except OperationError:
            names = _sites()
            name = self.site or (names[0] if len(names) == 1 else "")
            root = RELEASES / name
            return Site({"name": name, "root": root, "releases": root / "releases", "link": f"/var/www/{name}"})

    def _releases(self) -> list[str]:
        found = self._open()
        live = release_of(found, live_target(found))
        folders = [path.name for path in found.path("releases").iterdir() if is_whole(path.name)]
        # Only root may read which of them are good.
        with contextlib.suppress(PermissionError):
            if self.command == "rollback":
                good = History.of(found).good
                folders = [name for name in folders if name in good]
        return [name for name in folders if name != live]

    def _programs(self) -> list[str]:
        found = self._open()
        live = release_of(found, live_target(found))
        return os.listdir(app_folder(found, live) / "venv" / "bin") if live else []


def _sites() -> list[str]:
    named = {path.parent.name for path in site_module.CONFIGURATION.glob("*/site.json")}
    return sorted(named or {path.parent.name for path in RELEASES.glob("*/releases")})
