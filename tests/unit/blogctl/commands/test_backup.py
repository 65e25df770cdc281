"""blogctl backup: what it prints, and its exit status."""

from __future__ import annotations

import json
import os
import time

import pytest
from blogctl import cli
from blogctl.commands import backup as backup_command
from blogctl.site import Site


def test_a_backup_is_taken_and_its_summary_printed(capsys: pytest.CaptureFixture[str], site: Site) -> None:
    (site.path("data") / "notes.txt").write_text("12345")
    assert cli.main(["backup"]) == 0
    (name,) = os.listdir(site.path("backups"))
    assert capsys.readouterr().out == f"{name}: 1 files, 5 bytes, verified\n"


def test_a_backup_is_said_as_json_for_programs(capsys: pytest.CaptureFixture[str], site: Site) -> None:
    assert cli.main(["--json", "--site", "blog", "backup"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["files"] == 0
    assert [said["name"]] == os.listdir(site.path("backups"))


def test_a_backup_without_something_names_it_and_has_a_status_of_its_own(
    capsys: pytest.CaptureFixture[str], site: Site
) -> None:
    (site.path("data") / "notes.txt").write_text("12345")
    (site.path("data") / "broken.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    assert cli.main(["backup"]) == backup_command.INCOMPLETE == 7
    said = capsys.readouterr().out
    assert "1 files, 5 bytes, verified\nnot in it: broken.db: the database cannot be copied: " in said
    time.sleep(1.1)  # a backup's name is its second
    assert cli.main(["--json", "backup"]) == 7
    assert list(json.loads(capsys.readouterr().out)["skipped"]) == ["broken.db"]


def test_a_backup_without_a_file_that_cannot_be_copied_is_not_called_a_backup_of_an_empty_folder(
    capsys: pytest.CaptureFixture[str], site: Site
) -> None:
    (site.path("data") / "broken.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    assert cli.main(["backup"]) == 7
    said = capsys.readouterr().out
    assert "is empty" not in said
    assert said.endswith("Backups that lack nothing are kept beside this one.\n")


def test_an_empty_backup_of_a_blog_without_data_is_explained(capsys: pytest.CaptureFixture[str], site: Site) -> None:
    assert cli.main(["backup"]) == 0
    assert "is empty; the blog declares no data" in capsys.readouterr().out
