"""blogctl rollback: what is asked for on the command line, and what it prints."""

from __future__ import annotations

from typing import Any

import pytest
from blogctl import cli
from blogctl.data import transaction
from blogctl.release import rollback
from blogctl.site import Site

LOST = [{"database": "database.db", "table": "post", "written": 2, "deleted": 0}]


@pytest.mark.parametrize(
    ("typed", "asked"),
    [
        ([], (None, False, False, False)),
        (["abc"], ("abc", False, False, False)),
        (["abc", "--restore-data"], ("abc", True, False, False)),
        (["--keep-data"], (None, False, True, False)),
        (["--dry-run"], (None, False, False, True)),
    ],
)
def test_release_and_options_reach_the_rollback(
    monkeypatch: pytest.MonkeyPatch, typed: list[str], asked: tuple[object, ...]
) -> None:
    found: list[tuple[object, ...]] = []

    def roll_back(_: Site, *arguments: object) -> dict[str, Any]:
        found.append(arguments)
        return {"release": "one", "previous": "two", "restored": False, "lost": []}

    monkeypatch.setattr(rollback, "rollback", roll_back)
    assert cli.main(["rollback", *typed]) == 0
    assert found == [asked]


@pytest.mark.parametrize(
    ("typed", "restored", "message"),
    [
        ([], False, "one is served again\n"),
        (["--dry-run"], False, "would roll back from two to one\n"),
        (
            ["--dry-run"],
            True,
            "would roll back from two to one, to the data from then;"
            " that loses 2 rows written or changed in table post of database.db\n",
        ),
        (
            [],
            True,
            "one is served again, on the data from then;"
            " lost: 2 rows written or changed in table post of database.db (kept in {kept})\n",
        ),
    ],
)
def test_a_rollback_prints_what_it_did_and_what_is_lost(
    site: Site,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    typed: list[str],
    restored: bool,
    message: str,
) -> None:
    found = {"release": "one", "previous": "two", "restored": restored, "lost": LOST if restored else []}
    monkeypatch.setattr(rollback, "rollback", lambda *_: found)
    assert cli.main(["rollback", *typed]) == 0
    kept = transaction.snapshot_folder(site, "left-two")
    assert capsys.readouterr().out == message.format(kept=kept)
