"""A release gets a new environment on the host, and what served before stays as it is if that fails."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from blogctl.commands import rebuild as command
from blogctl.errors import Busy, OperationError
from blogctl.host import locks
from blogctl.release import history, rebuild
from blogctl.shared.host import python_version
from blogctl.shared.source.release import Release
from blogctl.shared.venv import build, check, make
from blogctl.site import Site
from fake_machine import Add, Machine

ENVIRONMENT = {
    "venv_link": "venv",
    "requirements": "needs",
    "requirements_file": "requirements.txt",
    "is_project": False,
    "hashed": False,
    "keep_source": False,
    "packages": ["gunicorn"],
    "dependencies": None,
    "requires_python": "",
}


class FakeBuild:
    """Builds whatever is wanted, or fails."""

    def __init__(self) -> None:
        self.releases: list[Release] = []
        self.failure = ""

    def __call__(self, site: Any, release: Release, timeout: int, announce: Callable[[], None]) -> make.Built:
        self.releases.append(release)
        if self.failure:
            raise build.BuildError(self.failure)
        Path(release.venv_path).mkdir(exist_ok=True)
        return make.Built(["gunicorn-23.0.0"], [])


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> FakeBuild:
    fake = FakeBuild()
    monkeypatch.setattr(make, "make", fake)
    return fake


def note(folder: Path, former: Path, **changed: Any) -> None:
    """Say in a release's manifest what its environment is built from; it has one of another Python."""
    manifest = json.loads((folder / ".release.json").read_text())
    (folder / ".release.json").write_text(json.dumps({**manifest, "environment": {**ENVIRONMENT, **changed}}))
    (folder / "venv").rename(former / f"of-{folder.name}")
    (folder / "venv").symlink_to(former / f"of-{folder.name}")


@pytest.fixture
def live(site: Site, old: Path) -> Path:
    note(old, site.path("venvs"))
    return old


def wanted(site: Site) -> str:
    """Return the path of the environment that this Python needs, as the controller would name it."""
    return f"{site.path('venvs')}/{check.venv_id('needs', python_version())}"


def test_the_live_release_gets_an_environment_of_this_python_and_serves_in_it(
    site: Site, live: Path, built: FakeBuild, machine: Machine
) -> None:
    outcome = rebuild.rebuild(site, None)
    assert os.readlink(live / "venv") == wanted(site) == outcome.environment
    assert (outcome.release, outcome.serves, outcome.packages) == ("old", True, ["gunicorn-23.0.0"])
    assert machine.changes == ["restart blog.service"]
    (release,) = built.releases
    assert (release.path, release.app_path, release.packages) == (str(live), str(live), ["gunicorn"])
    assert [(entry.operation, entry.result) for entry in history.read(site)] == [("rebuild", "done")]


def test_a_site_that_is_down_is_started(site: Site, live: Path, built: FakeBuild, machine: Machine) -> None:
    machine.active = set()
    assert rebuild.rebuild(site, None).serves
    assert machine.active >= {"blog.socket", "blog.service"}


def test_releases_with_the_same_requirements_share_the_new_environment(
    site: Site, live: Path, built: FakeBuild, add_release: Add
) -> None:
    note(add_release("same"), site.path("venvs"))
    note(add_release("other"), site.path("venvs"), requirements="others")
    add_release("older")
    assert rebuild.rebuild(site, None).releases == ["old", "same"]
    links = {path.parent.name: os.readlink(path) for path in site.path("releases").glob("*/venv") if path.is_symlink()}
    assert links == {"old": wanted(site), "same": wanted(site), "other": str(site.path("venvs") / "of-other")}


def test_another_release_is_built_and_not_served(
    site: Site, live: Path, built: FakeBuild, machine: Machine, add_release: Add
) -> None:
    note(add_release("earlier"), site.path("venvs"), requirements="others")
    outcome = rebuild.rebuild(site, "earlier")
    assert (outcome.release, outcome.serves) == ("earlier", False)
    assert machine.commands == []
    assert os.readlink(live / "venv").endswith("of-old")


def test_a_failed_build_changes_nothing_and_shows_pips_words(
    site: Site, live: Path, built: FakeBuild, machine: Machine
) -> None:
    built.failure = "no such package"
    with pytest.raises(OperationError, match=r"^The environment of old cannot be built; nothing was changed\.\nno"):
        rebuild.rebuild(site, None)
    assert os.readlink(live / "venv").endswith("of-old")
    assert machine.commands == []
    assert history.read(site)[-1].result == "failed"


def test_a_release_that_does_not_serve_in_its_new_environment_is_an_error(
    site: Site, live: Path, built: FakeBuild, machine: Machine
) -> None:
    machine.sick.add(("main", "old"))
    with pytest.raises(OperationError, match="the release does not serve in it: /healthz: answered 500"):
        rebuild.rebuild(site, None)


def test_a_release_of_an_older_collection_is_refused_with_the_remedy(
    site: Site, old: Path, built: FakeBuild, machine: Machine
) -> None:
    with pytest.raises(OperationError, match=r"Nothing was changed\. Run playbooks/site\.yml from the controller"):
        rebuild.rebuild(site, None)
    assert built.releases == []
    assert machine.commands == []


def test_a_site_without_a_live_release_says_so(site: Site, machine: Machine) -> None:
    with pytest.raises(OperationError, match="blog has no live release; name one"):
        rebuild.rebuild(site, None)


def test_a_build_of_the_controllers_is_waited_for(
    site: Site, live: Path, built: FakeBuild, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "BUILD_TIMEOUT", 0.1)
    with locks.building(site), pytest.raises(Busy, match="a run of a playbook is building a release of blog"):
        rebuild.rebuild(site, None)
    assert built.releases == []


def test_the_command_names_the_environment_and_who_shares_it(site: Site, live: Path, built: FakeBuild) -> None:
    result = command.run(site, type("Options", (), {"release": None})())
    assert result.message == f"old has a new environment, {wanted(site)}, and is served"
    assert result.values["serves"] is True
