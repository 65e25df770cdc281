"""Reading a data folder that the app has prepared ends in a limited time, and reports all skipped files."""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from blogctl.data import folder as data_folder
from blogctl.data import tree
from blogctl.data.channel import Channel
from blogctl.data.inside import common as inside_common
from blogctl.data.inside import read as inside_read
from blogctl.data.inside.sqlite import Clock
from blogctl.errors import HostError
from blogctl.site import Site
from data_folders import names, stored

#: renameat2(2): two names change places in one step.
EXCHANGE, AT_FDCWD = 2, -100


# -- names that are not what they seem --------------------------------------------------------------------------------


def test_fifos_sockets_and_devices_stop_nobody(site: Site, folder: Path, target: Path) -> None:
    os.mkfifo(folder / "a.fifo")
    os.mkfifo(folder / "good.txt-wal")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "a.sock"))
        place, skipped = stored(site)
        data_folder.copy(site, target)
    assert (names(place), skipped) == (["good.txt"], {})
    assert names(target) == ["good.txt"]


def test_a_fifo_that_takes_the_place_of_a_file_is_left_out(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "was-a-file")
    handle = os.open(tmp_path, tree.OPEN_DIRECTORY)
    with inside_common.closing(handle):
        assert tree.open_file(handle, "was-a-file") is None
        assert tree.open_file(handle, "is-gone") is None


@pytest.fixture
def leased(folder: Path) -> Iterator[Path]:
    """A file on which the app holds a lease: who opens it waits up to 45 s for the app to give it up (fcntl(2))."""
    path = folder / "leased.txt"
    path.write_text("leased")
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    with path.open("r+b") as handle:
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        yield path
    signal.signal(signal.SIGIO, before)


@pytest.mark.usefixtures("leased")
def test_a_lease_on_a_file_is_not_waited_for(site: Site, folder: Path, target: Path) -> None:
    began = time.monotonic()
    place, skipped = stored(site)
    assert (names(place), skipped) == (["good.txt"], {"leased.txt": "Resource temporarily unavailable"})
    assert data_folder.copy(site, target)[1].reasons == skipped
    assert time.monotonic() - began < 20


def test_a_link_out_of_the_data_is_no_file_of_a_backup_and_stays_a_link_in_a_copy(
    site: Site, folder: Path, target: Path
) -> None:
    (folder / "passwd").symlink_to("/etc/passwd")
    (folder / "etc").symlink_to("/etc")
    place, _ = stored(site)
    data_folder.copy(site, target)
    assert names(place) == ["good.txt"]
    assert names(target) == ["etc", "good.txt", "passwd"]
    assert os.readlink(target / "passwd") == "/etc/passwd"


def test_a_data_folder_that_is_a_link_itself_is_refused(site: Site, tmp_path: Path) -> None:
    site.path("data").rmdir()
    site.path("data").symlink_to("/etc")
    with pytest.raises(HostError, match=r"Not a directory|Too many levels of symbolic links"):
        data_folder.scan(site)


@pytest.fixture
def exchanged(tmp_path: Path, folder: Path) -> Iterator[list[int]]:
    """Exchange a directory with a link to another one, over and over; the number of times is the only item."""
    outside, inner, link = tmp_path / "outside", folder / "inner", tmp_path / "link"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    for number in range(20):
        (folder / f"d{number:02}").mkdir()
    inner.mkdir()
    (inner / "ours").write_text("ours")
    link.symlink_to(outside)
    library, count, stop = ctypes.CDLL(None, use_errno=True), [0], threading.Event()
    words = (AT_FDCWD, bytes(inner), AT_FDCWD, bytes(link), EXCHANGE)
    if library.renameat2(*words):
        pytest.skip(f"renameat2: {os.strerror(ctypes.get_errno())}")

    def exchange() -> None:
        while not stop.is_set():
            library.renameat2(*words)
            count[0] += 1

    thread = threading.Thread(target=exchange)
    thread.start()
    yield count
    stop.set()
    thread.join()


def test_a_directory_that_is_exchanged_with_a_link_leads_nobody_out(
    site: Site, target: Path, exchanged: list[int]
) -> None:
    """/etc/shadow was given to the app by a copy of its data, on the first try."""
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        place, _ = stored(site)
        data_folder.copy(site, target)
        for found in (place, target):
            contents = [path.read_text() for path in found.rglob("*") if path.is_file() and not path.is_symlink()]
            assert "secret" not in contents
            assert not [name for name in names(found) if name.endswith("secret")]
        tree.empty(str(target))
        for one in site.path("backups").iterdir():
            tree.empty(str(one))
            one.rmdir()
    assert exchanged[0] > 100


def test_a_walk_opens_what_it_has_listed_or_nothing(folder: Path, exchanged: list[int]) -> None:
    began = exchanged[0]
    for _ in range(300):
        for directory in tree.walk(str(folder), tree.Skipped()):
            assert "secret" not in directory.files
    assert exchanged[0] > began


# -- trees and files of odd sizes -------------------------------------------------------------------------------------


def nested(folder: Path, depth: int) -> None:
    handle = os.open(folder, tree.OPEN_DIRECTORY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=handle)
        inner = os.open("d", tree.OPEN_DIRECTORY, dir_fd=handle)
        os.close(handle)
        handle = inner
    os.close(os.open("deep.txt", tree.CREATE_FILE, 0o600, dir_fd=handle))
    os.close(handle)


def test_a_thousand_nested_directories_are_named_and_the_rest_is_backed_up_and_copied(
    site: Site, folder: Path, target: Path
) -> None:
    nested(folder, 1100)
    place, skipped = stored(site)
    assert names(place) == ["good.txt"]
    (reason,) = skipped.values()
    assert reason == "it lies more than 64 directories deep"
    assert list(data_folder.copy(site, target)[1].reasons.values()) == [reason]
    assert names(target) == ["good.txt"]


def test_a_thousand_nested_directories_are_removed_with_everything_else(site: Site, folder: Path) -> None:
    nested(folder, 1100)
    data_folder.empty(site, folder)
    assert os.listdir(folder) == []


def test_directories_that_their_owner_has_closed_are_removed(site: Site, folder: Path) -> None:
    (folder / "closed").mkdir()
    (folder / "closed" / "file").touch()
    (folder / "closed").chmod(0)
    data_folder.empty(site, folder)
    assert os.listdir(folder) == []


@pytest.fixture
def outside(folder: Path, tmp_path: Path) -> Path:
    """A directory outside the data, and links to it."""
    found = tmp_path / "outside"
    found.mkdir()
    (found / "precious").touch()
    found.chmod(0o500)
    (folder / "link").symlink_to(found)
    (folder / "kept").symlink_to(found)
    return found


def test_emptying_removes_links_and_not_what_they_lead_to(site: Site, folder: Path, outside: Path) -> None:
    data_folder.empty(site, folder, ["kept"])
    assert (outside / "precious").exists()
    assert os.listdir(folder) == ["kept"]


def test_emptying_changes_no_mode_of_what_a_link_leads_to(site: Site, folder: Path, outside: Path) -> None:
    data_folder.empty(site, folder)
    assert outside.stat().st_mode & 0o777 == 0o500


def sparse(path: Path, size: int) -> Path:
    with path.open("wb") as handle:
        handle.write(b"start")
        handle.truncate(size)
    return path


def blocks(path: Path) -> int:
    return path.stat().st_blocks * 512


def test_holes_stay_holes_in_a_copy(site: Site, folder: Path, target: Path) -> None:
    """A file of 3 GB became 3.1 GB of backup."""
    path = sparse(folder / "holes", 3 << 30)
    with path.open("r+b") as handle:
        handle.seek(1 << 30)
        handle.write(b"middle")
    assert not data_folder.copy(site, target)[1]
    copy = target / "holes"
    assert (copy.stat().st_size, blocks(copy) < 1 << 20) == (3 << 30, True)
    with copy.open("rb") as opened:
        assert os.pread(opened.fileno(), 5, 0) == b"start"
        assert os.pread(opened.fileno(), 6, 1 << 30) == b"middle"


def test_holes_stay_holes_in_a_backup(site: Site, folder: Path) -> None:
    """Smaller than the one above, as a backup computes its sha256, holes included."""
    path = sparse(folder / "holes", 300 << 20)
    place, skipped = stored(site)
    assert skipped == {}
    assert ((place / "holes").stat().st_size, blocks(place / "holes")) == (300 << 20, blocks(path))


def test_a_file_of_holes_larger_than_a_disk_is_named_and_skipped(site: Site, folder: Path, target: Path) -> None:
    sparse(folder / "holes", 100 << 30)
    place, skipped = stored(site)
    assert (names(place), skipped) == (["good.txt"], {"holes": "it has more than 4 GiB of holes"})
    assert data_folder.copy(site, target)[1].reasons == skipped


def test_a_file_that_is_skipped_leaves_no_empty_one_in_a_copy(site: Site, folder: Path, target: Path) -> None:
    sparse(folder / "holes", 100 << 30)
    data_folder.copy(site, target)
    assert names(target) == ["good.txt"]


def test_only_so_many_are_named_and_the_others_are_counted() -> None:
    skipped = tree.Skipped()
    for number in range(tree.NAMES_LIMIT + 7):
        skipped.add("x" * 1000 + f"{number:03}", "y" * 1000)
    assert (len(skipped.reasons), skipped.more) == (tree.NAMES_LIMIT, 7)
    assert {len(path) for path in skipped.reasons} | {len(reason) for reason in skipped.reasons.values()} == {200}


def test_a_copy_is_refused_where_there_is_no_room_for_it(tmp_path: Path) -> None:
    with pytest.raises(
        OSError, match=r"No space left on device: .* MiB are needed besides a reserve of \d+ MiB, and \d+ MiB are free"
    ):
        tree.require_space(str(tmp_path), 1 << 60)
    tree.require_space(str(tmp_path), 0)


def test_all_files_below_a_folder_count_before_it_is_copied(
    folder: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "large").write_bytes(b"x" * 100_000)
    free = SimpleNamespace(f_bavail=tree.RESERVE + 100_000, f_frsize=1)
    monkeypatch.setattr(os, "statvfs", lambda _: free)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    request = {"data": str(folder), "target": str(target)}
    with ours, theirs:
        with pytest.raises(OSError, match="No space left on device"):
            inside_read.copy(Channel(theirs), request, Clock(5))
        assert os.listdir(target) == []
        free.f_bavail += 100_000
        inside_read.copy(Channel(theirs), request, Clock(5))
    assert names(target) == ["a/b/large", "good.txt"]


def test_names_that_are_no_text_are_backed_up_as_they_are(site: Site, folder: Path) -> None:
    (Path(os.fsdecode(bytes(folder) + b"/\xff.txt"))).write_text("odd")
    place, _ = stored(site)
    assert sorted(os.listdir(bytes(place))) == [b"good.txt", b"\xff.txt"]


# -- databases --------------------------------------------------------------------------------------------------------


# -- writing ----------------------------------------------------------------------------------------------------------
