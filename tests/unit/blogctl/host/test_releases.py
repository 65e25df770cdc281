"""The releases on a host, and the live link."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from blogctl.errors import OperationError
from blogctl.host import releases
from blogctl.site import Site


@pytest.mark.parametrize("release", ["two", "one/../one", ".", "..", "", "/one"])
def test_an_id_that_is_no_release_is_refused(site: Site, add_release: Callable[[str], Path], release: str) -> None:
    add_release("one")
    with pytest.raises(OperationError, match=r"there is no release .*; there are one"):
        releases.release_manifest(site, release)


def test_a_manifest_that_is_damaged_names_the_remedy(site: Site, add_release: Callable[[str], Path]) -> None:
    (add_release("one") / ".release.json").write_text("{")
    with pytest.raises(OperationError, match=r"is damaged .*; run the playbook again"):
        releases.release_manifest(site, "one")


def test_a_release_that_is_not_there_is_answered_with_those_that_are(
    site: Site, add_release: Callable[[str], Path]
) -> None:
    add_release("abc")
    assert releases.app_folder(site, "abc") == site.path("releases") / "abc"
    with pytest.raises(OperationError, match="no release 'xyz'; there are abc"):
        releases.app_folder(site, "xyz")


def test_the_live_link_is_made_and_turned_without_ever_missing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert releases.live_target(site) is None
    releases.point_link(site, "/one")
    removed = os.unlink

    def unlink(path: str, **options: Any) -> None:
        assert Path(path) != site.path("link"), "the link was removed first"
        removed(path, **options)

    monkeypatch.setattr(os, "unlink", unlink)
    releases.point_link(site, "/two")
    assert releases.live_target(site) == "/two"
    assert [path.name for path in site.path("link").parent.iterdir()] == ["blog"]


def test_a_turned_link_outlives_a_power_cut(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync, synced = os.fsync, list[str]()

    def remember(descriptor: int) -> None:
        synced.append(f"{os.readlink(f'/proc/self/fd/{descriptor}')} with {os.readlink(site.path('link'))}")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", remember)
    releases.point_link(site, "/releases/one")
    assert synced == [f"{site.path('link').parent} with /releases/one"]


def test_a_link_that_cannot_be_turned_stays_and_leaves_no_litter(site: Site) -> None:
    site.path("link").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        releases.point_link(site, "/two")
    assert [path.name for path in site.path("link").parent.iterdir()] == ["blog"]
