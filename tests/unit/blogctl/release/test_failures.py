"""A failure of the host marks no release."""

from __future__ import annotations

import sqlite3

import pytest
from blogctl.errors import HostError, OperationError
from blogctl.release import failures


def raised(error: Exception, cause: Exception | None = None) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "of_host"),
    [
        (OperationError("the command 'migrate' failed (status 1):\nno such table"), False),
        (OperationError("the command 'migrate' failed (status 1):\ndatabase or disk is full"), True),
        (OperationError("/healthz: no answer\nOSError: [Errno 28] No space left on device"), True),
        (OperationError("/healthz: answered 500"), False),
        (OperationError("'systemctl restart x' failed: Failed to connect to bus: No such file or directory"), True),
        (HostError("'systemctl is-active x' failed: "), True),
        (OSError(5, "Input/output error"), True),
        (raised(OperationError("the snapshot cannot be taken"), sqlite3.OperationalError("locked")), True),
        (raised(OperationError("outer"), raised(OperationError("inner"), PermissionError(13, "no"))), True),
        (raised(OperationError("outer"), OperationError("the release does not start")), False),
        (ValueError("its manifest is damaged"), False),
    ],
)
def test_a_failure_of_the_host_is_none_of_the_release(error: Exception, of_host: bool) -> None:
    assert failures.is_of_host(error) == of_host
