"""Files and responses of a hostile app neither block root nor fill memory or disk; skipped files are reported."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import pytest
from hostile import BACKUPS, BOUND, CHANGE, MEMORY, RUN, Hostile

if TYPE_CHECKING:
    from molecule.conftest import Operator

ON_12, ON_13 = pytest.mark.machine("12"), pytest.mark.machine("13")
#: Objects that replace a file that root may read.
KINDS = {
    "a FIFO": "os.mkfifo(place)",
    "a link to /dev/zero": "place.symlink_to('/dev/zero')",
    "a huge file": "place.touch(); os.truncate(place, 1 << 33)",
    "a JSON list": "place.write_text('[1, 2]')",
    "deep JSON": "place.write_text('[' * 500_000)",
}
#: Names that root reads, or that older versions read.
PLANT = """
import os
from pathlib import Path
for place in [Path(run, name) for name in ('served.json', 'app.sock', 'note')] + [
    DATA / name for name in ('served.json', '.initialised', 'transaction.json', 'a.db', 'a.db-wal', 'environment')
    if small
]:
    if place.exists() or place.is_symlink():
        place.unlink()
    if place.parent.is_dir() and os.access(place.parent, os.W_OK):
        {}
"""
#: A Python for Ansible's modules with the memory limit of blogctl in these tests.
PYTHON = "/usr/local/bin/limited-python"


@pytest.fixture(scope="module")
def limited(machine: Any) -> Generator[str, None, None]:
    """Arguments of a playbook whose modules have limited memory and time."""
    script = f'#!/bin/sh\nulimit -v {MEMORY}\nexec timeout --kill-after=2 {BOUND} /usr/bin/python3 "$@"\n'
    machine.check_output("printf %%s %s > %s && chmod 755 %s", script, PYTHON, PYTHON)
    yield f"with_neighbour=false ansible_python_interpreter={PYTHON}"
    machine.check_output("rm %s", PYTHON)


def play(operator: Operator, limited: str) -> float:
    """Run the playbook, ignore its result, and return its duration in seconds."""
    began = time.monotonic()
    run = operator.play("--extra-vars", limited)
    assert "Traceback" not in run.output, run.output
    assert "MemoryError" not in run.output, run.output
    return time.monotonic() - began


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("a FIFO", marks=ON_12),
        pytest.param("a link to /dev/zero", marks=ON_12),
        pytest.param("a huge file", marks=ON_13),
        pytest.param("a JSON list", marks=ON_12),
        pytest.param("deep JSON", marks=ON_13),
    ],
)
@pytest.mark.usefixtures("limited")
def test_no_kind_of_file_stops_root_s_commands(app: Hostile, operator: Operator, limited: str, kind: str) -> None:
    app.run(PLANT.format(KINDS[kind]), run=RUN, small=kind != "a huge file")
    assert app.blogctl("status", memory=MEMORY, bound=20).status == 0
    assert app.blogctl("releases", memory=MEMORY, bound=20).status == 0
    backup = app.blogctl("backup", memory=MEMORY, bound=40)
    # What is no file is in no backup, and one without any file is a failure.
    assert backup.status in (0, 7) or "the backup would be empty" in backup.stderr
    if kind == "a FIFO":
        assert play(operator, limited) < BOUND


@pytest.mark.parametrize("body", [pytest.param("endless", marks=ON_12), pytest.param("trickling", marks=ON_13)])
def test_a_health_page_without_an_end_is_read_up_to_a_limit(
    app: Hostile, operator: Operator, limited: str, body: str
) -> None:
    app.run("import app\napp.health = body", body=body)
    app.blogctl("status", memory=MEMORY, bound=30)
    assert play(operator, limited) < BOUND
    # The next release must not fail because of the previous process's response.
    app.run("import app\napp.health = body", body=body)
    done = app.activate(memory=MEMORY)
    assert done.status == 0, done.stderr
    assert app.serves()


@ON_13
def test_a_release_whose_health_page_has_no_end_is_refused_in_time(app: Hostile) -> None:
    app.write("start.py", "import app\nif not ON_A_COPY: app.health = 'endless'\n")
    before = app.live()
    done = app.activate(memory=MEMORY)
    assert done.status == 1
    assert app.live() == before
    app.run("(DATA / 'start.py').unlink()")
    app.host.check_output("systemctl restart hostile.service")
    assert app.serves()


DAMAGED = """
import os, sqlite3
(DATA / 'damaged.db').write_bytes(b'SQLite format 3' + bytes(1) + b'x' * 9000)
c = sqlite3.connect(DATA / 'schema.db')
c.execute('CREATE TABLE t (c)')
c.execute('PRAGMA writable_schema = ON')
c.execute("UPDATE sqlite_schema SET sql = 'CREATE NONSENSE'")
c.commit()
c.close()
c = sqlite3.connect(DATA / 'views.db')
c.execute('CREATE TABLE t (c)')
c.execute('CREATE VIEW endless AS WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT n FROM r')
c.execute("CREATE TRIGGER x INSTEAD OF INSERT ON endless BEGIN SELECT load_extension('/tmp/x'); END")
c.close()
"""
DEEP = """
import os
folder = os.open(DATA, os.O_RDONLY)
for _ in range(1100):
    os.mkdir('d', dir_fd=folder)
    inner = os.open('d', os.O_RDONLY, dir_fd=folder)
    os.close(folder)
    folder = inner
os.close(os.open('file', os.O_CREAT | os.O_WRONLY, dir_fd=folder))
os.close(folder)
"""
SPARSE = """
import os
with (DATA / 'sparse').open('wb') as file:
    file.write(b'begin')
    file.truncate(3 << 30)
(DATA / 'unreadable').write_text('closed')
(DATA / 'unreadable').chmod(0)
(DATA / 'closed').mkdir()
(DATA / 'closed').chmod(0)
"""
#: An open of a file with a lease blocks until the holder releases the lease (fcntl(2), F_SETLEASE).
LEASE = """
import subprocess, sys
(DATA / 'leased').write_text('mine')
take = 'import fcntl, signal, sys, time; signal.signal(signal.SIGIO, signal.SIG_IGN); ' \\
    'file = open(sys.argv[1], "r+"); fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK); print(flush=True); ' \\
    'time.sleep(120)'
holder = subprocess.Popen([sys.executable, '-c', take, str(DATA / 'leased')], stdout=subprocess.PIPE)
holder.stdout.readline()
"""
FIFOS = """
import os
files, pipes = DATA / 'files', DATA / 'pipes'
files.mkdir()
pipes.mkdir()
for number in range(60):
    (files / str(number)).write_text('mine')
    os.mkfifo(pipes / str(number))
repeat(lambda: exchange(files, pipes))
"""


@ON_13
def test_what_cannot_be_copied_is_skipped_and_named_and_the_rest_is_copied(app: Hostile) -> None:
    app.run(CHANGE + DAMAGED + DEEP + SPARSE + LEASE + FIFOS)
    done = app.blogctl("--json", "backup")
    assert done.status == 7, done.stderr
    said = done.json()
    manifest = json.loads(app.host.file(f"{BACKUPS}/{said['name']}/manifest.json").content_string)
    assert said["skipped"] == manifest["skipped"]
    named = set(manifest["skipped"])
    assert {"damaged.db", "schema.db", "unreadable", "closed", "leased"} <= named, named
    assert any(path.startswith("d/d/") or path.endswith("/d/d") for path in named), named
    assert {"database.db", "views.db", "sparse"} <= set(manifest["files"])
    used = int(app.host.check_output("du --summarize --block-size=1M %s", f"{BACKUPS}/{said['name']}").split()[0])
    assert used < 50


@ON_12
def test_a_release_goes_on_without_what_cannot_be_copied(app: Hostile, eventually: Callable[..., None]) -> None:
    app.run(CHANGE + DAMAGED + DEEP + SPARSE + LEASE + FIFOS)
    app.write("command.py", CHANGE)
    before = app.live()
    done = app.activate()
    assert done.status == 0, done.stderr
    assert app.live() != before
    eventually(app.serves)
    assert not app.host.file(f"{BACKUPS}/rehearsal").exists
    assert app.blogctl("rollback", "--restore-data").status == 0
    assert app.live() == before


#: Kills every process of its account but its own two, including those that work on the data for root.
KILL = """
import os, signal
own = {os.getpid(), os.getppid()}
def end_others():
    for pid in {int(name) for name in os.listdir('/proc') if name.isdigit()} - own:
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass
repeat(end_others, pause=0)
"""


@ON_12
def test_an_app_that_kills_what_works_for_root_stops_nothing_for_longer_than_it_runs(app: Hostile) -> None:
    app.run(CHANGE)
    app.write("command.py", CHANGE)
    app.run(KILL)
    before = app.live()
    assert app.blogctl("backup", bound=60).status in (0, 1, 7)
    app.activate()
    assert app.host.run(f"ls -d {BACKUPS}/.incomplete-* {BACKUPS}/rehearsal").stdout == ""
    app.host.check_output("systemctl stop hostile.service")
    if app.live() == before:
        assert app.activate().status == 0
    assert app.blogctl("backup").status == 0
    assert app.host.run("systemctl --failed --plain --no-legend").stdout == ""
