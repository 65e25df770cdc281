"""A new blog gets its data once: all of it, or nothing."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from blogctl import initialise as module
from blogctl.site import OperationError, Site

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

    monkeypatch.setattr(module, "run_as_app", run)
    return commands


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


def test_a_data_folder_with_nothing_but_folders_is_new(site: Site) -> None:
    data = site.path("data")
    (data / "static" / "uploads").mkdir(parents=True)
    (data / ".initialising").mkdir()
    (data / ".initialising" / "half").touch()
    assert module.is_new(data)
    (data / "static" / "uploads" / "cat.jpg").touch()
    assert not module.is_new(data)


def test_the_commands_of_a_new_blog_run_once_in_their_order(site: Site, ran: list[str]) -> None:
    site.settings["init_commands"] = ["one", "two"]
    assert module.initialise(site, "abc") is True
    assert content(site) == {"database.db": "one\ntwo"}
    assert module.initialise(site, "abc") is False
    assert ran == ["one", "two"]


def test_a_command_that_fails_leaves_the_data_folder_as_new_as_before(site: Site, ran: list[str]) -> None:
    site.settings["init_commands"] = ["one", "fail"]
    with pytest.raises(OperationError, match=r"is as new as before, because the command 'fail' failed"):
        module.initialise(site, "abc")
    assert list(site.path("data").iterdir()) == []
    site.settings["init_commands"] = ["one"]
    assert module.initialise(site, "abc") is True


def test_a_blog_without_commands_and_data_starts_empty(site: Site, ran: list[str]) -> None:
    assert module.initialise(site, "abc") is False
    assert list(site.path("data").iterdir()) == []


def test_what_the_blog_brings_along_comes_before_its_commands(site: Site, ran: list[str]) -> None:
    archive(site, {"static/uploads/2026/cat.jpg": "cat"})
    site.settings["init_commands"] = ["one"]
    assert module.initialise(site, "abc") is True
    assert content(site) == {"static/uploads/2026/cat.jpg": "cat", "database.db": "one"}
    assert not site.path("initial_data").exists()


def test_data_that_is_there_is_never_overwritten(site: Site, ran: list[str]) -> None:
    (site.path("data") / "database.db").write_text("precious")
    archive(site, {"database.db": "from the laptop"})
    site.settings["init_commands"] = ["one"]
    assert module.initialise(site, "abc") is False
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
    module.initialise(site, "abc")
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
    module.initialise(site, "abc")
    assert list(site.path("data").iterdir()) == []


def test_a_move_up_that_was_interrupted_is_finished(
    site: Site, ran: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    archive(site, {f"{number}.txt": str(number) for number in range(4)} | {"sub/deep.txt": "deep"})
    real = os.rename
    moved: list[str] = []

    def killed_half_way(one: str, other: str) -> None:
        if len(moved) == 2:
            raise KeyboardInterrupt
        moved.append(other)
        real(one, other)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", killed_half_way)
        with pytest.raises(KeyboardInterrupt):
            module.initialise(site, "abc")
    site.settings["init_commands"] = ["must not run"]
    assert module.initialise(site, "abc") is True
    assert content(site) == {**{f"{number}.txt": str(number) for number in range(4)}, "sub/deep.txt": "deep"}
    assert ran == []
    assert module.initialise(site, "abc") is False


def test_half_a_staging_folder_of_a_killed_run_is_started_over(site: Site, ran: list[str]) -> None:
    half = site.path("data") / ".initialising"
    half.mkdir()
    (half / "database.db").write_text("half")
    site.settings["init_commands"] = ["one"]
    assert module.initialise(site, "abc") is True
    assert content(site) == {"database.db": "one"}
