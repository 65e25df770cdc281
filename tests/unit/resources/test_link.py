"""A symbolic link: compared, turned in one step, turned back, removed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import registry
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources.difference import Conflict
from wanted_objects import link_at


def test_a_missing_link_is_made_with_the_folders_on_its_way(tmp_path: Path) -> None:
    wanted = link_at(tmp_path / "enabled" / "blog", "/target")
    assert registry.compare(wanted).reasons == ["missing"]
    undo = registry.apply(wanted)
    assert os.readlink(tmp_path / "enabled" / "blog") == "/target"
    assert registry.compare(wanted) is None
    undo()
    assert not (tmp_path / "enabled" / "blog").is_symlink()


def test_a_link_that_leads_elsewhere_is_turned_and_can_be_turned_back(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/old")
    wanted = link_at(tmp_path / "link", "/new")
    difference = registry.compare(wanted)
    assert difference.reasons == ["target /old -> /new"]
    assert (difference.before, difference.after) == ("-> /old\n", "-> /new\n")
    undo = registry.apply(wanted)
    assert os.readlink(tmp_path / "link") == "/new"
    undo()
    assert os.readlink(tmp_path / "link") == "/old"


def test_a_link_is_never_missing_while_it_is_turned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to("/old")
    real = os.unlink

    def unlink(path: str) -> None:
        assert Path(path) != tmp_path / "link", "the link was removed first"
        real(path)

    monkeypatch.setattr(os, "unlink", unlink)
    registry.apply(link_at(tmp_path / "link", "/new"))
    assert os.readlink(tmp_path / "link") == "/new"


def test_a_turn_that_fails_leaves_the_old_link_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to("/old")

    def fail(*_: Any) -> None:
        raise OSError("read-only file system")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="read-only"):
        registry.apply(link_at(tmp_path / "link", "/new"))
    assert [path.name for path in tmp_path.iterdir()] == ["link"]
    assert os.readlink(tmp_path / "link") == "/old"


def test_an_empty_directory_gives_way_to_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").mkdir()
    wanted = link_at(tmp_path / "link", "/new")
    assert registry.compare(wanted).reasons == ["an empty directory stands there"]
    registry.apply(wanted)
    assert registry.compare(wanted) is None


@pytest.mark.parametrize("what", ["directory", "file"])
def test_real_content_in_a_links_place_is_a_conflict_and_stays(tmp_path: Path, what: str) -> None:
    place = tmp_path / "blog"
    if what == "directory":
        place.mkdir()
        (place / "database.db").write_text("precious")
    else:
        place.write_text("precious")
    with pytest.raises(Conflict, match=rf"a real {what} stands there\. Move it away \(mv .*flask_blog_initial_da"):
        registry.compare(link_at(place, "/new"))
    assert place.exists()


def test_a_link_is_removed_while_it_leads_to_its_target(tmp_path: Path) -> None:
    wanted = link_at(tmp_path / "link", "/target")
    registry.apply(wanted)
    assert registry.remove({**wanted, "target": "/other"}) is False
    assert registry.remove(wanted) is True
    assert registry.remove(wanted) is False
    (tmp_path / "link").write_text("somebody's")
    assert registry.remove(wanted) is False


def test_a_file_of_an_earlier_version_is_replaced_in_one_step_and_can_be_put_back(tmp_path: Path) -> None:
    (tmp_path / "blog.conf").write_text("server {}\n")
    wanted = {**link_at(tmp_path / "blog.conf", "/etc/blog/site.conf"), "replaces_file": True}
    difference = registry.compare(wanted)
    assert (difference.reasons, difference.before) == (["a file stands there"], "server {}\n")
    undo = registry.apply(wanted)
    assert os.readlink(tmp_path / "blog.conf") == "/etc/blog/site.conf"
    undo()
    assert (tmp_path / "blog.conf").read_text() == "server {}\n"
    assert not (tmp_path / "blog.conf").is_symlink()


def test_a_directory_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "blog.conf" / "mine").mkdir(parents=True)
    with pytest.raises(Conflict, match="a real directory stands there"):
        registry.compare({**link_at(tmp_path / "blog.conf", "/etc/blog/site.conf"), "replaces_file": True})


def test_a_link_may_lead_to_another_target_as_long_as_what_that_needs_is_there(tmp_path: Path) -> None:
    other, needed = str(tmp_path / "https"), tmp_path / "certificate"
    wanted = {**link_at(tmp_path / "link", "/http"), "others": {other: str(needed)}}
    assert registry.compare(wanted).reasons == ["missing"]
    registry.apply(wanted)
    assert os.readlink(tmp_path / "link") == "/http", "the first target is the one that is made"
    registry.apply({**wanted, "target": other})
    assert registry.compare(wanted).reasons == [f"target {other} -> /http"]
    needed.touch()
    assert registry.compare(wanted) is None
    registry.apply({**wanted, "target": "/elsewhere"})
    assert registry.compare(wanted).reasons == ["target /elsewhere -> /http"]
