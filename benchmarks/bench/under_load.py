"""Measure failed requests and the slowest request during ten releases under load."""

from __future__ import annotations

import json
import os
import time

from load import Load

from .contenders import RoleWithLedger, Workplace
from .machines import SITE_NAME, BenchmarkError, Machine, machine
from .report import UNDER_LOAD, publish, verdict

RELEASES = 10
#: Minimum number of requests during the releases.
REQUESTS = 50_000
#: Seconds of load before the first release; its slowest request is the baseline.
QUIET = 20.0
#: Milliseconds that the slowest quick request may exceed the baseline by.
MOST_DELAY = 150.0
#: Maximum duration of the rollback in seconds.
MOST_ROLLBACK = 3.0
#: Seconds that the slow page takes (tests/blogs/ledger).
SLOW_PAGE = 1.5


def under_load(place: Workplace, rounds: int) -> None:
    """Release ten times, roll back once, and change the data once, while visitors read and write."""
    del rounds
    with machine("ledger") as target:
        role = RoleWithLedger(place)
        role.deploy(target)
        with Load(target.address, SITE_NAME) as load:
            time.sleep(QUIET)
            quiet = load.slowest()
            began = time.monotonic()
            for number in range(RELEASES):
                _release(role, target, number)
                _wait_for_requests(load, (number + 1) * REQUESTS // RELEASES)
            released = time.monotonic()
            total = load.total
            left = _live(target)
            going = time.monotonic()
            target.execute("blogctl", "rollback")
            back = time.monotonic() - going
            (role.code / "migrations.sql").write_text("ALTER TABLE entries ADD COLUMN written TEXT\n")
            changing = time.monotonic()
            _release(role, target, RELEASES)
            changed = time.monotonic()
        during, held = load.slowest(began, released), load.slowest(changing, changed)
        gone = max(0.0, load.last_answered_by(left) - going)
        lost = set(load.acknowledged) - _rows(target)
    delay = (during - quiet) * 1000
    lines = [
        f"| Eight quick visitors and two slow ones, {RELEASES} releases, one with a new virtual environment | |",
        "|---|---:|",
        f"| Requests | {total} |",
        f"| Failed, also while it went back and changed the data | {len(load.failures)} |",
        f"| Acknowledged rows that are missing | {len(lost)} of {len(load.acknowledged)} |",
        f"| Slowest quick request without a release, ms | {quiet * 1000:.0f} |",
        f"| Slowest quick request during the releases, ms | {during * 1000:.0f} |",
        f"| Slowest quick request while a release changed the data, ms | {held * 1000:.0f} |",
        f"| `blogctl rollback`, until the last request that the release it left answered, s | {gone:.1f} |",
        f"| `blogctl rollback`, to its end; it waits for slow pages in flight, {SLOW_PAGE} s each, s | {back:.1f} |",
        "",
        f"Cores, for the visitors, the controller and the container together: {os.cpu_count()}.",
        "",
        f"**Target: 0 failed of at least {REQUESTS}, at most {MOST_DELAY:.0f} ms more for the slowest, back within"
        f" {MOST_ROLLBACK:.0f} s. Measured: {len(load.failures)} of {total}, {delay:.0f} ms more, {back:.1f} s."
        f" {verdict(len(load.failures) + len(lost) + (delay > MOST_DELAY) + (back > MOST_ROLLBACK), 0)}.**",
    ]
    publish(UNDER_LOAD, "\n".join(lines))


def _release(role: RoleWithLedger, target: Machine, number: int) -> None:
    """Release changed code, once with changed requirements."""
    (role.code / "static" / "book.css").write_text(f"body {{ margin: {number}px; }}\n")
    if number == RELEASES // 2:
        (role.code / "requirements.txt").write_text("Flask\nitsdangerous\n")
    done = role.deploy(target)
    if not done.changed:
        raise BenchmarkError("the role did not see that the code had changed")
    print(f"  release {number + 1}: {done.seconds:.1f} s", flush=True)


def _live(target: Machine) -> str:
    return str(json.loads(target.execute("blogctl", "status", "--json"))["served"])


def _wait_for_requests(load: Load, wanted: int, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while load.total < wanted:
        if time.monotonic() > deadline:
            raise BenchmarkError(f"the visitors sent too few requests within {seconds:.0f} s")
        time.sleep(0.1)


def _rows(target: Machine) -> set[int]:
    query = "import sqlite3; print(*[n for (n,) in sqlite3.connect('/var/lib/flask-blog/database.db').execute(%r)])"
    return {int(word) for word in target.execute("python3", "-c", query % "SELECT id FROM entries").split()}
