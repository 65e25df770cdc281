"""A backup is proved by booting the live release on it, and the result is kept and shown."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from backups import day, numbered_database, rows
from blogctl.backup import create
from blogctl.backup.verify import MANIFEST
from blogctl.errors import OperationError
from blogctl.host.releases import point_link
from blogctl.proof import record
from blogctl.proof.prove import prove
from blogctl.release import history, rehearsal
from blogctl.site import Site
from fake_machine import Add, Machine, change, machine

__all__ = ["machine"]

pytestmark = pytest.mark.usefixtures("quiet", "descriptors")


@pytest.fixture
def backup(site: Site, machine: Machine, add_release: Add) -> Path:
    """The backup of a live release."""
    point_link(site, str(add_release("old")))
    numbered_database(site.path("data") / "database.db", 3)
    (site.path("data") / "a.jpg").write_bytes(b"a")
    (site.path("data") / "instance").mkdir()
    return site.path("backups") / str(create.back_up(site, day(1))["name"])


def test_the_live_release_answers_on_the_restored_data_and_nothing_live_is_touched(
    site: Site, backup: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    tried = rehearsal.prove

    def look(of: Site, release: str, place: Path, paths: list[str]) -> None:
        seen.extend([rows(place / "database.db"), (place / "a.jpg").read_bytes(), (place / "instance").is_dir()])
        tried(of, release, place, paths)

    monkeypatch.setattr(rehearsal, "prove", look)
    site.settings["proof_paths"] = ["/archive"]
    change(site.path("data"), "INSERT INTO post (title) VALUES ('new')")
    found = prove(site, "latest")
    assert seen == [3, b"a", True]
    assert machine.tried == [("old", site.path("rehearsal"))]
    assert machine.asked == ["/archive"]
    assert machine.changes == [], "no unit of the site is touched"
    assert not site.path("rehearsal").exists()
    assert rows(site.path("data") / "database.db") == 4
    assert (found["backup"], found["release"], found["rows"], found["live_rows"]) == (backup.name, "old", 3, 4)
    assert found["fewer"] == []
    assert record.read(site) == found
    assert history.read(site)[-1].operation == "prove"


def test_tables_with_fewer_rows_now_are_named(site: Site, backup: Path) -> None:
    change(site.path("data"), "DELETE FROM post WHERE id = 1")
    assert prove(site, "latest")["fewer"] == ["table post of database.db: 3 in the backup, 2 now"]


def rewrite(backup: Path, how: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((backup / MANIFEST).read_text())
    how(manifest)
    (backup / MANIFEST).write_text(json.dumps(manifest))


def test_fewer_rows_than_were_backed_up_are_a_failure(site: Site, backup: Path) -> None:
    rewrite(backup, lambda manifest: manifest["files"]["database.db"]["rows"].update(post=4))
    with pytest.raises(OperationError, match=r"table post of database.db has 3 rows after the restore, and had 4 when"):
        prove(site, "latest")


def test_a_release_that_does_not_answer_on_the_data_is_a_failure_that_is_kept(
    site: Site, backup: Path, machine: Machine
) -> None:
    machine.sick.add(("rehearsal", "old"))
    with pytest.raises(OperationError) as failure:
        prove(site, "latest")
    assert str(failure.value).startswith(f"{backup.name} could not be proved: ")
    assert "The live site was not touched" in str(failure.value)
    assert not site.path("rehearsal").exists()
    found = record.read(site)
    assert found is not None
    assert "answered 500" in found["problem"]
    assert history.read(site)[-1].result == "failed"


def test_a_damaged_backup_and_a_missing_one_are_failures(site: Site, backup: Path) -> None:
    (backup / "data" / "a.jpg").chmod(0o600)
    (backup / "data" / "a.jpg").write_bytes(b"b")
    with pytest.raises(OperationError, match=r"'a\.jpg' reads differently"):
        prove(site, "latest")
    (backup / MANIFEST).unlink()
    with pytest.raises(OperationError, match=r"holds no backup"):
        prove(site, "latest")
    assert (record.read(site) or {})["backup"] == "latest"


def test_a_backup_of_another_release_gets_the_live_ones_commands(
    site: Site, backup: Path, machine: Machine, add_release: Add
) -> None:
    point_link(site, str(add_release("new")))
    site.settings["release_commands"] = ["migrate"]
    prove(site, "latest")
    assert machine.ran == [("migrate", site.path("rehearsal"))]


NOW = datetime.datetime(2026, 11, 27, tzinfo=datetime.UTC)
PROOF = {"backup": "b", "release": "r", "time": "2026-11-20T00:00:00+00:00"}


@pytest.mark.parametrize(
    ("result", "shown"),
    [
        (None, "no backup was proved yet"),
        (PROOF, "ok: b with r, 2026-11-20T00:00:00+00:00"),
        ({**PROOF, "time": "2026-11-11T00:00:00+00:00"}, "STALE: b with r"),
        ({**PROOF, "time": "soon"}, "STALE: b with r, soon"),
        ({**PROOF, "time": "2026-11-20T00:00:00"}, "STALE: b with r"),
        ({**PROOF, "problem": "it broke\nmore"}, "FAILED: b with r, 2026-11-20T00:00:00+00:00: it broke"),
    ],
)
def test_the_last_result_is_described(result: dict[str, Any] | None, shown: str) -> None:
    assert record.describe(result, NOW).startswith(shown)
    assert "\n" not in record.describe(result, NOW)


def test_a_result_that_cannot_be_read_is_none(site: Site) -> None:
    for text in ("", "[]", "{"):
        record.write(site, {})
        (site.path("state") / record.NAME).write_text(text)
        assert record.read(site) is None
