"""Databases outside the data folder are found wherever the service may write; the app cannot lead root away."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from blogctl.data import outside
from blogctl.host import systemd
from blogctl.site import Site
from data_folders import database


def problems(site: Site) -> list[str]:
    return outside.problems(site, outside.running(site))


def databases_outside(site: Site) -> list[str]:
    return outside.databases_outside(site, outside.running(site))


@pytest.fixture
def root(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file system that the service's process 42 sees."""
    found = tmp_path / "root"
    for place in outside.TEMPORARY:
        (found / place).mkdir(parents=True)
    (tmp_path / "proc" / "42" / "fd").mkdir(parents=True)
    (tmp_path / "proc" / "42" / "fdinfo").mkdir()
    (tmp_path / "proc" / "42" / "root").symlink_to(found)
    (tmp_path / "cgroup" / "blog.service").mkdir(parents=True)
    (tmp_path / "cgroup" / "blog.service" / "cgroup.procs").write_text("42\n43\n")
    monkeypatch.setattr(outside, "PROC", str(tmp_path / "proc"))
    monkeypatch.setattr(outside, "CGROUPS", str(tmp_path / "cgroup"))
    monkeypatch.setattr(systemd, "properties_of", lambda *_: {"MainPID": "42", "ControlGroup": "/blog.service"})
    return found


@pytest.fixture
def opens(tmp_path: Path) -> Callable[[Path, int], None]:
    """Let the process have a file open."""

    def add(path: Path, flags: int = os.O_RDWR) -> None:
        number = str(len(list((tmp_path / "proc" / "42" / "fd").iterdir())) + 3)
        (tmp_path / "proc" / "42" / "fd" / number).symlink_to(path)
        (tmp_path / "proc" / "42" / "fdinfo" / number).write_text(f"pos:\t0\nflags:\t{flags:o}\n")

    return add


@pytest.mark.parametrize("place", ["tmp/test.db", "var/tmp/a/b/blog", "dev/shm/x.sqlite3"])
def test_a_database_in_the_services_own_temporary_directories_is_found(site: Site, root: Path, place: str) -> None:
    database(root / place)
    assert databases_outside(site) == [f"/{place}"]


def test_a_problem_names_the_path_the_variables_and_the_apps_own_setting(site: Site, root: Path) -> None:
    database(root / "tmp" / "test.db")
    (found,) = problems(site)
    for text in ("'/tmp/test.db'", "restart", "flask_blog_databases", "flask_blog_writable_paths", "DATABASE"):
        assert text in found


def test_a_database_that_a_process_has_open_elsewhere_is_found_once(
    site: Site, root: Path, tmp_path: Path, opens: Callable[..., None]
) -> None:
    elsewhere, temporary = database(tmp_path / "srv" / "blog.db"), database(root / "tmp" / "test.db")
    for path in (elsewhere, elsewhere, temporary):
        opens(path)
    assert databases_outside(site) == ["/tmp/test.db", str(elsewhere)]
    # The folder for temporary files may itself lie in one that the service would lose.
    assert ("in no backup" in problems(site)[1]) != outside.is_temporary(str(elsewhere))


def test_a_database_of_the_blog_or_one_that_is_only_read_is_none_of_these(
    site: Site, root: Path, tmp_path: Path, opens: Callable[..., None]
) -> None:
    opens(database(site.path("data") / "database.db"))
    opens(database(tmp_path / "release" / "countries.db"), os.O_RDONLY)
    assert databases_outside(site) == []


@pytest.mark.parametrize("name", [".coverage", ".coverage.host.12", "diskcache-x1/cache.db", "http_cache.sqlite"])
def test_what_a_test_tool_or_a_cache_keeps_is_no_data(
    site: Site, root: Path, name: str, opens: Callable[..., None]
) -> None:
    opens(database(root / "tmp" / name))
    assert databases_outside(site) == []


def test_nothing_that_the_app_leaves_leads_root_away_or_keeps_it_waiting(
    site: Site, root: Path, tmp_path: Path
) -> None:
    secret = database(tmp_path / "secret" / "other.db")
    (root / "tmp" / "link.db").symlink_to(secret)
    (root / "tmp" / "folder").symlink_to(secret.parent)
    os.mkfifo(root / "tmp" / "fifo.db")
    (root / "tmp" / "short.db").write_bytes(b"SQLite")
    began = time.monotonic()
    assert databases_outside(site) == []
    assert time.monotonic() - began < 2


def test_a_directory_in_the_place_of_var_tmp_that_is_a_link_is_not_followed(
    site: Site, root: Path, tmp_path: Path
) -> None:
    database(tmp_path / "secret" / "tmp" / "other.db")
    (root / "var" / "tmp").rmdir()
    (root / "var").rmdir()
    (root / "var").symlink_to(tmp_path / "secret")
    assert databases_outside(site) == []


def test_any_number_of_files_and_levels_is_searched_to_a_limit(
    site: Site, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outside, "ENTRIES_LIMIT", 50)
    for number in range(80):
        (root / "tmp" / f"{number:03}").touch()
    deep = root / "dev" / "shm"
    for _ in range(outside.DEPTH_LIMIT + 2):
        deep /= "d"
    database(deep / "deep.db")
    database(root / "var" / "tmp" / "blog.db")
    before = len(os.listdir("/proc/self/fd"))
    assert databases_outside(site) == ["/var/tmp/blog.db"]
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_path_cannot_steer_the_terminal(site: Site, root: Path) -> None:
    database(root / "tmp" / "a\x1b[2J\n.db")
    (found,) = problems(site)
    assert "\x1b" not in found
    assert "\n" not in found


def test_a_service_that_does_not_run_has_no_database(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd, "properties_of", lambda *_: {"MainPID": "0", "ControlGroup": ""})
    assert problems(site) == []


def test_a_declared_database_that_does_not_exist_is_a_problem(site: Site, root: Path) -> None:
    site.settings["databases"] = ["data/blog.db", "other.db"]
    database(site.path("data") / "other.db")
    (found,) = problems(site)
    assert f"{site.path('data')}/data/blog.db" in found
    assert "flask_blog_databases" in found
    database(site.path("data") / "data" / "blog.db")
    assert problems(site) == []


def test_a_link_in_the_place_of_a_declared_database_is_not_followed(site: Site, root: Path, tmp_path: Path) -> None:
    site.settings["databases"] = ["one.db", "folder/two.db"]
    database(tmp_path / "secret" / "two.db")
    (site.path("data") / "one.db").symlink_to(tmp_path / "secret" / "two.db")
    (site.path("data") / "folder").symlink_to(tmp_path / "secret")
    assert outside.missing(site) == ["one.db", "folder/two.db"]


def test_the_default_of_the_variable_is_no_promise_that_there_is_a_database(site: Site, root: Path) -> None:
    site.settings["databases"] = ["database.db"]
    assert problems(site) == []


def test_what_was_found_is_noted_until_it_is_mended(site: Site) -> None:
    assert outside.noted(site) == []
    outside.note(site, ["one"])
    assert outside.noted(site) == ["one"]
    outside.note(site, [])
    assert outside.noted(site) == []
    (site.path("state") / "outside").write_text("{")
    assert outside.noted(site) == []


def test_a_host_whose_systemd_does_not_answer_shows_no_process(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: object) -> None:
        raise FileNotFoundError("systemctl")

    monkeypatch.setattr(systemd, "properties_of", absent)
    assert outside.running(site) == {}
    assert problems(site) == []


def test_a_directory_that_becomes_a_link_while_it_is_searched_is_not_followed(
    site: Site, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database(tmp_path / "secret" / "other.db")
    (root / "tmp" / "folder").symlink_to(tmp_path / "secret")
    look = outside._status
    directory = os.stat(tmp_path)
    monkeypatch.setattr(outside, "_status", lambda name, at: directory if name == "folder" else look(name, at))
    assert databases_outside(site) == []


def test_the_files_of_a_real_process_are_read_and_one_that_is_deleted_is_none(
    site: Site, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cgroup" / "blog.service" / "cgroup.procs").write_text(f"{os.getpid()}\n")
    monkeypatch.setattr(outside, "PROC", "/proc")
    monkeypatch.setattr(systemd, "properties_of", lambda *_: {"MainPID": "0", "ControlGroup": "/blog.service"})
    kept, deleted = database(tmp_path / "kept.db"), database(tmp_path / "deleted.db")
    with kept.open("r+b"), deleted.open("r+b"):
        deleted.unlink()
        assert databases_outside(site) == [str(kept)]
