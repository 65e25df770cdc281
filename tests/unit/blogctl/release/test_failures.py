"""A failure of the host marks no release."""

from __future__ import annotations

import os
import sqlite3
from types import SimpleNamespace

import pytest
from blogctl.errors import HostError, OperationError
from blogctl.release import failures
from blogctl.site import Site


def raised(error: Exception, cause: Exception | None = None) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "of_host"),
    [
        (OperationError("the command 'migrate' failed (status 1):\nno such table"), False),
        (OperationError("the command 'migrate' failed (status 1):\ndatabase or disk is full"), True),
        (OperationError("/healthz: no answer\nOSError: [Errno 28] No space left on device"), True),
        (OperationError("/: OSError: [Errno 28] No space left on device: '/dev/shm/cache'"), False),
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
def test_a_failure_of_the_host_is_none_of_the_release(site: Site, error: Exception, of_host: bool) -> None:
    assert failures.is_of_host(error, site) == of_host


def test_a_read_only_path_is_the_apps_failure_unless_the_disk_is_read_only(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = OperationError("/: OSError: [Errno 30] Read-only file system: 'static/gen' (app.py, line 7)")
    assert not failures.is_of_host(refused, site)
    # The kernel mounts a file system read-only after an error of its disk (ext4(5): errors=remount-ro).
    real = os.statvfs(site.path("data"))

    def broken(_: object) -> SimpleNamespace:
        return SimpleNamespace(f_flag=real.f_flag | os.ST_RDONLY)

    monkeypatch.setattr(os, "statvfs", broken)
    assert failures.is_of_host(refused, site)
