"""Lines of another package's file: Debian's value is raised, an administrator's stays."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import registry

DEBIAN = """\
user www-data;
worker_processes auto;
include /etc/nginx/modules-enabled/*.conf;

events {
\tworker_connections 768;
\t# multi_accept on;
}
"""


def notes_of(wanted: dict[str, Any]) -> list[str]:
    """The notes about values that are not changed."""
    notes: list[str] = []
    registry.compare(wanted, notes)
    return notes


@pytest.fixture
def limits(role: Path, tmp_path: Path) -> dict[str, Any]:
    """The role's own setting, for a file in the test's folder."""
    found = yaml.safe_load((role / "vars" / "main" / "resources" / "proxy.yml").read_text())
    wanted = {**found["__flask_blog_nginx_limits"], "changes": found["__flask_blog_connection_limits"]}
    (tmp_path / "nginx.conf").write_text(DEBIAN)
    return {**wanted, "path": str(tmp_path / "nginx.conf")}


def text(limits: dict[str, Any]) -> str:
    return Path(limits["path"]).read_text()


def test_debians_values_are_raised_once(limits: dict[str, Any]) -> None:
    difference = registry.compare(limits)
    assert difference is not None
    assert (difference.reasons, difference.before) == (["content"], DEBIAN)
    registry.apply(limits)
    assert text(limits) == difference.after
    assert "\tworker_connections 8192;\n" in text(limits)
    assert text(limits).count("worker_rlimit_nofile 16384;\n") == 1
    assert text(limits).index("worker_rlimit_nofile") < text(limits).index("events {")
    assert registry.compare(limits) is None
    assert notes_of(limits) == []


def test_a_change_is_taken_back_as_it_was(limits: dict[str, Any]) -> None:
    undo = registry.apply(limits)
    undo()
    assert text(limits) == DEBIAN


def test_the_file_keeps_its_owner_and_mode(limits: dict[str, Any]) -> None:
    os.chmod(limits["path"], 0o604)
    before = os.stat(limits["path"])
    registry.apply(limits)
    after = os.stat(limits["path"])
    assert (before.st_uid, before.st_gid) == (after.st_uid, after.st_gid)
    assert stat.S_IMODE(after.st_mode) == 0o604


def test_an_administrators_own_values_stay(limits: dict[str, Any]) -> None:
    own = DEBIAN.replace("768", "20000").replace("user", "worker_rlimit_nofile 50000;\nuser")
    Path(limits["path"]).write_text(own)
    assert registry.compare(limits) is None
    assert notes_of(limits) == []


def test_an_administrators_value_that_is_too_low_is_said(limits: dict[str, Any]) -> None:
    Path(limits["path"]).write_text(DEBIAN.replace("768", "512"))
    registry.apply(limits)
    assert "worker_connections 512;" in text(limits)
    (warning,) = notes_of(limits)
    assert "'worker_connections 512;' is less than" in warning


@pytest.mark.parametrize("place", ["missing", "link", "directory"])
def test_what_is_no_file_is_left_alone(limits: dict[str, Any], tmp_path: Path, place: str) -> None:
    path = Path(limits["path"])
    path.rename(tmp_path / "elsewhere.conf")
    if place == "link":
        path.symlink_to("elsewhere.conf")
    if place == "directory":
        path.mkdir()
    assert registry.compare(limits) is None
    assert notes_of(limits) == []
    registry.apply(limits)
    assert (tmp_path / "elsewhere.conf").read_text() == DEBIAN
    assert path.is_symlink() == (place == "link")


def test_removing_a_setting_restores_debians_lines_and_nothing_else(limits: dict[str, Any]) -> None:
    registry.apply(limits)
    own = text(limits).replace("# multi_accept on;", "multi_accept on;")
    Path(limits["path"]).write_text(own)
    assert registry.remove(limits) is True
    assert text(limits) == DEBIAN.replace("# multi_accept on;", "multi_accept on;")
    assert registry.remove(limits) is False


def test_removing_a_setting_keeps_an_administrators_value(limits: dict[str, Any]) -> None:
    own = DEBIAN.replace("768", "20000")
    Path(limits["path"]).write_text(own)
    assert registry.remove(limits) is False
    assert text(limits) == own


def test_only_the_first_place_that_matches_is_changed(tmp_path: Path) -> None:
    (tmp_path / "conf").write_text("a 1;\nb {\n}\nb {\n}\n")
    change = {"find": "^b", "replace": "c;\nb"}
    registry.apply({"scope": "host", "kind": "setting", "path": str(tmp_path / "conf"), "changes": [change]})
    assert (tmp_path / "conf").read_text() == "a 1;\nc;\nb {\n}\nb {\n}\n"
