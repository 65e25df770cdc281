"""The failures that blogctl reports, and the exit status of each."""

from __future__ import annotations

import sqlite3
from typing import Any


class OperationError(Exception):
    """An operation failed; the message says why, and what state the site is in."""

    #: the exit status of blogctl (commands/__init__.py documents each)
    status = 1

    def __init__(self, *message: object, **details: Any) -> None:
        super().__init__(*message)
        #: printed beside the message by C(--json)
        self.details = details


class Busy(OperationError):
    """Another operation holds a lock; nothing was changed."""

    status = 3


class Undecided(OperationError):
    """Somebody has to choose what happens to the data; nothing was changed."""

    status = 4


class FollowUpFailed(OperationError):
    """The release is served; a command that follows it failed."""

    status = 5


class HostError(OperationError):
    """The host failed, not the release: systemd cannot be reached, or a disk is full."""


#: What an operation catches to restore the previous state and report the failure. Anything else, such as an interrupt,
#: is raised again after the state was restored.
FAILURES = (OperationError, OSError, ValueError, sqlite3.Error)


def with_state(error: BaseException, state: str, what: str = "") -> str:
    """Return an error's message with the state that things are in after its first line, which says what failed and why.

    :param what: what failed, for people, before the message.
    """
    text = str(error) or type(error).__name__
    first, _, rest = text.partition("\n")
    first = f"{what}: {first}" if what else first
    return "\n".join(part for part in (first, state.strip("\n"), rest) if part)
