"""A backup is chosen by name or moment, and refused as a whole if anything in it is wrong."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from backups import day
from blogctl.backup import create
from blogctl.backup.verify import MANIFEST
from blogctl.errors import OperationError
from blogctl.restore import source
from blogctl.site import Site

pytestmark = pytest.mark.usefixtures("quiet", "nothing_hangs")

Rewrite = Callable[[Callable[[dict[str, Any]], object]], None]


@pytest.mark.parametrize(
    ("wanted", "number"),
    [
        ("latest", 3),
        ("20260102T030000Z", 1),
        ("2026-01-03", 2),
        ("2026-01-03T02:59", 1),
        ("2026-01-03T03:00:00Z", 2),
        ("2026-01-03T04:30+02:00", 1),
        ("2027-01-01", 3),
    ],
)
def test_a_backup_is_found_by_its_name_or_the_newest_one_of_a_moment(live: Site, wanted: str, number: int) -> None:
    names = [create.back_up(live, day(one))["name"] for one in (1, 2, 3)]
    assert source.choose(live, wanted).name == names[number - 1]


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("20260105T030000Z", "there is no backup"),
        ("yesterday", "there is no backup 'yesterday'; nothing was changed. There are: 20260102T030000Z"),
        ("../../etc", "there is no backup"),
        ("snapshots", "there is no backup"),
        ("2025-01-01", "there is no backup of 2025-01-01 or before: the oldest one is 20260102T030000Z"),
        ("\x1b[2J", "there is no backup"),
    ],
)
def test_an_unknown_backup_is_refused(live: Site, backup: Path, wanted: str, words: str) -> None:
    with pytest.raises(OperationError) as failure:
        source.choose(live, wanted)
    assert words in str(failure.value)
    assert "\x1b" not in str(failure.value)


def test_a_host_without_a_backup_says_how_to_make_one(live: Site) -> None:
    with pytest.raises(OperationError, match=r"holds no backup; nothing was changed. 'blogctl backup' makes one"):
        source.choose(live, "latest")


def test_a_backup_is_whole(live: Site, backup: Path) -> None:
    found = source.choose(live, "latest")
    source.verify(found)
    assert sorted(found.files) == ["database.db", "static/uploads/a.jpg", "static/uploads/b.jpg"]
    assert found.release == "old"
    assert found.moment == day(1).timestamp()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda manifest: manifest.update(site="other"), "that of the site 'other', and this is 'blog'"),
        (lambda manifest: manifest.update(format=99), "a newer version of the collection made it"),
        (lambda manifest: manifest.update(format="2"), "its form is 2"),
        (lambda manifest: manifest.pop("files"), "it names no files"),
        (lambda manifest: manifest.update(files=[]), "it names no files"),
        (lambda manifest: manifest["files"].update({"/etc/x": {}}), "'/etc/x', which is no path in the data"),
        (lambda manifest: manifest["files"].update({"a/../../x": {}}), "which is no path in the data"),
        (lambda manifest: manifest["files"].update({"": {}}), "which is no path in the data"),
        (lambda manifest: manifest["files"].update({".blogctl-restore/x": {}}), "which is no path in the data"),
        (lambda manifest: manifest["files"].update({"x": {}}), "its entry of 'x' makes no sense"),
        (lambda manifest: manifest["files"]["database.db"].update(size=-1), "entry of 'database.db' makes no sense"),
        (lambda manifest: manifest["files"]["database.db"].update(sha256="0"), "'database.db' makes no sense"),
        (lambda manifest: manifest.update(only=["../x"]), "which is no path in it"),
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(
    live: Site, backup: Path, rewrite: Rewrite, change: Callable[[dict[str, Any]], object], words: str
) -> None:
    rewrite(change)
    with pytest.raises(OperationError) as failure:
        source.choose(live, backup.name)
    assert words in str(failure.value)
    assert "nothing was changed" in str(failure.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 200_000])
def test_a_truncated_manifest_is_refused(live: Site, backup: Path, content: bytes) -> None:
    (backup / MANIFEST).write_bytes(content)
    with pytest.raises(OperationError, match=r"its manifest, .* cannot be used"):
        source.choose(live, backup.name)


def test_a_missing_manifest_and_one_that_is_a_fifo_or_a_link_are_refused(live: Site, backup: Path) -> None:
    kept = (backup / MANIFEST).rename(backup.parent / "kept.json")
    with pytest.raises(OperationError, match=r"No such file"):
        source.choose(live, backup.name)
    (backup / MANIFEST).symlink_to(kept)
    with pytest.raises(OperationError, match=r"symbolic links"):
        source.choose(live, backup.name)
    (backup / MANIFEST).unlink()
    os.mkfifo(backup / MANIFEST)
    with pytest.raises(OperationError, match=r"it is no file"):
        source.choose(live, backup.name)


def test_a_backup_that_is_a_link_is_refused(live: Site, backup: Path, tmp_path: Path) -> None:
    backup.rename(tmp_path / "elsewhere")
    backup.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OperationError, match=r"is no directory; nothing was changed"):
        source.choose(live, backup.name)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (flip, "'static/uploads/a.jpg' reads differently from when it was backed up"),
        (lambda path: path.write_bytes(b"a"), "'static/uploads/a.jpg' has 1 bytes, and its manifest says 5"),
        (lambda path: path.write_bytes(b""), "has 0 bytes"),
        (lambda path: path.unlink(), "it lacks 'static/uploads/a.jpg', which its manifest names"),
        (link, "which is a symbolic link"),
        (fifo, "which is neither a file nor a directory"),
        (lambda path: (path.parent / "extra").write_text(""), "'static/uploads/extra', which its manifest does not"),
        (lambda path: (path.parent / "loop").symlink_to("."), "'static/uploads/loop', which is a symbolic link"),
    ],
)
def test_a_backup_that_is_not_whole_is_refused(
    live: Site, backup: Path, damage: Callable[[Path], object], words: str
) -> None:
    path = backup / "data" / "static" / "uploads" / "a.jpg"
    path.chmod(0o600)
    damage(path)
    with pytest.raises(OperationError) as failure:
        source.verify(source.choose(live, backup.name))
    assert words in str(failure.value)
    assert "nothing was changed" in str(failure.value)


def remove(key: str, manifest: dict[str, Any]) -> None:
    manifest.pop(key)


def test_a_backup_of_the_older_form_can_be_restored(live: Site, backup: Path, rewrite: Rewrite) -> None:
    for key in ("format", "release", "settings", "schemas", "collection"):
        rewrite(partial(remove, key))
    found = source.choose(live, "latest")
    source.verify(found)
    assert found.release is None


@pytest.mark.parametrize(
    ("only", "found"),
    [
        ([], None),
        (["database.db"], ["database.db"]),
        (["static/uploads/"], ["static/uploads"]),
        (["static", "static/uploads", "database.db"], ["database.db", "static"]),
    ],
)
def test_files_and_directories_can_be_chosen(
    live: Site, backup: Path, only: list[str], found: list[str] | None
) -> None:
    assert source.paths_of(source.choose(live, "latest"), only) == found


@pytest.mark.parametrize("only", ["x", "../x", "/etc/passwd", "", "static/upload", "database.db/x"])
def test_what_a_backup_does_not_have_cannot_be_chosen(live: Site, backup: Path, only: str) -> None:
    with pytest.raises(OperationError, match=r"nothing was changed. Paths are relative to the data folder; it has: "):
        source.paths_of(source.choose(live, "latest"), [only])
