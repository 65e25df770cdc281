"""An environment that does not fit this host's Python is recognised without running anything of it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from blogctl.host import environment
from blogctl.host.releases import point_link
from blogctl.site import Site
from fake_machine import Add

MINOR = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def folder(add_release: Add) -> Path:
    return add_release("old")


def packages(folder: Path, minor: str = MINOR) -> Path:
    return folder / "venv" / "lib" / f"python{minor}" / "site-packages"


def test_an_environment_of_this_python_is_fine(folder: Path) -> None:
    assert environment.problem("old", folder) == ""


def test_an_environment_of_another_python_is_named_with_both_versions(folder: Path) -> None:
    packages(folder).parent.rename(folder / "venv" / "lib" / "python3.9")
    found = environment.problem("old", folder)
    assert found == (
        f"the environment of old ({folder / 'venv'}) was built for Python 3.9, and its Python is {MINOR} now"
    )


def test_the_version_is_that_of_the_environments_own_python(folder: Path, tmp_path: Path) -> None:
    """Debian keeps the former python3.11 until it is purged."""
    (tmp_path / "python3.9").touch(0o755)
    program = folder / "venv" / "bin" / "python"
    program.unlink()
    program.symlink_to(tmp_path / "python3.9")
    assert "was built for Python" in environment.problem("old", folder)
    packages(folder).parent.rename(folder / "venv" / "lib" / "python3.9")
    assert environment.problem("old", folder) == ""


def test_an_environment_whose_python_is_gone_is_named(folder: Path, tmp_path: Path) -> None:
    program = folder / "venv" / "bin" / "python"
    program.unlink()
    program.symlink_to(tmp_path / "python3.9")
    assert environment.problem("old", folder).endswith(f"lacks its Python, {tmp_path / 'python3.9'}")


def test_an_environment_without_gunicorn_is_named(folder: Path) -> None:
    shutil.rmtree(packages(folder) / "gunicorn")
    assert environment.problem("old", folder).endswith(f"has no gunicorn for Python {MINOR}")
    (packages(folder) / "__editable__.gunicorn-23.pth").touch()
    assert environment.problem("old", folder) == "", "an editable installation lies elsewhere"
    (folder / "venv" / "bin" / "gunicorn").unlink()
    assert environment.problem("old", folder).endswith("has no gunicorn")


def test_an_environment_that_is_gone_is_named(folder: Path) -> None:
    shutil.rmtree(folder / "venv")
    assert environment.problem("old", folder) == f"the environment of old ({folder / 'venv'}) is gone"


def test_the_live_releases_problem_comes_with_the_command_that_helps(site: Site, folder: Path) -> None:
    assert environment.problem_of_live(site) == "", "nothing is live"
    point_link(site, str(folder))
    assert environment.problem_of_live(site) == ""
    (folder / ".release.json").write_text("damaged")
    shutil.rmtree(folder / "venv")
    assert "'blogctl --site blog rebuild old' builds it again" in environment.problem_of_live(site)
