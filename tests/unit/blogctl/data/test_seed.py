"""A new blog gets its data once: all of it, or nothing."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from blogctl.data import seed
from blogctl.errors import OperationError
from blogctl.host import run_as_app
from blogctl.host.releases import point_link
from blogctl.shared import contract
from blogctl.site import Site

Command = Callable[..., None]


@pytest.fixture(autouse=True)
def release(add_release: Callable[[str], Path]) -> Path:
    return add_release("abc")


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stand in for the app's commands: each writes its own name into a file where it finds the data."""
    commands: list[str] = []

    def run(site: Site, folder: Path, source_root: str, command: str, data: Path) -> None:
        commands.append(command)
        (data / "database.db").write_text("\n".join(commands))
        if command == "fail":
            raise OperationError("the command 'fail' failed (status 1)")

    monkeypatch.setattr(run_as_app, "run", run)
    return commands


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stand in for the journal."""
    lines: list[str] = []
    monkeypatch.setattr(seed.journal, "log", lambda _, message: lines.append(message))
    return lines


def archive(site: Site, files: Mapping[str, str]) -> Path:
    path = site.path("initial_data")
    with tarfile.open(path, "w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return path


def content(site: Site) -> dict[str, str]:
    data = site.path("data")
    return {str(path.relative_to(data)): path.read_text() for path in data.rglob("*") if path.is_file()}


def notes(site: Site) -> list[str]:  # of root's, about the initialisation
    return sorted(os.listdir(site.path("state")))


def test_a_data_folder_with_nothing_but_folders_is_new(site: Site, ran: list[str]) -> None:
    (site.path("data") / "static" / "uploads").mkdir(parents=True)
    site.settings["init_commands"] = ["one"]
    assert seed.initialise(site, "abc") is True
    assert ran == ["one"]


def test_a_single_file_makes_a_data_folder_an_old_one(site: Site, ran: list[str]) -> None:
    (site.path("data") / "static" / "uploads").mkdir(parents=True)
    (site.path("data") / "static" / "uploads" / "cat.jpg").touch()
    site.settings["init_commands"] = ["one"]
    assert seed.initialise(site, "abc") is False
    assert (ran, notes(site)) == ([], ["initialised"])


def test_the_commands_of_a_new_blog_run_once_in_their_order(site: Site, ran: list[str]) -> None:
    site.settings["init_commands"] = ["one", "two"]
    assert seed.initialise(site, "abc") is True
    assert content(site) == {"database.db": "one\ntwo"}
    assert seed.initialise(site, "abc") is False
    assert ran == ["one", "two"]
    assert notes(site) == ["initialised"]
    assert site.path("state").stat().st_mode & 0o777 == 0o700


def test_commands_never_run_again_although_the_data_folder_is_empty(site: Site, ran: list[str]) -> None:
    """The data may be in a database server, and a command may be C(drop_all(); create_all())."""
    site.settings["init_commands"] = ["one"]
    assert seed.initialise(site, "abc") is True
    (site.path("data") / "database.db").unlink()
    archive(site, {"cat.jpg": "cat"})
    assert seed.initialise(site, "abc") is False
    assert (ran, content(site)) == (["one"], {})


def test_a_blog_that_was_deployed_before_this_was_noted_has_its_data(site: Site, ran: list[str]) -> None:
    """Its data folder holds no file, as its data is in a database server."""
    point_link(site, str(site.path("releases") / "abc"))
    site.settings["init_commands"] = ["one"]
    assert seed.initialise(site, "abc") is False
    site.path("link").unlink()
    assert seed.initialise(site, "abc") is False, "it is noted now"
    assert (ran, notes(site)) == ([], ["initialised"])


def test_a_note_that_the_app_leaves_in_its_data_is_a_file_and_nothing_else(site: Site, ran: list[str]) -> None:
    """A list of files to move, in a folder of the app's, made root move them (C(DATA/.initialised))."""
    victim = site.path("root") / "blogctl.py"
    victim.write_text("ours")
    folder = site.path("data") / ".initialised"
    folder.mkdir()
    (folder / "database.db").symlink_to(victim)
    site.settings["init_commands"] = ["one"]
    assert seed.initialise(site, "abc") is False
    assert victim.read_text() == "ours"
    assert (folder / "database.db").is_symlink()


def test_a_command_that_fails_leaves_the_data_folder_as_new_as_before(site: Site, ran: list[str]) -> None:
    site.settings["init_commands"] = ["one", "fail"]
    with pytest.raises(OperationError, match=r"is as new as before, because the command 'fail' failed"):
        seed.initialise(site, "abc")
    assert list(site.path("data").iterdir()) == []
    assert notes(site) == []
    site.settings["init_commands"] = ["one"]
    assert seed.initialise(site, "abc") is True


def test_a_command_that_fails_leaves_the_directories_that_were_there_before(site: Site, ran: list[str]) -> None:
    """The role makes them, with owners and modes of their own."""
    uploads = site.path("data") / "static" / "uploads"
    uploads.mkdir(parents=True)
    uploads.chmod(0o2750)
    archive(site, {"static/uploads/2026/cat.jpg": "cat", "static/a.css": "a", "other/b.txt": "b"})
    site.settings["init_commands"] = ["fail"]
    with pytest.raises(OperationError, match="is as new as before"):
        seed.initialise(site, "abc")
    found = sorted(str(path.relative_to(site.path("data"))) for path in site.path("data").rglob("*"))
    assert found == ["static", "static/uploads"]
    assert uploads.stat().st_mode & 0o7777 == 0o2750
    assert site.path("initial_data").exists(), "the next run unpacks it again"


def test_an_interruption_leaves_the_data_folder_as_new_as_before(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        (site.path("data") / "half").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(run_as_app, "run", interrupted)
    site.settings["init_commands"] = ["one"]
    with pytest.raises(KeyboardInterrupt):
        seed.initialise(site, "abc")
    assert (list(site.path("data").iterdir()), notes(site)) == ([], [])


def test_a_blog_without_commands_and_data_starts_empty(site: Site, ran: list[str]) -> None:
    assert seed.initialise(site, "abc") is False
    assert list(site.path("data").iterdir()) == []


def test_what_the_blog_brings_along_comes_before_its_commands(site: Site, ran: list[str]) -> None:
    archive(site, {"static/uploads/2026/cat.jpg": "cat"})
    site.settings["init_commands"] = ["one"]
    assert seed.initialise(site, "abc") is True
    assert content(site) == {"static/uploads/2026/cat.jpg": "cat", "database.db": "one"}
    assert not site.path("initial_data").exists()


def test_data_that_is_there_is_never_overwritten(site: Site, ran: list[str]) -> None:
    (site.path("data") / "database.db").write_text("precious")
    archive(site, {"database.db": "from the laptop"})
    site.settings["init_commands"] = ["one"]
    assert seed.initialise(site, "abc") is False
    assert content(site) == {"database.db": "precious"}
    assert ran == []
    assert not site.path("initial_data").exists(), "it must not come back later either"


def test_uploads_that_come_along_are_for_nginxs_group_and_the_database_is_not(site: Site) -> None:
    uploads = site.path("data") / "static" / "uploads"
    uploads.mkdir(parents=True)
    group = uploads.stat().st_gid
    if os.geteuid() == 0:
        group = 12346
        os.chown(uploads, -1, group)
    uploads.chmod(0o2750)
    archive(site, {"static/uploads/2026/cat.jpg": "cat", "database.db": "posts"})
    before = os.umask(0o027)  # an ordinary user's process keeps it; root's gets it
    seed.initialise(site, "abc")
    os.umask(before)
    picture = uploads / "2026" / "cat.jpg"
    assert (picture.stat().st_gid, picture.stat().st_mode & 0o777) == (group, 0o640)
    assert (uploads / "2026").stat().st_mode & 0o7777 == 0o2750
    assert (site.path("data") / "database.db").stat().st_mode & 0o777 == 0o640
    if os.geteuid() == 0:
        assert (site.path("data") / "database.db").stat().st_gid != group


def test_an_archive_with_anything_but_files_brings_only_the_files(site: Site) -> None:
    with tarfile.open(site.path("initial_data"), "w:gz") as tar:
        member = tarfile.TarInfo("link")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(member)
        file = tarfile.TarInfo("good.txt")
        file.size = 4
        tar.addfile(file, io.BytesIO(b"good"))
    seed.initialise(site, "abc")
    assert content(site) == {"good.txt": "good"}


def killed(site: Site, kept: list[str]) -> None:
    """Leave a site as a blogctl leaves it that was killed while it initialised the data."""
    seed.state_folder(site)
    (site.path("state") / seed.INITIALISING).write_text(json.dumps(kept))
    (site.path("data") / "static").mkdir()
    (site.path("data") / "static" / "half.txt").write_text("half")
    (site.path("data") / "database.db").write_text("half")


def test_an_initialisation_that_was_killed_is_emptied_and_done_again(site: Site, ran: list[str]) -> None:
    killed(site, ["static"])
    archive(site, {"cat.jpg": "cat"})
    site.settings["init_commands"] = ["one"]
    assert seed.initialise(site, "abc") is True
    assert content(site) == {"cat.jpg": "cat", "database.db": "one"}
    assert (site.path("data") / "static").is_dir(), "it was there before"
    assert notes(site) == ["initialised"]


def test_an_initialisation_that_was_killed_is_forgotten_by_the_recovery(site: Site, ran: list[str]) -> None:
    killed(site, [])
    seed.remove_interrupted(site)
    assert (list(site.path("data").iterdir()), notes(site), ran) == ([], [], [])


@pytest.mark.parametrize("text", ["", '["sta'])
def test_a_note_that_a_power_cut_has_cut_off_empties_the_whole_folder(site: Site, ran: list[str], text: str) -> None:
    killed(site, ["static"])
    (site.path("state") / seed.INITIALISING).write_text(text)
    site.settings["init_commands"] = ["one"]
    assert seed.initialise(site, "abc") is True
    assert content(site) == {"database.db": "one"}


def test_killed_after_the_data_was_complete_nothing_is_removed(site: Site, ran: list[str]) -> None:
    killed(site, [])
    seed.note_initialised(site)
    seed.remove_interrupted(site)
    assert content(site) == {"database.db": "half", "static/half.txt": "half"}
    assert notes(site) == ["initialised"]


def test_a_release_that_serves_is_noted_as_initialised_whatever_it_brought(site: Site) -> None:
    """A first release without commands and data: those that come with a later one must not run."""
    assert seed.initialise(site, "abc") is False
    assert not seed.is_initialised(site)
    seed.note_initialised(site)
    assert seed.is_initialised(site)


def test_an_archive_that_leads_out_of_the_data_brings_nothing_there(site: Site, tmp_path: Path) -> None:
    archive(site, {"../escaped": "x", "a/../../escaped": "x", f"{tmp_path}/escaped": "x", "good.txt": "good"})
    seed.initialise(site, "abc")
    assert content(site) == {"good.txt": "good"}
    assert not list(tmp_path.rglob("escaped"))


def test_the_folder_of_roots_notes_is_private_from_the_start(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.umask(0)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(Path, "chmod", lambda *_: None)
            state = seed.state_folder(site)
    finally:
        os.umask(before)
    assert state.stat().st_mode & 0o7777 == 0o700


def test_what_a_failed_first_release_left_behind_does_not_keep_the_commands_from_running(
    site: Site, ran: list[str]
) -> None:
    """An app without its tables makes an empty database when it answers 500; then people name the command."""
    assert seed.initialise(site, "abc") is False
    (site.path("data") / "database.db").touch()
    (site.path("data") / "static" / "uploads").mkdir(parents=True)
    (site.path("data") / "logs").mkdir()
    (site.path("data") / "logs" / "blog.log").write_text("no such table")
    seed.note_left_behind(site)
    assert "logs/blog.log" in content(site), "it says why the release failed"
    site.settings["init_commands"] = ["one"]
    assert seed.initialise(site, "abc") is True
    assert content(site) == {"database.db": "one"}
    assert (site.path("data") / "static" / "uploads").is_dir()
    assert notes(site) == ["initialised"]


def test_the_first_data_comes_although_a_failed_release_left_files_behind(site: Site, ran: list[str]) -> None:
    (site.path("data") / "database.db").touch()
    seed.note_left_behind(site)
    archive(site, {"database.db": "ours"})
    assert seed.initialise(site, "abc") is True
    assert content(site) == {"database.db": "ours"}


@pytest.mark.parametrize("change", ["a new file", "another content", "more files than are noted"])
def test_a_file_that_somebody_wrote_after_a_failed_release_is_never_removed(
    site: Site, ran: list[str], logged: list[str], change: str
) -> None:
    """People write instance/config.py there by hand, as the message says."""
    data = site.path("data")
    (data / "database.db").touch()
    if change == "more files than are noted":
        for number in range(contract.LEFT_BEHIND_LIMIT):
            (data / f"{number}.log").touch()
    seed.note_left_behind(site)
    if change == "a new file":
        (data / "config.py").write_text("DEBUG = False")
    elif change == "another content":
        (data / "database.db").write_text("rows")
    before = content(site)
    site.settings["init_commands"] = ["one"]
    assert seed.initialise(site, "abc") is False
    assert (ran, content(site)) == ([], before)
    assert "flask_blog_init_commands" in logged[-1]


def test_another_mode_of_a_file_that_was_left_behind_is_no_change(site: Site, ran: list[str]) -> None:
    """The role corrects owners and modes at the start of the next run."""
    (site.path("data") / "database.db").touch()
    seed.note_left_behind(site)
    (site.path("data") / "database.db").chmod(0o640)
    site.settings["init_commands"] = ["one"]
    assert seed.initialise(site, "abc") is True


def test_a_blog_that_serves_forgets_what_a_failed_release_left_behind(site: Site, ran: list[str]) -> None:
    (site.path("data") / "database.db").touch()
    seed.note_left_behind(site)
    seed.note_initialised(site)
    assert notes(site) == ["initialised"]
    assert content(site) == {"database.db": ""}
