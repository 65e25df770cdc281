"""blogctl backup: a consistent copy that was read back, and retention that never loses the newest."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from pathlib import Path

import pytest
from backups import START, day, numbered_database, rows
from blogctl.backup import create, retention
from blogctl.data import outside, process
from blogctl.errors import OperationError
from blogctl.host import journal
from blogctl.host.locks import locked
from blogctl.site import Site


def names(site: Site) -> list[str]:
    return sorted(os.listdir(site.path("backups")))


@pytest.fixture
def blog(site: Site) -> Site:
    """A site with a database, an upload, a link and an empty folder in its data."""
    data = site.path("data")
    numbered_database(data / "database.db")
    (data / "static" / "uploads").mkdir(parents=True)
    (data / "static" / "uploads" / "cat.jpg").write_bytes(b"\xff\xd8cat")
    (data / "static" / "uploads" / "cat.jpg").chmod(0o640)
    (data / "link").symlink_to("/etc/passwd")
    return site


# -- one backup -----------------------------------------------------------------------------------------------------


def test_a_backup_holds_the_database_and_every_file(blog: Site) -> None:
    result = create.back_up(blog, START)
    assert result["name"] == "20260101T030000Z"
    assert result["databases"] == ["database.db"]
    assert result["files"] == 2
    folder = blog.path("backups") / result["name"]
    assert rows(folder / "data" / "database.db") == 3
    assert (folder / "data" / "static" / "uploads" / "cat.jpg").read_bytes() == b"\xff\xd8cat"
    assert not (folder / "data" / "link").exists()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["files"]["database.db"]["tables"] == 1
    assert manifest["files"]["database.db"]["journal_mode"] == "wal"
    assert manifest["files"]["static/uploads/cat.jpg"]["mode"] == 0o640


def test_a_backup_keeps_modes_and_lets_nobody_else_in(blog: Site) -> None:
    (blog.path("data") / "database.db").chmod(0o640)
    folder = blog.path("backups") / create.back_up(blog, START)["name"]
    assert (folder / "data" / "database.db").stat().st_mode & 0o777 == 0o640
    assert folder.stat().st_mode & 0o777 == 0o700


def test_what_only_the_write_ahead_log_holds_is_in_the_backup(blog: Site) -> None:
    path = blog.path("data") / "database.db"
    with contextlib.closing(sqlite3.connect(path)) as app:
        app.execute("INSERT INTO post (title) VALUES ('late')")
        app.commit()
        assert path.with_name("database.db-wal").stat().st_size > 0
        result = create.back_up(blog, START)
    copy = blog.path("backups") / result["name"] / "data"
    assert rows(copy / "database.db") == 4
    assert not list(copy.glob("*-wal"))


def test_a_database_is_known_by_its_content_not_by_its_name(blog: Site) -> None:
    numbered_database(blog.path("data") / "instance" / "posts.bin", mode="delete")
    (blog.path("data") / "notes.db").write_text("no database\n")
    assert create.back_up(blog, START)["databases"] == ["database.db", "instance/posts.bin"]


def test_a_file_that_only_looks_like_a_companion_is_backed_up(blog: Site) -> None:
    (blog.path("data") / "my-journal").write_text("dear diary\n")
    folder = blog.path("backups") / create.back_up(blog, START)["name"]
    assert (folder / "data" / "my-journal").read_text() == "dear diary\n"


def test_a_hidden_folder_of_the_app_is_data_like_any_other(blog: Site) -> None:
    """blogctl's own notes lie elsewhere, so no name in the data folder is special."""
    (blog.path("data") / ".initialising").mkdir()
    (blog.path("data") / ".initialising" / "half.db").write_text("x")
    folder = blog.path("backups") / create.back_up(blog, START)["name"]
    assert (folder / "data" / ".initialising" / "half.db").read_text() == "x"


def test_a_blog_without_any_data_has_an_empty_backup(site: Site) -> None:
    assert create.back_up(site, START)["files"] == 0


@pytest.mark.parametrize("declares", [{"databases": ["blog.db"]}, {"writable_paths": ["media"]}])
def test_an_empty_backup_of_a_blog_that_declares_data_is_an_error(site: Site, declares: dict[str, list[str]]) -> None:
    site.settings.update(declares)
    with pytest.raises(OperationError, match="backup would be empty") as error:
        create.back_up(site, START)
    assert f"flask_blog_{next(iter(declares))}: {next(iter(declares.values()))[0]}" in str(error.value)
    assert names(site) == []


def test_an_empty_backup_never_replaces_a_full_one(blog: Site) -> None:
    first = create.back_up(blog, START)["name"]
    for path in (blog.path("data") / "database.db", blog.path("data") / "static" / "uploads" / "cat.jpg"):
        path.unlink()
    for companion in blog.path("data").glob("database.db-*"):
        companion.unlink()
    with pytest.raises(OperationError, match=f"The last backup, {first}, has 2 files"):
        create.back_up(blog, day(1))
    assert names(blog) == [first]


def test_an_empty_backup_says_where_the_data_was_found(site: Site) -> None:
    outside.note(site, ["The app keeps a database in '/tmp/test.db'"])
    with pytest.raises(OperationError, match=r"/tmp/test\.db"):
        create.back_up(site, START)


@pytest.mark.parametrize(("path", "refused"), [("/tmp/x.db", True), ("/opt/blog/releases/1/geo.db", False)])
def test_an_empty_backup_of_a_unit_that_sees_no_process_reads_what_the_app_has_logged(
    site: Site, monkeypatch: pytest.MonkeyPatch, path: str, refused: bool
) -> None:
    """The app opened the database with the first sign-up, long after the deployment was checked."""
    asked: list[str] = []

    def lines_of_run(invocation: str, containing: str) -> str:
        asked.append(invocation)
        return f"[7] [WARNING] {containing}{path}', which is outside the data folder\n" * 2

    monkeypatch.setattr(outside, "running", lambda _: {"InvocationID": "8f", "MainPID": "0"})
    monkeypatch.setattr(journal, "lines_of_run", lines_of_run)
    if refused:
        with pytest.raises(
            OperationError, match=rf"'{path}', outside .*: a restart of the service removes it"
        ) as error:
            create.back_up(site, START)
        assert str(error.value).count(path) == 1
    else:
        assert create.back_up(site, START)["files"] == 0
    assert asked == ["8f"]


@pytest.fixture
def damaged(blog: Site) -> Path:
    """The blog's database with a page in its middle overwritten, as a dying disk does."""
    path = blog.path("data") / "database.db"
    path.unlink()
    numbered_database(path, rows=200, mode="delete")
    size = path.stat().st_size
    assert size > 100_000
    with path.open("r+b") as handle:
        handle.seek(size // 8192 * 4096)
        handle.write(os.urandom(4096))
    return path


def test_a_damaged_database_is_named_and_everything_else_is_backed_up(blog: Site, damaged: Path) -> None:
    result = create.back_up(blog, START)
    folder = blog.path("backups") / result["name"]
    assert list(result["skipped"]) == ["database.db"]
    assert "the database cannot be copied: database disk image is malformed" in result["skipped"]["database.db"]
    assert result["databases"] == []
    assert [path.name for path in (folder / "data").rglob("*") if path.is_file()] == ["cat.jpg"]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["skipped"] == result["skipped"]
    assert list(manifest["files"]) == ["static/uploads/cat.jpg"]


def test_a_damaged_database_leaves_its_copy_in_an_earlier_backup_alone(blog: Site, damaged: Path) -> None:
    broken = damaged.read_bytes()
    damaged.unlink()
    numbered_database(damaged)
    first = create.back_up(blog, day(0))
    damaged.write_bytes(broken)
    second = create.back_up(blog, day(1))
    assert (first["skipped"], list(second["skipped"])) == ({}, ["database.db"])
    assert rows(blog.path("backups") / first["name"] / "data" / "database.db") == 3


def test_a_database_that_does_not_read_back_as_written_is_no_backup(
    blog: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    (blog.path("data") / "database.db").rename(blog.path("data") / "aside")
    first = create.back_up(blog, day(0))["name"]
    bad_disk(monkeypatch, "aside")
    with pytest.raises(OperationError, match=r"earlier ones are untouched: aside reads differently"):
        create.back_up(blog, day(1))
    assert names(blog) == [first]


def test_a_copy_that_does_not_read_back_as_written_is_no_backup(blog: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    first = create.back_up(blog, day(0))["name"]
    (blog.path("data") / "new.txt").write_text("new\n")
    bad_disk(monkeypatch, "new.txt")
    with pytest.raises(OperationError, match=r"new\.txt reads differently"):
        create.back_up(blog, day(1))
    assert names(blog) == [first]


def bad_disk(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Have what is stored under a name spoiled as soon as it is written."""
    real = process.store

    def store(one: process.Handed, root: Path) -> Path:
        place = real(one, root)
        if one.path == name:
            place.write_bytes(b"\x00\x00")
        return place

    monkeypatch.setattr(process, "store", store)


def test_what_rots_between_writing_and_verifying_is_no_backup(blog: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    first = create.back_up(blog, day(0))["name"]
    real = create.verify

    def verify(aside: Path, manifest: dict[str, object]) -> None:
        (aside / "data" / "new.txt").write_bytes(b"rot")
        real(aside, manifest)

    monkeypatch.setattr(create, "verify", verify)
    (blog.path("data") / "new.txt").write_text("new\n")
    with pytest.raises(OperationError, match=r"new\.txt reads differently"):
        create.back_up(blog, day(1))
    assert names(blog) == [first]


def test_a_full_disk_leaves_earlier_backups_and_no_litter(blog: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    first = create.back_up(blog, day(0))["name"]

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(create, "_write", full)
    with pytest.raises(OperationError, match="no space left on device"):
        create.back_up(blog, day(1))
    assert names(blog) == [first]


def test_a_backup_does_not_run_beside_another_operation(blog: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(create, "locked", lambda site, operation: locked(site, operation, wait=0.1))
    with locked(blog), pytest.raises(OperationError, match="another operation"):
        create.back_up(blog, START)
    assert names(blog) == []


def test_two_backups_of_one_second_are_not_confused(blog: Site) -> None:
    create.back_up(blog, START)
    with pytest.raises(OperationError, match=r"there is a backup .* already"):
        create.back_up(blog, START)
    assert len(names(blog)) == 1


def test_what_an_interrupted_backup_left_is_removed_and_never_counted(blog: Site) -> None:
    half = blog.path("backups") / ".incomplete-20250101T000000Z"
    (half / "data").mkdir(parents=True)
    assert retention.complete_backups(blog.path("backups")) == []
    name = create.back_up(blog, START)["name"]
    assert names(blog) == [name]


# -- several --------------------------------------------------------------------------------------------------------


def test_an_unchanged_file_takes_no_room_twice(blog: Site) -> None:
    first = blog.path("backups") / create.back_up(blog, day(0))["name"] / "data"
    with contextlib.closing(sqlite3.connect(blog.path("data") / "database.db")) as app:
        app.execute("DELETE FROM post")
        app.commit()
    folders = [first, blog.path("backups") / create.back_up(blog, day(1))["name"] / "data"]
    one, two = (folder / "static" / "uploads" / "cat.jpg" for folder in folders)
    assert one.stat().st_ino == two.stat().st_ino
    assert (folders[0] / "database.db").stat().st_ino != (folders[1] / "database.db").stat().st_ino


@pytest.mark.parametrize("change", ["content", "mode"])
def test_a_changed_file_is_copied_and_the_earlier_backup_keeps_its_own(blog: Site, change: str) -> None:
    upload = blog.path("data") / "static" / "uploads" / "cat.jpg"
    first = blog.path("backups") / create.back_up(blog, day(0))["name"] / "data" / "static" / "uploads" / "cat.jpg"
    if change == "content":
        upload.write_bytes(b"another")
    else:
        upload.chmod(0o600)
    second = blog.path("backups") / create.back_up(blog, day(1))["name"] / "data" / "static" / "uploads" / "cat.jpg"
    assert first.stat().st_ino != second.stat().st_ino
    assert first.read_bytes() == b"\xff\xd8cat"
    assert first.stat().st_mode & 0o777 == 0o640
    assert second.read_bytes() == upload.read_bytes()


def test_a_copy_that_rotted_in_an_earlier_backup_is_made_anew_in_the_next(blog: Site) -> None:
    first = blog.path("backups") / create.back_up(blog, day(0))["name"]
    (first / "data" / "static" / "uploads" / "cat.jpg").write_bytes(b"rot")
    second = blog.path("backups") / create.back_up(blog, day(1))["name"]
    assert (second / "data" / "static" / "uploads" / "cat.jpg").read_bytes() == b"\xff\xd8cat"


def test_old_backups_are_removed_after_a_good_one(blog: Site) -> None:
    blog.settings["backup_keep"] = {"daily": 2}
    for number in range(4):
        result = create.back_up(blog, day(number))
    assert result["removed"] == ["20260102T030000Z"]
    assert names(blog) == ["20260103T030000Z", "20260104T030000Z"]


def test_what_is_no_backup_is_never_removed(blog: Site) -> None:
    root = blog.path("backups")
    (root / "20240101T000000Z").mkdir()
    (root / "notes").mkdir()
    blog.settings["backup_keep"] = {"daily": 1}
    create.back_up(blog, START)
    assert {"20240101T000000Z", "notes"} <= set(names(blog))


# -- retention ------------------------------------------------------------------------------------------------------


def test_an_interrupted_removal_leaves_no_half_backup_under_a_good_name(
    blog: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2):
        create.back_up(blog, day(number))

    def killed(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(retention.shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        retention.prune(blog.path("backups"), {"daily": 1})
    assert retention.complete_backups(blog.path("backups")) == ["20260102T030000Z"]


def test_a_disk_that_takes_no_directory_is_a_failure_that_names_it(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(create, "_copy", full)
    with pytest.raises(OperationError, match=r"The backup of blog failed, earlier ones are untouched: .*No space left"):
        create.back_up(site)
    assert os.listdir(site.path("backups")) == []
