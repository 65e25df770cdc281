"""Lines for the journal."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from blogctl.host import journal
from blogctl.site import Site


def test_a_line_for_the_journal_says_whose_it_is(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    address = str(tmp_path / "journal")
    monkeypatch.setattr(journal, "SOCKET", address)
    journal.log(site, "nobody listens")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journald:
        journald.bind(address)
        journald.settimeout(5)
        journal.log(site, "one\ntwo")
        entry = journald.recv(65536).decode()
    fields = dict(line.split("=", 1) for line in entry.splitlines())
    assert fields == {
        "MESSAGE": "one | two",
        "PRIORITY": "6",
        "SYSLOG_IDENTIFIER": "blog",
        "OBJECT_SYSTEMD_UNIT": "blog.service",
    }


@pytest.fixture
def journalctl(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A journalctl that notes its arguments, and prints what a test wants, with C(more) after it."""
    program = tmp_path / "bin" / "journalctl"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/asked\ncat {tmp_path}/output {tmp_path}/more 2>/dev/null\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return tmp_path


def test_the_end_of_the_journal_is_a_cursor_from_which_lines_are_read_later(journalctl: Path) -> None:
    """The first lines after it, as the first error is among them."""
    (journalctl / "output").write_text("-- cursor: s=1;i=2\n")
    assert journal.cursor() == "s=1;i=2"
    (journalctl / "output").write_bytes(b"Import\x1b]0;gotcha\x07Error \xff\n")
    said = journal.lines_since("blog.service", "s=1;i=2")
    assert said.startswith("Import")
    assert "\x1b" not in said, "it cannot steer a terminal"
    asked = (journalctl / "asked").read_text().split()
    assert {"--unit=blog.service", "--after-cursor=s=1;i=2"} <= set(asked)
    assert journal.last_lines("blog.service", 7) == said
    assert {"--unit=blog.service", "--lines=7"} <= set((journalctl / "asked").read_text().split())


def test_a_journal_without_a_line_says_so_and_has_no_cursor(journalctl: Path) -> None:
    (journalctl / "output").write_text("")
    assert journal.cursor() == ""
    assert journal.last_lines("blog.service") == "(the journal holds nothing)"
    assert "--after-cursor" not in (journalctl / "asked").read_text()


def test_an_app_that_fills_the_journal_fills_no_memory(journalctl: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "READ_LIMIT", 1000)
    (journalctl / "output").write_text("")
    (journalctl / "more").symlink_to("/dev/zero")
    assert 0 < len(journal.last_lines("blog.service", lines=3)) <= 4 * 1000, "each byte is shown as four characters"
