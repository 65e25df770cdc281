"""Managed objects in a folder that the app writes: neither a link, nor a swap, nor a foreign file helps it.

The exploits need root: CI runs as root, and an ordinary user runs what is left.
"""

from __future__ import annotations

import fcntl
import grp
import os
import pwd
import signal
import socket
import stat
import time
from pathlib import Path
from typing import Any

import hostile_app
import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import app_data, beneath, objects

IS_ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not IS_ROOT, reason="only root can give a file away")

#: A neighbour, and a number that no account has.
NEIGHBOUR, NOBODYS = 54320, 54321


def directory_at(data: Path, relative: str, me: Any, mode: str = "0750", **more: Any) -> dict[str, Any]:
    place = {"layer": "data", "kind": "directory", "path": str(data / relative), "beneath": str(data)}
    return {**place, "owner": me.user, "group": me.group, "mode": mode, **more}


def tree_at(path: Path, me: Any, **more: Any) -> dict[str, Any]:
    return {"layer": "data", "kind": "tree", "path": str(path), "owner": me.user, "group": me.group, **more}


def given_to_www_data(wanted: dict[str, Any]) -> dict[str, Any]:
    """The same object of an app that runs as an account that every Debian has, and that is not root."""
    return {**wanted, "owner": "www-data", "group": "www-data"}


def attributes(path: Path) -> tuple[int, int, int]:
    found = path.lstat()
    return found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)


# -- directories ----------------------------------------------------------------------------------------------------


def test_a_missing_directory_is_found_made_and_then_as_wanted(tmp_path: Path, me: Any) -> None:
    data = tmp_path / "data"
    for relative in ("", "static", "static/uploads"):
        wanted = directory_at(data, relative, me, mode="2750")
        difference = objects.compare(wanted)
        assert difference.words == ["missing"]
        assert difference.after == f"directory {me.user}:{me.group} 2750\n"
        objects.put_right(wanted)()
        assert objects.compare(wanted) is None
        assert attributes(data / relative) == (me.uid, me.gid, 0o2750)


def test_a_changed_mode_of_a_directory_is_shown_and_put_right(tmp_path: Path, me: Any) -> None:
    (tmp_path / "static").mkdir()
    (tmp_path / "static").chmod(0o777)
    wanted = directory_at(tmp_path, "static", me)
    difference = objects.compare(wanted)
    assert (difference.words, difference.before, difference.after) == (
        ["mode 0777 -> 0750"],
        "mode 0777\n",
        "mode 0750\n",
    )
    objects.put_right(wanted)
    assert objects.compare(wanted) is None


@pytest.mark.parametrize("kind", ["link", "file"])
@pytest.mark.parametrize("step", ["compare", "put_right"])
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
            objects.Conflict,
            match=rf"{data}/static should be a directory, but a file or link stands there\. Nothing was changed there"
            r"\. Stop the blog, move it away, and run again\.",
        ):
            getattr(objects, step)(directory_at(data, relative, me, mode="0777"))
    assert attributes(neighbour / "uploads") == before
    assert [path.name for path in neighbour.iterdir()] == ["uploads"]


@needs_root
def test_a_directory_of_another_account_is_a_conflict_that_names_the_remedy(tmp_path: Path, me: Any) -> None:
    (tmp_path / "static").mkdir()
    daemon = pwd.getpwnam("daemon").pw_uid
    os.chown(tmp_path / "static", daemon, -1)
    wanted = given_to_www_data(directory_at(tmp_path, "static", me))
    for step in (objects.compare, objects.put_right):
        with pytest.raises(
            objects.Conflict,
            match=r"static belongs to the account daemon, so it is not given to www-data\. Stop the blog, .*; remove"
            r" it, or give it away yourself \(chown -h www-data .*/static\), and run again",
        ):
            step(wanted)
    assert (tmp_path / "static").stat().st_uid == daemon


@needs_root
def test_a_directory_of_a_number_without_an_account_is_given_to_the_app(tmp_path: Path, me: Any) -> None:
    (tmp_path / "static").mkdir()
    os.chown(tmp_path / "static", NOBODYS, NOBODYS)
    wanted = given_to_www_data(directory_at(tmp_path, "static", me))
    objects.put_right(wanted)
    assert objects.compare(wanted) is None


def test_a_directory_of_an_account_that_is_not_there_yet_differs_instead_of_failing(tmp_path: Path, me: Any) -> None:
    (tmp_path / "static").mkdir()
    wanted = directory_at(tmp_path, "static", me, owner="nobody-has-this-name")
    if IS_ROOT:
        assert objects.compare(wanted).words[0] == "owner root -> nobody-has-this-name"
    with pytest.raises(KeyError):
        objects.put_right(wanted)


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
            directory_at(data, "static/uploads", me, mode="2750"),
            directory_at(data, "static/new", me, mode="2750"),
            tree_at(data, me, served=["static/uploads"], served_group="www-data"),
        )
    ]
    outcomes = {"conflict": 0, "done": 0}
    with hostile_app.exchanging(data / "static", data / "link"):
        end = time.monotonic() + 2
        while time.monotonic() < end:
            for item in wanted:
                try:
                    objects.compare(item)
                    objects.put_right(item)
                    outcomes["done"] += 1
                except objects.Conflict:
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
    wanted = directory_at(data, "static/uploads", me, mode="0700")
    assert objects.compare(wanted) is not None
    hostile_app.exchange(data / "static", data / "link")
    with pytest.raises(objects.Conflict, match="static should be a directory"):
        objects.put_right(wanted)
    assert attributes(neighbour / "uploads") == before


# -- the tree -------------------------------------------------------------------------------------------------------


def test_a_files_special_bits_do_not_survive(tmp_path: Path, me: Any) -> None:
    (tmp_path / "program").touch()
    (tmp_path / "program").chmod(0o6755)
    wanted = tree_at(tmp_path, me)
    assert objects.compare(wanted).words == [f"{tmp_path}/program: mode 6755 -> 0755"]
    objects.put_right(wanted)
    assert attributes(tmp_path / "program")[2] == 0o755
    assert objects.compare(wanted) is None


def test_a_directory_keeps_its_set_group_id_bit(tmp_path: Path, me: Any) -> None:
    (tmp_path / "uploads").mkdir()
    (tmp_path / "uploads").chmod(0o2750)
    objects.put_right(tree_at(tmp_path, me))
    assert attributes(tmp_path / "uploads")[2] == 0o2750


@needs_root
def test_a_fifo_a_socket_and_a_device_are_left_alone_and_hold_nobody_up(tmp_path: Path, me: Any) -> None:
    os.mkfifo(tmp_path / "fifo", 0o666)
    os.mknod(tmp_path / "device", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
    before = {path: attributes(path) for path in tmp_path.iterdir()}
    wanted = given_to_www_data(tree_at(tmp_path, me))
    assert objects.compare(wanted) is None
    objects.put_right(wanted)
    assert {path: attributes(path) for path in tmp_path.iterdir()} == before


def test_a_lease_on_a_file_ends_no_run(tmp_path: Path, me: Any) -> None:
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    try:
        with (tmp_path / "held").open("w") as handle:
            (tmp_path / "held").chmod(0o666)
            fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            objects.put_right(tree_at(tmp_path, me))
            assert attributes(tmp_path / "held")[2] == 0o666
    finally:
        signal.signal(signal.SIGIO, before)


@needs_root
def test_a_file_that_another_account_owns_is_a_conflict_and_stays_its_own(tmp_path: Path, me: Any) -> None:
    (tmp_path / "letters.mbox").touch()
    daemon = pwd.getpwnam("daemon").pw_uid
    os.chown(tmp_path / "letters.mbox", daemon, -1)
    wanted = given_to_www_data(tree_at(tmp_path, me))
    with pytest.raises(
        objects.Conflict,
        match=r"letters\.mbox: another account of the host owns this, so it is not given to www-data\. Stop the blog,"
        r" .*; remove it, or give it away yourself \(chown -h www-data PATH\), and run again",
    ):
        objects.compare(wanted)
    objects.put_right(wanted)
    assert (tmp_path / "letters.mbox").stat().st_uid == daemon


@needs_root
def test_of_many_foreign_files_a_message_names_some(tmp_path: Path, me: Any) -> None:
    daemon = pwd.getpwnam("daemon").pw_uid
    for number in range(8):
        (tmp_path / str(number)).touch()
        os.chown(tmp_path / str(number), daemon, -1)
    with pytest.raises(objects.Conflict, match=r"/4 and 3 more: another account"):
        objects.compare(given_to_www_data(tree_at(tmp_path, me)))


@needs_root
def test_files_with_numeric_owners_and_roots_are_given_to_the_app_and_to_nginxs_group(tmp_path: Path, me: Any) -> None:
    (tmp_path / "uploads").mkdir()
    (tmp_path / "database.db").touch()
    (tmp_path / "uploads" / "cat.jpg").touch()
    os.chown(tmp_path / "uploads" / "cat.jpg", NOBODYS, NOBODYS)
    (tmp_path / "uploads" / "cat.jpg").chmod(0o4600)
    wanted = given_to_www_data(tree_at(tmp_path, me, served=["uploads"], served_group="games"))
    objects.put_right(wanted)
    assert objects.compare(wanted) is None
    account = pwd.getpwnam("www-data")
    assert attributes(tmp_path / "uploads" / "cat.jpg") == (account.pw_uid, grp.getgrnam("games").gr_gid, 0o640)
    assert attributes(tmp_path / "database.db")[:2] == (account.pw_uid, account.pw_gid)


@needs_root
def test_a_second_name_that_appears_after_the_comparison_is_not_given_away(
    tmp_path: Path, me: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of root's gets the name of the app's at the last moment: fstat(2) of what was opened decides."""
    outside, data = tmp_path / "shadow", tmp_path / "data"
    data.mkdir()
    outside.touch(mode=0o600)
    (data / "mine").touch()
    real = beneath.open_file

    def exchange(directory: int, name: str, path: str = "") -> int:
        (data / "mine").unlink()
        (data / "mine").hardlink_to(outside)
        return real(directory, name, path)

    monkeypatch.setattr(beneath, "open_file", exchange)
    objects.put_right(given_to_www_data(tree_at(data, me)))
    assert outside.stat().st_uid == 0


def test_a_hard_link_with_a_wrong_mode_is_left_alone_and_named(tmp_path: Path, me: Any) -> None:
    outside, data = tmp_path / "shadow", tmp_path / "data"
    data.mkdir()
    outside.touch()
    outside.chmod(0o666)
    (data / "mine").hardlink_to(outside)
    notes: list[str] = []
    assert objects.compare(tree_at(data, me), notes) is None
    assert notes == [
        f"{data}/mine has a second name, perhaps outside the folder; its owner, group and mode are left as they are"
    ]


def test_an_app_cannot_fill_the_output_with_what_is_left_alone(tmp_path: Path, me: Any) -> None:
    (tmp_path / "0").touch()
    (tmp_path / "0").chmod(0o666)
    for number in range(1, 100):
        (tmp_path / str(number)).hardlink_to(tmp_path / "0")
    notes: list[str] = []
    objects.compare(tree_at(tmp_path, me), notes)
    assert len(notes) == app_data.NAMED + 1
    assert notes[-1] == f"{tmp_path} holds 95 more things that are left alone"


def test_eleven_hundred_nested_directories_are_named_and_end_no_run(tmp_path: Path, me: Any) -> None:
    """os.fwalk() recurses in Python 3.11: an app could have every run of the role end with RecursionError."""
    (tmp_path / "open").touch()
    (tmp_path / "open").chmod(0o666)
    notes: list[str] = []
    wanted = tree_at(tmp_path, me)
    with hostile_app.nested(tmp_path, 1100):
        assert objects.compare(wanted, notes).words == [f"{tmp_path}/open: mode 0666 -> 0664"]
        objects.put_right(wanted)
        assert objects.compare(wanted) is None
    assert [note.partition(" lies ")[2] for note in notes] == [
        "more than 64 folders deep; nothing in it is checked or changed"
    ]


def test_the_name_of_a_file_cannot_steer_a_terminal_or_add_a_line(tmp_path: Path, me: Any) -> None:
    name = "a\x1b[2J\nok: [host]\udcff"
    (tmp_path / name).touch()
    (tmp_path / name).chmod(0o666)
    (words,) = objects.compare(tree_at(tmp_path, me)).words
    assert words == rf"{tmp_path}/a\x1b[2J\nok: [host]\udcff: mode 0666 -> 0664"
    assert app_data.shown("plain/ü.jpg") == "plain/ü.jpg"


def test_a_data_folder_that_is_a_link_is_a_conflict(tmp_path: Path, me: Any) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "data").symlink_to("elsewhere")
    for wanted in (tree_at(tmp_path / "data", me), directory_at(tmp_path / "data", "", me)):
        with pytest.raises(objects.Conflict, match="data should be a directory"):
            objects.compare(wanted)
