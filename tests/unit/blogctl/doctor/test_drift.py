"""Manual changes of files, units and the code of the live release."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from blogctl.doctor import drift
from blogctl.doctor.check import ERROR
from blogctl.shared import managed_state
from blogctl.site import Site
from doctor_host import Host, whats

Record = Callable[..., None]


@pytest.fixture
def record(live: Site, me: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Record:
    """Record files of a site as the module apply does."""
    monkeypatch.setattr(managed_state, "HOST_RECORD", str(tmp_path / "shared.json"))
    live.path("state").mkdir(parents=True)

    def write(*paths: Path, units: list[dict[str, Any]] | None = None, scope: str = "site") -> None:
        wanted = [{"scope": scope, "kind": "file", "path": str(path), "reload": "nginx"} for path in paths]
        managed_state.record(live.settings, wanted, units or [])

    return write


def test_what_the_role_wrote_is_silent_and_a_change_is_shown_line_by_line(
    live: Site, record: Record, tmp_path: Path
) -> None:
    path = tmp_path / "site.conf"
    path.write_text("a\nb\nc\n")
    path.chmod(0o644)
    record(path)
    assert list(drift.files_are_as_written(live)) == []
    path.write_text("a\nB\nc\n")
    (found,) = drift.files_are_as_written(live)
    assert (found.level, found.command) == (ERROR, "ansible-playbook playbooks/site.yml")
    assert found.what == f"{path}: its content was changed"
    assert found.diff[2:] == ("@@ -1,3 +1,3 @@", " a", "-b", "+B", " c")


def test_wrong_attributes_come_with_the_commands_that_set_them(
    live: Site, record: Record, tmp_path: Path, me: Any
) -> None:
    path = tmp_path / "it's mine"
    path.write_text("a")
    path.chmod(0o640)
    record(path)
    path.chmod(0o666)
    (found,) = drift.files_are_as_written(live)
    quoted = f"'{tmp_path}/it'\"'\"'s mine'"
    assert found.command == f"chown -h {me.user}:{me.group} {quoted} && chmod 0640 {quoted}"


def test_what_sites_share_is_compared_too(live: Site, record: Record, tmp_path: Path) -> None:
    paths = [tmp_path / "own", tmp_path / "shared"]
    for path in paths:
        path.write_text("a")
    record(paths[1], scope="host")
    record(paths[0])
    paths[1].unlink()
    assert whats(drift.files_are_as_written(live)) == [f"{paths[1]}: missing"]


def test_a_host_without_a_record_says_so(live: Site, record: Record) -> None:
    assert whats(drift.files_are_as_written(live)) == ["it is not recorded what the role wrote on this host"]


@pytest.mark.parametrize(
    ("wanted", "found", "command"),
    [
        ({"enabled": True, "active": True}, ("disabled", "inactive"), "systemctl enable --now blog-backup.timer"),
        ({"enabled": True, "active": True}, ("enabled", "inactive"), "systemctl start blog-backup.timer"),
        ({"enabled": False, "active": False}, ("enabled", "active"), "systemctl disable --now blog-backup.timer"),
        ({"enabled": False, "active": False}, ("disabled", "active"), "systemctl stop blog-backup.timer"),
        ({"enabled": True}, ("disabled", "inactive"), "systemctl enable blog-backup.timer"),
        ({"enabled": True}, ("enabled", "inactive"), None),
        ({"enabled": True, "active": True}, ("enabled", "active"), None),
    ],
)
def test_a_unit_that_is_not_as_wanted_comes_with_the_command(
    live: Site, record: Record, host: Host, wanted: dict[str, bool], found: tuple[str, str], command: str | None
) -> None:
    record(units=[{"name": "blog-backup.timer", **wanted}])
    host.units["blog-backup.timer"] = {"UnitFileState": found[0], "ActiveState": found[1]}
    assert [one.command for one in drift.units_are_as_wanted(live)] == ([command] if command else [])


@pytest.fixture
def code(live: Site) -> Path:
    """The folder of the live release, with its manifest."""
    import hashlib

    folder = live.path("releases") / "old"
    (folder / "app.py").write_text("app\n")
    (folder / ".release-data").mkdir()
    (folder / ".release-data" / "seed.txt").write_text("seed\n")
    (folder / "venv").rename(live.path("venvs") / "abc")
    (folder / "venv").symlink_to(live.path("venvs") / "abc")
    (folder / "database.db").symlink_to(live.path("data") / "database.db")
    digests = {name: f"file {hashlib.sha256(text.encode()).hexdigest()}" for name, text in (("app.py", "app\n"),)}
    digests["uploads/first.txt"] = f"file {hashlib.sha256(b'seed' + bytes([10])).hexdigest()}"
    manifest = {"id": "old", "digest": "0", "app_dir": ".", "source_root": "", "files": digests}
    (folder / ".release.json").write_text(json.dumps(manifest))
    return folder


def test_the_code_of_a_release_is_as_it_was_released(live: Site, code: Path) -> None:
    assert list(drift.code_is_as_released(live)) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: (folder / "app.py").write_text("hot fix\n"), "app.py (changed)"),
        (lambda folder: (folder / "app.py").unlink(), "app.py (missing)"),
        (lambda folder: (folder / "app.py").chmod(0o755), "app.py (changed)"),
        (lambda folder: (folder / "debug.py").write_text(""), "debug.py (added)"),
        (lambda folder: (folder / "etc").symlink_to("/etc"), "etc (added)"),
    ],
)
def test_a_hot_fix_in_the_live_release_is_found(
    live: Site, code: Path, change: Callable[[Path], Any], said: str
) -> None:
    change(code)
    (found,) = drift.code_is_as_released(live)
    assert found.what == f"files of the live release old were changed on this host: {said}"


def test_a_large_release_is_read_for_a_limited_time(live: Site, code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift, "READ_TIMEOUT", -1)
    (code / "app.py").unlink()
    assert list(drift.code_is_as_released(live)) == [], "what was not read is not called missing"
