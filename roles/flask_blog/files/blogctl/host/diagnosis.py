"""Say why the app failed: its first error, the cause, and what to do about it.

Everything here reads what the app wrote, which may be forged: the result is text for people, and decides nothing about
the data.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from ..shared.printable import printable
from ..site import Site
from . import dotenv, memory
from .remedies import remedy_for
from .traceback import Error, first_error
from .undeclared_paths import undeclared_write

#: Characters of a cause that gunicorn, systemd or a command wrote.
CAUSE_LIMIT = 300
#: Lines of output in a message if there is no traceback, and before one.
LAST_LINES, LINES_BEFORE = 20, 10

#: What is seen from outside of an app that does not start: it says less than the cause.
UNCLEAR = re.compile(r"no answer|never answered|ended by itself|one after the other|^'systemctl ")
#: An answer that says that there is no such page, or that it is for somebody else.
NO_PAGE = re.compile(r"^(\S+): answered (?:401|403|404|405)\b")
#: What web servers print that an app starts when it is imported: Flask's own, waitress, uvicorn, Flask-SocketIO.
OWN_SERVER = re.compile(
    r"\* Serving Flask app|\* Running on https?://|Serving on https?://|wsgi starting up on https?://"
)
#: What a worker logs if the app has replaced Python's threads (gunicorn.conf.py).
NO_THREADS = re.compile(r"(eventlet|gevent) has replaced Python's threads, with which Gunicorn serves the app")
#: Gunicorn's messages about the app and about its workers (gunicorn: util.py, arbiter.py).
NO_APP = re.compile(r"(?:Failed to (?:find attribute|parse) .+|Application object must be callable\.)$")
#: The worker of the last two may have been killed by the kernel.
TIMED_OUT = re.compile(r"WORKER TIMEOUT \(pid:(\d+)\)")
KILLED = re.compile(r"Worker \(pid:(\d+)\) was sent SIGKILL! Perhaps out of memory\?")
#: systemd's messages about a unit that it cannot start, or whose process ended (systemd.exec(5), "Process exit codes").
NOT_STARTED = re.compile(r"(?:Failed at step \w+ spawning .+|Failed to (?:set up|execute|run|load) .+)$")
EXITED = re.compile(r"(?:Main|Control) process exited, code=\w+, status=(?!15/TERM)\S+")
#: Errors that a write to a path that nobody declared can end with.
WRITE = re.compile(
    r"Read-only file system|Permission denied|No such file or directory|unable to open database file|readonly database"
)
#: How a command says that it failed, if not by a traceback: click, alembic, the shell.
SAID = re.compile(r"^(?:Error|ERROR|error|FATAL|FAILED|fatal)\b|: (?:not found|command not found|Permission denied)$")
#: What a shell says of a program that somebody killed.
KILLED_PROGRAM = re.compile(r"^(?:sh: \d+: )?Killed$", re.MULTILINE)
#: A process was killed, as the app, gunicorn, a shell or systemd says it.
SHOWS_KILL = re.compile(r"SIGKILL|signal 9\b|status -9\b|OOM killer|oom-kill|^Killed$", re.MULTILINE)


@dataclass(frozen=True)
class Diagnosis:
    """Why the app failed. Each text is empty if it is not known."""

    #: one line, such as C(ModuleNotFoundError: No module named 'yaml' (app.py, line 3))
    cause: str = ""
    #: what to do
    remedy: str = ""
    #: the lines of output that show it
    lines: tuple[str, ...] = ()
    #: whether the host failed, and the release may be a good one
    of_host: bool = False

    def for_page(self, site: Site, problem: str) -> Diagnosis:
        """Return the diagnosis with what to do about a page that the app does not have, unless it has a remedy."""
        match = NO_PAGE.search(problem)
        if not match or self.remedy:
            return self
        if match[1] == site.settings["health_path"]:
            remedy = "Name a path that answers with 2xx or 3xx in flask_blog_health_path."
        else:
            remedy = "Name a page that the app has in flask_blog_home_path, or leave it empty."
        return replace(self, remedy=remedy)

    def message(self, what: str, problem: str, state: str = "") -> str:
        """Return a message: what failed and why, what state things are in, what to do, and the output.

        :param what: what failed, such as C(The release 3f2a9c1e does not serve).
        :param problem: what was seen from outside, such as C(/: answered 500).
        """
        shown = f"Its output:\n{indented(self.lines)}" if self.lines else ""
        first = ": ".join(part for part in (what, self.describe(problem)) if part)
        return "\n".join(part for part in (first, state, self.remedy, shown) if part)

    def describe(self, problem: str) -> str:
        """Return what failed and why, in one line.

        :param problem: what was seen from outside.
        """
        problem = problem.partition("\n")[0]
        if not self.cause or not problem or UNCLEAR.search(problem):
            return self.cause or problem
        name, _, text = self.cause.partition(" (")[0].partition(": ")
        return (
            f"{problem}{self.cause.removeprefix(f'{name}: {text}')}"
            if text and text in problem
            else f"{problem}: {self.cause}"
        )


def indented(lines: tuple[str, ...]) -> str:
    """Return lines of output for a message."""
    return "\n".join(f"  {line}" for line in lines)


def diagnose(site: Site, output: str, folder: Path | None = None, lost: memory.Events | None = None) -> Diagnosis:
    """Return why the app failed.

    :param output: its output, or the lines of its unit in the journal since it was started.
    :param folder: the directory of the release's app.
    :param lost: what the kernel counted while it ran.
    """
    lost = lost or memory.Events()
    found = _found(site, output)
    if not lost.kills and (killed_workers(output) or KILLED_PROGRAM.search(output)):
        lost = memory.UNCOUNTED
    ran_out = memory.problem(site, lost)
    if ran_out and (SHOWS_KILL.search(output) or not found.cause):
        return Diagnosis(*ran_out, found.lines, memory.is_of_host(lost))
    remedy = found.remedy
    if folder and (hint := dotenv.hint(site, folder)):
        remedy = f"{remedy}\n{hint}".strip()
    return Diagnosis(printable(found.cause).replace("\n", " "), remedy, tuple(map(printable, found.lines)))


def _found(site: Site, output: str) -> Diagnosis:
    if OWN_SERVER.search(output):
        return Diagnosis(*own_server(site), lines=_last(output))
    if replaced := NO_THREADS.search(output):
        return Diagnosis(replaced[0], _without(replaced[1]), _last(output))
    error = first_error(output, str(site.settings["releases"]))
    if error:
        is_write = WRITE.search(f"{error.text}\n{error.then}") and "shared object file" not in error.text
        remedy = (undeclared_write(output, site) if is_write else None) or remedy_for(site, error)
        return Diagnosis(str(error), remedy, error.lines)
    lines = [line for line in map(plain, output.splitlines()) if line]
    for pattern in (NO_APP, NOT_STARTED, EXITED, SAID):
        for line in lines:
            if match := pattern.search(line):
                cause = (line if pattern is SAID else match[0])[:CAUSE_LIMIT]
                return Diagnosis(cause, undeclared_write(output, site) or remedy_for(site, Error(cause)), _last(output))
    return Diagnosis("", undeclared_write(output, site) or "", _last(output))


def own_server(site: Site) -> tuple[str, str]:
    """Return the cause and the remedy for an app that starts a server of its own when it is imported."""
    module = str(site.settings["wsgi"]).partition(":")[0]
    return (
        f"importing {module} starts a web server of its own and never ends, so Gunicorn cannot load the app",
        "Put the call, such as app.run(), below 'if __name__ == \"__main__\":'.",
    )


def _without(library: str) -> str:
    call = "eventlet.monkey_patch()" if library == "eventlet" else "gevent.monkey.patch_all()"
    return (
        f"Remove the call of {call}: the app is served by threads, and Flask-SocketIO has async_mode='threading' for"
        f" them. Or choose another worker, if this version of Gunicorn has it: flask_blog_extra_packages:"
        f' ["gunicorn[{library}]"] and flask_blog_environment: {{GUNICORN_CMD_ARGS: --worker-class {library}}}.'
    )


def plain(line: str) -> str:
    """Return a line of output without the prefixes of journalctl and of gunicorn's log."""
    text = re.sub(r"^\d{4}-\d\d-\d\dT\S+ \S+ [^\s:\[]+(?:\[\d+\])?: ?", "", line)
    return re.sub(r"^\[[\d: +-]+\] \[\d+\] \[\w+\] ", "", text).strip()


def last_line(output: str) -> str:
    """Return the last line that says anything, cut to a length."""
    lines = [line for line in map(plain, output.splitlines()) if line]
    return printable(lines[-1])[:CAUSE_LIMIT] if lines else ""


def of_systemd(lines: str) -> str:
    """Return the last thing that systemd said about a unit that it could not start or whose process ended."""
    said = [match[0] for line in lines.splitlines() if (match := NOT_STARTED.search(line) or EXITED.search(line))]
    failed = [text for text in said if NOT_STARTED.search(text)]
    return (failed or said or [""])[-1][:CAUSE_LIMIT]


def _last(output: str) -> tuple[str, ...]:
    return tuple(line for line in output.splitlines() if line.strip())[-LAST_LINES:]


def before_traceback(output: str) -> tuple[str, ...]:
    """Return the last lines that a command wrote before its first traceback, such as which migration it ran."""
    lines = [line for line in output.splitlines() if line.strip()]
    heads = [number for number, line in enumerate(lines) if line.endswith("Traceback (most recent call last):")]
    return tuple(map(printable, lines[max(0, heads[0] - LINES_BEFORE) : heads[0]])) if heads else ()


def killed_workers(output: str) -> int:
    """Return how many workers were killed without gunicorn's doing, as the kernel does if there is no memory left."""
    own = set(TIMED_OUT.findall(output))
    return sum(pid not in own for pid in KILLED.findall(output))
