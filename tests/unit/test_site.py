"""What is live on a host, and which changes still wait."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import site as live


@pytest.fixture(autouse=True)
def pending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "pending"
    monkeypatch.setattr(live, "PENDING", folder)
    return folder


@pytest.fixture
def served_site(tmp_path: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """A site, a release and units that are all as they should be."""
    environment = tmp_path / "environment"
    environment.write_text("A=1\n")
    link = tmp_path / "link"
    link.symlink_to("/opt/blog/releases/abc")
    run = tmp_path / "run"
    run.mkdir()
    revision = live.settings_revision([str(environment)])
    note = {"pid": 42, "release": "abc", "venv": "/opt/blog/venvs/def", "revision": revision}
    (run / "served.json").write_text(json.dumps(note))
    site = {
        "name": "blog",
        "link": str(link),
        "run_directory": str(run),
        "socket_unit": "blog.socket",
        "service_unit": "blog.service",
        "settings_files": [str(environment)],
    }
    release = {"id": "abc", "live_path": "/opt/blog/releases/abc", "venv_path": "/opt/blog/venvs/def"}
    units = {"blog.socket": {"ActiveState": "active"}, "blog.service": {"ActiveState": "active", "MainPID": "42"}}
    return site, release, units


Served = tuple[dict[str, Any], dict[str, Any], dict[str, Any]]


def test_the_revision_follows_content_name_and_presence(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("a")
    seen = {live.settings_revision([str(one)])}
    one.write_text("b")
    seen.add(live.settings_revision([str(one)]))
    seen.add(live.settings_revision([str(two)]))
    two.write_text("b")
    seen.add(live.settings_revision([str(two)]))
    two.write_text("missing")
    seen.add(live.settings_revision([str(one), str(two)]))
    assert len(seen) == 5


def test_a_note_of_a_process_that_is_gone_is_not_believed(tmp_path: Path) -> None:
    (tmp_path / "served.json").write_text('{"pid": 42, "release": "abc"}')
    assert live.served(str(tmp_path), "42")["release"] == "abc"
    assert live.served(str(tmp_path), "43") == {}


@pytest.mark.parametrize("text", [None, "", "{"])
def test_no_note_or_half_a_note_is_nothing_served(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "served.json").write_text(text)
    assert live.served(str(tmp_path), "42") == {}


def test_a_note_waits_until_it_is_cleared() -> None:
    assert not live.is_pending("nginx.reload")
    live.note_pending("nginx.reload")
    live.note_pending("nginx.reload")
    assert live.is_pending("nginx.reload")
    live.clear_pending("nginx.reload")
    live.clear_pending("nginx.reload")
    assert not live.is_pending("nginx.reload")


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
    live.note_pending("blog.activate")
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
def test_each_reason_to_activate_is_said_in_words(served_site: Served, change: str, reason: str) -> None:
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
        live.note_pending("blog.activate")
    elif change == "socket moved":
        live.note_pending("blog.socket")
    elif change == "settings changed":
        Path(site["settings_files"][0]).write_text("A=2\n")
    else:
        release["venv_path"] = "/opt/blog/venvs/new"
    (found,) = live.reasons_to_activate(site, release, units)
    assert reason in found


def test_another_sites_interrupted_run_is_not_ours(served_site: Served) -> None:
    live.note_pending("other.activate")
    assert live.reasons_to_activate(*served_site) == []
    assert os.path.isdir(live.PENDING)
