"""The grammar of blogctl's command line, from what the commands register, and the help from the same source."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from . import reference
from .command import Command

#: Columns of the help.
WIDTH = 110


class BadCommandLine(Exception):
    """The command line is wrong; the message says why, C(usage) shows the right one."""

    def __init__(self, message: str, usage: str) -> None:
        super().__init__(message)
        self.usage = usage


class Parser(argparse.ArgumentParser):
    """A parser that raises its errors, so that they can be printed as JSON."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of exiting.

        :raises BadCommandLine: always.
        """
        raise BadCommandLine(message, self.format_usage())


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help with room for the longest command's name."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=17, width=WIDTH)


def parser(commands: Iterable[Command]) -> Parser:
    """Return the parser of a command line with some commands.

    :param commands: all of them for the help; the one on the command line is enough to parse it.
    """
    commands = list(commands)
    top = Parser(
        prog="blogctl",
        description="\n\n".join(map(_filled, reference.DESCRIPTION)),
        epilog=_epilog(commands),
        parents=[_common(suppress=False)],
        formatter_class=_Help,
        usage="\n       ".join(reference.USAGE),
    )
    found = top.add_subparsers(dest="command", required=True, metavar="COMMAND", title="commands", prog="blogctl")
    common = _common(suppress=True)
    for command in commands:
        one = found.add_parser(
            command.name,
            help=command.summary,
            description=_filled(sentences_of(command)),
            epilog=_command_epilog(command),
            parents=[common],
            formatter_class=_Help,
            usage=command.usage,
        )
        command.arguments(one)
    return top


def sentences_of(command: Command) -> str:
    """Return a command's summary and description as sentences."""
    return f"{command.summary[0].upper()}{command.summary[1:]}. {command.description}"


def statuses_of(commands: Iterable[Command]) -> dict[int, str]:
    """Return the exit statuses of all commands; those of single commands begin with their names."""
    found = dict(reference.STATUSES)
    names: dict[int, list[str]] = {}
    for command in commands:
        for status, meaning in command.statuses.items():
            names.setdefault(status, []).append(command.name)
            found[status] = f"{', '.join(names[status])}: {meaning}"
    return dict(sorted(found.items()))


def subparsers(top: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return each command's parser."""
    (action,) = [one for one in top._actions if isinstance(one, argparse._SubParsersAction)]
    return dict(action.choices)


def _common(suppress: bool) -> Parser:
    """Return the options that may stand before a command or after it.

    :param suppress: an option that is not given after the command leaves the value from before it.
    """
    parent = Parser(add_help=False)
    default: dict[str, Any] = {"default": argparse.SUPPRESS} if suppress else {}
    parent.add_argument("--site", metavar="NAME", help="the site to work on; needed if the host has several", **default)
    parent.add_argument(
        "--json",
        action="store_true",
        help="print the result as one JSON object on stdout, an error as one on stderr",
        **default,
    )
    return parent


def _filled(text: str) -> str:
    return textwrap.fill(text, WIDTH)


def _epilog(commands: list[Command]) -> str:
    statuses = {str(status): meaning for status, meaning in statuses_of(commands).items()}
    parts = [
        f"exit status:\n{_table(statuses, 3)}\n  {reference.STATUSES_NOTE}",
        f"environment:\n{_table(reference.ENVIRONMENT, 12)}",
        f"files ({reference.FILES_NOTE.rstrip('.')}):\n{_table(reference.FILES, 33)}",
        f"examples:\n{_table(reference.EXAMPLES, 35)}",
        "'blogctl help COMMAND' describes one of the commands; so does man blogctl.",
    ]
    return "\n\n".join(parts)


def _command_epilog(command: Command) -> str:
    own = {str(status): meaning for status, meaning in command.statuses.items()}
    statuses = f"exit status:\n{_table(own, 3)}\n\n" if own else ""
    return f"{statuses}example: {command.example}"


def _table(rows: Mapping[str, str], width: int) -> str:
    return "\n".join(f"  {name:<{width}}  {meaning}".rstrip() for name, meaning in rows.items())
