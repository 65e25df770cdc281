"""The installed version of a program is kept, and those before it are removed once it does not run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import versions


@pytest.fixture
def processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The processes of a host, all of them root's; none of them runs the program."""
    folder = tmp_path / "proc"
    (folder / "self").mkdir(parents=True)
    monkeypatch.setattr(versions, "PROCESSES", str(folder))
    monkeypatch.setattr(versions, "ROOT_UID", os.getuid())
    start(folder, 1, "/sbin/init")
    start(folder, 17, "grep", "-r", "/usr/local/sbin/blogctl")
    (folder / "18").mkdir()  # ended meanwhile
    return folder


def start(processes: Path, number: int, *words: str) -> None:
    (processes / str(number)).mkdir()
    (processes / str(number) / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in words))


@pytest.fixture
def wanted(tmp_path: Path, processes: Path) -> dict[str, Any]:
    """A host with a version, one before it, and the modules from before versions had folders."""
    root = tmp_path / "lib"
    for name in ("old/blogctl/cli.py", "new/blogctl/cli.py", "blogctl/cli.py", "version.json", ".version.json.x1"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    (root / "link").symlink_to(tmp_path)
    return {"path": str(root), "names": ["new", "version.json"], "program": "/usr/local/sbin/blogctl"}


def left(wanted: dict[str, Any]) -> list[str]:
    return sorted(os.listdir(wanted["path"]))


def test_other_versions_are_named_and_removed(wanted: dict[str, Any], tmp_path: Path) -> None:
    difference = versions.compare(wanted, [])
    assert difference is not None
    assert difference.reasons == [
        f"{name}: does not belong here" for name in (".version.json.x1", "blogctl", "link", "old")
    ]
    versions.apply(wanted)
    assert left(wanted) == ["new", "version.json"]
    assert (tmp_path / "lib" / "new" / "blogctl" / "cli.py").exists()
    assert (tmp_path / "proc").exists(), "a link is not followed"
    assert versions.compare(wanted, []) is None


@pytest.mark.parametrize("script", ["/usr/local/sbin/blogctl", "./blogctl"])
def test_nothing_is_removed_while_root_runs_the_program(wanted: dict[str, Any], processes: Path, script: str) -> None:
    """It starts a process with its own modules when it works on the data, which may be minutes after its start."""
    before = left(wanted)
    start(processes, 20, "/usr/bin/python3", script, "--site", "blog", "backup")
    notes: list[str] = []
    assert versions.compare(wanted, notes) is None
    assert "blogctl, link, old, as /usr/local/sbin/blogctl runs and may need it" in notes[0]
    versions.apply(wanted)
    assert left(wanted) == before


def test_a_process_of_another_account_keeps_no_version(
    wanted: dict[str, Any], processes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(processes, 20, "/usr/bin/python3", "/usr/local/sbin/blogctl")
    monkeypatch.setattr(versions, "ROOT_UID", os.getuid() + 1)
    versions.apply(wanted)
    assert left(wanted) == ["new", "version.json"]


def test_a_directory_that_is_missing_holds_no_version(wanted: dict[str, Any]) -> None:
    assert versions.compare({**wanted, "path": f"{wanted['path']}/missing"}, []) is None


def test_the_installed_version_is_left_to_its_own_objects(wanted: dict[str, Any]) -> None:
    before = left(wanted)
    assert versions.remove(wanted) is False
    assert left(wanted) == before


def test_a_host_on_which_only_the_installed_version_is_found_reads_no_processes(
    wanted: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run without a change must not become slower."""
    versions.apply(wanted)
    monkeypatch.setattr(versions, "is_running", lambda _: pytest.fail("there is nothing to remove"))
    assert versions.compare(wanted, []) is None
