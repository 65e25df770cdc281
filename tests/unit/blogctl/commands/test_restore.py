"""blogctl restore: what is asked for on the command line, and what it prints."""

from __future__ import annotations

import json
from typing import Any

import pytest
from blogctl import cli
from blogctl.data.exchange import Files, Loss
from blogctl.data.interface import TableChange
from blogctl.restore import operation, safety
from blogctl.restore.operation import Outcome
from blogctl.site import Site

LOSS = Loss([TableChange("database.db", "post", 2, 0)], missing=Files(1, ["c.jpg"]))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The restores that were asked for."""
    found: list[dict[str, Any]] = []

    def restore(_: Site, wanted: str, only: list[str], **options: bool) -> Outcome:
        found.append({"wanted": wanted, "only": only, **options})
        dry_run = options["dry_run"]
        name = "" if dry_run else "before-restore-20261127T190000Z"
        return Outcome("one", "abc", "abc", 3, 99, only or None, LOSS, ["x.db"], dry_run=dry_run, safety=name)

    monkeypatch.setattr(operation, "restore", restore)
    return found


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ([], {"wanted": "latest", "only": [], "discard_newer": False, "dry_run": False}),
        (["one", "--discard-newer"], {"wanted": "one", "only": [], "discard_newer": True, "dry_run": False}),
        (
            ["2026-11-27", "--only", "a", "--only=b", "--dry-run"],
            {"wanted": "2026-11-27", "only": ["a", "b"], "discard_newer": False, "dry_run": True},
        ),
    ],
)
def test_backup_and_options_reach_the_restore(
    asked: list[dict[str, Any]], typed: list[str], expected: dict[str, Any]
) -> None:
    assert cli.main(["restore", *typed]) == 0
    assert asked == [expected]


def test_a_restore_prints_what_was_lost_and_how_to_take_it_back(
    asked: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["restore", "one"])
    assert capsys.readouterr().out == (
        "restored one: 3 files, 99 bytes, served by abc\n"
        "lost:\n"
        "  table post of database.db: 2 rows written or changed since\n"
        "  1 file that the backup lacks: c.jpg\n"
        "the backup lacks x.db; the present files stay\n"
        "The data from before is kept: 'blogctl restore before-restore-20261127T190000Z' puts it back.\n"
    )


def test_a_dry_run_prints_what_would_be_lost(asked: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["restore", "--dry-run", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["lost"] == [{"database": "database.db", "table": "post", "written": 2, "deleted": 0}]
    assert found["lost_files"] == {"missing": 1, "changed": 0, "named": ["c.jpg"]}
    assert found["message"].startswith("would restore one: 3 files, 99 bytes\nthis loses:\n")


def test_data_goes_to_a_directory_instead_of_the_site(
    asked: list[dict[str, Any]], site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["restore", "--to", "/x", "--dry-run"]) == 1
    assert "takes neither --dry-run nor --discard-newer; nothing was done" in capsys.readouterr().err
    assert cli.main(["restore", "--to", "/x"]) == 1
    assert "holds no backup" in capsys.readouterr().err
    assert asked == []


def test_the_recovery_stores_what_a_killed_restore_left(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("blogctl.release.recovery.recover", lambda _: "old still serves")
    monkeypatch.setattr(safety, "finish", lambda _: "before-restore-20261127T190000Z")
    monkeypatch.setattr(safety, "is_due", lambda _: True)
    cli.main(["recover"])
    assert "old still serves; the data from before the restore was stored as before-restore-" in capsys.readouterr().out
