"""The commands of blogctl, one file for each. A command is imported only if it runs, or if all of them are listed."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .command import Command

#: The commands, in the order of the help.
NAMES = (
    *("status", "doctor", "releases", "activate", "rollback", "rebuild", "backup", "backups", "restore", "prove"),
    *("certificate", "maintenance", "logs", "run", "notify", "help"),
)

#: Called by systemd, not by people: the help does not list them.
HIDDEN = ("prepare-start", "recover", "notify-check", "notify-ping", "notify-report")


def load(name: str) -> Command:
    """Import a command by its name."""
    module = importlib.import_module(f".{name.replace('-', '_')}", __name__)
    command: Command = module.COMMAND
    return command


def load_all() -> list[Command]:
    """Import all commands but the hidden ones."""
    return [load(name) for name in NAMES]


def command_on(arguments: list[str]) -> str | None:
    """Return the command that a command line names; None if it is not clear, or another part has to be read first."""
    rest = iter(arguments)
    for word in rest:
        if word == "--site":
            next(rest, None)
        elif word != "--json" and not word.startswith("--site="):
            return word if word in (*NAMES, *HIDDEN) else None
    return None
