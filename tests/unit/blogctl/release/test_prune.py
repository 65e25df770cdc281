"""Old releases, environments and snapshots are removed, and never what is in use."""

from __future__ import annotations

import os
import time

import pytest
from blogctl.data import transaction
from blogctl.host.releases import point_link
from blogctl.release import prune
from blogctl.release.history import History
from blogctl.shared import contract
from blogctl.site import Site
from fake_machine import Add, activated

pytestmark = pytest.mark.usefixtures("quiet")


def test_old_releases_go_with_their_environments_and_snapshots_and_never_what_is_in_use(
    site: Site, add_release: Add
) -> None:
    site.settings["keep_releases"] = 2
    for number in range(5):
        folder = add_release(f"r{number}")
        venv = site.path("venvs") / f"v{number}"
        venv.mkdir()
        (venv / ".complete.json").touch()
        (folder / "env").symlink_to(venv)
        os.utime(folder, (number + 1, number + 1))
        activated(site, f"r{number}")
        transaction.snapshot_folder(site, f"r{number}").mkdir(parents=True)
    (site.path("venvs") / "being-built").mkdir()
    point_link(site, str(site.path("releases") / "r0"))
    os.utime(add_release("being-brought"), (99, 99))
    assert prune.prune(site, History.of(site)) == ["r1", "r2"]
    assert sorted(os.listdir(site.path("releases"))) == ["being-brought", "r0", "r3", "r4"]
    assert sorted(os.listdir(site.path("venvs"))) == ["being-built", "v0", "v3", "v4"]
    assert sorted(os.listdir(site.path("snapshots"))) == ["r0", "r3", "r4"]


def test_what_another_run_has_brought_before_the_live_release_came_stays_for_an_hour(
    site: Site, add_release: Add
) -> None:
    now = time.time()
    for name, age in (("forgotten", 2 * prune.NEW_SECONDS), ("about-to-be-live", 10), ("live", 1)):
        os.utime(add_release(name), (now - age, now - age))
    activated(site, "live")
    assert prune.prune(site, History.of(site)) == ["forgotten"]


def test_a_removal_that_was_interrupted_is_ended(site: Site, add_release: Add) -> None:
    """It looks new: a folder's time is that of the last file that went."""
    activated(site, "live")
    add_release("live")
    add_release(f"old{contract.REMOVED}")
    (site.path("venvs") / f"v1{contract.REMOVED}" / "lib").mkdir(parents=True)
    assert prune.prune(site, History.of(site)) == []
    assert os.listdir(site.path("releases")) == ["live"]
    assert os.listdir(site.path("venvs")) == []


def test_a_killed_removal_leaves_nothing_under_a_good_name(
    site: Site, add_release: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    activated(site, "live")
    add_release("live")
    os.utime(add_release("old"), (1, 1))
    venv = site.path("venvs") / "v1"
    venv.mkdir()
    (venv / ".complete.json").touch()
    with monkeypatch.context() as killed:
        killed.setattr(prune.shutil, "rmtree", lambda *_, **__: None)
        assert prune.prune(site, History.of(site)) == ["old"]
    assert sorted(os.listdir(site.path("releases"))) == ["live", f"old{contract.REMOVED}"]
    assert os.listdir(site.path("venvs")) == [f"v1{contract.REMOVED}"]
    # It may come again before it has gone.
    os.utime(add_release("old"), (1, 1))
    assert prune.prune(site, History.of(site)) == ["old"]
    assert os.listdir(site.path("releases")) == ["live"]
    assert os.listdir(site.path("venvs")) == []
