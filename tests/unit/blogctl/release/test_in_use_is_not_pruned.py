"""Pruning never removes a release or an environment that a link or a running process still uses."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from blogctl.host import systemd
from blogctl.release import prune as pruning
from blogctl.release.history import History, recorded
from blogctl.site import Site

Add = Callable[[str], Path]


@pytest.fixture
def old(site: Site, add_release: Add, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A release that is older than the live one and was never activated; nothing runs."""
    monkeypatch.setattr(systemd, "main_pid", lambda _: "0")
    add_release("live")
    with recorded(site, "activate", None, "live"):
        pass
    folder = add_release("old")
    os.utime(folder, (1, 1))
    return folder


def prune(site: Site) -> list[str]:
    return pruning.prune(site, History.of(site))


def environment(site: Site, name: str, *, is_built: bool = True) -> Path:
    """Put an environment on the host; one that is built has a mark."""
    folder = site.path("venvs") / name
    folder.mkdir()
    if is_built:
        (folder / ".complete.json").touch()
    return folder


def test_a_release_that_nothing_uses_is_pruned(site: Site, old: Path) -> None:
    assert prune(site) == ["old"]
    assert not old.exists()


def test_the_release_that_the_next_instance_is_to_serve_stays(site: Site, old: Path) -> None:
    site.path("next").symlink_to(old)
    assert prune(site) == []


@pytest.mark.parametrize("unit", ["blog.service", "blog-next.service"])
@pytest.mark.parametrize("folder", [".", "venv/bin"])
def test_the_release_that_a_process_runs_in_stays(
    site: Site, old: Path, monkeypatch: pytest.MonkeyPatch, unit: str, folder: str
) -> None:
    with subprocess.Popen(["sleep", "60"], cwd=old / folder) as process:
        try:
            monkeypatch.setattr(systemd, "main_pid", lambda asked: str(process.pid) if asked == unit else "0")
            assert pruning.in_use(site) == {"old"}
            assert prune(site) == []
        finally:
            process.kill()
    assert old.exists()


@pytest.mark.parametrize("place", ["env", "web/app/env"])
def test_an_environment_that_a_release_links_to_stays(site: Site, old: Path, place: str) -> None:
    site.path("next").symlink_to(old)
    (old / place).parent.mkdir(parents=True, exist_ok=True)
    (old / place).symlink_to(environment(site, "used"))
    environment(site, "unused")
    prune(site)
    assert os.listdir(site.path("venvs")) == ["used"]


def test_an_environment_goes_with_the_last_release_that_links_to_it(site: Site, old: Path) -> None:
    (old / "env").symlink_to(environment(site, "used"))
    os.utime(old, (1, 1))
    assert prune(site) == ["old"]
    assert os.listdir(site.path("venvs")) == []


def test_a_link_to_another_place_protects_no_environment_of_the_same_name(
    site: Site, old: Path, tmp_path: Path
) -> None:
    site.path("next").symlink_to(old)
    environment(site, "v1")
    (old / "env").symlink_to(tmp_path / "elsewhere" / "v1")
    prune(site)
    assert os.listdir(site.path("venvs")) == []


def test_an_environment_that_is_being_built_stays(site: Site, old: Path) -> None:
    environment(site, "without-its-mark", is_built=False)
    environment(site, "v2.incomplete")
    environment(site, "v3")
    prune(site)
    assert sorted(os.listdir(site.path("venvs"))) == ["v2.incomplete", "without-its-mark"]
