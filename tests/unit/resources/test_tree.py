"""Everything in a directory of the app: links, swaps and other accounts' files do not affect other paths.

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
from pathlib import Path
from typing import Any

import hostile_app
import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import app_data, beneath
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import registry
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources.difference import Conflict
from wanted_objects import IS_ROOT, attributes, data_directory_at, given_to_www_data, mode_of, tree_at

#: A number that no account has.
NOBODYS = 54321
needs_root = pytest.mark.skipif(not IS_ROOT, reason="only root can give a file away")


def test_a_tree_that_is_not_there_yet_is_no_difference(tmp_path: Path, me: Any) -> None:
    wanted = tree_at(tmp_path / "data", me)
    assert registry.compare(wanted) is None
    undo = registry.apply(wanted)
    undo()
    assert not (tmp_path / "data").exists()


def test_files_in_a_tree_become_readable_for_the_app_and_writable_for_nobody_else(tmp_path: Path, me: Any) -> None:
    (tmp_path / "sub").mkdir(mode=0o755)
    (tmp_path / "sub" / "closed").write_text("x")
    (tmp_path / "sub" / "closed").chmod(0o000)
    (tmp_path / "sub" / "open").write_text("x")
    (tmp_path / "sub" / "open").chmod(0o666)
    wanted = tree_at(tmp_path, me)
    words = sorted(registry.compare(wanted).reasons)
    assert words == [f"{tmp_path}/sub/closed: mode 0000 -> 0600", f"{tmp_path}/sub/open: mode 0666 -> 0664"]
    if IS_ROOT:  # a file of mode 0000 cannot be opened by its owner alone
        registry.apply(wanted)
        assert registry.compare(wanted) is None


def test_what_the_app_made_below_a_served_folder_keeps_the_apps_mode(tmp_path: Path, me: Any) -> None:
    """Such as an upload from mkstemp(3): the app serves it, and a run calls it no drift."""
    (tmp_path / "uploads").mkdir(mode=0o700)
    (tmp_path / "uploads" / "cat.jpg").write_text("x")
    (tmp_path / "uploads" / "cat.jpg").chmod(0o600)
    wanted = tree_at(tmp_path, me, served=["uploads"], served_group=me.group)
    assert registry.compare(wanted) is None
    registry.apply(wanted)
    assert (mode_of(tmp_path / "uploads"), mode_of(tmp_path / "uploads" / "cat.jpg")) == (0o700, 0o600)


@needs_root
def test_what_is_brought_to_a_served_folder_becomes_readable_for_its_group(tmp_path: Path, me: Any) -> None:
    (tmp_path / "uploads").mkdir(mode=0o700)
    (tmp_path / "uploads" / "cat.jpg").write_text("x")
    (tmp_path / "uploads" / "cat.jpg").chmod(0o600)
    (tmp_path / "database.db").write_text("x")
    (tmp_path / "database.db").chmod(0o600)
    wanted = given_to_www_data(tree_at(tmp_path, me, served=["uploads"], served_group=me.group))
    registry.apply(wanted)
    assert mode_of(tmp_path / "uploads" / "cat.jpg") == 0o640
    assert mode_of(tmp_path / "uploads") == 0o750
    assert mode_of(tmp_path / "database.db") == 0o600


@pytest.mark.parametrize("kind", ["symlink", "hard link"])
def test_links_in_a_tree_are_left_alone(tmp_path: Path, me: Any, kind: str) -> None:
    """Through either, an app could have a file outside its folder given to itself."""
    outside = tmp_path / "shadow"
    outside.write_text("secret")
    outside.chmod(0o666)
    data = tmp_path / "data"
    data.mkdir()
    if kind == "symlink":
        (data / "mine").symlink_to(outside)
    else:
        (data / "mine").hardlink_to(outside)
    wanted = tree_at(data, me)
    assert registry.compare(wanted) is None
    registry.apply(wanted)
    assert mode_of(outside) == 0o666


def test_a_link_to_a_folder_is_not_walked_into(tmp_path: Path, me: Any) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").write_text("x")
    (elsewhere / "file").chmod(0o666)
    data = tmp_path / "data"
    data.mkdir()
    (data / "link").symlink_to(elsewhere)
    registry.apply(tree_at(data, me))
    assert mode_of(elsewhere / "file") == 0o666


@pytest.mark.skipif(not IS_ROOT, reason="only root can give a file away")
def test_a_file_that_root_left_in_a_tree_is_given_to_the_app(tmp_path: Path, me: Any) -> None:
    (tmp_path / "database.db").write_text("x")
    os.chown(tmp_path / "database.db", 12345, 12346)
    wanted = tree_at(tmp_path, me)
    assert "owner 12345" in registry.compare(wanted).reasons[0]
    registry.apply(wanted)
    assert registry.compare(wanted) is None


def test_an_account_that_is_not_there_yet_leaves_a_tree_for_later(tmp_path: Path, me: Any) -> None:
    (tmp_path / "open").write_text("x")
    (tmp_path / "open").chmod(0o666)
    assert registry.compare({**tree_at(tmp_path, me), "owner": "nobody-has-this-name"}) is None


def test_a_files_special_bits_do_not_survive(tmp_path: Path, me: Any) -> None:
    (tmp_path / "program").touch()
    (tmp_path / "program").chmod(0o6755)
    wanted = tree_at(tmp_path, me)
    assert registry.compare(wanted).reasons == [f"{tmp_path}/program: mode 6755 -> 0755"]
    registry.apply(wanted)
    assert attributes(tmp_path / "program")[2] == 0o755
    assert registry.compare(wanted) is None


def test_a_directory_keeps_its_set_group_id_bit(tmp_path: Path, me: Any) -> None:
    (tmp_path / "uploads").mkdir()
    (tmp_path / "uploads").chmod(0o2750)
    registry.apply(tree_at(tmp_path, me))
    assert attributes(tmp_path / "uploads")[2] == 0o2750


@needs_root
def test_a_fifo_a_socket_and_a_device_are_left_alone_and_hold_nobody_up(tmp_path: Path, me: Any) -> None:
    os.mkfifo(tmp_path / "fifo", 0o666)
    os.mknod(tmp_path / "device", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
    before = {path: attributes(path) for path in tmp_path.iterdir()}
    wanted = given_to_www_data(tree_at(tmp_path, me))
    assert registry.compare(wanted) is None
    registry.apply(wanted)
    assert {path: attributes(path) for path in tmp_path.iterdir()} == before


def test_a_lease_on_a_file_ends_no_run(tmp_path: Path, me: Any) -> None:
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    try:
        with (tmp_path / "held").open("w") as handle:
            (tmp_path / "held").chmod(0o666)
            fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            registry.apply(tree_at(tmp_path, me))
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
        Conflict,
        match=r"letters\.mbox: another account of the host owns this, so it is not given to www-data\. Stop the blog,"
        r" .*; remove it, or give it away yourself \(chown -h www-data PATH\), and run again",
    ):
        registry.compare(wanted)
    registry.apply(wanted)
    assert (tmp_path / "letters.mbox").stat().st_uid == daemon


@needs_root
def test_of_many_foreign_files_a_message_names_some(tmp_path: Path, me: Any) -> None:
    daemon = pwd.getpwnam("daemon").pw_uid
    for number in range(8):
        (tmp_path / str(number)).touch()
        os.chown(tmp_path / str(number), daemon, -1)
    with pytest.raises(Conflict, match=r"/4 and 3 more: another account"):
        registry.compare(given_to_www_data(tree_at(tmp_path, me)))


@needs_root
def test_files_with_numeric_owners_and_roots_are_given_to_the_app_and_to_nginxs_group(tmp_path: Path, me: Any) -> None:
    (tmp_path / "uploads").mkdir()
    (tmp_path / "database.db").touch()
    (tmp_path / "uploads" / "cat.jpg").touch()
    os.chown(tmp_path / "uploads" / "cat.jpg", NOBODYS, NOBODYS)
    (tmp_path / "uploads" / "cat.jpg").chmod(0o4600)
    wanted = given_to_www_data(tree_at(tmp_path, me, served=["uploads"], served_group="games"))
    registry.apply(wanted)
    assert registry.compare(wanted) is None
    account = pwd.getpwnam("www-data")
    assert attributes(tmp_path / "uploads" / "cat.jpg") == (account.pw_uid, grp.getgrnam("games").gr_gid, 0o640)
    assert attributes(tmp_path / "database.db")[:2] == (account.pw_uid, account.pw_gid)


@needs_root
def test_a_second_name_that_appears_after_the_comparison_is_not_given_away(
    tmp_path: Path, me: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of root gets the name of the app's at the last moment: fstat(2) of the open file decides."""
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
    registry.apply(given_to_www_data(tree_at(data, me)))
    assert outside.stat().st_uid == 0


def test_a_hard_link_with_a_wrong_mode_is_left_alone_and_named(tmp_path: Path, me: Any) -> None:
    outside, data = tmp_path / "shadow", tmp_path / "data"
    data.mkdir()
    outside.touch()
    outside.chmod(0o666)
    (data / "mine").hardlink_to(outside)
    notes: list[str] = []
    assert registry.compare(tree_at(data, me), notes) is None
    assert notes == [
        f"{data}/mine has a second name, perhaps outside the folder; its owner, group and mode are left as they are"
    ]


def test_an_app_cannot_fill_the_output_with_what_is_left_alone(tmp_path: Path, me: Any) -> None:
    (tmp_path / "0").touch()
    (tmp_path / "0").chmod(0o666)
    for number in range(1, 100):
        (tmp_path / str(number)).hardlink_to(tmp_path / "0")
    notes: list[str] = []
    registry.compare(tree_at(tmp_path, me), notes)
    assert len(notes) == app_data.NAMED + 1
    assert notes[-1] == f"{tmp_path} holds 95 more things that are left alone"


def test_eleven_hundred_nested_directories_are_named_and_end_no_run(tmp_path: Path, me: Any) -> None:
    """os.fwalk() recurses in Python 3.11: an app could have every run of the role end with RecursionError."""
    (tmp_path / "open").touch()
    (tmp_path / "open").chmod(0o666)
    notes: list[str] = []
    wanted = tree_at(tmp_path, me)
    with hostile_app.nested(tmp_path, 1100):
        assert registry.compare(wanted, notes).reasons == [f"{tmp_path}/open: mode 0666 -> 0664"]
        registry.apply(wanted)
        assert registry.compare(wanted) is None
    assert [note.partition(" lies ")[2] for note in notes] == [
        "more than 64 folders deep; nothing in it is checked or changed"
    ]


def test_the_name_of_a_file_cannot_steer_a_terminal_or_add_a_line(tmp_path: Path, me: Any) -> None:
    name = "a\x1b[2J\nok: [host]\udcff"
    (tmp_path / name).touch()
    (tmp_path / name).chmod(0o666)
    (words,) = registry.compare(tree_at(tmp_path, me)).reasons
    assert words == rf"{tmp_path}/a\x1b[2J\nok: [host]\udcff: mode 0666 -> 0664"
    assert app_data.shown("plain/ü.jpg") == "plain/ü.jpg"


def test_a_data_folder_that_is_a_link_is_a_conflict(tmp_path: Path, me: Any) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "data").symlink_to("elsewhere")
    for wanted in (tree_at(tmp_path / "data", me), data_directory_at(tmp_path / "data", "", me)):
        with pytest.raises(Conflict, match="data should be a directory"):
            registry.compare(wanted)


def test_data_is_never_removed(tmp_path: Path, me: Any) -> None:
    (tmp_path / "database.db").touch()
    assert registry.remove(tree_at(tmp_path, me)) is False
    assert (tmp_path / "database.db").exists()
