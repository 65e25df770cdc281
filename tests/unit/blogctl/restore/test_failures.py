"""A restore that fails leaves the present data, and says why and what to do."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from backups import numbered_database, rows
from blogctl.data import exchange, transaction
from blogctl.errors import OperationError
from blogctl.host import releases
from blogctl.release import history, rehearsal
from blogctl.restore import safety
from blogctl.site import Site
from fake_machine import Add, Machine
from restored import all_of_it, content, write_more

pytestmark = pytest.mark.usefixtures("quiet", "nothing_hangs", "descriptors")

Rewrite = Callable[[Callable[[dict[str, Any]], object]], None]


@pytest.mark.parametrize("problem", [OperationError("500"), OSError(28, "full"), KeyboardInterrupt()])
def test_a_release_that_does_not_work_with_the_data_leaves_the_present_data(
    live: Site, backup: Path, monkeypatch: pytest.MonkeyPatch, problem: BaseException
) -> None:
    def prove(*_: object) -> None:
        assert rows(live.path("data") / "database.db") == 3
        numbered_database(live.path("data") / "made-by-the-app.db")
        raise problem

    write_more(live)
    before = content(live.path("data"))
    monkeypatch.setattr(rehearsal, "prove", prove)
    with pytest.raises((OperationError, KeyboardInterrupt)) as failure:
        all_of_it(live)
    assert content(live.path("data")) == before
    assert not transaction.is_open(live)
    assert not safety.is_due(live)
    if isinstance(failure.value, OperationError):
        assert str(failure.value).startswith(f"Restoring {backup.name} failed: ")
        assert "The data is as it was before" in str(failure.value)


def test_a_full_disk_while_the_data_is_laid_beside_changes_nothing(
    live: Site, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(live.path("data"))
    (backup / "data" / "huge").write_bytes(b"")
    os.truncate(backup / "data" / "huge", 1 << 42)  # a hole
    files = {"huge": {"size": 1 << 42, "mode": 0o600}}
    with pytest.raises(OperationError, match="No space left on device"), safety.noted(live, None):
        exchange.stage(live, backup / "data", files, None, 0.0)
    assert content(live.path("data")) == before
    assert not safety.is_due(live)


def test_a_damaged_database_in_a_backup_is_refused_before_the_data_changes(
    live: Site, backup: Path, rewrite: Rewrite
) -> None:
    path = backup / "data" / "database.db"
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:4096] + b"\xff" * 4096)
    digest, size = hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size
    rewrite(lambda manifest: manifest["files"]["database.db"].update(sha256=digest, size=size))
    before = content(live.path("data"))
    with pytest.raises(
        OperationError, match=r"cannot be restored: the database database\.db of the backup is damaged: .*; nothing was"
    ):
        all_of_it(live)
    assert content(live.path("data")) == before


def test_a_backup_with_fewer_tables_than_its_manifest_says_is_refused(
    live: Site, backup: Path, rewrite: Rewrite
) -> None:
    rewrite(lambda manifest: manifest["files"]["database.db"].update(tables=2))
    with pytest.raises(OperationError, match="has 1 tables, and its manifest says 2; nothing was changed"):
        all_of_it(live)


def test_a_site_without_a_release_is_refused(live: Site, backup: Path) -> None:
    live.path("link").unlink()
    with pytest.raises(OperationError, match=r"no live release yet; nothing was changed\. Run playbooks/site\.yml"):
        all_of_it(live)


# -- another release made the backup ----------------------------------------------------------------------------------


@pytest.fixture
def newer(live: Site, backup: Path, add_release: Add) -> Site:
    """A release after the one that made the backup."""
    releases.point_link(live, str(add_release("new")))
    live.settings["release_commands"] = ["migrate"]
    return live


def test_the_live_release_is_tried_on_a_backup_of_another_one_with_its_commands(
    newer: Site, backup: Path, machine: Machine
) -> None:
    all_of_it(newer)
    rehearsed, data = newer.path("rehearsal"), newer.path("data")
    assert machine.ran == [("migrate", rehearsed), ("migrate", data)]
    assert machine.tried == [("new", rehearsed), ("new", data)]
    assert not rehearsed.exists()


def test_a_backup_that_the_live_release_does_not_understand_is_refused(
    newer: Site, backup: Path, machine: Machine
) -> None:
    machine.sick.add(("rehearsal", "new"))
    write_more(newer)
    before = content(newer.path("data"))
    with pytest.raises(OperationError) as failure:
        all_of_it(newer)
    first, second, *_ = str(failure.value).splitlines()
    assert first == (
        f"The live release new does not work with the data of {backup.name}, made by old; nothing was changed."
    )
    assert second == "'blogctl activate old' serves that release; restore the backup then."
    assert content(newer.path("data")) == before
    assert history.read(newer) == [], "no restore has begun"
    assert not safety.is_due(newer)
