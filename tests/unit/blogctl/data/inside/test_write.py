"""Writing to a data folder does not follow links or overwrite planted files."""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import tarfile
from pathlib import Path

import pytest
from blogctl.data import transaction, tree
from blogctl.data.channel import Channel, ChannelError
from blogctl.data.inside import common as inside_common
from blogctl.data.inside import main as inside
from blogctl.data.inside import write as inside_write
from blogctl.data.inside.sqlite import Clock
from blogctl.data.layer import data_layer
from blogctl.site import Site
from data_folders import database, names


def test_a_restore_writes_through_no_link_that_the_app_has_planted(site: Site, folder: Path, tmp_path: Path) -> None:
    """Root wrote the app's bytes to /etc/ld.so.preload and gave it to the app."""
    victim = tmp_path / "ld.so.preload"
    victim.write_text("ours")
    victim.chmod(0o600)
    path = database(folder / "database.db")
    snapshot = transaction.begin(site, "new", None)
    before = path.read_bytes()
    (folder / ".database.db.restored").symlink_to(victim)
    path.unlink()
    path.symlink_to(victim)
    data_layer(site).restore(snapshot)
    assert (victim.read_text(), victim.stat().st_mode & 0o777) == ("ours", 0o600)
    assert not path.is_symlink()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT title FROM post").fetchall() == [("hello",)]
    assert len(before) == path.stat().st_size
    assert names(folder) == ["database.db", "good.txt"]


@pytest.mark.parametrize(
    ("database_path", "in_the_way"),
    [
        ("database.db", ".database.db.restored"),
        ("database.db", "database.db"),
        ("database.db", "database.db-journal"),
        ("instance/blog.db", "instance"),
    ],
)
def test_what_the_app_puts_in_the_way_of_a_restore_is_removed(
    site: Site, folder: Path, tmp_path: Path, database_path: str, in_the_way: str
) -> None:
    """The site would stay down otherwise: each start of it tries the restore again."""
    path = folder / database_path
    path.parent.mkdir(exist_ok=True)
    database(path)
    transaction.begin(site, "new", None)
    path.unlink()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").touch()
    obstacle = folder / in_the_way
    if obstacle == path.parent:
        obstacle.rmdir()
        obstacle.symlink_to(tmp_path / "outside")
    else:
        (obstacle / "deep" / "er").mkdir(parents=True)
        (obstacle / "link").symlink_to(tmp_path / "outside")
    assert transaction.undo(site)
    assert path.is_file()
    assert not path.parent.is_symlink()
    assert [entry.name for entry in (tmp_path / "outside").iterdir()] == ["file"]


def test_a_mode_with_set_id_bits_is_never_put_back(folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("x")
    handle = os.open(source, os.O_RDONLY)
    with inside_common.closing(handle):
        inside_write.put(handle, folder, folder / "file", 0o6755 & inside_common.MODE_BITS, None)
    assert (folder / "file").stat().st_mode & 0o7777 == 0o755


def test_a_file_is_replaced_in_one_step_and_stays_if_that_fails(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    (folder / "notes.txt").write_text("the app's")
    monkeypatch.setattr(tree, "copy_content", full)
    (tmp_path / "copy").write_text("older")
    with (
        inside_common.closing(os.open(tmp_path / "copy", os.O_RDONLY)) as handle,
        pytest.raises(OSError, match="No space left"),
    ):
        inside_write.put(handle, folder, folder / "notes.txt", 0o640, None)
    assert (folder / "notes.txt").read_text() == "the app's"


@pytest.mark.parametrize(("wanted", "found"), [("wal", "wal"), ("delete", "delete"), (None, "delete")])
def test_a_database_gets_the_journal_mode_that_it_had(
    folder: Path, tmp_path: Path, wanted: str | None, found: str
) -> None:
    copy = database(tmp_path / "copy.db", "PRAGMA journal_mode = delete; CREATE TABLE post (title);")
    with inside_common.closing(os.open(copy, os.O_RDONLY)) as handle:
        inside_write.put(handle, folder, folder / "database.db", 0o640, wanted)
    with contextlib.closing(sqlite3.connect(folder / "database.db")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == (found,)


def test_an_operation_ends_when_root_has_ended(folder: Path) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.close()
    request = {"data": str(folder), "databases": False, "at_rest": False}
    with theirs, pytest.raises(ChannelError):
        inside.OPERATIONS["read"](Channel(theirs), request, Clock(5))


def test_initial_data_is_not_unpacked_where_there_is_no_room_for_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cat.jpg").write_text("cat")
    with tarfile.open(tmp_path / "archive.tar", "w") as tar:
        tar.add(tmp_path / "cat.jpg", "uploads/cat.jpg")
    monkeypatch.setattr(tree, "RESERVE", 1 << 60)
    before = os.listdir(folder)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs, open(tmp_path / "archive.tar", "rb") as archive:
        Channel(ours).send({}, archive.fileno())
        with pytest.raises(OSError, match="No space left on device"):
            inside.OPERATIONS["unpack"](Channel(theirs), {"data": str(folder)}, Clock(5))
    assert os.listdir(folder) == before
