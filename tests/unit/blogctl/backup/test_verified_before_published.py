"""A backup appears under its name only after every file was read back and everything is on the disk."""

from __future__ import annotations

import datetime
import json
import os
from pathlib import Path
from typing import Any

import pytest
from blogctl.backup import create as backup
from blogctl.errors import OperationError
from blogctl.host import files
from blogctl.site import Site

FIRST = datetime.datetime(2026, 1, 1, 3, 0, tzinfo=datetime.UTC)
SECOND = FIRST + datetime.timedelta(days=1)


@pytest.fixture
def blog(site: Site) -> Site:
    """A site with one file of an earlier backup and one that is new."""
    (site.path("data") / "uploads").mkdir()
    (site.path("data") / "uploads" / "old.jpg").write_bytes(b"old")
    backup.back_up(site, FIRST)
    (site.path("data") / "new.jpg").write_bytes(b"new")
    return site


def rot_after_copying(monkeypatch: pytest.MonkeyPatch, relative: str) -> None:
    """Have one file change on the disk after it was stored and before it is verified."""
    copy = backup._copy

    def copy_and_rot(site: Site, aside: Path, earlier: Path | None) -> dict[str, Any]:
        manifest = copy(site, aside, earlier)
        (aside / "data" / relative).write_bytes(b"rot")
        return manifest

    monkeypatch.setattr(backup, "_copy", copy_and_rot)


@pytest.mark.parametrize("relative", ["new.jpg", "uploads/old.jpg"])
def test_a_file_that_reads_back_differently_is_never_published(
    blog: Site, monkeypatch: pytest.MonkeyPatch, relative: str
) -> None:
    rot_after_copying(monkeypatch, relative)
    with pytest.raises(OperationError, match=rf"{relative} reads differently"):
        backup.back_up(blog, SECOND)
    assert os.listdir(blog.path("backups")) == ["20260101T030000Z"]
    assert backup.complete_backups(blog.path("backups")) == ["20260101T030000Z"]


def test_a_backup_that_failed_its_verification_removes_no_earlier_one(
    blog: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.back_up(blog, SECOND)
    blog.settings["backup_keep"] = {"daily": 1}
    rot_after_copying(monkeypatch, "new.jpg")
    with pytest.raises(OperationError):
        backup.back_up(blog, SECOND + datetime.timedelta(days=1))
    assert backup.complete_backups(blog.path("backups")) == ["20260101T030000Z", "20260102T030000Z"]


def test_the_manifest_is_written_after_the_verification(blog: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with a manifest counts as a backup."""
    rot_after_copying(monkeypatch, "new.jpg")
    monkeypatch.setattr(backup.shutil, "rmtree", lambda *_, **__: None)
    with pytest.raises(OperationError):
        backup.back_up(blog, SECOND)
    (incomplete,) = blog.path("backups").glob(".incomplete-*")
    assert not (incomplete / backup.MANIFEST).exists()


def test_a_power_cut_after_the_publication_loses_nothing(blog: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The manifest and all folders are on the disk before the rename, and the rename is on the disk in the end."""
    root = blog.path("backups")
    published = root / "20260102T030000Z"
    synced: list[tuple[str, bool]] = []
    fsync = backup.fsync

    def record(path: Path) -> None:
        synced.append((str(path.relative_to(root)), published.exists()))
        fsync(path)

    for module in (backup, files):
        monkeypatch.setattr(module, "fsync", record)
    backup.back_up(blog, SECOND)
    aside = ".incomplete-20260102T030000Z"
    before = {name for name, is_published in synced if not is_published}
    assert before >= {f"{aside}/manifest.json", aside, f"{aside}/data", f"{aside}/data/uploads"}
    assert [name for name, is_published in synced if is_published] == ["."]


def test_the_manifest_describes_what_was_verified(blog: Site) -> None:
    backup.back_up(blog, SECOND)
    folder = blog.path("backups") / "20260102T030000Z"
    manifest = json.loads((folder / backup.MANIFEST).read_text())
    assert (manifest["site"], manifest["name"]) == ("blog", "20260102T030000Z")
    assert {name: entry["size"] for name, entry in manifest["files"].items()} == {"new.jpg": 3, "uploads/old.jpg": 3}
