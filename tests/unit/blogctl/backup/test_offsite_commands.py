"""What blogctl backup --offsite and blogctl backups print. A script stands for restic."""

from __future__ import annotations

import json

import pytest
from backups import day
from blogctl import cli
from blogctl.backup import create, listing, restic
from blogctl.host import systemd
from blogctl.site import Site
from fake_restic import Restic, copied


@pytest.fixture
def deployed(blog: Site) -> Site:
    """The site as the command line finds it."""
    (blog.path("config") / "site.json").write_text(json.dumps(blog.settings))
    return blog


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    calls: list[tuple[str, ...]] = []
    monkeypatch.setattr(systemd, "systemctl", lambda *words: calls.append(words))
    return calls


@pytest.mark.usefixtures("deployed")
def test_the_first_copy_says_that_the_password_is_needed(capsys: pytest.CaptureFixture[str], program: Restic) -> None:
    assert cli.main(["backup", "--offsite"]) == 0
    said = capsys.readouterr().out
    assert "A new repository was made: sftp:blog@host.example.com:/srv/blog. Nobody can read it without" in said
    assert "20260101T030000Z: copied to sftp:blog@host.example.com:/srv/blog" in said
    program.works()
    assert cli.main(["backup", "--offsite", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["copied"] is False


@pytest.mark.usefixtures("deployed")
def test_a_backup_by_hand_starts_the_copy_and_one_of_the_unit_leaves_it_to_systemd(
    capsys: pytest.CaptureFixture[str], started: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.main(["backup"]) == 0  # the tests run as the unit does
    assert started == []
    import blogctl.commands.backup as command

    monkeypatch.setattr(command, "CONFINED", "NOT_SET")
    monkeypatch.setattr(
        command.create, "back_up", lambda _: {"name": "x", "files": 1, "bytes": 1, "skipped": {}, "skipped_more": 0}
    )
    assert cli.main(["backup"]) == 0
    assert started == [("start", "--no-block", "blog-offsite.service")]
    assert "blog-offsite.service copies it off-site now." in capsys.readouterr().out


@pytest.mark.usefixtures("deployed")
def test_backups_lists_what_can_be_restored(capsys: pytest.CaptureFixture[str], blog: Site, program: Restic) -> None:
    copied(blog, program)
    (blog.path("data") / "broken.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    create.back_up(blog, day(1))
    snapshot = blog.path("snapshots") / "left-abc"
    snapshot.mkdir(parents=True)
    (snapshot / "database.db").write_bytes(b"x" * 1500)
    assert cli.main(["backups"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("  20260101T030000Z  1 files, 5 bytes; verified 20")
    assert lines[1].endswith("; off-site")
    assert lines[2].endswith("lacks 1: broken.db")
    assert any(line.startswith("  left-abc  ") and "before the rollback, 1.5 KB" in line for line in lines)
    assert lines[-2] == "Off-site in sftp:blog@host.example.com:/srv/blog:"
    assert lines[-1].startswith("  20260101T030000Z  00000000  from ")


def test_backups_shows_the_last_list_if_the_repository_does_not_answer(blog: Site, program: Restic) -> None:
    copied(blog, program)
    program.fails("snapshots", "Fatal: unable to open repository: connection refused")
    found = listing.copies(blog)
    assert found
    assert (found["asked"], [one["backup"] for one in found["snapshots"]]) == (False, ["20260101T030000Z"])
    assert "connection refused" in found["problem"]
    with pytest.raises(restic.RepositoryError, match="connection refused"):
        listing.copies(blog, "/mnt/other/blog")


@pytest.mark.usefixtures("deployed")
def test_another_repository_is_opened_with_the_password_that_is_given(
    program: Restic, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RESTIC_PASSWORD", "another one")
    assert cli.main(["--json", "backups", "--from", "/mnt/other/blog"]) == 0
    ((_, _, seen, _),) = program.asked
    assert (seen["RESTIC_REPOSITORY"], seen["RESTIC_PASSWORD"]) == ("/mnt/other/blog", "another one")
    assert json.loads(capsys.readouterr().out)["offsite"]["snapshots"] == []


def test_a_damaged_manifest_is_listed_as_that(blog: Site) -> None:
    name = create.back_up(blog, day(1))["name"]
    (blog.path("backups") / name / "manifest.json").write_text("[1]")
    good, bad = listing.backups(blog)
    assert good["files"] == 1
    assert bad["problem"].startswith("its manifest is damaged")


def test_a_backup_of_the_older_form_is_listed(blog: Site) -> None:
    (blog.path("backups") / "20250101T000000Z").mkdir()
    entry = {"size": 3, "sha256": "0", "mode": 416}
    manifest = {"site": "blog", "name": "20250101T000000Z", "files": {"a": entry}, "skipped": {}, "skipped_more": 0}
    (blog.path("backups") / "20250101T000000Z" / "manifest.json").write_text(json.dumps(manifest))
    assert listing.backups(blog)[0] | {"verified": ""} == {
        "id": "20250101T000000Z",
        "moment": "2025-01-01T00:00:00+00:00",
        "release": "",
        "files": 1,
        "bytes": 3,
        "databases": [],
        "lacks": {},
        "lacks_more": 0,
        "verified": "",
        "format": 1,
    }


def test_what_a_repository_says_is_no_more_than_text(program: Restic, blog: Site) -> None:
    program.works()
    found = [
        {"id": "a" * 64, "hostname": "\x1b[2Jhost", "time": 7, "tags": ["site=blog", "backup=../../x", "bytes=-1"]},
        {"id": "../x", "tags": []},
        "text",
        {"id": "b" * 64, "tags": {"a": 1}},
        {"id": "c" * 64, "tags": [["x"]]},
    ]
    (program.folder / "snapshots.json").write_text(json.dumps(found))
    copies = listing.copies(blog)
    assert copies
    text = listing.describe(blog, {"backups": [], "snapshots": [], "offsite": copies})
    assert "\x1b" not in text
    assert copies["snapshots"][-1]["bytes"] is None
