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
