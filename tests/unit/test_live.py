"""What a site serves, and which changes still wait."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import contract, live
from wanted_objects import keep_notes_in

#: Before a test changes it.
DEFAULT_RUNTIME = contract.RUNTIME


@pytest.fixture(autouse=True)
def pending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return keep_notes_in(tmp_path / "pending", monkeypatch)


@pytest.fixture
def served_site(tmp_path: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """A site, a release and units that are all as they should be."""
    environment = tmp_path / "environment"
    environment.write_text("A=1\n")
    link = tmp_path / "link"
    link.symlink_to("/opt/blog/releases/abc")
    revision = contract.settings_revision([str(environment)])
    note = {"pid": 42, "release": "abc", "venv": "/opt/blog/venvs/def", "revision": revision}
    site = {
        "name": "blog",
        "link": str(link),
        "socket_unit": "blog.socket",
        "service_unit": "blog.service",
        "settings_files": [str(environment)],
    }
    release = {"id": "abc", "live_path": "/opt/blog/releases/abc", "venv_path": "/opt/blog/venvs/def"}
    service = {"ActiveState": "active", "MainPID": "42", "StatusText": json.dumps(note)}
    units = {"blog.socket": {"ActiveState": "active"}, "blog.service": service}
    return site, release, units


Served = tuple[dict[str, Any], dict[str, Any], dict[str, Any]]


def test_the_revision_follows_content_name_and_presence(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("a")
    seen = {contract.settings_revision([str(one)])}
    one.write_text("b")
    seen.add(contract.settings_revision([str(one)]))
    seen.add(contract.settings_revision([str(two)]))
    two.write_text("b")
    seen.add(contract.settings_revision([str(two)]))
    two.write_text("missing")
    seen.add(contract.settings_revision([str(one), str(two)]))
    assert len(seen) == 5


def test_what_the_main_process_says_it_serves_is_taken_from_its_status() -> None:
    unit = {"MainPID": "42", "StatusText": '{"pid": 42, "release": "abc"}'}
    assert contract.Served.of(unit).release == "abc"
    assert contract.Served.of({**unit, "MainPID": "43"}) == contract.Served(), "another process said so"
    assert contract.Served.of({"MainPID": "0", "StatusText": '{"pid": 0, "release": "abc"}'}) == contract.Served(), (
        "no process said so"
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "Gunicorn arbiter booted",
        "[]",
        "[1, 2]",
        '"abc"',
        "42",
        "null",
        '{"pid": 42, "release": ["abc"]}',
        '{"pid": 42, "release": {}}',
        '{"pid": 42, "release": null}',
        '{"pid": 42, "release": true}',
        '{"pid": 42, "release": 1e999}',
        '{"pid": [42], "release": "abc"}',
        '{"release": "abc"}',
        "[" * 4000,
        '{"pid":' * 2000,
    ],
)
def test_a_status_that_is_no_note_counts_as_unknown(text: str) -> None:
    assert contract.Served.of({"MainPID": "42", "StatusText": text}) == contract.Served()


def test_a_service_without_a_status_serves_what_is_unknown(served_site: Served) -> None:
    site, release, units = served_site
    del units["blog.service"]["StatusText"]
    assert live.reasons_to_activate(site, release, units)[0] == "the running process has release unknown, not abc"


def test_a_note_cannot_move_the_cursor_of_who_reads_the_reasons(served_site: Served) -> None:
    site, release, units = served_site
    units["blog.service"]["StatusText"] = json.dumps({"pid": 42, "release": "\x1b[2Jabc"})
    assert "has release \\x1b[2Jabc, not abc" in live.reasons_to_activate(site, release, units)[0]


def test_a_fifo_in_the_apps_run_directory_holds_nobody_up(served_site: Served, tmp_path: Path) -> None:
    site, release, units = served_site
    (tmp_path / "run").mkdir()
    os.mkfifo(tmp_path / "run" / "served.json")
    assert live.reasons_to_activate({**site, "run_directory": str(tmp_path / "run")}, release, units) == []


@pytest.mark.parametrize("umask", [0o000, 0o027, 0o077])
def test_locks_lie_in_a_directory_of_roots_whatever_the_umask_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, umask: int
) -> None:
    assert DEFAULT_RUNTIME == "/run/flask-blog-hosting"
    monkeypatch.setattr(contract, "RUNTIME", str(tmp_path / "locks"))
    before = os.umask(umask)
    try:
        with live.building("blog"):
            (lock,) = (tmp_path / "locks").iterdir()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "locks").stat().st_mode) == 0o755
    assert stat.S_IMODE(lock.stat().st_mode) == 0o600


def test_a_note_waits_until_it_is_cleared() -> None:
    assert not live.is_noted(contract.NGINX_RELOAD)
    live.note(contract.NGINX_RELOAD)
    live.note(contract.NGINX_RELOAD)
    assert live.is_noted(contract.NGINX_RELOAD)
    live.clear(contract.NGINX_RELOAD)
    live.clear(contract.NGINX_RELOAD)
    assert not live.is_noted(contract.NGINX_RELOAD)


def test_the_settings_of_the_running_process_are_kept_with_their_mode(tmp_path: Path, pending: Path) -> None:
    environment = tmp_path / "environment"
    environment.write_text("OLD=1\n")
    environment.chmod(0o640)
    live.keep_previous("blog", [str(environment), str(tmp_path / "absent")])
    (copy,) = (pending / "blog.previous").iterdir()
    assert copy.read_text() == "OLD=1\n"
    assert copy.stat().st_mode & 0o777 == 0o640
    assert (pending / "blog.previous").stat().st_mode & 0o777 == 0o700


def test_an_interrupted_runs_copies_are_the_older_ones_and_stay(tmp_path: Path, pending: Path) -> None:
    environment = tmp_path / "environment"
    environment.write_text("SERVED=1\n")
    live.keep_previous("blog", [str(environment)])
    live.note(contract.pending_path("blog", "activate"))
    environment.write_text("HALF=1\n")
    live.keep_previous("blog", [str(environment)])
    (copy,) = (pending / "blog.previous").iterdir()
    assert copy.read_text() == "SERVED=1\n"


def test_copies_of_a_run_that_came_to_its_end_are_replaced(tmp_path: Path, pending: Path) -> None:
    environment = tmp_path / "environment"
    environment.write_text("FIRST=1\n")
    live.keep_previous("blog", [str(environment)])
    environment.write_text("SECOND=1\n")
    live.keep_previous("blog", [str(environment)])
    (copy,) = (pending / "blog.previous").iterdir()
    assert copy.read_text() == "SECOND=1\n"


def test_a_data_folder_with_folders_only_is_new(tmp_path: Path) -> None:
    assert live.holds_no_file(str(tmp_path / "none"))
    (tmp_path / "static" / "uploads").mkdir(parents=True)
    assert live.holds_no_file(str(tmp_path))
    (tmp_path / "static" / "uploads" / "cat.jpg").touch()
    assert not live.holds_no_file(str(tmp_path))


@pytest.mark.parametrize("kind", ["symlink", "FIFO", "too deep"])
def test_anything_but_a_folder_is_a_file_to_a_data_folder(tmp_path: Path, kind: str) -> None:
    if kind == "symlink":
        (tmp_path / "mine").symlink_to("/nowhere")
    elif kind == "FIFO":
        os.mkfifo(tmp_path / "mine")
    else:
        (tmp_path / "/".join(["d"] * 66)).mkdir(parents=True)
    assert not live.holds_no_file(str(tmp_path))


def test_a_data_folder_that_is_a_link_is_not_followed_to_find_it_new(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "data").symlink_to("empty")
    assert not live.holds_no_file(str(tmp_path / "data"))


@pytest.mark.parametrize("what", ["root's state", "a live release", "a file in the data folder", "nothing"])
def test_a_blog_gets_its_first_data_once_in_its_life(tmp_path: Path, what: str) -> None:
    """A blog whose data is in a database server has an empty data folder for ever."""
    for name in ("state", "data"):
        (tmp_path / name).mkdir()
    if what == "root's state":
        (tmp_path / "state" / "initialised").touch()
    elif what == "a live release":
        (tmp_path / "live").symlink_to("/opt/blog/releases/abc")
    elif what == "a file in the data folder":
        (tmp_path / "data" / "database.db").touch()
    site = {"state": str(tmp_path / "state"), "link": str(tmp_path / "live"), "data": str(tmp_path / "data")}
    assert live.is_new(site) is (what == "nothing")


@pytest.mark.parametrize("change", ["", "written", "another one"])
def test_files_that_a_failed_first_release_left_behind_do_not_make_a_blog_an_old_one(
    tmp_path: Path, change: str
) -> None:
    """Otherwise the first data would never be sent to the host."""
    for name in ("state", "data/logs"):
        (tmp_path / name).mkdir(parents=True)
    log = tmp_path / "data" / "logs" / "blog.log"
    log.write_text("no such table")
    left = {"logs/blog.log": contract.file_identity(log.stat())}
    (tmp_path / "state" / contract.LEFT_BEHIND).write_text(json.dumps(left))
    site = {"state": str(tmp_path / "state"), "link": str(tmp_path / "live"), "data": str(tmp_path / "data")}
    log.chmod(0o600)
    if change == "written":
        log.write_text("by hand")
    elif change:
        (tmp_path / "data" / "config.py").touch()
    assert live.is_new(site) is (not change)


def test_the_app_cannot_say_that_its_blog_is_initialised(tmp_path: Path) -> None:
    """Nor that it is not: what lies in its data folder counts as a file of it, and nothing more."""
    (tmp_path / "data" / ".initialised").mkdir(parents=True)
    site = {"state": str(tmp_path / "state"), "link": str(tmp_path / "live"), "data": str(tmp_path / "data")}
    assert live.is_new(site)


def test_a_site_that_serves_what_is_wanted_has_no_reason_to_be_activated(served_site: Served) -> None:
    assert live.reasons_to_activate(*served_site) == []


def test_a_link_that_is_right_proves_nothing_while_the_process_is_old(served_site: Served) -> None:
    site, release, units = served_site
    wanted = {**release, "id": "new", "live_path": "/opt/blog/releases/new"}
    Path(site["link"]).unlink()
    Path(site["link"]).symlink_to("/opt/blog/releases/new")
    assert live.reasons_to_activate(site, wanted, units) == ["the running process has release abc, not new"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("link elsewhere", "leads to /elsewhere, not to /opt/blog/releases/abc"),
        ("no link", "leads to nothing, not to"),
        ("socket down", "blog.socket is not running"),
        ("service down", "blog.service is not running"),
        ("interrupted", "an earlier run was interrupted"),
        ("socket moved", "an earlier run was interrupted"),
        ("settings changed", "the running process has revision"),
        ("other environment", "the running process has venv /opt/blog/venvs/def, not /opt/blog/venvs/new"),
    ],
)
def test_each_reason_to_activate_is_named(served_site: Served, change: str, reason: str) -> None:
    site, release, units = served_site
    link = Path(site["link"])
    if change == "link elsewhere":
        link.unlink()
        link.symlink_to("/elsewhere")
    elif change == "no link":
        link.unlink()
    elif change == "socket down":
        units["blog.socket"]["ActiveState"] = "inactive"
    elif change == "service down":
        units["blog.service"]["ActiveState"] = "failed"
    elif change == "interrupted":
        live.note(contract.pending_path("blog", "activate"))
    elif change == "socket moved":
        live.note(contract.pending_path("blog", "socket"))
    elif change == "settings changed":
        Path(site["settings_files"][0]).write_text("A=2\n")
    else:
        release["venv_path"] = "/opt/blog/venvs/new"
    (found,) = live.reasons_to_activate(site, release, units)
    assert reason in found


def test_another_sites_interrupted_run_is_not_ours(served_site: Served) -> None:
    live.note(contract.pending_path("other", "activate"))
    assert live.reasons_to_activate(*served_site) == []
    assert os.path.isdir(contract.RUNTIME)
