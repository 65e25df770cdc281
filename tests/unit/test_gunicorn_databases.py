"""Gunicorn keeps SQLite's locks: databases are found, held by the master, and kept open by the workers."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from blogctl.host import undeclared_paths
from loaded import load_file


@pytest.fixture
def settings(role: Path) -> Any:
    """The module, as gunicorn.conf.py loads it."""
    return load_file(role / "files" / "gunicorn_databases.py")


#: A process that does what a gunicorn master does with the settings' file, and lives until its input ends.
MASTER = """
import importlib.util, sys
from types import SimpleNamespace
spec = importlib.util.spec_from_file_location("gunicorn_conf", sys.argv[1])
settings = importlib.util.module_from_spec(spec)
spec.loader.exec_module(settings)
settings.on_starting(SimpleNamespace(log=SimpleNamespace(warning=lambda text, *values: print(text % values))))
print(*settings.databases.held, "ready", sep="\\n", flush=True)
sys.stdin.read()
"""
#: A visitor from another process, such as a backup: it closes the database, perhaps as the last one.
VISIT = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); print(c.execute('SELECT id FROM post').fetchall())"


@pytest.fixture
def start(role: Path, tmp_path: Path) -> Iterator[Callable[[], list[str]]]:
    """Start a master whose blog's data is in C(data); return what it said, the databases that it holds last."""
    masters = []

    def master() -> list[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", MASTER, role / "files" / "gunicorn.conf.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "FLASK_BLOG_DATA": str(tmp_path / "data")},
        )
        masters.append(process)
        assert process.stdout is not None
        return [line.rstrip("\n") for line in iter(process.stdout.readline, "ready\n")]

    yield master
    for process in masters:
        process.communicate(timeout=10)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return blog_database(tmp_path / "data" / "database.db")


def blog_database(path: Path, mode: str = "wal") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA journal_mode = {mode}")
        connection.execute("CREATE TABLE post (id)")
    return path


def visit(database: Path) -> str:
    return subprocess.run([sys.executable, "-c", VISIT, database], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("is_held", [True, False])
def test_what_a_process_writes_that_lost_its_lock_is_there_for_others(
    database: Path, start: Any, is_held: bool
) -> None:
    if is_held:
        assert start() == [str(database)]
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("INSERT INTO post VALUES (1)")
        database.read_bytes()  # drops the lock, as SQLite itself does now and then
        visit(database)
        connection.execute("INSERT INTO post VALUES (2)")
        assert connection.execute("SELECT id FROM post").fetchall() == [(1,), (2,)]
        assert (visit(database) == "[(1,), (2,)]\n") == is_held


def test_a_held_database_takes_writers_checkpoints_snapshots_and_a_change_of_its_schema(
    database: Path, start: Any, tmp_path: Path, settings: Any
) -> None:
    start()
    settings.held.append(str(database))
    settings.keep_open(SimpleNamespace(log=None))
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("INSERT INTO post VALUES (1)")
        assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)
        connection.execute("ALTER TABLE post ADD COLUMN title")
        connection.execute("VACUUM")
        connection.execute("VACUUM INTO ?", (str(tmp_path / "snapshot.db"),))
    settings.idle[0].close()


def test_a_database_without_a_log_is_not_held_as_nobody_could_write(tmp_path: Path, start: Any) -> None:
    database = blog_database(tmp_path / "data" / "database.db", "delete")
    assert start() == []
    with contextlib.closing(sqlite3.connect(database, timeout=0)) as connection:
        connection.execute("INSERT INTO post VALUES (1)")
        connection.commit()


def test_databases_are_found_wherever_they_lie_and_whatever_they_are_called(
    database: Path, tmp_path: Path, start: Any
) -> None:
    odd = blog_database(tmp_path / "data" / "instance" / "no suffix?#%")
    (tmp_path / "data" / "linked.db").symlink_to(database)
    (tmp_path / "data" / "picture.png").write_bytes(b"SQLite format 3\0 and more")
    (tmp_path / "data" / "page.html").write_bytes(b" " * 1024)
    (tmp_path / "data" / "empty.db").touch()
    assert sorted(start()) == sorted([str(database), str(odd)])


def test_more_databases_than_there_is_room_for_are_said_to_be_too_many(tmp_path: Path, start: Any) -> None:
    first = blog_database(tmp_path / "data" / "0.db")
    for number in range(1, 66):
        (tmp_path / "data" / f"{number}.db").write_bytes(first.read_bytes())
    said = start()
    assert said[0] == "more than 64 databases have a write-ahead log; the rest is not held"
    assert len(said) == 1 + 64


def test_a_worker_keeps_the_log_of_a_held_database_in_use(
    database: Path, tmp_path: Path, settings: Any, start: Any
) -> None:
    start()
    settings.held.append(str(database))
    worker = SimpleNamespace(log=None)
    settings.keep_open(worker)
    (connection,) = settings.idle
    with contextlib.closing(connection):
        index = Path(f"{database}-shm").stat().st_ino
        locks = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
        holders = [lock[4] for lock in locks if lock[5].endswith(f":{index}")]
        assert holders == [str(os.getpid())], "nobody who comes builds the index anew"


def test_a_blog_whose_database_is_damaged_is_served_all_the_same(tmp_path: Path, settings: Any) -> None:
    damaged = tmp_path / "database.db"
    damaged.write_bytes(b"SQLite format 3\0".ljust(1024, b"?"))
    settings.held.append(str(damaged))
    said: list[str] = []
    settings.keep_open(SimpleNamespace(log=SimpleNamespace(warning=lambda text, *values: said.append(text % values))))
    (connection,) = settings.idle
    connection.close()
    assert said == [f"the database {damaged} is not kept open: file is not a database"]


# -- databases elsewhere --

#: A worker: it has the master's hook, and opens each database that it is told.
WORKER = """
import importlib.util, os, sqlite3, sys
spec = importlib.util.spec_from_file_location("databases", sys.argv[1])
databases = importlib.util.module_from_spec(spec)
spec.loader.exec_module(databases)
sys.addaudithook(databases.observe)
for name in sys.argv[2:] * 2:
    try:
        sqlite3.connect(name, uri=name.startswith("file:")).close()
    except sqlite3.Error as error:
        print(error)
"""


@pytest.mark.parametrize(
    ("name", "logged"),
    [
        ("{here}/elsewhere.db", "opens the database '{here}/elsewhere.db', which is outside the data folder"),
        ("relative.db", "opens the database '{here}/relative.db', which is outside"),
        ("file:{here}/by%20uri.db?mode=rwc", "opens the database '{here}/by uri.db'"),
        ("/tmp/no-such-folder/a.db", "it is in no backup and lost with a restart"),
        (":memory:", "keeps a database in memory"),
        ("file:shared?mode=memory&cache=shared", "keeps a database in memory"),
        ("{here}/data/blog.db", ""),
        ("file:{here}/data/blog.db?mode=rwc", ""),
        ("link.db", ""),
        ("quote'\x1b.db", "opens the database '{here}/quote??.db'"),
    ],
)
def test_a_database_elsewhere_is_logged_once_with_its_path(role: Path, tmp_path: Path, name: str, logged: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link.db").symlink_to(tmp_path / "data" / "linked.db")
    done = subprocess.run(
        [sys.executable, "-c", WORKER, role / "files" / "gunicorn_databases.py", name.format(here=tmp_path)],
        env={**os.environ, "FLASK_BLOG_DATA": str(tmp_path / "data")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert logged.format(here=tmp_path) in done.stderr
    assert len(done.stderr.splitlines()) == (1 if logged else 0)


def test_what_blogctl_searches_the_journal_for_is_what_a_worker_logs(settings: Any) -> None:
    found = undeclared_paths.OPENED.search(settings.whereabouts("/srv/blog.db", "/var/lib/blog"))
    assert found
    assert found["path"] == "/srv/blog.db"
    assert undeclared_paths.database_in_memory(settings.whereabouts(":memory:", "/var/lib/blog"))
