"""What a command registers: its name, its help, its arguments, its exit statuses, and the function that runs it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..site import Site

#: The meaning of C(FollowUpFailed.status), for the commands that can end with it.
FOLLOW_UP_FAILED = "the release is served, but a command that follows a release failed"
#: The meaning of C(Undecided.status).
UNDECIDED = "a decision about the data is needed, see the message; nothing was done"


@dataclass(frozen=True)
class Result:
    """The result of a command: C(values) for programs, a C(message) for people, and the exit status."""

    values: dict[str, Any]
    message: str
    status: int = 0


def no_arguments(_: argparse.ArgumentParser) -> None:
    """Add nothing to the parser of a command."""


@dataclass(frozen=True)
class Command:
    """A command of blogctl."""

    name: str
    #: one line for the list of commands
    summary: str
    #: more about it, in full sentences
    description: str
    #: runs the command; None for C(help), which needs the grammar and no site
    run: Callable[[Site, argparse.Namespace], Result] | None
    #: a command line
    example: str = ""
    #: adds the command's own arguments to its parser
    arguments: Callable[[argparse.ArgumentParser], None] = no_arguments
    #: replaces the usage that argparse generates
    usage: str | None = None
    #: exit statuses that only this command has, with their meaning
    statuses: Mapping[int, str] = field(default_factory=dict)
    #: refuse a site of another version of the collection; commands that keep a site up or only read do not
    requires_interface: bool = False
    #: returns what its first argument may be, for the shells' completion
    complete: Callable[[Site], list[str]] | None = None
    #: returns the programs that may follow C(--), for the shells' completion
    complete_program: Callable[[Site], list[str]] | None = None
