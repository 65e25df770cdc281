"""What a backup holds beside the data: the settings, the release, and what each database is known by."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from backups import START, day, numbered_database
from blogctl.backup import create, retention, settings
from blogctl.data.inside import tables
from blogctl.data.inside.sqlite import Clock
from blogctl.errors import OperationError
from blogctl.shared import contract
from blogctl.site import Site
from data_folders import stored


@pytest.fixture
def blog(site: Site) -> Site:
    """A site with a database and settings."""
    numbered_database(site.path("data") / "database.db")
    config = site.path("config")
    (config / "environment").write_text("SECRET_KEY=abc\n")
    (config / "environment").chmod(0o640)
    (config / "schemes" / "http").mkdir(parents=True)
    (config / "schemes" / "http" / "site.conf").write_text("server {}\n")
    (config / "scheme").symlink_to("schemes/http")
    (config / "offsite").mkdir()
    (config / "offsite" / "password").write_text("of the repository")
    return site


def made(blog: Site, number: int = 0) -> tuple[Path, dict[str, Any]]:
    folder = blog.path("backups") / create.back_up(blog, day(number))["name"]
    return folder, json.loads((folder / "manifest.json").read_text())


def test_a_backup_holds_the_settings_with_their_owners_and_modes(blog: Site) -> None:
    folder, manifest = made(blog)
    assert manifest["format"] == 2
    assert sorted(manifest["settings"]) == ["environment", "schemes/http/site.conf"]
    entry = manifest["settings"]["environment"]
    assert (entry["size"], entry["mode"]) == (15, 0o640)
    assert (entry["owner"], entry["group"]) == (blog.settings["user"], blog.settings["group"])
    assert (folder / "settings" / "environment").read_text() == "SECRET_KEY=abc\n"
    assert (folder / "settings" / "environment").stat().st_mode & 0o777 == 0o640
    assert manifest["settings_links"] == {"scheme": "schemes/http"}


def test_the_password_of_the_repository_is_in_no_backup(blog: Site) -> None:
    folder, _ = made(blog)
    assert "of the repository" not in "".join(
        path.read_text() for path in (folder / "settings").rglob("*") if path.is_file()
    )


@pytest.mark.usefixtures("nothing_hangs")
def test_a_fifo_and_a_link_out_of_the_settings_are_not_followed(blog: Site) -> None:
    os.mkfifo(blog.path("config") / "fifo")
    (blog.path("config") / "shadow").symlink_to("/etc/passwd")
    folder, manifest = made(blog)
    assert sorted(manifest["settings"]) == ["environment", "schemes/http/site.conf"]
    assert not (folder / "settings" / "shadow").exists()


def test_a_file_that_is_too_large_for_settings_is_named(blog: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "FILE_LIMIT", 14)
    _, manifest = made(blog)
    assert list(manifest["settings"]) == ["schemes/http/site.conf"]
    assert list(manifest["skipped"]) == [str(blog.path("config") / "environment")]


def test_settings_that_read_back_differently_are_no_backup(blog: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = create._copy

    def copy_and_rot(site: Site, aside: Path, earlier: Path | None) -> dict[str, Any]:
        manifest = copy(site, aside, earlier)
        (aside / "settings" / "environment").write_text("rot")
        return manifest

    monkeypatch.setattr(create, "_copy", copy_and_rot)
    with pytest.raises(OperationError, match="environment reads differently"):
        create.back_up(blog, START)
    assert os.listdir(blog.path("backups")) == []


def test_unchanged_settings_take_no_room_twice_and_rotten_ones_are_copied_again(blog: Site) -> None:
    first, _ = made(blog, 0)
    second, _ = made(blog, 1)
    copies = [folder / "settings" / "environment" for folder in (first, second)]
    assert copies[0].stat().st_ino == copies[1].stat().st_ino
    copies[1].write_text("rot")
    third, _ = made(blog, 2)
    assert (third / "settings" / "environment").read_text() == "SECRET_KEY=abc\n"
    (blog.path("config") / "environment").write_text("SECRET_KEY=def\n")
    fourth, _ = made(blog, 3)
    assert (fourth / "settings" / "environment").read_text() == "SECRET_KEY=def\n"
    assert (third / "settings" / "environment").read_text() == "SECRET_KEY=abc\n"


def test_a_backup_names_the_release_and_the_version_of_the_collection(
    blog: Site, add_release: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = add_release("r1")
    more = {"commit": "1" * 40, "ref": "main", "repository": "https://example.com/blog.git"}
    found = json.loads((folder / ".release.json").read_text())
    (folder / ".release.json").write_text(json.dumps(found | more))
    blog.path("link").parent.mkdir(exist_ok=True)
    blog.path("link").symlink_to(folder)
    (tmp_path / "version.json").write_text('{"version": "0.3.0", "interface": 1}')
    monkeypatch.setattr(contract, "TOOL_VERSION", str(tmp_path / "version.json"))
    _, manifest = made(blog)
    assert manifest["collection"] == "0.3.0"
    release = manifest["release"]
    assert release["id"] == "r1"
    assert release["source"] == {"kind": "git", "address": "https://example.com/blog.git"}
    assert (release["commit"], release["version"]) == ("1" * 40, "main")
    assert release["python"].startswith("3.")
    assert release["created"].startswith("20")


def test_a_backup_of_a_site_without_a_release_says_so(blog: Site) -> None:
    assert made(blog)[1]["release"] == {}


def test_a_backup_counts_the_rows_of_each_table_and_knows_the_schema(blog: Site) -> None:
    path = blog.path("data") / "database.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript('CREATE TABLE "odd ""name" (x); INSERT INTO "odd ""name" VALUES (1)')
    folder, manifest = made(blog)
    assert manifest["files"]["database.db"]["rows"] == {"post": 3, 'odd "name': 1}
    digest = manifest["schemas"]["database.db"]
    assert digest == tables.schema_digest(folder / "data" / "database.db", Clock(60))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO post (title) VALUES ('late')")
        connection.commit()
    _, manifest = made(blog, 1)
    assert (manifest["schemas"]["database.db"], manifest["files"]["database.db"]["rows"]["post"]) == (digest, 4)


@pytest.mark.parametrize(
    "change", ["PRAGMA user_version = 7", "ALTER TABLE post ADD COLUMN tag", "CREATE INDEX i ON post (title)"]
)
def test_a_changed_schema_has_another_digest(tmp_path: Path, change: str) -> None:
    path = numbered_database(tmp_path / "blog.db", mode="delete")
    before = tables.schema_digest(path, Clock(60))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(change)
    assert tables.schema_digest(path, Clock(60)) != before


def test_tables_without_end_leave_a_message_of_limited_size(site: Site) -> None:
    path = numbered_database(site.path("data") / "many.db")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript("".join(f'CREATE TABLE "t{number}{"x" * 190}" (x);' for number in range(600)))
    folder = site.path("backups") / create.back_up(site, START)["name"]
    entry = json.loads((folder / "manifest.json").read_text())["files"]["many.db"]
    assert entry["tables"] == 601
    assert 0 < len(entry["rows"]) < 500


def test_a_schema_whose_names_are_no_text_is_named_and_the_rest_is_backed_up(site: Site) -> None:
    numbered_database(site.path("data") / "good.db")
    with contextlib.closing(sqlite3.connect(numbered_database(site.path("data") / "evil.db"))) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "INSERT INTO sqlite_schema VALUES ('table', CAST(x'ff41' AS TEXT), 't', 9, 'CREATE TABLE x (y)')"
        )
        connection.commit()
    place, skipped = stored(site)
    assert list(skipped) == ["evil.db"]
    assert (place / "good.db").exists()


def test_a_backup_of_the_older_form_is_counted_kept_and_followed(blog: Site) -> None:
    """It names no form, and holds no settings, release, schemas or rows."""
    folder, manifest = made(blog, 0)
    for key in ("format", "settings", "settings_links", "release", "schemas", "collection"):
        manifest.pop(key)
    manifest["files"]["database.db"].pop("rows")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    for path in sorted((folder / "settings").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (folder / "settings").rmdir()
    second, newer = made(blog, 1)
    assert newer["settings"]
    assert retention.complete_backups(blog.path("backups")) == [folder.name, second.name]
    assert retention.lacks_nothing(folder)
