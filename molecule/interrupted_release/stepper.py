"""Run blogctl on the machine and kill it at one of its steps, list its steps, or print the state of the site.

    stepper.py count ARGUMENTS...        run blogctl to its end; print its steps in their order, as JSON
    stepper.py kill STEP NTH ARGUMENTS   kill blogctl when it reaches a step for the nth time
    stepper.py state RELEASE...          wait until no operation runs, then print the state of the site

A step is a call with side effects, found by Python's audit events, together with the lines of blogctl that make it. A
program that blogctl starts has two steps: before it starts, and while it runs.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

#: Names the folder of the installed modules.
PROGRAM = Path("/usr/local/sbin/blogctl")
TOOL = PROGRAM.read_text().partition('sys.path.insert(0, "')[2].partition('"')[0] if PROGRAM.exists() else ""
NAME = "flask-blog"
HOST = "book.example.com"
#: https://docs.python.org/3/library/audit_events.html
EVENTS = frozenset(
    {
        *("fcntl.flock", "sqlite3.connect", "shutil.rmtree", "shutil.copyfile"),
        *(f"os.{name}" for name in ("rename", "symlink", "link", "remove", "mkdir", "rmdir", "truncate")),
        *(f"os.{name}" for name in ("chmod", "chown", "utime")),
    }
)
#: Programs that only read, or only write to the journal.
HARMLESS = ("systemctl is-active", "systemctl show", "journalctl", "systemd-cat")


def step_of(kind: str) -> str:
    """Return the name of a step: the event, and the lines of blogctl that led to it, the innermost first."""
    frame: FrameType | None = sys._getframe(1)
    lines = []
    while frame is not None:
        folder, _, file = frame.f_code.co_filename.rpartition("/")
        if f"{folder}/".startswith(f"{TOOL}/blogctl/"):
            lines.append(f"{file.removesuffix('.py')}.{frame.f_code.co_name}:{frame.f_lineno}")
        frame = frame.f_back
    return f"{kind} < {' < '.join(lines)}"


def program(words: Any) -> str:
    """Return a program's name and verb, without arguments that vary; empty if it has no side effects."""
    line = " ".join(Path(str(word)).name for word in words if not str(word).startswith("-"))
    return "" if line.startswith(HARMLESS) else " ".join(line.split()[:2])


def watch(reached: Callable[[str], None]) -> None:
    """Call a function at each step of this process."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            if writes and not str(path).startswith(("/dev/", "/proc/")) and not isinstance(path, int):
                reached(step_of("open"))
        elif event in EVENTS:
            reached(step_of(event))
        elif event == "subprocess.Popen" and program(arguments[1]):
            reached(step_of(f"before {program(arguments[1])}"))

    communicate_really = subprocess.Popen.communicate

    def communicate(self: Any, *arguments: Any, **options: Any) -> Any:
        if program(self.args):
            reached(step_of(f"during {program(self.args)}"))
        return communicate_really(self, *arguments, **options)

    subprocess.Popen.communicate = communicate  # type: ignore[method-assign]
    sys.addaudithook(hook)


def blogctl(arguments: list[str]) -> int:
    """Run blogctl in this process."""
    # The first run alone would write the bytecode of a command.
    sys.dont_write_bytecode = True
    sys.path.insert(0, TOOL)
    from blogctl.cli import main

    return int(main(arguments))


def count(arguments: list[str]) -> None:
    """Run to the end, and print each step with the number of times it was reached."""
    steps: Counter[str] = Counter()
    watch(lambda step: steps.update([step]))
    status = blogctl(arguments)
    print(json.dumps({"status": status, "steps": list(steps.items())}))


def kill(wanted: str, nth: int, arguments: list[str]) -> int:
    """Run until a step is reached for the nth time."""
    seen = 0

    def reached(step: str) -> None:
        nonlocal seen
        seen += step == wanted
        if seen == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    watch(reached)
    return blogctl(arguments)


def ask(path: str) -> str:
    """Request a page through nginx."""
    connection = http.client.HTTPConnection("127.0.0.1", 80, timeout=60)
    try:
        connection.request("GET", path, headers={"Host": HOST})
        response = connection.getresponse()
        return response.read().decode() if response.status == 200 else f"status {response.status}"
    finally:
        connection.close()


def is_quiet() -> bool:
    """Return whether no operation runs."""
    units = [f"{NAME}-{what}.service" for what in ("recovery", "next", "rehearsal", "command")]
    command = ["systemctl", "is-active", *units, f"{NAME}.service"]
    *others, main = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    return main == "active" and all(state == "inactive" for state in others)


def leftovers() -> list[str]:
    """Return the temporary files of operations."""
    roots = [Path(root) for root in (f"/opt/{NAME}", f"/var/backups/{NAME}", f"/var/lib/{NAME}", f"/etc/{NAME}")]
    places = [path for root in roots for path in [*root.iterdir(), *root.glob("*/*")]] + list(
        Path("/var/www").iterdir()
    )
    kept = os.readlink(f"/opt/{NAME}/assets/all") if os.path.islink(f"/opt/{NAME}/assets/all") else ""
    ours = ("transaction.json", "rehearsal")
    endings = (".incomplete", ".new", ".restored", ".removed")
    return [
        str(path)
        for path in places
        if path.name in ours
        or path.name.endswith(endings)
        or (path.name.startswith((".merged-", f".{NAME}.", ".next.")) and path.name != kept)
    ]


def state() -> dict[str, Any]:
    """Wait until no operation runs, and return the served pages and the state of the disk."""
    began = time.monotonic()
    while not is_quiet() and time.monotonic() - began < 60:
        time.sleep(0.1)
    settled = time.monotonic() - began
    database = Path(f"/var/lib/{NAME}/database.db")
    # As the app's account, which must own the files that SQLite creates beside the database.
    os.setegid(database.stat().st_gid)
    os.seteuid(database.stat().st_uid)
    with contextlib.closing(sqlite3.connect(database, timeout=30)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        rows = [number for (number,) in connection.execute("SELECT id FROM entries")]
        (verdict,) = connection.execute("PRAGMA integrity_check").fetchone()
    os.seteuid(0)
    os.setegid(0)
    lines = Path(f"/opt/{NAME}/operations.jsonl").read_text().splitlines()
    return {
        "quiet": is_quiet(),
        "settled": round(settled, 1),
        "releases": sorted({json.loads(ask("/healthz"))["release"] for _ in range(12)}),
        "static": ask("/static/edition.css").strip(),
        "tables": sorted(name for name in tables if name.startswith("edition_")),
        "rows": rows,
        "verdict": verdict,
        "leftovers": leftovers(),
        "last": json.loads(lines[-1]),
    }


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    if what == "count":
        count(rest)
    elif what == "kill":
        sys.exit(kill(rest[0], int(rest[1]), rest[2:]))
    else:
        print(json.dumps(state()))
