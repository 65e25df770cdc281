"""The record of what the role wrote on a host, by which a manual change is found there."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import managed_state
from ansible_collections.flaskblog.hosting.plugins.modules import apply as module
from applied_host import make_folders
from wanted_objects import absent_at, data_directory_at, directory_at, file_at, link_at, log_at

Find = Callable[[], dict[str, list[str]]]


@pytest.fixture
def host_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "var" / "managed.json"
    monkeypatch.setattr(managed_state, "HOST_RECORD", str(path))
    return path


@pytest.fixture
def state(tmp_path: Path, host_record: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    return folder


@pytest.fixture
def written(tmp_path: Path, state: Path, me: Any) -> list[dict[str, Any]]:
    """Objects of each kind, as the role leaves them."""
    folder = tmp_path / "etc"
    folder.mkdir(mode=0o750)
    (folder / "shown").write_text("a\n")
    (folder / "secret").write_text("key\n")
    (folder / "log").touch()
    for name, mode in (("shown", 0o644), ("secret", 0o640), ("log", 0o640)):
        (folder / name).chmod(mode)
    folder.chmod(0o750)
    (folder / "link").symlink_to("shown")
    return [
        directory_at(folder, me),
        file_at(folder / "shown", me, "a\n", "0644", reload="nginx"),
        file_at(folder / "secret", me, "key\n", "0640", secret=True),
        log_at(folder / "log", me),
        {**link_at(folder / "link", "shown"), "others": {"secret": str(folder / "secret")}},
        absent_at(folder / "absent"),
        data_directory_at(tmp_path, "etc", me),
        {**file_at(folder / "common", me), "scope": "host"},
    ]


@pytest.fixture
def find(state: Path, written: list[dict[str, Any]]) -> Find:
    managed_state.record({"state": str(state)}, written, [{"name": "blog.service", "enabled": True}])

    def found() -> dict[str, list[str]]:
        entries, _ = managed_state.read(state / managed_state.RECORD)
        return {Path(drift.entry.path).name: drift.reasons for drift in managed_state.drifts(entries)}

    return found


def test_what_the_role_has_just_written_is_no_change(find: Find, state: Path) -> None:
    assert find() == {}
    entries, units = managed_state.read(state / managed_state.RECORD)
    assert [Path(entry.path).name for entry in entries] == ["etc", "shown", "secret", "log", "link", "absent"]
    assert units == [{"name": "blog.service", "enabled": True}]


def test_the_record_is_roots_and_holds_the_text_of_no_secret(find: Find, state: Path) -> None:
    path = state / managed_state.RECORD
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "key\\n" not in path.read_text()
    entries, _ = managed_state.read(path)
    assert [entry.text for entry in entries] == [None, "a\n", None, None, None, None]


def _make_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("shown", lambda path: path.write_text("b\n"), "its content was changed"),
        ("secret", lambda path: path.write_text("b\n"), "its content was changed"),
        ("shown", lambda path: path.chmod(0o666), "mode 0666 instead of 0644"),
        ("log", lambda path: path.chmod(0o644), "mode 0644 instead of 0640"),
        ("etc", lambda path: path.chmod(0o755), "mode 0755 instead of 0750"),
        ("shown", lambda path: path.unlink(), "missing"),
        ("shown", lambda path: (path.unlink(), path.mkdir()), "something else stands there"),
        ("shown", lambda path: (path.unlink(), path.symlink_to("secret")), "something else stands there"),
        ("shown", _make_fifo, "something else stands there"),
        ("link", lambda path: (path.unlink(), path.symlink_to("/nowhere")), "it leads to /nowhere, not to shown"),
        ("absent", lambda path: path.touch(), "it should not be there"),
    ],
)
def test_each_manual_change_is_found(
    find: Find, tmp_path: Path, name: str, change: Callable[[Path], Any], reason: str, nothing_hangs: None
) -> None:
    change(tmp_path / "etc" if name == "etc" else tmp_path / "etc" / name)
    assert find() == {name: [reason]}


def test_what_programs_of_the_host_change_is_no_manual_change(find: Find, tmp_path: Path) -> None:
    """A log is written and rotated; blogctl leads a link to another target that exists."""
    (tmp_path / "etc" / "log").write_text("a line\n")
    (tmp_path / "etc" / "link").unlink()
    (tmp_path / "etc" / "link").symlink_to("secret")
    assert find() == {}
    (tmp_path / "etc" / "log").unlink()
    assert find() == {}
    (tmp_path / "etc" / "secret").unlink()
    assert set(find()) == {"link", "secret"}


def test_a_changed_text_is_given_with_the_one_before_but_for_secrets(find: Find, state: Path, tmp_path: Path) -> None:
    for name in ("shown", "secret"):
        (tmp_path / "etc" / name).write_text("new\n")
    entries, _ = managed_state.read(state / managed_state.RECORD)
    texts = {Path(drift.entry.path).name: (drift.before, drift.after) for drift in managed_state.drifts(entries)}
    assert texts == {"shown": ("a\n", "new\n"), "secret": (None, None)}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"objects": [1]}', '{"objects": [{"path": "/a"}]}', '{"units": [1]}'])
def test_a_damaged_record_is_like_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "managed.json").write_text(text)
    assert managed_state.read(tmp_path / "managed.json") == ([], [])
    assert managed_state.read(tmp_path / "nothing.json") == ([], [])


def test_sites_of_one_host_share_the_record_of_what_they_share(
    host_record: Path, state: Path, tmp_path: Path, me: Any
) -> None:
    for name in ("first", "second"):
        (tmp_path / name).write_text(name)
        managed_state.record(
            {"state": str(state)}, [{**file_at(tmp_path / name, me, mode="0644"), "scope": "host"}], []
        )
    assert [Path(one.path).name for one in managed_state.read(host_record)[0]] == ["first", "second"]
    assert stat.S_IMODE(host_record.stat().st_mode) == 0o600
    (tmp_path / "first").unlink()  # such as a module of the version before
    managed_state.record({"state": str(state)}, [{**file_at(tmp_path / "second", me), "scope": "host"}], [])
    assert [Path(one.path).name for one in managed_state.read(host_record)[0]] == ["second"]


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_run_records_what_it_has_applied_and_check_mode_does_not(
    run_module: Any, state: Path, tmp_path: Path, me: Any, monkeypatch: pytest.MonkeyPatch, check_mode: bool
) -> None:
    make_folders(tmp_path, monkeypatch)
    monkeypatch.setattr(module.host, "platform", lambda: "Debian_13")
    wanted = [file_at(tmp_path / "etc" / "a", me, mode="0600")]
    site = {"name": "blog", "state": str(state)}
    outcome = run_module(module, check_mode=check_mode, site=site, objects=wanted)
    assert not outcome.failed, outcome.said
    record = state / managed_state.RECORD
    found = json.loads(record.read_text())["objects"] if record.exists() else None
    assert (found is None) is check_mode
    if found is not None:
        assert [(one["path"], one["mode"]) for one in found] == [(str(tmp_path / "etc" / "a"), 0o600)]


def test_a_run_that_cannot_record_warns_and_has_done_its_work(
    run_module: Any, state: Path, tmp_path: Path, me: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_folders(tmp_path, monkeypatch)
    monkeypatch.setattr(module.host, "platform", lambda: "Debian_13")
    (state / "managed.new").mkdir()
    said: list[str] = []
    monkeypatch.setattr(module.AnsibleModule, "warn", lambda _, text: said.append(text))
    site = {"name": "blog", "state": str(state)}
    assert not run_module(module, site=site, objects=[file_at(tmp_path / "etc" / "a", me)]).failed
    assert len(said) == 1
    assert "blogctl doctor" in said[0]
    assert (tmp_path / "etc" / "a").read_text() == "new\n"
