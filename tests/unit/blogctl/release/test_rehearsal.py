"""A release is rehearsed without visitors: its instance's report decides, and missing servers are named."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from blogctl.data import folder as data_folder
from blogctl.data.folder import Skipped
from blogctl.errors import HostError, OperationError
from blogctl.host import journal, run_as_app
from blogctl.release import data_change, failures, rehearsal
from blogctl.site import Site

Add = Callable[[str], Path]


class Said:
    """An instance's output: lines at once, and then its end or silence."""

    def __init__(self, lines: list[str], silent: bool) -> None:
        self._left, self._all, self._silent = list(lines), lines, silent

    def lines(self, seconds: float) -> Iterator[str]:
        """Yield what is left; then wait for the time to be up, if it stays silent."""
        while self._left:
            yield self._left.pop(0)
        if self._silent:
            time.sleep(seconds)

    def text(self) -> str:
        """Return everything."""
        return "\n".join(self._all)


@pytest.fixture
def instance(site: Site, add_release: Add, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Path]]:
    """Have the instance of the release abc say something; returns the places that it finds its data in."""
    add_release("abc")
    site.settings["activation_timeout"] = 5
    monkeypatch.setattr(rehearsal, "OUTPUT_TIMEOUT", 0.1)
    said = "2026-11-27T02:32:25+00:00 h (gunicorn)[9]: blog-rehearsal.service: Failed at step EXEC spawning x: no"
    monkeypatch.setattr(journal, "last_lines", lambda *_: said)

    def say(*lines: str, silent: bool = True) -> list[Path]:
        places: list[Path] = []

        @contextlib.contextmanager
        def start(_: Site, folder: Path, _root: str, place: Path, _paths: object) -> Iterator[tuple[None, Said]]:
            assert folder.name == "abc"
            places.append(place)
            yield None, Said(list(lines), silent)

        monkeypatch.setattr(run_as_app, "instance", start)
        return places

    return say


BOOT = "[2026-01-01 03:00:00 +0000] [7] [INFO] Booting worker with pid: 9"
READY = "[2026-01-01 03:00:01 +0000] [9] [INFO] is ready: /healthz answered"


def test_an_instance_that_is_ready_is_waited_for_no_longer(site: Site, instance: Any) -> None:
    places = instance(BOOT, READY)
    began = time.monotonic()
    rehearsal.prove(site, "abc", site.path("data"))
    assert time.monotonic() - began < 2
    assert places == [site.path("data")]


def test_an_instance_that_refuses_itself_is_refused_with_its_reason_and_all_that_it_said(
    site: Site, instance: Any
) -> None:
    instance(BOOT, "[9] [ERROR] takes no request: /: answered 500", "Traceback: no such table: post")
    began = time.monotonic()
    with pytest.raises(OperationError, match=r"^/: answered 500\nIts output:\n") as failure:
        rehearsal.prove(site, "abc", site.path("data"))
    assert time.monotonic() - began < 2
    assert "no such table: post" in str(failure.value), "it comes after the reason"


def test_an_instance_that_ends_is_not_waited_for(site: Site, instance: Any) -> None:
    instance(BOOT, "ModuleNotFoundError: No module named 'blog'", silent=False)
    began = time.monotonic()
    with pytest.raises(OperationError, match=r"^/healthz: it ended by itself\n(.|\n)*No module named 'blog'"):
        rehearsal.prove(site, "abc", site.path("data"))
    assert time.monotonic() - began < 2


def test_an_instance_that_is_silent_until_the_time_is_up_is_refused_with_what_systemd_says_of_it(
    site: Site, instance: Any
) -> None:
    site.settings["activation_timeout"] = 0.2
    instance()
    with pytest.raises(OperationError, match=r"^/healthz: no answer within 0.2 s: Failed at step EXEC spawning x: no$"):
        rehearsal.prove(site, "abc", site.path("data"))


# -- a rehearsal ------------------------------------------------------------------------------------------------------


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path]]:
    """Commands, and where they found the data; one called "write" writes."""
    commands: list[tuple[str, Path]] = []

    def run(_: Site, _folder: Path, _root: str, command: str, place: Path) -> str:
        commands.append((command, place))
        if command == "write":
            (place / "new.txt").write_text("new")
        if command.startswith("fail: "):
            raise OperationError(f"the command '{command}' failed (status 1):\n{command[6:]}")
        return ""

    monkeypatch.setattr(run_as_app, "run", run)
    return commands


@pytest.mark.parametrize(("command", "changed"), [("read", False), ("write", True)])
def test_a_rehearsal_works_on_a_copy_of_the_apps_that_is_removed_and_says_whether_it_changed(
    site: Site,
    instance: Any,
    ran: list[tuple[str, Path]],
    command: str,
    changed: bool,
    me: Any,
    ownerless: list[tuple[str, int, int]],
) -> None:
    (site.path("data") / "old.txt").write_text("old")
    places = instance(READY)
    copy = site.path("rehearsal")
    assert rehearsal.rehearse(site, "abc", [command]) is changed
    assert ran == [(command, copy)]
    assert places == [copy]
    assert ownerless[0] == (str(copy), me.uid, me.gid)
    assert not copy.exists()
    assert [path.name for path in site.path("data").iterdir()] == ["old.txt"]


def test_a_copy_that_a_killed_rehearsal_left_is_removed_and_a_link_in_its_place_is_not_followed(
    site: Site, instance: Any, tmp_path: Path
) -> None:
    copy = site.path("rehearsal")
    (copy / "closed").mkdir(parents=True)
    (copy / "closed" / "half").touch()
    (copy / "closed").chmod(0)
    rehearsal.remove_copy(site)
    assert not copy.exists()
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    copy.symlink_to(tmp_path / "precious")
    rehearsal.remove_copy(site)
    assert (tmp_path / "precious" / "file").exists()


@pytest.mark.usefixtures("ran")
def test_a_rehearsal_that_fails_leaves_no_copy_and_names_the_command(site: Site, instance: Any) -> None:
    instance(READY)
    with pytest.raises(OperationError, match=r"^The rehearsal of abc failed; the live site was not touched: the comm"):
        rehearsal.rehearse(site, "abc", ["fail: no such table: post"])
    assert not site.path("rehearsal").exists()


def test_data_that_cannot_be_copied_is_the_hosts_failure_and_marks_no_release(
    site: Site, instance: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise HostError("No space left on device: 9 MiB are needed and 1 MiB are free")

    instance(READY)
    monkeypatch.setattr(data_folder, "copy", full)
    with pytest.raises(OperationError, match="the data cannot be copied for it: No space left") as failure:
        rehearsal.rehearse(site, "abc", [])
    assert failures.is_of_host(failure.value, site)
    assert not site.path("rehearsal").exists()


def test_what_is_not_in_the_copy_is_told_to_the_journal(
    site: Site, instance: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[str] = []
    instance(READY)
    monkeypatch.setattr(journal, "log", lambda _, text: logged.append(text))
    monkeypatch.setattr(data_folder, "copy", lambda *_: ("", Skipped({"a.db": "damaged"})))
    rehearsal.rehearse(site, "abc", [])
    assert logged == ["the rehearsal works with a part of the data: a.db: damaged"]


# -- what is out of reach ---------------------------------------------------------------------------------------------


def error_of(action: Callable[[], object]) -> str:
    """Return the traceback of a failing action."""
    with pytest.raises(OSError) as failure:  # noqa: PT011
        action()
    return f"{type(failure.value).__name__}: {failure.value}"


UNREACHABLE = {
    "psycopg, TCP": 'connection to server at "127.0.0.1", port 5432 failed: Connection refused\n\tIs the server',
    "psycopg, socket": 'connection to server on socket "/var/run/postgresql/.s.PGSQL.5432" failed: No such file or'
    " directory",
    "psycopg2, old": 'could not connect to server: No such file or directory\n\tIs the server "/tmp/.s.PGSQL.5432"',
    "psycopg, name": 'could not translate host name "db" to address: Temporary failure in name resolution',
    "psycopg 3, name": "[Errno -3] Temporary failure in name resolution",
    "psycopg, route": 'connection to server at "10.0.0.5", port 5432 failed: Network is unreachable',
    "redis, TCP": "redis.exceptions.ConnectionError: Error 111 connecting to localhost:6379. Connection refused.",
    "redis, name": "redis.exceptions.ConnectionError: Error -2 connecting to redis:6379. Name or service not known.",
    "redis, socket": "redis.exceptions.ConnectionError: Error 2 connecting to unix socket: /run/redis/redis.sock."
    " No such file or directory.",
    "PyMySQL": "pymysql.err.OperationalError: (2003, \"Can't connect to MySQL server on '127.0.0.1' ([Errno 111]"
    ' Connection refused)")',
    "mysqlclient, socket": "MySQLdb.OperationalError: (2002, \"Can't connect to local MySQL server through socket"
    " '/run/mysqld/mysqld.sock' (2)\")",
    "MariaDB, socket": "(2002, \"Can't connect to local server through socket '/run/mysqld/mysqld.sock' (2)\")",
    "MariaDB, TCP": "(2002, \"Can't connect to server on '127.0.0.1' (115)\")",
    "requests": "HTTPSConnectionPool(host='api.test', port=443): Max retries exceeded with url: / (Caused by"
    " NewConnectionError('<urllib3.connection.HTTPSConnection object at 0x7f>: Failed to establish a new"
    " connection: [Errno -3] Temporary failure in name resolution'))",
    "requests, address": "NewConnectionError('<urllib3.connection.HTTPConnection object at 0x7f>: Failed to establish a"
    " new connection: [Errno 101] Network is unreachable')",
    "urllib3 2, name": 'NameResolutionError("<urllib3.connection.HTTPSConnection object at 0x7f>: Failed to resolve'
    " 'api.test' ([Errno -3] Temporary failure in name resolution)\")",
    "urllib": "urllib.error.URLError: <urlopen error [Errno -2] Name or service not known>",
    "pymongo": "pymongo.errors.ServerSelectionTimeoutError: localhost:27017: [Errno 111] Connection refused",
    "smtplib": "OSError: [Errno 99] Cannot assign requested address",
    "asyncpg": "OSError: Multiple exceptions: [Errno 111] Connect call failed ('::1', 5432, 0, 0)",
    "time": "TimeoutError: [Errno 110] Connection timed out",
    "no address": "socket.gaierror: [Errno -5] No address associated with hostname",
    "here, TCP": error_of(lambda: socket.create_connection(("127.0.0.1", 1), 1)),
    "here, socket": f"connecting to /run/x.sock: {error_of(lambda: socket.socket(socket.AF_UNIX).connect('/x.sock'))}",
}
REACHABLE = [
    "ModuleNotFoundError: No module named 'blog'",
    "sqlite3.OperationalError: no such table: post",
    "sqlite3.OperationalError: unable to open database file",
    "FileNotFoundError: [Errno 2] No such file or directory: '/var/lib/blog/uploads/cat.jpg'",
    "jinja2.exceptions.TemplateNotFound: index.html",
    "PermissionError: [Errno 13] Permission denied: '/opt/blog/releases/abc/x'",
    "KeyError: 'SECRET_KEY'",
    "werkzeug.routing.exceptions.BuildError: Could not build url for endpoint 'post'",
    "AssertionError: 111 != 101",
    "OSError: [Errno 28] No space left on device",
    "OSError: [Errno 1111] no such error",
    "RuntimeError: The session is unavailable because no secret key was set.",
    '  File "/opt/blog/venvs/1/lib/python3.11/site-packages/flask/app.py", line 1498, in __call__',
    "/healthz: answered 500",
]


@pytest.mark.parametrize("kind", UNREACHABLE)
def test_a_server_that_is_out_of_reach_is_recognised(kind: str) -> None:
    assert rehearsal.UNREACHABLE.search(UNREACHABLE[kind])


@pytest.mark.parametrize("words", REACHABLE)
def test_an_ordinary_failure_is_none_of_the_network(words: str) -> None:
    assert not rehearsal.UNREACHABLE.search(words)


@pytest.mark.usefixtures("ran")
def test_a_rehearsal_that_fails_without_the_network_names_the_choices(site: Site, instance: Any) -> None:
    instance(READY)
    with pytest.raises(OperationError) as failure:
        rehearsal.rehearse(site, "abc", [f"fail: {UNREACHABLE['psycopg, TCP']}"])
    message = str(failure.value)
    for choice in ("flask_blog_rehearsal_environment", "flask_blog_rehearse: start", "flask_blog_rehearse: false"):
        assert choice in message
    with pytest.raises(OperationError) as failure:
        rehearsal.rehearse(site, "abc", ["fail: no such table"])
    assert "flask_blog_rehearse" not in str(failure.value)


# -- what no message may claim ----------------------------------------------------------------------------------------


def test_no_message_claims_that_another_servers_data_is_as_it_was(role: Path) -> None:
    """Each sentence about unchanged data names which data it means."""
    claim = re.compile(r"[^.\"]*\bas it was[^.]*", re.IGNORECASE)
    claims = [
        found
        for path in (role / "files" / "blogctl").rglob("*.py")
        for found in claim.findall(path.read_text(encoding="utf-8"))
        if "data" in found.lower() and "#" not in found
    ]
    assert len(claims) == 1
    assert "as far as it lies in the data folder's databases" in data_change.DATA_RESTORED
    assert "another server, such as PostgreSQL, is not undone" in " ".join(data_change.DATA_RESTORED.split())


def test_a_failed_rehearsal_claims_nothing_of_the_data(site: Site, instance: Any) -> None:
    instance("takes no request: /: answered 500")
    with pytest.raises(OperationError) as failure:
        rehearsal.rehearse(site, "abc", [])
    assert "as it was" not in str(failure.value)
