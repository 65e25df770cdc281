"""A database whose schema computes forever, or uses all memory, does not block an operation."""

from __future__ import annotations

import os
import sqlite3
import time
from typing import Any

import pytest
from blogctl.data.inside import limited as module
from blogctl.data.inside.limited import limited

HOSTILE = "SELECT instr(hex(zeroblob(10000000)), hex(zeroblob(5000000)) || '1')"


def nothing() -> None:
    """No heartbeat is needed."""


def compute(query: str) -> Any:
    return sqlite3.connect(":memory:").execute(query).fetchone()[0]


def test_the_value_of_a_function_comes_back() -> None:
    assert limited(lambda: ["wal", 3], 0, nothing) == ["wal", 3]


def test_a_single_step_without_an_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT", 0.5)
    began = time.monotonic()
    with pytest.raises(sqlite3.DatabaseError, match=r"takes more than [01] s"):
        limited(lambda: compute(HOSTILE), 0, nothing)
    assert time.monotonic() - began < 5
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_heartbeat_is_sent_while_the_work_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_INTERVAL", 0.1)
    beats: list[float] = []
    limited(lambda: time.sleep(0.5), 0, lambda: beats.append(time.monotonic()))
    assert len(beats) >= 3


def test_a_step_that_takes_too_much_memory_is_an_error() -> None:
    size = 250_000_000
    blobs = ", ".join(f"hex(zeroblob({size} + {number}))" for number in range(6))
    with pytest.raises(sqlite3.Error, match=r"memory|too big|killed"):
        limited(lambda: compute(f"SELECT length(max({blobs}))"), 0, nothing)


def test_an_error_keeps_its_code_and_a_lock_its_kind() -> None:
    def locked() -> None:
        error = sqlite3.OperationalError("database is locked")
        error.sqlite_errorcode = sqlite3.SQLITE_BUSY
        raise error

    with pytest.raises(sqlite3.OperationalError, match="database is locked") as caught:
        limited(locked, 0, nothing)
    assert caught.value.sqlite_errorcode == sqlite3.SQLITE_BUSY


def test_a_process_that_is_killed_is_an_error() -> None:
    with pytest.raises(sqlite3.DatabaseError, match="was killed"):
        limited(lambda: os.kill(os.getpid(), 9), 0, nothing)
