"""blogctl talks to systemd and to the app itself."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from blogctl.data import process
from blogctl.errors import HostError, OperationError
from blogctl.host import health, journal, locks, run_as_app, systemd
from blogctl.shared import cage
from blogctl.site import Site


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Stand in for systemd's commands and remember them; one with "bad" in it fails."""
    seen: list[list[str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[Any]:
        seen.append(command)
        failed = "bad" in " ".join(command)
        said: Any = b"MainPID=42\nStatusText=a=b\xe2\x80\xa8\xff\n" if "show" in command else "42\n"
        return subprocess.CompletedProcess(command, int(failed), stdout=said, stderr="it is bad\n" if failed else "")

    monkeypatch.setattr(subprocess, "run", run)
    return seen


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What goes to the journal."""
    lines: list[str] = []
    monkeypatch.setattr(journal, "log", lambda _, text: lines.append(text))
    return lines


def test_systemctl_fails_in_its_own_words(calls: list[list[str]]) -> None:
    systemd.systemctl("start", "good.service")
    with pytest.raises(OperationError, match=r"'systemctl start bad.service' failed: it is bad"):
        systemd.systemctl("start", "bad.service")


def test_units_are_asked_for(calls: list[list[str]]) -> None:
    assert systemd.is_active("good.service")
    assert not systemd.is_active("bad.service")
    assert systemd.main_pid("good.service") == "42"
    found = systemd.properties_of("good.service", "MainPID", "StatusText")
    assert found == {"MainPID": "42", "StatusText": "a=b\u2028\ufffd"}, "a separator of lines ends none"
    assert journal.last_lines("good.service", lines=3) == "42"
    assert "--lines=3" in calls[-1]


def test_a_systemd_that_does_not_answer_is_no_unit_that_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, stdout="", stderr="Failed to connect to bus\n")

    monkeypatch.setattr(subprocess, "run", silent)
    with pytest.raises(HostError, match=r"is-active blog.service' failed: Failed to connect to bus"):
        systemd.is_active("blog.service")


def test_an_operation_starts_what_watches_over_it_anew_and_does_not_wait_for_it(
    site: Site, calls: list[list[str]]
) -> None:
    systemd.start_recovery(site)
    assert calls == [["systemctl", "restart", "--no-block", "blog-recovery.service"]]


def test_a_program_of_a_killed_operation_is_waited_for_and_what_it_starts_is_ended(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may reach systemd only after whoever cleans up has stopped its unit: it is stopped once more then."""
    stopped: list[str] = []
    monkeypatch.setattr(systemd, "stop_transient", lambda *units: stopped.extend(units))
    with locks.claimed(site):
        orphan = subprocess.Popen(["sleep", "60"], pass_fds=locks.inherited())
    systemd.end_orphans(site, 0.2)
    assert stopped.count("blog-command") > 2, "as long as it is there"
    threading.Timer(0.2, orphan.kill).start()
    began = time.monotonic()
    systemd.end_orphans(site, 30)
    assert time.monotonic() - began < 10
    orphan.wait()
    stopped.clear()
    systemd.end_orphans(site, 30)
    assert stopped == ["blog-command", "blog-rehearsal", "blog-data"]


def test_every_program_of_an_operation_shares_its_lock(
    site: Site, calls: list[list[str]], monkeypatch: pytest.MonkeyPatch, add_release: Callable[[str], Path]
) -> None:
    monkeypatch.delenv(process.CONFINED)
    monkeypatch.setattr(cage, "prepare", lambda: None)
    monkeypatch.setattr(cage, "systemd_version", lambda: 252)
    alone: list[Any] = []
    run, popen = subprocess.run, subprocess.Popen

    def remember(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        if not options.get("pass_fds"):
            alone.append(command)
        return run(command, **options)

    def start(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        calls.append(command)
        if not options.get("pass_fds"):
            alone.append(command)
        return popen(["true"], **options)

    monkeypatch.setattr(subprocess, "run", remember)
    monkeypatch.setattr(subprocess, "Popen", start)
    folder = add_release("abc")
    with locks.claimed(site):
        systemd.systemctl("restart", "blog.service")
        systemd.stop_transient("blog-command")
        run_as_app.run(site, folder, "", "migrate", site.path("data"))
        with run_as_app.instance(site, folder, "", site.path("data")):
            pass
        with pytest.raises(HostError), process.working(site, "scan") as work:
            work.finish()
    assert len([command for command in calls if command[0] == "systemd-run"]) == 3
    assert alone == []


def test_an_operation_goes_on_where_nothing_watches_over_it(
    site: Site, calls: list[list[str]], logged: list[str]
) -> None:
    site.settings["name"] = "bad"
    systemd.start_recovery(site)
    assert calls[-1][0] == "systemctl"
    assert logged[-1].startswith("this operation is not recovered if it is killed")


def test_a_line_for_the_journal_says_whose_it_is(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    address = str(tmp_path / "journal")
    monkeypatch.setattr(journal, "SOCKET", address)
    journal.log(site, "nobody listens")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journald:
        journald.bind(address)
        journald.settimeout(5)
        journal.log(site, "one\ntwo")
        entry = journald.recv(65536).decode()
    fields = dict(line.split("=", 1) for line in entry.splitlines())
    assert fields == {
        "MESSAGE": "one | two",
        "PRIORITY": "6",
        "SYSLOG_IDENTIFIER": "blog",
        "OBJECT_SYSTEMD_UNIT": "blog.service",
    }


# -- health ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def shown() -> dict[str, str]:
    """What systemd shows of the running service."""
    return {"MainPID": "42", "StatusText": json.dumps({"pid": 42, "release": "abc"})}


@pytest.fixture
def serving(site: Site, server: Any, shown: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site whose app runs, answers, and says that it serves the release abc."""
    site.settings["bind"] = f"127.0.0.1:{server.port}"
    server.answers = {"/healthz": (200, b"")}
    monkeypatch.setattr(health, "properties_of", lambda *_: shown)
    return site


def test_the_app_is_asked_as_nginx_would_ask(serving: Site, server: Any) -> None:
    assert health.wait_until_served(serving, "abc", 0) is None
    ((path, headers),) = server.asked
    assert path == "/healthz"
    assert headers["Host"] == headers["X-Forwarded-Host"] == "blog.test"
    assert headers["X-Forwarded-Proto"] == "http"


@pytest.mark.parametrize(
    ("status", "healthy"), [(200, True), (204, True), (302, True), (401, False), (404, False), (500, False)]
)
def test_a_page_or_a_redirect_is_healthy(serving: Site, server: Any, status: int, healthy: bool) -> None:
    server.answers = {"/healthz": (status, b"")}
    problem = health.wait_until_served(serving, "abc", 0)
    assert problem == (None if healthy else f"/healthz: answered {status}")


def test_a_healthy_old_process_is_not_taken_for_the_new_release(serving: Site) -> None:
    assert health.wait_until_served(serving, "new", 0) == "the running process serves abc, not new"


def test_a_note_of_a_dead_process_is_no_release(serving: Site, shown: dict[str, str]) -> None:
    shown["MainPID"] = "43"
    assert health.served_release(serving) is None
    assert health.wait_until_served(serving, "abc", 0) == "the running process serves no release, not abc"


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "{",
        "[]",
        '"abc"',
        "null",
        "42",
        '{"pid": 42}',
        '{"pid": 42, "release": ["abc"]}',
        '{"pid": 42, "release": null}',
        '{"release": "abc"}',
        "[" * 100_000,
        "1" * 100_000,
        '{"pid": 42, "release": "abc"} and more',
    ],
    ids=lambda text: str(text)[:40],
)
def test_what_is_no_note_is_no_release(serving: Site, shown: dict[str, str], text: str | None) -> None:
    del shown["StatusText"]
    if text is not None:
        shown["StatusText"] = text
    assert health.served_release(serving) is None


def test_a_note_of_a_service_that_does_not_run_is_no_release(serving: Site, shown: dict[str, str]) -> None:
    shown.update(MainPID="0", StatusText=json.dumps({"pid": 0, "release": "abc"}))
    assert health.served_release(serving) is None


def test_nothing_in_the_apps_folders_says_what_is_served(serving: Site, shown: dict[str, str]) -> None:
    """A FIFO in the place of a note in /run/NAME hung blogctl and the playbook."""
    os.mkfifo(serving.path("run_directory") / "served.json")
    assert health.served_release(serving) == "abc"


def test_an_app_that_does_not_listen_is_said_to_give_no_answer(serving: Site) -> None:
    serving.settings["bind"] = "127.0.0.1:1"
    problem = health.wait_until_served(serving, "abc", 0)
    assert problem is not None
    assert problem.startswith("/healthz: no answer: ")


def test_an_app_that_needs_a_moment_gets_it(serving: Site, server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server.answers = {"/healthz": (503, b"")}
    monkeypatch.setattr(health.time, "sleep", lambda _: server.answers.update({"/healthz": (200, b"")}))
    assert health.wait_until_served(serving, "abc", 5) is None
    assert len(server.asked) == 2


def test_a_body_without_an_end_is_not_read(serving: Site) -> None:
    """It took 3 GB of root's memory within 4 seconds."""
    sent = [0]
    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving.settings["bind"] = f"127.0.0.1:{listening.getsockname()[1]}"

        def answer() -> None:
            connection, _ = listening.accept()
            with connection, contextlib.suppress(OSError):
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                while sent[0] < 64 << 20:
                    sent[0] += connection.send(b"x" * 65536)

        thread = threading.Thread(target=answer)
        thread.start()
        assert health.ask(serving, 5).is_healthy
        thread.join()
    assert sent[0] < 16 << 20, "what the kernel holds, and no more"


@pytest.mark.parametrize(
    ("shown", "seconds_ago"),
    [("{now}", 0.0), ("{past}", 60.0), ("0", None), ("", None), ("n/a", None), ("-5", None)],
)
def test_the_start_of_a_process_is_systemds_and_unknown_without_one(
    shown: str, seconds_ago: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = int(time.monotonic() * 1e6)
    text = shown.format(now=now, past=now - 60_000_000)
    monkeypatch.setattr(systemd, "properties_of", lambda *_: {"ExecMainStartTimestampMonotonic": text})
    found = systemd.started_at("blog.service")
    assert found == 0.0 if seconds_ago is None else abs(time.time() - seconds_ago - found) < 1.0


# -- the scheme -------------------------------------------------------------------------------------------------------


def test_the_app_is_told_the_scheme_of_the_site(serving: Site, server: Any) -> None:
    serving.settings["scheme"] = "https"
    health.ask(serving, 5)
    assert server.asked[-1][1]["X-Forwarded-Proto"] == "https"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize(
    "location", ["https://blog.test/healthz", "https://blog.test:443/healthz", "HTTPS://Blog.Test/healthz?x"]
)
def test_an_app_that_forces_another_scheme_is_not_healthy(
    serving: Site, server: Any, status: int, location: str
) -> None:
    """Such an app answers like this whatever is broken behind it."""
    server.answers = {"/healthz": (status, b"")}
    server.locations = {"/healthz": location}
    problem = health.wait_until_served(serving, "abc", 0)
    assert problem == "/healthz: redirects to https, which this site does not serve"


@pytest.mark.parametrize(
    "location",
    [
        *("/login", "/healthz", "http://blog.test/healthz", "https://blog.test/login", "https://other.test/healthz"),
        *("//blog.test/healthz", "", "http://[", "https://blog.test:port/other"),
    ],
)
def test_a_redirect_to_another_page_is_healthy(serving: Site, server: Any, location: str) -> None:
    server.answers = {"/healthz": (302, b"")}
    server.locations = {"/healthz": location}
    assert health.wait_until_served(serving, "abc", 0) is None


def test_a_redirect_to_the_scheme_of_the_site_is_healthy(serving: Site, server: Any) -> None:
    serving.settings["scheme"] = "https"
    server.answers = {"/healthz": (301, b"")}
    server.locations = {"/healthz": "https://blog.test/healthz"}
    assert health.wait_until_served(serving, "abc", 0) is None
    server.locations = {"/healthz": "http://blog.test/healthz"}
    problem = health.wait_until_served(serving, "abc", 0)
    assert problem == "/healthz: redirects to http, which this site does not serve"
