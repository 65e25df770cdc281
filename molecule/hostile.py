"""The hostile app of tests/blogs: code that runs in its process, and root's commands for its site."""

from __future__ import annotations

import json
import shlex
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import installed_tool

SOURCE = Path(__file__).parents[1] / "tests" / "blogs" / "hostile"
SITE, NAME = "hostile", "hostile.example.com"
DATA, RUN, BACKUPS = "/var/lib/hostile", "/run/hostile", "/var/backups/hostile"
NEIGHBOUR = "/var/lib/neighbour"
#: A secret that only root can read, and its file.
SECRET_FILE, SECRET = "/root/secret", "only-root-can-read-this"
#: Code that leaves a mark if root executes it.
MARK = "/root/executed"
PAYLOAD = f"\nimport os\nif os.geteuid() == 0:\n    open({MARK!r}, 'w').close()\n"
#: Timeout in seconds of root's commands.
BOUND = 90
#: KiB of address space for root's programs, if it is limited.
MEMORY = 1_000_000

#: For a release command: it changes the data, and on the live data fails after the change.
CHANGE = (
    "import sqlite3\n"
    "c = sqlite3.connect(DATA / 'database.db')\n"
    "with c:\n"
    "    c.execute('CREATE TABLE IF NOT EXISTS t (c)')\n"
    "    c.execute('INSERT INTO t VALUES (1)')\n"
    "c.close()\n"
)
FAIL_LIVE = "if not ON_A_COPY: raise SystemExit('fails on the live data alone')\n"

#: Paths with their owner, mode, kind and content. Logs of SQLite and compiled code come and go.
RECORD = """
import hashlib, os, stat
found = {}
for root in args:
    for folder, directories, names in os.walk(root):
        directories[:] = [name for name in directories if name != '__pycache__']
        for name in ['', *names, *(n for n in directories if os.path.islink(os.path.join(folder, n)))]:
            path = os.path.join(folder, name)
            if name.endswith(('-wal', '-shm')):
                continue
            s = os.lstat(path)
            content = os.readlink(path) if stat.S_ISLNK(s.st_mode) else ''
            if stat.S_ISREG(s.st_mode):
                content = hashlib.sha256(open(path, 'rb').read()).hexdigest()
            found[path] = [s.st_uid, s.st_gid, s.st_mode, content]
print(json.dumps(found))
"""
#: The app must not be able to change anything below these.
OUTSIDE = ("/etc", "/usr/local", "/opt/neighbour", NEIGHBOUR)


def copy_of_the_app(folder: Path) -> Path:
    """Make a copy of the app to change."""
    return Path(shutil.copytree(SOURCE, folder / "hostile"))


def record(operator: Any, *roots: str) -> dict[str, Any]:
    """Return the state of the files below some directories of the machine, by path."""
    return dict(operator.python(RECORD, *(roots or OUTSIDE)))


@dataclass(frozen=True)
class Done:
    """A finished command that root ran."""

    status: int
    stdout: str
    stderr: str
    seconds: float

    def json(self) -> Any:
        """Its output, parsed as JSON."""
        return json.loads(self.stdout)


@dataclass(frozen=True)
class Hostile:
    """The hostile app, as its attacker and as root use it."""

    host: Any
    visit: Callable[..., Any]

    def run(self, code: str, **values: object) -> str:
        """Run code in the app's own process and return what it prints.

        :param values: variables of the code.
        :raises AssertionError: with the traceback, if it fails.
        """
        given = "".join(f"{name} = {value!r}\n" for name, value in values.items())
        answer = self.visit(NAME).ask("/run", method="POST", body=f"{given}{code}".encode(), timeout=50)
        assert answer.status == 200, answer.text
        return str(answer.text)

    def write(self, name: str, text: str) -> None:
        """Let the app write a file in its data folder."""
        self.run("(DATA / name).write_text(text)", name=name, text=text)

    def blogctl(self, *arguments: str, bound: float = BOUND, memory: int = 0) -> Done:
        """Run blogctl for the app's site as root.

        :param memory: KiB of address space; 0 for no limit.
        :raises AssertionError: if it has not ended in time.
        """
        words = shlex.join(["timeout", "--kill-after=2", str(bound), "blogctl", "--site", SITE, *arguments])
        limit = f"ulimit -v {memory}; " if memory else ""
        began = time.monotonic()
        result = self.host.run("sh -c %s", f"{limit}exec {words}")
        seconds = time.monotonic() - began
        assert result.rc not in (124, 137), f"blogctl {' '.join(arguments)} had not ended after {bound} s"
        assert installed_tool.ROOT not in result.stderr, result.stderr
        return Done(result.rc, result.stdout, result.stderr, seconds)

    def live(self) -> str:
        """The release that the link names."""
        return str(self.host.check_output("readlink /var/www/%s", SITE)).split("/")[4]

    def other(self) -> str:
        """A release that is not live."""
        known = self.host.check_output("ls /opt/%s/releases", SITE).split()
        return str(next(name for name in known if name != self.live()))

    def activate(self, **options: float) -> Done:
        """Activate the release that is not live, as root."""
        return self.blogctl("activate", "--retry", self.other(), **options)  # type: ignore[arg-type]

    def serves(self) -> bool:
        """Return whether visitors get pages of the live release."""
        answer = self.visit(NAME).ask("/healthz")
        return bool(answer.status == 200 and answer.json()["release"] == self.live())
