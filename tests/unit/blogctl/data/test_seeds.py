"""A release's files for writable folders are copied once, and never over something that is there."""

from __future__ import annotations

from pathlib import Path

import pytest
from blogctl.data import seeds
from blogctl.shared.contract import SEEDS
from blogctl.site import Site


def brings(site: Site, release: str, **files: str) -> None:
    """Let a release bring files for static/uploads; double underscores stand for slashes."""
    for name, text in files.items():
        path = site.path("releases") / release / SEEDS / "static/uploads" / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def uploads(site: Site) -> Path:
    """The data's folder of uploads."""
    folder = site.path("data") / "static" / "uploads"
    folder.mkdir(parents=True)
    return folder


def test_a_new_file_is_copied_with_the_mode_of_an_upload(site: Site, uploads: Path) -> None:
    brings(site, "one", default="avatar", icons__a="<svg/>")
    assert seeds.bring(site, "one") == ["static/uploads/default", "static/uploads/icons/a"]
    assert (uploads / "default").read_text() == "avatar"
    assert (uploads / "default").stat().st_mode & 0o777 == 0o640
    assert (uploads / "icons" / "a").read_text() == "<svg/>"
    assert sorted(path.name for path in uploads.rglob("*")) == ["a", "default", "icons"], "nothing is left beside"


def test_what_the_app_has_is_never_replaced(site: Site, uploads: Path) -> None:
    (uploads / "default").write_text("changed by a user")
    brings(site, "one", default="avatar")
    seeds.bring(site, "one")
    assert (uploads / "default").read_text() == "changed by a user"


def test_what_a_user_removed_does_not_come_back_and_a_new_file_comes(site: Site, uploads: Path) -> None:
    brings(site, "one", default="avatar")
    seeds.bring(site, "one")
    (uploads / "default").unlink()
    brings(site, "two", default="avatar", banner="new")
    assert seeds.bring(site, "two") == ["static/uploads/banner"]
    assert [path.name for path in uploads.iterdir()] == ["banner"]


def test_a_release_that_failed_takes_back_what_nobody_changed(site: Site, uploads: Path) -> None:
    brings(site, "one", default="avatar", banner="old")
    brought = seeds.bring(site, "one")
    (uploads / "banner").write_text("a user's")
    seeds.take_back(site, "one", brought)
    assert [path.name for path in uploads.iterdir()] == ["banner"]
    assert seeds.bring(site, "one") == brought
    assert (uploads / "default").read_text() == "avatar"
    assert (uploads / "banner").read_text() == "a user's"


def test_no_file_is_written_through_a_link_that_the_app_has_planted(site: Site, uploads: Path, tmp_path: Path) -> None:
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "default").write_text("ours")
    (uploads / "linked").symlink_to(tmp_path / "victim")
    (uploads / "default").symlink_to(tmp_path / "victim" / "default")
    (uploads / ".other.restored").symlink_to(tmp_path / "victim" / "default")
    brings(site, "one", default="avatar", linked__new="x", other="y")
    seeds.bring(site, "one")
    assert (tmp_path / "victim" / "default").read_text() == "ours"
    assert [path.name for path in (tmp_path / "victim").iterdir()] == ["default"]
    assert (uploads / "other").read_text() == "y"
    seeds.take_back(site, "one", ["static/uploads/default"])
    assert (tmp_path / "victim" / "default").exists()


def test_a_release_without_such_files_starts_no_process(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("nothing to do")

    monkeypatch.setattr(seeds, "working", refuse)
    assert seeds.bring(site, "one") == []
    seeds.take_back(site, "one", [])
