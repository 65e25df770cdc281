"""A backup taken while the blog is written to."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from molecule.conftest import Operator

DATABASE = "/var/lib/flask-blog/database.db"
ROWS_PER_SECOND = 100

# The database is made large enough that copying it takes longer than the pause between two writes.
PREPARE = """
import sqlite3
database = sqlite3.connect(args[0], timeout=30)
assert database.execute("PRAGMA journal_mode = WAL").fetchone() == ("wal",)
database.execute("CREATE TABLE ballast (content BLOB)")
database.executemany("INSERT INTO ballast VALUES (randomblob(1000000))", [()] * 100)
database.execute("CREATE TABLE entries (number INTEGER PRIMARY KEY, checksum TEXT NOT NULL)")
database.commit()
"""
# Writes until its input is closed; each number that it prints is committed.
WRITE = """
import hashlib, select, sqlite3, sys, time
path, pause = sys.argv[1], float(sys.argv[2])
database = sqlite3.connect(path, timeout=30)
number, start = 0, time.monotonic()
while not select.select([sys.stdin], [], [], max(0.0, start + number * pause - time.monotonic()))[0]:
    number += 1
    with database:
        database.execute("INSERT INTO entries VALUES (?, ?)", (number, hashlib.sha256(b"%d" % number).hexdigest()))
    print(number, flush=True)
"""
CHECK = """
import hashlib, sqlite3
copy = sqlite3.connect(f"file:{args[0]}?mode=ro&immutable=1", uri=True)
rows = copy.execute("SELECT number, checksum FROM entries ORDER BY number").fetchall()
print(json.dumps({
    "integrity": copy.execute("PRAGMA integrity_check").fetchone()[0],
    "rows": len(rows),
    "whole": rows == [(n, hashlib.sha256(b"%d" % n).hexdigest()) for n in range(1, len(rows) + 1)],
    "posts": copy.execute("SELECT count(*) FROM posts").fetchone()[0],
}))
"""
CLEAN = """
import sqlite3
database = sqlite3.connect(args[0], timeout=30)
database.executescript("DROP TABLE IF EXISTS ballast; DROP TABLE IF EXISTS entries; VACUUM")
"""


@pytest.fixture
def tables(operator: Operator) -> Generator[None, None, None]:
    operator.python(PREPARE, DATABASE, user="flask-blog")
    yield
    operator.python(CLEAN, DATABASE, user="flask-blog")


@pytest.mark.usefixtures("tables")
def test_a_backup_under_load_is_whole_and_disturbs_nobody(
    host: Any, operator: Operator, eventually: Callable[..., None]
) -> None:
    earlier = set(host.check_output("ls /var/backups/flask-blog").split())
    command = ["docker", "exec", "--interactive", "--user", "flask-blog", operator.machine, "python3", "-c", WRITE]
    writer = subprocess.Popen(
        [*command, DATABASE, str(1 / ROWS_PER_SECOND)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert writer.stdin
    assert writer.stdout
    started = time.monotonic()
    acknowledged = [int(writer.stdout.readline()) for _ in range(ROWS_PER_SECOND)]
    host.check_output("systemctl start flask-blog-backup.service")
    finished = time.monotonic()
    time.sleep(0.5)
    output, errors = writer.communicate("stop\n")
    written = [*acknowledged, *map(int, output.split())]

    assert writer.returncode == 0, errors
    assert len(written) > (finished - started) * ROWS_PER_SECOND * 0.8, "the backup held the writer up"
    (name,) = set(host.check_output("ls /var/backups/flask-blog").split()) - earlier
    backup = f"/var/backups/flask-blog/{name}"
    found = operator.python(CHECK, f"{backup}/data/database.db")
    assert found["integrity"] == "ok"
    assert found["whole"], "the copy has a gap"
    assert acknowledged[-1] <= found["rows"] <= written[-1]
    assert found["posts"] > 0
    manifest = json.loads(host.check_output("cat %s/manifest.json", backup))
    assert manifest["files"]["database.db"]["tables"] > 2
    assert any(path.startswith("static/uploads/") for path in manifest["files"])


def test_backups_are_for_root_alone(host: Any) -> None:
    host.check_output("systemctl start flask-blog-backup.service")
    assert host.check_output("ls /var/backups/flask-blog")
    for user in ("flask-blog", "www-data", "nobody"):
        assert host.run("runuser -u %s -- ls /var/backups/flask-blog", user).failed
