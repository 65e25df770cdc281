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
from blogctl.host import health, locks
from blogctl.release import history, rebuild
from blogctl.shared.host import python_version
from blogctl.shared.source.release import Release
from blogctl.shared.venv import build, check, environment, make
from blogctl.site import Site
from fake_machine import Add, Machine
from releases import make_release


class FakeBuild:
    """Builds whatever is wanted, or fails."""

    def __init__(self) -> None:
        self.releases: list[Release] = []
        self.failure = ""

    def __call__(
        self, site: Any, release: Release, timeout: int, announce: Callable[[], None], *, keep_replaced: bool
    ) -> make.Built:
        self.releases.append(release)
        if self.failure:
            raise build.BuildError(self.failure)
        aside = Path(f"{release.venv_path}.incomplete")
        aside.mkdir()
        (aside / "new").touch()
        environment.put_in_place(str(aside), release.venv_path, keep_replaced=keep_replaced)
        return make.Built(["gunicorn-23.0.0"], [])


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> FakeBuild:
    fake = FakeBuild()
    monkeypatch.setattr(make, "make", fake)
    return fake


def note(folder: Path, former: Path, **changed: Any) -> None:
    """Say in a release's manifest what its environment is built from; it has one of another Python."""
    manifest = json.loads((folder / ".release.json").read_text())
    (folder / ".release.json").write_text(
        json.dumps({**manifest, "environment": {**make_release().environment(), **changed}})
    )
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
    assert [locks for locks in machine.watched if "blog.lock" in locks], "a rebuild that is killed is recovered"
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
    assert os.readlink(live / "venv").endswith("of-old"), "the environment that it had"
    assert machine.changes == ["restart blog.service"] * 2


def test_the_environment_before_is_put_back_if_the_release_does_not_serve_in_the_new_one(
    site: Site, live: Path, built: FakeBuild, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (live / "venv").unlink()
    (live / "venv").symlink_to(wanted(site))
    before = Path(wanted(site))
    before.mkdir()
    (before / "works").touch()
    serves = health.wait_until_served
    monkeypatch.setattr(
        health,
        "wait_until_served",
        lambda *given: serves(*given) if (before / "works").exists() else "answered 500",
    )
    with pytest.raises(OperationError, match=r"(?s)answered 500\n.*\nThe environment before was put back, .* again"):
        rebuild.rebuild(site, None)
    assert [path.name for path in before.iterdir()] == ["works"]
    assert [path for path in before.parent.iterdir() if path.suffix] == [], "nothing is left over"
    assert machine.changes == ["restart blog.service"] * 2


def test_an_environment_that_was_replaced_is_removed_once_the_new_one_serves(
    site: Site, live: Path, built: FakeBuild, machine: Machine
) -> None:
    Path(wanted(site)).mkdir()
    rebuild.rebuild(site, None)
    assert [path.name for path in Path(wanted(site)).iterdir()] == ["new"]
    assert [path for path in site.path("venvs").iterdir() if path.suffix] == []


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
