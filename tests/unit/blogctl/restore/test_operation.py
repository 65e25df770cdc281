"""A restore brings back the backup's data, says what it loses, and keeps the present data as a safety copy."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from backups import rows
from blogctl.data import transaction, tree
from blogctl.errors import Undecided
from blogctl.release import history
from blogctl.restore import operation, safety
from blogctl.restore.operation import restore
from blogctl.site import Site
from restored import all_of_it, content, write_more

pytestmark = pytest.mark.usefixtures("quiet", "nothing_hangs", "descriptors")

Rewrite = Callable[[Callable[[dict[str, Any]], object]], None]


@pytest.mark.parametrize("damage", ["newer", "deleted", "corrupted", "emptied", "replaced"])
def test_a_restore_brings_back_every_row_and_every_byte(live: Site, backup: Path, damage: str) -> None:
    data = live.path("data")
    before, path = content(data), data / "database.db"
    if damage == "newer":
        write_more(live)
    elif damage == "deleted":
        path.unlink()
    elif damage == "corrupted":
        path.write_bytes(path.read_bytes()[:4096] + b"\xff" * 4096)
    elif damage == "emptied":
        for one in (path, data / "static"):
            tree.remove(one)
    else:
        tree.remove(data / "static")
        (data / "static").symlink_to("/etc")
        path.unlink()
        path.mkdir()
    found = all_of_it(live)
    assert content(data) == before
    assert path.stat().st_mode & 0o777 == 0o640
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert sorted(os.listdir(data)) == ["database.db", "instance", "static"], "nothing is left of the restore"
    assert found.safety.startswith(transaction.SAFETY_PREFIX)
    assert not safety.is_due(live)
    assert history.read(live)[-1].operation == "restore"
    assert history.read(live)[-1].result == "done"


def test_a_leftover_write_ahead_log_is_not_replayed_over_the_restored_database(live: Site, backup: Path) -> None:
    path = live.path("data") / "database.db"
    with contextlib.closing(sqlite3.connect(path)) as crashed:
        crashed.execute("INSERT INTO post (title) VALUES ('in the log')")
        crashed.commit()
        left = {suffix: Path(f"{path}{suffix}").read_bytes() for suffix in ("-wal", "-shm")}
    for suffix, log in left.items():
        Path(f"{path}{suffix}").write_bytes(log)
    found = all_of_it(live)
    assert rows(path) == 3
    kept = live.path("snapshots") / found.safety / "data" / "database.db"
    assert rows(kept) == 4, "the safety copy has what the log held"


def test_a_file_that_a_restore_wrote_is_not_taken_for_a_change(live: Site, backup: Path) -> None:
    all_of_it(live)
    again = restore(live, "latest", [])
    assert again.loss.changed.count == 0
    (live.path("data") / "static" / "uploads" / "a.jpg").write_bytes(b"other")
    with pytest.raises(Undecided, match=r"1 file changed since: static/uploads/a\.jpg"):
        restore(live, "latest", [])


def test_a_restore_is_taken_back_by_restoring_its_safety_copy(live: Site, backup: Path) -> None:
    write_more(live)
    newer = content(live.path("data"))
    found = all_of_it(live)
    assert content(live.path("data")) != newer
    all_of_it(live, found.safety)
    assert content(live.path("data")) == newer


def test_equal_uploads_of_a_safety_copy_take_no_room(live: Site, backup: Path) -> None:
    found = all_of_it(live)
    kept = live.path("snapshots") / found.safety / "data" / "static" / "uploads" / "a.jpg"
    assert kept.samefile(backup / "data" / "static" / "uploads" / "a.jpg")


def test_the_newest_three_safety_copies_are_kept(live: Site, backup: Path) -> None:
    root = live.path("snapshots")
    for number in range(4):
        (root / f"{transaction.SAFETY_PREFIX}2026010{number}T000000Z").mkdir(parents=True)
    found = all_of_it(live)
    transaction.prune_snapshots(live, set())
    assert sorted(os.listdir(root)) == [f"{transaction.SAFETY_PREFIX}2026010{number}T000000Z" for number in (2, 3)] + [
        found.safety
    ]


def test_without_consent_the_message_names_what_would_be_lost_and_nothing_changes(live: Site, backup: Path) -> None:
    write_more(live)
    before = content(live.path("data"))
    with pytest.raises(Undecided) as failure:
        restore(live, "latest", [])
    message = str(failure.value)
    assert "table post of database.db: 1 row written or changed since and the removal of 1 row" in message
    assert "table post of later.db: 2 rows written or changed since" in message
    assert "2 files that the backup lacks: later.db, static/uploads/c.jpg" in message
    assert "1 file changed since: static/uploads/a.jpg" in message
    assert "--discard-newer" in message
    assert failure.value.details["lost"][0] == {"database": "database.db", "table": "post", "written": 1, "deleted": 1}
    assert content(live.path("data")) == before
    assert history.read(live) == []
    assert not safety.is_due(live)


def test_a_damaged_database_needs_consent_as_well(live: Site, backup: Path) -> None:
    path = live.path("data") / "database.db"
    path.write_bytes(path.read_bytes()[:4096] + b"\xff" * 4096)
    with pytest.raises(Undecided, match=r"the present state of database\.db, which cannot be compared: .*malformed"):
        restore(live, "latest", [])


def test_where_nothing_is_lost_no_consent_is_needed(live: Site, backup: Path) -> None:
    (live.path("data") / "database.db").unlink()
    for name in ("a.jpg", "b.jpg"):
        os.utime(live.path("data") / "static" / "uploads" / name, (1, 1))
    assert restore(live, "latest", []).files == 3


def test_a_dry_run_says_what_would_be_lost_and_changes_nothing(
    live: Site, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operation, "_exchange", None)
    write_more(live)
    before = content(live.path("data"))
    found = restore(live, "latest", [], dry_run=True)
    assert [table.table for table in found.loss.rows] == ["post", "post"]
    assert (found.backup, found.release, found.made_by) == (backup.name, "old", "old")
    assert content(live.path("data")) == before
    assert not safety.is_due(live)
