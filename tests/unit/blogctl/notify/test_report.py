"""Many failures are one message, and what works again is told once."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from blogctl import cli
from blogctl.notify import incident, report, send
from blogctl.site import Site

DAY = 24 * 3600


def fail(site: Site, job: str = "backup", now: float = 0.0) -> None:
    """Report a failure as the unit does, at a moment."""
    found = report.failed(site, job, now)
    if found:
        left = report.deliver(site, job, found, ["webhook", "command", "mail"])
        report.conclude(site, job, found, left)


def works(site: Site, job: str = "backup", now: float = 0.0) -> None:
    found = report.recovered(site, job, now)
    if found:
        report.conclude(site, job, found, report.deliver(site, job, found, ["webhook", "command", "mail"]))


def events(receiver: Any) -> list[str]:
    return [message["event"] for message in receiver.messages]


@pytest.fixture(autouse=True)
def hooked(receiver: Any, tell: Callable[..., None], unit: Any) -> None:
    tell(webhook=receiver.url)


def test_a_message_says_what_failed_where_since_when_why_and_what_to_do(site: Site, receiver: Any) -> None:
    fail(site, now=1_700_000_000.0)
    (message,) = receiver.messages
    host = os.uname().nodename
    assert message["event"] == "failed"
    assert (message["site"], message["host"], message["address"]) == ("blog", host, "http://blog.test")
    assert message["unit"] == "blog-backup.service"
    assert message["title"] == f"blog on {host}: the backup failed"
    for part in (
        *(message["title"], "http://blog.test", "blog-backup.service (exit-code, status 1)", "2023-11-14 22:13 UTC"),
        *("Earlier backups are kept", "no space left on device", "sudo systemctl start blog-backup.service"),
    ):
        assert part in message["text"]
    assert message["content"] == message["text"]


def test_repeated_failures_are_one_message_and_a_reminder_after_a_day(site: Site, receiver: Any, unit: Any) -> None:
    for minute in range(0, 24 * 60, 60):
        unit.fails()
        fail(site, now=minute * 60.0 + 1)
    assert events(receiver) == ["failed", "reminder"]
    assert "still fails" in receiver.messages[1]["title"]
    assert receiver.messages[1]["since"] == receiver.messages[0]["since"]


def test_a_daily_job_that_fails_each_day_reminds_each_day(site: Site, receiver: Any, unit: Any) -> None:
    for day in range(3):
        unit.fails()
        fail(site, now=1.0 + day * DAY - day * 300)
    assert events(receiver) == ["failed", "reminder", "reminder"]


def test_a_clock_that_was_set_back_puts_no_reminder_off(site: Site, receiver: Any, unit: Any) -> None:
    fail(site, now=1e9)
    unit.fails()
    fail(site, now=5e8)
    assert events(receiver) == ["failed", "reminder"]


def test_what_works_again_is_told_once_and_a_new_failure_is_a_new_message(site: Site, receiver: Any, unit: Any) -> None:
    fail(site, now=10.0)
    unit.result = "success"
    works(site, now=100.0)
    works(site, now=200.0)
    unit.fails()
    fail(site, now=300.0)
    assert events(receiver) == ["failed", "recovered", "failed"]
    assert "works again" in receiver.messages[1]["title"]
    assert receiver.messages[1]["journal"] == receiver.messages[1]["remedy"] == []


def test_nothing_is_told_if_nothing_had_failed(site: Site, receiver: Any) -> None:
    works(site, now=1.0)
    assert receiver.got == []


def test_a_site_that_comes_and_goes_is_one_message(site: Site, receiver: Any, unit: Any) -> None:
    """It has to serve for five minutes before that is told."""
    for minute in range(10):
        unit.fails()
        fail(site, "check", minute * 120.0 + 1)
        works(site, "check", minute * 120.0 + 61)
    assert events(receiver) == ["failed"]
    for minute in range(6):
        works(site, "check", 1261.0 + minute * 60)
    assert events(receiver) == ["failed", "recovered"]
    assert receiver.messages[1]["title"].endswith("the site serves again")


def test_an_end_that_says_not_now_is_no_recovery(site: Site, receiver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """SuccessExitStatus=3: the site does not serve while an operation is under way."""
    fail(site, "certificate", now=1.0)
    monkeypatch.setenv("MONITOR_EXIT_STATUS", "8")
    works(site, "certificate", now=2.0)
    assert events(receiver) == ["failed"]
    monkeypatch.setenv("MONITOR_EXIT_STATUS", "0")
    works(site, "certificate", now=3.0)
    assert events(receiver) == ["failed", "recovered"]


def test_a_receiver_that_is_down_gets_the_message_later_and_the_others_get_it_once(
    site: Site, receiver: Any, unit: Any, tell: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mails: list[str] = []
    monkeypatch.setitem(send.CHANNELS, "mail", lambda _, message: mails.append(message["title"]))
    tell(webhook=receiver.url, mail=["ada@example.com"])
    receiver.status = 503
    fail(site, now=1.0)
    fail(site, now=301.0)
    assert len(mails) == 1
    assert len(receiver.got) == 2
    receiver.status = 204
    fail(site, now=601.0)
    fail(site, now=901.0)
    assert len(receiver.got) == 3, "it took the message, and is asked no more"
    assert len(mails) == 1
    assert incident.load(site, "backup").failures == 1, "the same run has failed once"


def test_a_receiver_that_stays_down_is_given_up_on_until_the_next_failure(site: Site, receiver: Any, unit: Any) -> None:
    receiver.status = 500
    for attempt in range(30):
        fail(site, now=1.0 + attempt)
    assert len(receiver.got) == report.ATTEMPTS
    unit.fails()
    fail(site, now=1.0 + DAY)
    assert len(receiver.got) == report.ATTEMPTS + 1


def test_a_retried_report_about_what_works_by_now_starts_no_new_failure(site: Site, receiver: Any, unit: Any) -> None:
    fail(site, now=1.0)
    unit.result = "success"
    works(site, now=2.0)
    fail(site, now=3.0)
    assert events(receiver) == ["failed", "recovered"]


def test_what_is_known_is_stored_for_root_alone(site: Site) -> None:
    fail(site, now=1.0)
    path = site.path("notify_state") / "backup.json"
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert json.loads(path.read_text())["message"]["event"] == "failed"


def test_a_full_disk_is_one_message_as_well(site: Site, receiver: Any, unit: Any, tmp_path: Path) -> None:
    """What is known goes to /run then, and back to the disk once it takes it."""
    place = site.path("notify_state")
    place.write_text("no folder: stands for a disk that takes nothing\n")
    fail(site, now=1.0)
    unit.fails()
    fail(site, now=61.0)
    assert events(receiver) == ["failed"]
    assert (tmp_path / "runtime" / "blog.notify" / "backup.json").exists()
    place.unlink()
    unit.fails()
    fail(site, now=121.0)
    assert not (tmp_path / "runtime" / "blog.notify" / "backup.json").exists()
    works(site, now=181.0)
    assert events(receiver) == ["failed", "recovered"]
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"since": "x"}', '{"since": 1, "message": 7}'])
def test_damaged_notes_are_a_new_failure(site: Site, receiver: Any, damage: str) -> None:
    site.path("notify_state").mkdir()
    (site.path("notify_state") / "backup.json").write_text(damage)
    fail(site, now=1.0)
    assert events(receiver) == ["failed"]


def test_the_command_line_of_the_unit_reports_and_leaves_mail_to_the_second_process(
    site: Site, receiver: Any, tell: Callable[..., None], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    mails: list[str] = []
    monkeypatch.setitem(send.CHANNELS, "mail", lambda _, message: mails.append(message["title"]))
    tell(webhook=receiver.url, mail=["ada@example.com"])
    assert cli.main(["notify-report", "backup"]) == 0
    assert (len(receiver.got), mails) == (1, [])
    assert cli.main(["notify-report", "--mail", "backup"]) == 0
    assert len(mails) == 1
    assert cli.main(["notify-report", "--mail", "backup"]) == 0
    assert len(mails) == 1
    assert cli.main(["notify-report", "../backup"]) == 2


def test_the_unit_fails_while_somebody_is_still_to_be_told(site: Site, receiver: Any, capsys: Any) -> None:
    """systemd runs it again in five minutes."""
    receiver.status = 500
    assert cli.main(["notify-report", "backup"]) == 1
    shown = capsys.readouterr()
    assert "127.0.0.1 answered 500" in shown.out
    assert "T0K3N" not in shown.out + shown.err


def test_a_test_message_names_each_receiver_that_did_not_take_it(
    site: Site, receiver: Any, tell: Callable[..., None], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(send, "SENDMAIL", "/nonexistent/sendmail")
    tell(webhook=receiver.url, mail=["ada@example.com"])
    assert cli.main(["notify"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "webhook: sent",
        "mail: the host has no /nonexistent/sendmail; install a mail system, such as the package msmtp-mta or dma",
    ]
    assert events(receiver) == ["test"]
    tell()
    assert cli.main(["notify"]) == 1
    assert "nobody is told about blog: set flask_blog_notify" in capsys.readouterr().err
