"""The journal of operations survives full disks, power failures and manual edits: a damaged line is skipped."""

from __future__ import annotations

import contextlib
import io
import json
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from blogctl import cli
from blogctl.commands import status as status_command
from blogctl.data import transaction
from blogctl.errors import OperationError
from blogctl.host import health, systemd
from blogctl.host.releases import point_link
from blogctl.release import history, rollback
from blogctl.release.history import History, read, recorded
from blogctl.site import Site
from fake_machine import activated, failed

GOOD = {
    "id": 7,
    "operation": "activate",
    "who": "ada",
    "time": "2026-01-01T03:00:00+00:00",
    "result": "done",
    "seconds": 1.5,
    "origin": "one",
    "release": "damaged",
    "details": {},
}


def line(**changes: Any) -> bytes:
    return json.dumps({**GOOD, **changes}).encode()


DAMAGED = {
    "cut off": line()[:-20],
    "noise": os.urandom(300).replace(b"\n", b""),
    "NUL bytes": b"\0" * 4096,
    "no UTF-8": line().replace(b"ada", b"\xff\xfe"),
    "empty": b"",
    "spaces": b"   ",
    "a list": b"[1, 2]",
    "a number": b"42",
    "null": b"null",
    "a text": b'"activate"',
    "an empty object": b"{}",
    "a key is missing": json.dumps({key: value for key, value in GOOD.items() if key != "who"}).encode(),
    "a key too many": line(extra=1),
    "an id that is text": line(id="7"),
    "an id that is true": line(id=True),
    "an id that is a fraction": line(id=7.5),
    "an id that is null": line(id=None),
    "a list of releases": line(release=["one"]),
    "an origin that is an object": line(origin={}),
    "details that are a list": line(details=["marks_failed"]),
    "details that are null": line(details=None),
    "seconds that are text": line(seconds="long"),
    "an operation that is a list": line(operation=["activate"]),
    "a result that is null": line(result=None),
    "a time that is a number": line(time=1767225600),
    "brackets": b"[" * 100_000,
    "objects in objects": b'{"id":' * 50_000,
    "digits": b'{"id": ' + b"9" * 10_000 + b"}",
}
#: Lines with the right types and unusual values.
ODD = {
    "a result that nobody knows": line(result="perhaps"),
    "an operation that nobody knows": line(operation="dance"),
    "a release that is a path": line(release="../../etc", details={"data_changed": True}),
    "seconds that are none": line(seconds=float("nan")),
    "an id from another world": line(id=10**30),
    "an id below zero": line(id=-1),
    "details of other types": line(result="failed", details={"marks_failed": 1, "problem": ["x"], "recovery": {}}),
    "escape sequences": line(who="\x1b]0;title\x07", release="\x1b[2J"),
    "seconds of waiting that are text": line(details={"waited": "long"}),
    "half a character": line(who="\ud800"),
}


def params(kinds: dict[str, bytes]) -> list[Any]:
    return [pytest.param(text, id=kind) for kind, text in kinds.items()]


@pytest.fixture
def two(site: Site, add_release: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site with two good releases, the second one live."""
    monkeypatch.setattr(systemd, "properties_of", lambda *_: {})
    monkeypatch.setattr(health, "properties_of", lambda *_: {})
    (site.path("config") / "site.json").write_text(json.dumps(site.settings))
    for name in ("one", "two"):
        point_link(site, str(add_release(name)))
        with recorded(site, "activate", None, name):
            pass
    return site


def insert(site: Site, text: bytes) -> None:
    """Put a line in the middle of the journal, and at its end without an end of its own."""
    path = history.journal_path(site)
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([*lines[:2], text, *lines[2:], text]))


@pytest.mark.parametrize("text", params(DAMAGED))
def test_a_damaged_line_is_passed_over(two: Site, text: bytes) -> None:
    insert(two, text)
    releases = [entry.release for entry in read(two)]
    assert [release for release in releases if release != "damaged"] == ["one", "two"]
    assert History.of(two).good[-2:] == ["one", "two"] or "damaged" in releases
    with recorded(two, "activate", "two", "one"):
        pass
    assert read(two)[-1].release == "one", "it has not become a part of the damaged line"


@pytest.mark.parametrize("text", params({**DAMAGED, **ODD}))
def test_no_line_stops_blogctl(two: Site, text: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    insert(two, text)
    # Strict, as that of a terminal is; pytest's own one is not.
    written = io.BytesIO()
    output = io.TextIOWrapper(written, encoding="utf-8", write_through=True)
    monkeypatch.setattr(sys, "stdout", output)
    for arguments in (["releases"], ["status"], ["--json", "releases"], ["--json", "status"]):
        assert cli.main(arguments) in (0, status_command.NOT_SERVING)
    said = written.getvalue()
    assert b"\x1b" not in said
    assert b"\x07" not in said
    assert rollback.choose(two, "one") == "one"
    assert history.unfinished(two) == []


def test_the_journal_is_for_root_alone_whatever_the_umask(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "KEPT_LINES", 2)
    before = os.umask(0)
    try:
        for number in range(5):
            with recorded(site, "activate", None, f"r{number}"):
                path = history.journal_path(site)
                assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600, "also after it was shortened"
    assert len(path.read_text().splitlines()) <= 4


def test_a_damaged_line_is_dropped_like_any_other_when_the_journal_is_shortened(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "KEPT_LINES", 2)
    history.journal_path(site).write_bytes(b"\xff\xfe damaged\n" * 20)
    with recorded(site, "activate", None, "one"):
        pass
    assert [entry.release for entry in read(site)] == ["one"]
    assert b"damaged" not in history.journal_path(site).read_bytes()


@pytest.mark.parametrize(
    ("details", "failed"),
    [
        ({"marks_failed": True}, True),
        ({"voids": True}, True),
        ({"marks_failed": False, "voids": True}, False),
        ({"voids": False}, False),
        ({}, False),
    ],
)
def test_a_failed_release_is_known_from_old_lines_of_the_journal_as_well(
    site: Site, details: dict[str, bool], failed: bool
) -> None:
    with contextlib.suppress(OperationError), recorded(site, "activate", None, "abc") as entry:
        entry.details |= details
        raise OperationError("it answers 500")
    assert History.of(site).failed == ({"abc": "it answers 500"} if failed else {})


def test_an_operation_is_recorded_from_its_beginning_to_its_end(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "ada")
    with recorded(site, "activate", "old", "new") as entry:
        (begun,) = read(site)
        assert (begun.result, begun.who) == ("begun", "ada")
        entry.details["waited"] = 1.5
    (done,) = read(site)
    assert (done.id, done.result, done.origin, done.release, done.details) == (1, "done", "old", "new", {"waited": 1.5})
    failed(site, "bad")
    assert [(one.id, one.result) for one in read(site)] == [(1, "done"), (2, "failed")]


def test_a_line_that_a_full_disk_cut_off_spoils_no_other(site: Site) -> None:
    activated(site, "one")
    with history.journal_path(site).open("a") as handle:
        handle.write('{"id": 2, "operat')
    with recorded(site, "activate", "one", "two"):
        assert [entry.release for entry in read(site)] == ["one", "two"], "it is there from its beginning"


def test_a_journal_that_cannot_be_written_at_the_end_hides_no_result(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    def fail() -> None:
        with recorded(site, "activate", None, "one"):
            monkeypatch.setattr(history, "_append", full)
            raise OperationError("it failed")

    with pytest.raises(OperationError, match="it failed"):
        fail()


def test_the_journal_is_shortened(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "KEPT_LINES", 4)
    for number in range(8):
        activated(site, f"r{number}")
    assert len(history.journal_path(site).read_text().splitlines()) <= 8
    assert read(site)[-1].release == "r7"
    assert read(site)[-1].id == 8


def test_an_operation_that_was_killed_late_counts_as_one_that_arrived_and_an_early_one_does_not(
    migrated: Site,
) -> None:
    """Only the late one may have changed the data for good."""
    lines = history.journal_path(migrated).read_text().splitlines()
    history.journal_path(migrated).write_text("\n".join(lines[:-1]) + "\n")
    (entry,) = history.unfinished(migrated)
    history.close(migrated, entry, "old", "old serves on")
    assert history.unfinished(migrated) == []
    assert rollback.snapshot_before(migrated, "old") is None
    assert "new" not in History.of(migrated).good
    history.close(migrated, entry, "new", "new serves")
    assert rollback.snapshot_before(migrated, "old") == transaction.snapshot_folder(migrated, "new")
    assert History.of(migrated).good[-1] == "new"
