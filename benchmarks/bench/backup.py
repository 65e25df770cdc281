"""Measure backups and restores of a large database that is written to, against C(cp) of the same file."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from dataclasses import dataclass, field

from load import Client, Load

from .contenders import RoleWithLedger, Workplace
from .machines import SITE_NAME, BenchmarkError, Machine, machine
from .report import BACKUP, publish, verdict

#: Megabytes (10^6 bytes) of the database, and writes a second during the backups.
SIZE, WRITES = 500, 100
#: Times cp's duration, at most; the longest write in milliseconds; memory in megabytes; seconds of a backup without a
#: change; seconds that the site may be away longer than the copy takes.
MOST_RATIO, MOST_DELAY, MOST_MEMORY, MOST_UNCHANGED, MOST_AWAY = 3.0, 100.0, 64.0, 1.0, 2.0
DATABASE = "/var/lib/flask-blog/database.db"

# As the app, durably. What cannot be compressed takes all of its size.
FILL = """
import os, sqlite3, sys
c = sqlite3.connect(sys.argv[1], timeout=60)
c.execute('CREATE TABLE IF NOT EXISTS pages (id INTEGER PRIMARY KEY, body BLOB)')
for _ in range(int(sys.argv[2])):
    c.executemany('INSERT INTO pages (body) VALUES (?)', [(os.urandom(10_000),) for _ in range(100)])
    c.commit()
c.execute('PRAGMA wal_checkpoint(TRUNCATE)')
"""
# Writes at an even pace until its standard input ends; prints the longest write in seconds, and their number.
WRITE = """
import json, select, sqlite3, sys, time
c = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
pace = float(sys.argv[2])
c.execute('PRAGMA synchronous = FULL')
longest, count, begun = 0.0, 0, time.monotonic()
while not select.select([sys.stdin], [], [], max(0.0, begun + count / pace - time.monotonic()))[0]:
    before = time.monotonic()
    c.execute("INSERT INTO entries (text) VALUES ('written while a backup is made')")
    longest, count = max(longest, time.monotonic() - before), count + 1
print(json.dumps([longest, count]))
"""
# Times a command in seconds; with "memory", also the most proportional memory of all processes of blogctl, in bytes.
TIME = """
import json, os, pathlib, re, subprocess, sys, time
def memory():
    total = 0
    for process in pathlib.Path('/proc').glob('[0-9]*'):
        try:
            if int(process.name) != os.getpid() and b'blogctl' in (process / 'cmdline').read_bytes():
                total += int(re.search(r'^Pss: +([0-9]+) kB', (process / 'smaps_rollup').read_text(), re.M)[1]) * 1024
        except (OSError, TypeError):
            pass
    return total
watch, command, most = sys.argv[1] == 'memory', sys.argv[2:], 0
before = time.monotonic()
child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
while watch and child.poll() is None:
    most = max(most, memory())
    time.sleep(0.02)
output = child.communicate()[0]
print(json.dumps([time.monotonic() - before, most, child.returncode, output[-2000:]]))
"""


#: Asks for a page again and again, over a new connection each time.
VISITOR = (Client("GET", "/", False),)


@dataclass
class Found:
    """What was measured, in seconds, by round."""

    copies: list[float] = field(default_factory=list)
    backups: list[float] = field(default_factory=list)
    unchanged: list[float] = field(default_factory=list)
    restores: list[float] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    away: list[float] = field(default_factory=list)
    writes: int = 0
    memory: int = 0


def backup(place: Workplace, rounds: int) -> None:
    """Back up and restore a database that is written to, and one that nobody writes to."""
    found = Found()
    with machine("backup") as target:
        RoleWithLedger(place).deploy(target)
        target.execute("runuser", "-u", "flask-blog", "--", "python3", "-c", FILL, DATABASE, str(SIZE))
        print(f"  filled with {SIZE} MB", flush=True)
        for turn in range(rounds):
            found.copies.append(_copy(target))
            found.backups.append(_backup_of_written(target, found))
            times = f"cp {found.copies[-1]:.1f} s, backup {found.backups[-1]:.1f} s"
            print(f"  round {turn + 1} of {rounds}: {times}", flush=True)
        _backup_of_written(target, found, watch="memory")
        time.sleep(4)  # what was changed a moment ago is copied again
        _timed(target, "time", "blogctl", "backup")
        for _ in range(rounds):
            time.sleep(1.2)
            found.unchanged.append(_timed(target, "time", "blogctl", "backup")[0])
        for _ in range(rounds):
            with Load(target.address, SITE_NAME, VISITOR, (), pause=0.02) as load:
                found.restores.append(_timed(target, "time", "blogctl", "restore", "latest", "--discard-newer")[0])
            if load.failures:
                raise BenchmarkError(f"a visitor was refused during a restore: {load.failures[0]}")
            found.away.append(load.slowest())
    publish(BACKUP, _table(found, rounds))


def _table(found: Found, rounds: int) -> str:
    median = statistics.median
    copy, made, restored = median(found.copies), median(found.backups), median(found.restores)
    delay, memory, away = max(found.delays) * 1000, found.memory / 1e6, max(found.away)
    missed = [
        made > MOST_RATIO * copy,
        restored > MOST_RATIO * copy,
        delay > MOST_DELAY,
        memory > MOST_MEMORY,
        median(found.unchanged) > MOST_UNCHANGED,
        away > copy + MOST_AWAY,
    ]
    lines = [
        f"| A database of {SIZE} MB in WAL mode, {WRITES} writes a second | |",
        "|---|---:|",
        f"| `cp` of the file, which is no backup, s | {copy:.1f} |",
        f"| `blogctl backup` meanwhile, s | {made:.1f} |",
        f"| Longest of {found.writes} writes meanwhile, ms | {delay:.0f} |",
        f"| Memory (Pss) of all processes of the backup, MB | {memory:.0f} |",
        f"| `blogctl backup` without a change, s | {median(found.unchanged):.2f} |",
        f"| `blogctl restore`, s | {restored:.1f} |",
        f"| Longest time without an answer during a restore, s | {away:.1f} |",
        "",
        f"Rounds: {rounds}. Cores, for the writer, the visitor and the container together: {os.cpu_count()}.",
        "",
        f"**Target: backup and restore at most {MOST_RATIO:.0f} × `cp`, no write over {MOST_DELAY:.0f} ms, at most"
        f" {MOST_MEMORY:.0f} MB, {MOST_UNCHANGED:.0f} s without a change, away at most {MOST_AWAY:.0f} s longer than"
        f" `cp`. Measured: {made / copy:.1f} × and {restored / copy:.1f} ×, {delay:.0f} ms, {memory:.0f} MB,"
        f" {median(found.unchanged):.2f} s, {away:.1f} s. {verdict(sum(missed), 0)}.**",
    ]
    return "\n".join(lines)


def _copy(target: Machine) -> float:
    place = "/var/backups/flask-blog/copy-of-the-benchmark"
    seconds, _ = _timed(target, "time", "sh", "-c", f"cp --reflink=never {DATABASE} {place} && sync {place}")
    target.execute("rm", place)
    return seconds


def _backup_of_written(target: Machine, found: Found, watch: str = "time") -> float:
    command = ["docker", "exec", "-i", target.name, "runuser", "-u", "flask-blog", "--"]
    command += ["python3", "-c", WRITE, DATABASE, str(WRITES)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        time.sleep(1)
        seconds, memory = _timed(target, watch, "blogctl", "backup")
        output, _ = writer.communicate()
    longest, count = json.loads(output)
    found.memory, found.writes = max(found.memory, memory), found.writes + count
    if watch == "time":
        found.delays.append(longest)
    return seconds


def _timed(target: Machine, watch: str, *command: str) -> tuple[float, int]:
    """Run a command on the machine; return its seconds, and the most memory in bytes.

    :raises BenchmarkError: if it fails.
    """
    seconds, memory, status, output = json.loads(target.execute("python3", "-c", TIME, watch, *command))
    if status:
        raise BenchmarkError(f"'{' '.join(command)}' failed:\n{output}")
    return float(seconds), int(memory)
