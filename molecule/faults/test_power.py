"""Power cuts while visitors write: what was acknowledged is there afterwards.

A cut kills all processes of the machine at once, without a signal that they could handle. It does not lose what the
kernel has not written to the disk yet; that needs a device that drops it (dm-flakey), which a container has not.
"""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Callable
from typing import Any

from ledger import NAME, Book
from load import Client, Load

#: How often the power is cut. FLASKBLOG_POWER_CUTS=200 takes about a quarter of an hour.
CUTS = int(os.environ.get("FLASKBLOG_POWER_CUTS", "4"))
WRITERS = tuple(Client("POST", "/entries", keeps) for keeps in (True, False)) * 2


def docker(*arguments: str) -> None:
    subprocess.run(["docker", *arguments], check=True, capture_output=True)


def test_no_acknowledged_entry_is_lost_over_power_cuts(
    operator: Any, visit: Callable[..., Any], eventually: Callable[..., None]
) -> None:
    chance = random.Random(20261127)  # noqa: S311
    written: dict[int, str] = {}
    away = []
    for _ in range(CUTS):
        with Load(operator.address(), NAME, fast=WRITERS, slow=(), pause=0.01) as load:
            time.sleep(chance.uniform(0.2, 1.2))
            docker("kill", operator.machine)
            began = time.monotonic()
            # Within the load: its clients wait until the machine refuses their connections.
            docker("start", operator.machine)
        written |= load.written
        eventually(lambda: visit(NAME).ask("/healthz", timeout=5).status == 200, 60)
        away.append(time.monotonic() - began)
        entries = Book.read(operator).entries
        assert written.items() <= entries.items()
    print(f"{CUTS} cuts, {len(written)} entries acknowledged, away {max(away):.1f} s at most")
    integrity = "import sqlite3; c = sqlite3.connect('/var/lib/flask-blog/database.db')"
    assert operator.python(
        f"{integrity}\nprint(json.dumps(c.execute('PRAGMA integrity_check').fetchone()))", user="flask-blog"
    ) == ["ok"]
