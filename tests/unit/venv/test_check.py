"""The virtual environment of a release on the host: its name, and whether it is complete."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils.contract import VENV_MARK
from ansible_collections.flaskblog.hosting.plugins.module_utils.venv import check
from releases import make_release


@pytest.fixture
def venv(tmp_path: Path, me: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A complete environment; the account that runs the tests stands for root."""
    monkeypatch.setattr(check, "ROOT", (me.uid, me.gid))
    folder = tmp_path / "venv"
    folder.mkdir()
    folder.chmod(0o755)
    (folder / VENV_MARK).touch()
    return folder


def test_a_complete_environment_is_whole(venv: Path) -> None:
    assert check.check_venv(str(venv)) == []


@pytest.mark.parametrize(
    "damage", ["missing", "no mark", "a link for a mark", "a folder for a mark", "a link", "a file"]
)
def test_an_environment_without_roots_mark_has_to_be_built(venv: Path, tmp_path: Path, damage: str) -> None:
    mark = venv / VENV_MARK
    mark.rename(tmp_path / "mark")
    if damage == "a link for a mark":
        mark.symlink_to(tmp_path / "mark")
    elif damage == "a folder for a mark":
        mark.mkdir()
    elif damage != "no mark":
        (tmp_path / "mark").rename(mark)
        venv.rename(tmp_path / "elsewhere")
        if damage == "a link":
            venv.symlink_to(tmp_path / "elsewhere")
        elif damage == "a file":
            venv.touch()
    assert check.check_venv(str(venv)) == [check.NOT_BUILT]


def test_an_environment_of_another_account_has_to_be_built(
    venv: Path, me: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "ROOT", (me.uid + 1, me.gid))
    assert check.check_venv(str(venv)) == [check.NOT_BUILT]


def test_wrong_attributes_of_an_environment_are_named(venv: Path, me: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    venv.chmod(0o2770)
    assert check.check_venv(str(venv)) == ["mode 2770 -> 0755"]
    venv.chmod(0o755)
    monkeypatch.setattr(check, "ROOT", (me.uid, me.gid + 1))
    assert check.check_venv(str(venv)) == [f"group {me.gid} -> {me.gid + 1}"]


def test_another_python_or_other_requirements_are_another_environment() -> None:
    names = {check.venv_id(needs, python) for needs in ("a", "b") for python in ("3.11", "3.13")}
    assert len(names) == 4


def test_a_release_is_completed_for_the_python_of_its_host() -> None:
    described = make_release(links={"database.db": "/var/lib/blog/database.db"})
    found = check.complete(described, "/opt/blog/venvs", "3.13")
    assert found.venv_path == f"/opt/blog/venvs/{check.venv_id('needs', '3.13')}"
    assert found.links == {"database.db": "/var/lib/blog/database.db", "venv": found.venv_path}
    assert (described.venv_path, described.links) == ("", {"database.db": "/var/lib/blog/database.db"})


def test_a_release_and_its_environment_are_compared_with_the_host(venv: Path, tmp_path: Path) -> None:
    wanted = make_release(path=str(tmp_path / "abc"), venv_path=str(venv))
    assert check.host_differences(wanted, None) == [("unpack", "abc", ["not unpacked yet"])]
    venv.rename(tmp_path / "gone")
    assert check.host_differences(wanted, None)[1] == ("venv", "venv", [check.NOT_BUILT])
