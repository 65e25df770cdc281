"""Single files and directories are restored; what a backup does not hold stays; nginx can read what it serves."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from backups import rows
from blogctl.data import tree
from blogctl.errors import OperationError
from blogctl.restore.operation import restore
from blogctl.site import Site
from restored import all_of_it, content, write_more

pytestmark = pytest.mark.usefixtures("quiet", "nothing_hangs", "descriptors")

Rewrite = Callable[[Callable[[dict[str, Any]], object]], None]


def test_a_single_database_is_restored_and_the_rest_stays(live: Site, backup: Path) -> None:
    write_more(live)
    data = live.path("data")
    before = content(data)
    found = restore(live, "latest", ["database.db"], discard_newer=True)
    assert rows(data / "database.db") == 3
    after = content(data)
    assert {path for path in before if before[path] != after.get(path)} == {"database.db"}
    assert after.keys() == before.keys()
    restore(live, found.safety, [], discard_newer=True)
    assert content(data) == before, "its safety copy holds that database alone, and removes nothing else"


def test_a_directory_is_restored_as_it_was(live: Site, backup: Path) -> None:
    write_more(live)
    data = live.path("data")
    restore(live, "latest", ["static/uploads"], discard_newer=True)
    assert sorted(os.listdir(data / "static" / "uploads")) == ["a.jpg", "b.jpg"]
    assert rows(data / "database.db") == 3
    assert (data / "later.db").exists()


def test_a_single_file_of_a_directory_that_is_gone_is_restored(live: Site, backup: Path) -> None:
    data = live.path("data")
    tree.remove(data / "static")
    restore(live, "latest", ["static/uploads/a.jpg"])
    assert content(data / "static") == {"uploads": "directory", "uploads/a.jpg": b"a.jpg"}


def test_a_link_in_the_place_of_a_directory_is_not_followed(live: Site, backup: Path, tmp_path: Path) -> None:
    data = live.path("data")
    outside = tmp_path / "outside"
    outside.mkdir()
    tree.remove(data / "static" / "uploads")
    (data / "static" / "uploads").symlink_to(outside)
    with pytest.raises(OperationError, match="a link is in the place of a directory"):
        restore(live, "latest", ["static/uploads/a.jpg"], discard_newer=True)
    assert list(outside.iterdir()) == []
    assert (data / "static" / "uploads").is_symlink()


# -- who may read it --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("only", [[], ["static/uploads"], ["static/uploads/a.jpg", "static/uploads/b.jpg"]])
@pytest.mark.parametrize("gone", ["", "static/uploads", "static"])
def test_nginx_can_read_restored_uploads(live: Site, backup: Path, only: list[str], gone: str) -> None:
    """The app's account is no member of nginx's group, so it cannot give it a file."""
    data = live.path("data")
    live.settings["process_environment"] = {"FLASK_BLOG_WRITTEN": f"/x/={data}/x/,/u/={data}/static/uploads/"}
    (data / "static").chmod(0o710)
    (data / "static" / "uploads").chmod(0o2750)
    if gone:
        tree.remove(data / gone)
    given: list[tuple[int, int]] = []
    fchown = os.fchown

    def recorded(handle: int, uid: int, gid: int) -> None:
        given.append((uid, gid))
        fchown(handle, uid, gid)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fchown", recorded)
        restore(live, "latest", only, discard_newer=True)
    assert given == [(-1, data.stat().st_gid)] * 4, "static, static/uploads and its two files"
    assert (data / "static").stat().st_mode & 0o7777 == 0o710
    assert (data / "static" / "uploads").stat().st_mode & 0o7777 == 0o2750
    assert (data / "static" / "uploads" / "a.jpg").stat().st_mode & 0o040
    assert not (data / "database.db").stat().st_mode & 0o2000


def test_nothing_but_the_apps_own_files_is_given_to_nginx(live: Site, tmp_path: Path) -> None:
    folder = live.path("data") / "new" / "up"
    folder.mkdir(parents=True)
    outside = tmp_path / "outside"
    outside.write_text("")
    outside.chmod(0o600)
    (folder / "link").symlink_to(outside)
    os.link(outside, folder / "second-name")
    os.mkfifo(folder / "fifo")
    (live.path("data") / "new" / "down").symlink_to(tmp_path)
    given: list[int] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fchown", lambda handle, *_: given.append(os.fstat(handle).st_ino))
        tree.hand_to_group(str(live.path("data")), "new", ["up", "down", "missing", "up/link/x"], os.geteuid())
        assert {*given} == {folder.stat().st_ino}
        given.clear()
        tree.hand_to_group(str(live.path("data")), "new", ["up"], os.geteuid() + 1)
        assert given == [], "what another account owns is left alone"


# -- what the backup does not have ------------------------------------------------------------------------------------


def test_empty_directories_and_links_stay_and_modes_of_directories_as_well(live: Site, backup: Path) -> None:
    data = live.path("data")
    (data / "static" / "uploads").chmod(0o2750 & 0o777)
    (data / "instance").chmod(0o710)
    (data / "current").symlink_to("static")
    all_of_it(live)
    assert (data / "instance").stat().st_mode & 0o777 == 0o710
    assert (data / "static" / "uploads").stat().st_mode & 0o777 == 0o750
    assert os.readlink(data / "current") == "static"


def test_a_file_that_the_backup_could_not_read_stays_as_it_is(live: Site, rewrite: Rewrite, backup: Path) -> None:
    rewrite(lambda manifest: manifest.update(skipped={"private.db": "damaged", "/etc/blog/x": "too large"}))
    data = live.path("data")
    (data / "private.db").write_bytes(b"not in the backup")
    (data / "private.db-wal").write_bytes(b"its log")
    found = all_of_it(live)
    assert found.kept == ["private.db"]
    assert (data / "private.db").read_bytes() == b"not in the backup"
    assert (data / "private.db-wal").read_bytes() == b"its log"


def test_a_directory_that_its_owner_has_closed_is_exchanged_and_kept(live: Site, backup: Path) -> None:
    data = live.path("data")
    (data / "closed").mkdir()
    (data / "closed" / "x").write_bytes(b"x")
    (data / "closed" / "x").chmod(0)
    (data / "closed").chmod(0o500)
    found = all_of_it(live)
    assert not (data / "closed" / "x").exists()
    assert (live.path("snapshots") / found.safety / "data" / "closed" / "x").read_bytes() == b"x"
