"""Assets of the previous release stay for a day."""

from __future__ import annotations

import os
import time

import pytest
from blogctl.release import assets
from blogctl.shared import contract
from blogctl.site import Site
from fake_machine import Add

pytestmark = pytest.mark.usefixtures("quiet")


def test_old_assets_stay_for_a_day_and_the_newest_of_a_name_wins(
    site: Site, add_release: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, release in enumerate(("one", "two")):
        static = add_release(release) / "static"
        static.mkdir()
        (static / f"{release}.css").write_text(release)
        (static / "same.css").write_text(release)
        assets.keep(site, release)
        os.utime(site.path("assets") / release, (time.time() - 60 + number,) * 2)
    assets.merge(site.path("assets"))
    merged = site.path("assets") / assets.MERGED / "static"
    assert sorted(os.listdir(merged)) == ["one.css", "same.css", "two.css"]
    assert (merged / "same.css").read_text() == "two"
    os.utime(site.path("assets") / "one", (0, 0))
    assets.keep(site, "two")
    assert sorted(os.listdir(merged)) == ["same.css", "two.css"]


def test_what_a_killed_run_left_of_a_releases_assets_is_made_anew(site: Site, add_release: Add) -> None:
    static = add_release("one") / "static"
    static.mkdir()
    (static / "one.css").write_text("one")
    left = site.path("assets") / f".one{contract.INCOMPLETE}" / "static"
    left.mkdir(parents=True)
    (left / "half.css").write_text("half")
    assets.keep(site, "one")
    assert os.listdir(site.path("assets") / assets.MERGED / "static") == ["one.css"]


def test_folders_that_are_served_by_two_prefixes_are_kept_once(site: Site, add_release: Add) -> None:
    dist = add_release("one") / "static" / "dist"
    dist.mkdir(parents=True)
    (dist / "app.js").write_text("app")
    site.settings["static"] = {"/static/": "static/", "/dist/": "static/dist/", "/old/": "static/"}
    assets.keep(site, "one")
    merged = site.path("root") / "assets" / assets.MERGED
    assert [str(path.relative_to(merged)) for path in merged.rglob("*")] == [
        "static",
        "static/dist",
        "static/dist/app.js",
    ]


def test_what_the_app_wrote_is_never_kept_as_an_asset(site: Site, add_release: Add) -> None:
    """It would be served without the policy of uploads once its folder is no longer writable."""
    uploads = site.path("data") / "static" / "uploads"
    uploads.mkdir(parents=True)
    (uploads / "page.html").write_text("<script>")
    part, whole = add_release("part") / "static", add_release("whole")
    part.mkdir()
    (part / "blog.css").write_text("body {}")
    (part / "uploads").symlink_to(uploads)
    (part / "page.html").symlink_to(uploads / "page.html")
    (whole / "static").symlink_to(uploads.parent)
    for release in ("part", "whole"):
        assets.keep(site, release)
    kept = [path.name for path in site.path("assets").rglob("*") if path.is_file()]
    assert set(kept) == {"blog.css"}
