"""What the app's account does in a data folder that the app has prepared: it ends, and leaves nothing out unnamed."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from blogctl.backup import create
from blogctl.data import folder as data_folder
from blogctl.data import process, transaction, tree
from blogctl.data.channel import Channel, ChannelError
from blogctl.data.inside import common as inside_common
from blogctl.data.inside import main as inside
from blogctl.data.inside import read as inside_read
from blogctl.data.inside import sqlite
from blogctl.data.inside import write as inside_write
from blogctl.data.inside.sqlite import Clock
from blogctl.data.interface import TableChange
from blogctl.data.layer import data_layer
from blogctl.errors import HostError
from blogctl.shared import contract
from blogctl.site import Site

#: renameat2(2): two names change places in one step.
EXCHANGE, AT_FDCWD = 2, -100


def database(path: Path, script: str = "CREATE TABLE post (title); INSERT INTO post VALUES ('hello');") -> Path:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
    return path


def damaged_schema(path: Path, sql: str = "CREATE TABLE (((") -> Path:
    """A database whose schema holds what no CREATE statement would put there."""
    database(path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("INSERT INTO sqlite_schema VALUES ('table', 'evil', 'evil', 0, ?)", (sql,))
        connection.commit()
    return path


def stored(site: Site) -> tuple[Path, dict[str, str]]:
    """Back a site up; return where its files lie now, and what was skipped."""
    result = create.back_up(site)
    return site.path("backups") / result["name"] / "data", result["skipped"]


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())


@pytest.fixture
def folder(site: Site) -> Iterator[Path]:
    """The data folder, which is emptied by rm(1) at the end: pytest cannot remove a thousand directories in a row."""
    (site.path("data") / "good.txt").write_text("good")
    yield site.path("data")
    tree.empty(str(site.path("data")))


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "copy").mkdir()
    yield tmp_path / "copy"
    tree.empty(str(tmp_path / "copy"))


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
    with pytest.raises(OSError, match=r"No space left on device: .* MiB are needed and .* MiB are free"):
        tree.require_space(str(tmp_path), 1 << 60)
    tree.require_space(str(tmp_path), 0)


def test_names_that_are_no_text_are_backed_up_as_they_are(site: Site, folder: Path) -> None:
    (Path(os.fsdecode(bytes(folder) + b"/\xff.txt"))).write_text("odd")
    place, _ = stored(site)
    assert sorted(os.listdir(bytes(place))) == [b"good.txt", b"\xff.txt"]


# -- databases --------------------------------------------------------------------------------------------------------


class Deaf(Channel):
    """A channel on which root says that it has taken everything."""

    def __init__(self) -> None:
        self.sent: list[dict[str, object]] = []

    def send(self, message: dict[str, object], descriptor: int | None = None) -> None:
        """Keep a message."""
        self.sent.append(message)

    def receive(self) -> tuple[dict[str, object], int | None]:
        """Say that it was taken."""
        return {}, None


@pytest.fixture
def impatient() -> Clock:
    clock = Clock(60)
    clock.busy_end = time.monotonic()
    return clock


@pytest.fixture
def locked_database(folder: Path) -> Iterator[Path]:
    """A database that somebody holds."""
    path = database(folder / "held.db")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        yield path


def test_a_locked_database_is_named_and_the_rest_is_backed_up(
    folder: Path, locked_database: Path, impatient: Clock
) -> None:
    channel = Deaf()
    answer = inside_read.read(channel, {"data": str(folder), "databases": False, "at_rest": False}, impatient)
    assert answer["skipped"] == {"held.db": "the database cannot be copied: database is locked"}
    assert [message["path"] for message in channel.sent] == ["good.txt"]


@pytest.mark.usefixtures("locked_database")
def test_a_locked_database_is_in_no_snapshot_that_lacks_it(folder: Path, impatient: Clock) -> None:
    """The bytes of a database that somebody is writing to are no snapshot of it either."""
    channel = Deaf()
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        inside_read.read(channel, {"data": str(folder), "databases": True, "at_rest": True}, impatient)
    assert channel.sent == []


@pytest.mark.usefixtures("locked_database")
def test_a_locked_database_is_in_no_copy_for_a_rehearsal(folder: Path, target: Path, impatient: Clock) -> None:
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        inside_read.copy(Deaf(), {"data": str(folder), "target": str(target)}, impatient)


def test_many_locked_databases_do_not_add_up_their_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT", 5.0)
    clock = Clock(60)
    assert 4 < clock.left_to_wait() <= 5
    clock.busy_end -= 5
    assert clock.left_to_wait() == 0.1


SCHEMAS: dict[str, Callable[[Path], object]] = {
    "damaged": damaged_schema,
    "header alone": lambda path: path.write_bytes(contract.SQLITE_MAGIC),
    "noise": lambda path: path.write_bytes(contract.SQLITE_MAGIC + os.urandom(20_000)),
}


@pytest.mark.parametrize("kind", SCHEMAS)
def test_a_database_that_cannot_be_read_is_named_and_copied_as_it_is(
    site: Site, folder: Path, target: Path, kind: str
) -> None:
    path = folder / "bad.db"
    SCHEMAS[kind](path)
    database(folder / "fine.db")
    place, skipped = stored(site)
    assert names(place) == ["fine.db", "good.txt"]
    assert list(skipped) == ["bad.db"]
    assert skipped["bad.db"].startswith("the database cannot be copied: ")
    digest, found = data_folder.copy(site, target)
    assert found.reasons["bad.db"].startswith("the database is copied as it is: ")
    assert (target / "bad.db").read_bytes() == path.read_bytes()
    assert data_layer(site).fingerprint(target) == digest
    content = path.read_bytes()
    snapshot = transaction.begin(site, "new", None)
    assert (snapshot / "bad.db").read_bytes() == content


def test_a_schema_with_modules_that_are_missing_stops_nobody(site: Site, folder: Path, target: Path) -> None:
    damaged_schema(folder / "odd.db", "CREATE VIRTUAL TABLE evil USING nosuchmodule(x)")
    place, skipped = stored(site)
    assert set(names(place)) | set(skipped) == {"good.txt", "odd.db"}
    data_folder.copy(site, target)
    assert names(target) == ["good.txt", "odd.db"]


def test_a_schema_whose_views_and_triggers_are_traps_is_copied_without_running_them(site: Site, folder: Path) -> None:
    database(
        folder / "trap.db",
        "CREATE TABLE post (title);"
        "CREATE VIEW v AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n;"
        "INSERT INTO post VALUES ('kept');"
        "CREATE TRIGGER t AFTER INSERT ON post BEGIN DELETE FROM post; END;",
    )
    place, skipped = stored(site)
    assert skipped == {}
    with contextlib.closing(sqlite3.connect(place / "trap.db")) as copy:
        assert copy.execute("SELECT title FROM post").fetchall() == [("kept",)]


def test_tables_with_hostile_names_are_counted(site: Site, folder: Path) -> None:
    name = 'x"; DROP TABLE post; --\x1b]0;title\x07'
    quoted = '"' + name.replace('"', '""') + '"'
    path = database(folder / "database.db")
    snapshot = transaction.begin(site, "new", None)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"CREATE TABLE {quoted} (id)")
        connection.execute(f"INSERT INTO {quoted} VALUES (1)")  # noqa: S608
        connection.commit()
    found = data_layer(site).compare(snapshot)
    changed, rows = found.schema_changed, found.tables
    assert changed
    assert rows == [
        TableChange(database="database.db", table=r'x"; DROP TABLE post; --\x1b]0;title\x07', written=1, deleted=0)
    ]


def test_a_fifo_in_the_place_of_a_databases_journal_stops_nobody(
    site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The work on the data hangs in open(2); without it, root holds the site's lock for 15 minutes."""
    monkeypatch.setattr(process, "ANSWER_TIMEOUT", 2.0)
    path = database(folder / "database.db")
    os.mkfifo(f"{path}-journal")
    place, skipped = stored(site)
    assert (names(place), list(skipped)) == (["good.txt"], ["database.db"])


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("delete", "-wal"), ("delete", "-shm"), ("wal", "-wal"), ("wal", "-shm")],
)
def test_a_fifo_beside_a_database_stops_nobody(
    site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, mode: str
) -> None:
    monkeypatch.setattr(process, "ANSWER_TIMEOUT", 5.0)
    path = database(folder / "database.db", f"PRAGMA journal_mode = {mode}; CREATE TABLE post (title);")
    os.mkfifo(f"{path}{suffix}")
    place, skipped = stored(site)
    assert set(names(place)) | set(skipped) == {"database.db", "good.txt"}


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
def test_a_directory_or_a_link_beside_a_database_stops_nobody(site: Site, folder: Path, suffix: str) -> None:
    for name in ("one.db", "two.db"):
        database(folder / name)
    Path(f"{folder}/one.db{suffix}").mkdir()
    Path(f"{folder}/two.db{suffix}").symlink_to("/etc/passwd")
    place, skipped = stored(site)
    assert set(names(place)) | set(skipped) == {"good.txt", "one.db", "two.db"}


# -- writing ----------------------------------------------------------------------------------------------------------


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


def test_an_operation_ends_when_root_has_ended(folder: Path) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.close()
    request = {"data": str(folder), "databases": False, "at_rest": False}
    with theirs, pytest.raises(ChannelError):
        inside.OPERATIONS["read"](Channel(theirs), request, Clock(5))
