"""A directory: compared, created, corrected; in a directory of the app without following a link or a swap."""

from __future__ import annotations

import os
import pwd
import time
from pathlib import Path
from typing import Any

import hostile_app
import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import registry
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources.difference import Conflict
from wanted_objects import (
    IS_ROOT,
    attributes,
    data_directory_at,
    directory_at,
    given_to_www_data,
    link_at,
    mode_of,
    tree_at,
)

pytestmark = pytest.mark.usefixtures("descriptors")


def test_a_missing_directory_is_made_with_its_mode(tmp_path: Path, me: Any) -> None:
    wanted = directory_at(tmp_path / "a" / "b", me, mode="2750")
    assert registry.compare(wanted).reasons == ["missing"]
    undo = registry.apply(wanted)
    assert mode_of(tmp_path / "a" / "b") == 0o2750
    assert registry.compare(wanted) is None
    undo()
    assert (tmp_path / "a" / "b").is_dir(), "a directory is not taken away again: something may be in it"


@pytest.mark.parametrize("umask", [0o027, 0o077])
def test_directories_on_the_way_are_open_for_everybody_whatever_the_umask_is(
    tmp_path: Path, me: Any, umask: int
) -> None:
    """With the umask of the CIS benchmark, nobody could enter /opt/NAME."""
    before = os.umask(umask)
    try:
        registry.apply(directory_at(tmp_path / "opt" / "blog" / "venvs", me, mode="0755"))
        registry.apply(link_at(tmp_path / "www" / "enabled" / "blog", "/target"))
    finally:
        os.umask(before)
    for made in ("opt", "opt/blog", "opt/blog/venvs", "www", "www/enabled"):
        assert mode_of(tmp_path / made) == 0o755, made


def test_a_directorys_mode_is_applied_without_touching_what_is_in_it(tmp_path: Path, me: Any) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "file").write_text("x")
    (folder / "file").chmod(0o604)
    folder.chmod(0o777)
    wanted = directory_at(folder, me)
    assert registry.compare(wanted).reasons == ["mode 0777 -> 0750"]
    registry.apply(wanted)
    assert mode_of(folder) == 0o750
    assert mode_of(folder / "file") == 0o604


@pytest.mark.parametrize("what", ["file", "link"])
def test_something_else_in_a_directorys_place_is_a_conflict(tmp_path: Path, me: Any, what: str) -> None:
    place = tmp_path / "data"
    if what == "file":
        place.write_text("x")
    else:
        place.symlink_to(tmp_path)
    with pytest.raises(Conflict, match="should be a directory"):
        registry.compare(directory_at(place, me))


def test_a_link_that_slips_into_a_directorys_place_is_not_followed(tmp_path: Path, me: Any) -> None:
    """Between the comparison and the change, the app may swap its folder for a link to somewhere else."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (tmp_path / "data").symlink_to(elsewhere)
    with pytest.raises(OSError, match="data"):
        registry.apply(directory_at(tmp_path / "data", me, mode="0777"))
    assert mode_of(elsewhere) == 0o700


# -- in a directory of the app ----------------------------------------------------------------------------------------


#: A neighbour, and a number that no account has.
NEIGHBOUR, NOBODYS = 54320, 54321
needs_root = pytest.mark.skipif(not IS_ROOT, reason="only root can give a file away")


def test_a_missing_directory_is_found_made_and_then_as_wanted(tmp_path: Path, me: Any) -> None:
    data = tmp_path / "data"
    for relative in ("", "static", "static/uploads"):
        wanted = data_directory_at(data, relative, me, mode="2750")
        difference = registry.compare(wanted)
        assert difference.reasons == ["missing"]
        assert difference.after == f"directory {me.user}:{me.group} 2750\n"
        registry.apply(wanted)()
        assert registry.compare(wanted) is None
        assert attributes(data / relative) == (me.uid, me.gid, 0o2750)


def test_a_changed_mode_of_a_directory_is_shown_and_applied(tmp_path: Path, me: Any) -> None:
    (tmp_path / "static").mkdir()
    (tmp_path / "static").chmod(0o777)
    wanted = data_directory_at(tmp_path, "static", me)
    difference = registry.compare(wanted)
    assert (difference.reasons, difference.before, difference.after) == (
        ["mode 0777 -> 0750"],
        "mode 0777\n",
        "mode 0750\n",
    )
    registry.apply(wanted)
    assert registry.compare(wanted) is None


@pytest.mark.parametrize("kind", ["link", "file"])
@pytest.mark.parametrize("step", ["compare", "apply"])
def test_a_parent_that_is_no_directory_is_a_conflict_and_never_followed(
    tmp_path: Path, me: Any, kind: str, step: str
) -> None:
    neighbour, data = tmp_path / "neighbour", tmp_path / "data"
    (neighbour / "uploads").mkdir(parents=True)
    (neighbour / "uploads").chmod(0o700)
    data.mkdir()
    if kind == "link":
        (data / "static").symlink_to(neighbour)
    else:
        (data / "static").touch()
    before = attributes(neighbour / "uploads")
    for relative in ("static", "static/uploads", "static/new"):
        with pytest.raises(
            Conflict,
            match=rf"{data}/static should be a directory, but a file or link stands there\. Nothing was changed there"
            r"\. Stop the blog, move it away, and run again\.",
        ):
            getattr(registry, step)(data_directory_at(data, relative, me, mode="0777"))
    assert attributes(neighbour / "uploads") == before
    assert [path.name for path in neighbour.iterdir()] == ["uploads"]


@needs_root
def test_a_directory_of_another_account_is_a_conflict_that_names_the_remedy(tmp_path: Path, me: Any) -> None:
    (tmp_path / "static").mkdir()
    daemon = pwd.getpwnam("daemon").pw_uid
    os.chown(tmp_path / "static", daemon, -1)
    wanted = given_to_www_data(data_directory_at(tmp_path, "static", me))
    for step in (registry.compare, registry.apply):
        with pytest.raises(
            Conflict,
            match=r"static belongs to the account daemon, so it is not given to www-data\. Stop the blog, .*; remove"
            r" it, or give it away yourself \(chown -h www-data .*/static\), and run again",
        ):
            step(wanted)
    assert (tmp_path / "static").stat().st_uid == daemon


@needs_root
def test_a_directory_of_a_number_without_an_account_is_given_to_the_app(tmp_path: Path, me: Any) -> None:
    (tmp_path / "static").mkdir()
    os.chown(tmp_path / "static", NOBODYS, NOBODYS)
    wanted = given_to_www_data(data_directory_at(tmp_path, "static", me))
    registry.apply(wanted)
    assert registry.compare(wanted) is None


def test_a_directory_of_an_account_that_is_not_there_yet_differs_instead_of_failing(tmp_path: Path, me: Any) -> None:
    (tmp_path / "static").mkdir()
    wanted = data_directory_at(tmp_path, "static", me, owner="nobody-has-this-name")
    if IS_ROOT:
        assert registry.compare(wanted).reasons[0] == "owner root -> nobody-has-this-name"
    with pytest.raises(KeyError):
        registry.apply(wanted)


@needs_root
def test_a_parent_that_is_swapped_for_a_link_all_the_time_never_leads_to_the_neighbour(tmp_path: Path, me: Any) -> None:
    """Protecting the last component alone, as O_NOFOLLOW does, gave a neighbour's uploads to the app, 3 of 3."""
    neighbour, data = tmp_path / "neighbour", tmp_path / "data"
    uploads, picture = neighbour / "uploads", neighbour / "uploads" / "cat.jpg"
    uploads.mkdir(parents=True)
    picture.touch()
    (data / "static" / "uploads").mkdir(parents=True)
    for path in (neighbour, uploads, picture):
        os.chown(path, NEIGHBOUR, NEIGHBOUR)
        path.chmod(0o600 if path == picture else 0o700)
    (data / "link").symlink_to(neighbour)
    before = {path: attributes(path) for path in (neighbour, uploads, picture)}
    wanted = [
        given_to_www_data(item)
        for item in (
            data_directory_at(data, "static/uploads", me, mode="2750"),
            data_directory_at(data, "static/new", me, mode="2750"),
            tree_at(data, me, served=["static/uploads"], served_group="www-data"),
        )
    ]
    outcomes = {"conflict": 0, "done": 0}
    with hostile_app.exchanging(data / "static", data / "link"):
        end = time.monotonic() + 2
        while time.monotonic() < end:
            for item in wanted:
                try:
                    registry.compare(item)
                    registry.apply(item)
                    outcomes["done"] += 1
                except Conflict:
                    outcomes["conflict"] += 1
            assert {path: attributes(path) for path in before} == before
            assert sorted(path.name for path in neighbour.iterdir()) == ["uploads"]
    assert min(outcomes.values()) > 20, "the directory was never swapped in time"


def test_a_parent_that_is_swapped_between_comparing_and_changing_is_not_followed(tmp_path: Path, me: Any) -> None:
    neighbour, data = tmp_path / "neighbour", tmp_path / "data"
    (neighbour / "uploads").mkdir(parents=True)
    (data / "static" / "uploads").mkdir(parents=True)
    (data / "link").symlink_to(neighbour)
    before = attributes(neighbour / "uploads")
    wanted = data_directory_at(data, "static/uploads", me, mode="0700")
    assert registry.compare(wanted) is not None
    hostile_app.exchange(data / "static", data / "link")
    with pytest.raises(Conflict, match="static should be a directory"):
        registry.apply(wanted)
    assert attributes(neighbour / "uploads") == before


# -- removal --------------------------------------------------------------------------------------------------------


def test_an_empty_directory_is_removed_and_one_with_something_in_it_stays(tmp_path: Path, me: Any) -> None:
    data = tmp_path / "data"
    outer, inner = directory_at(data, me), data_directory_at(data, "static/uploads", me)
    for wanted in (outer, inner):
        registry.apply(wanted)
    (data / "static" / "uploads" / "cat.jpg").touch()
    assert registry.remove(inner) is False
    (data / "static" / "uploads" / "cat.jpg").unlink()
    assert registry.remove(inner) is True
    assert registry.remove(outer) is False, "static was not made by it"
    (data / "static").rmdir()
    assert registry.remove(outer) is True
    assert not data.exists()


def test_removing_a_directory_never_follows_a_link_of_the_app(tmp_path: Path, me: Any) -> None:
    data, neighbour = tmp_path / "data", tmp_path / "neighbour"
    (neighbour / "uploads").mkdir(parents=True)
    data.mkdir()
    (data / "static").symlink_to(neighbour)
    assert registry.remove(data_directory_at(data, "static/uploads", me)) is False
    assert registry.remove(data_directory_at(data, "static", me)) is False
    assert (neighbour / "uploads").is_dir()
