"""A monitor is told that a job starts, and how it ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from blogctl import cli
from blogctl.notify import ping, web


@pytest.fixture(autouse=True)
def monitored(site: Any, receiver: Any, unit: Any, tell: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    tell(ping={"backup": receiver.url})
    monkeypatch.setattr(ping, "PAUSE", 0.01)


@pytest.mark.parametrize(("option", "path"), [([], ""), (["--fail"], "/fail"), (["--start"], "/start")])
def test_start_success_and_failure_have_an_address_each(
    receiver: Any, option: list[str], path: str, capsys: Any
) -> None:
    assert cli.main(["notify-ping", *option, "backup"]) == 0
    assert [(method, asked) for method, asked, _, _ in receiver.got] == [("GET", f"/hooks/T0K3N{path}")]


def test_a_job_without_a_monitor_tells_nobody(site: Any, receiver: Any) -> None:
    assert ping.ping(site, "certificate", ping.START) is False
    assert receiver.got == []


def test_a_monitor_that_refuses_is_asked_again_and_then_named_without_its_token(receiver: Any, capsys: Any) -> None:
    receiver.status = 500
    assert cli.main(["notify-ping", "backup"]) == 1
    assert len(receiver.got) == ping.ATTEMPTS
    shown = capsys.readouterr()
    assert "127.0.0.1 answered 500" in shown.err
    assert "T0K3N" not in shown.err + shown.out
    assert cli.main(["notify-ping", "--start", "backup"]) == 1
    assert len(receiver.got) == ping.ATTEMPTS + 1, "a late start would follow the end"


def test_a_monitor_that_hangs_is_left_after_its_time(
    receiver: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    receiver.delay = 5.0
    bounded = web.send
    monkeypatch.setattr(web, "send", lambda url: bounded(url, seconds=0.2))
    began = time.monotonic()
    assert cli.main(["notify-ping", "backup"]) == 1
    assert time.monotonic() - began < 3
