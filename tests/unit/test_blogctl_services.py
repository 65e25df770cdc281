"""blogctl talks to systemd and to the app itself."""

from __future__ import annotations

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
from blogctl import health, services
from blogctl.site import HostError, OperationError, Site


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Stand in for systemd's commands and remember them; one with "bad" in it fails."""
    seen: list[list[str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        seen.append(command)
        failed = "bad" in " ".join(command)
        return subprocess.CompletedProcess(command, int(failed), stdout="42\n", stderr="it is bad\n" if failed else "")

    class Process:
        """What Popen gives: it says two lines and ends."""

        def __init__(self, command: list[str], **_: Any) -> None:
            result = run(command)
            self.stdout = iter(["41\n", result.stdout])
            self.returncode = result.returncode

        def __enter__(self) -> Process:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(subprocess, "Popen", Process)
    return seen


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What goes to the journal."""
    lines: list[str] = []
    monkeypatch.setattr(services, "log", lambda _, text: lines.append(text))
    return lines


def test_systemctl_fails_in_its_own_words(calls: list[list[str]]) -> None:
    services.systemctl("start", "good.service")
    with pytest.raises(OperationError, match=r"'systemctl start bad.service' failed: it is bad"):
        services.systemctl("start", "bad.service")


def test_units_are_asked_for(calls: list[list[str]]) -> None:
    assert services.is_active("good.service")
    assert not services.is_active("bad.service")
    assert services.main_pid("good.service") == "42"
    assert services.journal("good.service", lines=3) == "42"
    assert "--lines=3" in calls[-1]


def test_a_systemd_that_does_not_answer_is_no_unit_that_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, stdout="", stderr="Failed to connect to bus\n")

    monkeypatch.setattr(subprocess, "run", silent)
    with pytest.raises(HostError, match=r"is-active blog.service' failed: Failed to connect to bus"):
        services.is_active("blog.service")


def test_an_operation_starts_what_watches_over_it_anew_and_does_not_wait_for_it(
    site: Site, calls: list[list[str]]
) -> None:
    services.watch(site)
    assert calls == [["systemctl", "restart", "--no-block", "blog-recovery.service"]]


def test_a_program_of_a_killed_operation_is_waited_for_and_what_it_starts_is_ended(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may reach systemd only after whoever cleans up has stopped its unit: it is stopped once more then."""
    stopped: list[str] = []
    monkeypatch.setattr(services, "stop_transient", stopped.append)
    with services.claimed(site):
        orphan = subprocess.Popen(["sleep", "60"], pass_fds=services._inherited)
    services.end_orphans(site, 0.2)
    assert stopped.count("blog-command") > 2, "as long as it is there"
    threading.Timer(0.2, orphan.kill).start()
    began = time.monotonic()
    services.end_orphans(site, 30)
    assert time.monotonic() - began < 10
    orphan.wait()
    stopped.clear()
    services.end_orphans(site, 30)
    assert stopped == ["blog-command", "blog-rehearsal"]


def test_every_program_of_an_operation_shares_its_lock(
    site: Site, calls: list[list[str]], monkeypatch: pytest.MonkeyPatch, add_release: Callable[[str], Path]
) -> None:
    shared: list[Any] = []
    run = subprocess.run

    def remember(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        if not options.get("pass_fds") and command[:2] != ["systemd-cat", "--identifier=blog"]:
            shared.append(command)
        return run(command, **options)

    monkeypatch.setattr(subprocess, "run", remember)
    folder = add_release("abc")
    with services.claimed(site):
        services.systemctl("restart", "blog.service")
        services.stop_transient("blog-command")
        services.run_as_app(site, folder, "", "migrate", site.path("data"))
        services.start_transient(site, "blog-rehearsal", folder, site.path("data"), {}, {}, ["gunicorn"])
    assert shared == []


def test_an_operation_goes_on_where_nothing_watches_over_it(
    site: Site, calls: list[list[str]], logged: list[str]
) -> None:
    site.settings["name"] = "bad"
    services.watch(site)
    assert calls[-1][0] == "systemctl"
    assert logged[-1].startswith("nothing watches over this operation")


def test_a_command_runs_as_the_app_with_its_limits_and_the_data_it_is_given(
    site: Site, calls: list[list[str]], logged: list[str], add_release: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = add_release("abc")
    assert services.run_as_app(site, folder, "src", "flask db upgrade", tmp_path / "staging") == "41\n42"
    assert logged[:3] == ["runs the command: flask db upgrade", "41", "42"]
    assert logged[3].startswith("the command ended well after 0.0 s")
    (command,) = [call for call in calls if call[0] == "systemd-run"]
    assert calls.index(["systemctl", "stop", "blog-command.service"]) < calls.index(command), "one that was left over"
    assert "--unit=blog-command" in command
    assert command[-3:] == ["/bin/sh", "-c", "flask db upgrade"]
    assert f"--property=User={site.settings['user']}" in command
    assert f"--property=BindPaths={tmp_path}/staging:{site.settings['data']}" in command
    assert "--description=What blogctl runs as blog" in command, "not the command, which may have lines"
    for name, value in site.settings["sandbox"].items():
        assert f"--property={name}={value}" in command
    assert "--property=RuntimeMaxSec=5" in command
    assert "--property=TimeoutStopSec=10" in command, "one that does not heed SIGTERM would have 90 s"
    assert f"--setenv=PYTHONPATH={folder}/src" in command
    assert "--setenv=FLASK_BLOG_RELEASE=abc" in command


def test_a_command_that_fails_shows_what_it_said(
    site: Site, calls: list[list[str]], logged: list[str], add_release: Callable[[str], Path], tmp_path: Path
) -> None:
    with pytest.raises(OperationError, match=r"the command 'bad command' failed \(status 1\):\n41\n42"):
        services.run_as_app(site, add_release("abc"), "", "bad command", tmp_path)
    assert logged[-1] == "the command failed (status 1): bad command"


def test_a_command_whose_time_is_up_is_said_to_be_ended_for_that(
    site: Site, calls: list[list[str]], logged: list[str], add_release: Callable[[str], Path], tmp_path: Path
) -> None:
    site.settings["command_timeout"] = 0
    with pytest.raises(OperationError, match=r"took longer than flask_blog_command_timeout, 0 s, and was ended:\n41"):
        services.run_as_app(site, add_release("abc"), "", "bad command", tmp_path)


def test_a_command_that_somebody_runs_ends_with_blogctl(
    site: Site, calls: list[list[str]], add_release: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, unit = add_release("abc"), f"blog-run-{os.getpid()}"
    assert services.attach_as_app(site, folder, "", ["flask", "shell"], 1) == 0
    assert f"--unit={unit}" in calls[-1]
    assert calls[-1][-3:] == ["/usr/bin/env", "flask", "shell"]
    stopped: list[str] = []

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "run", interrupt)
    monkeypatch.setattr(services, "stop_transient", stopped.append)
    with pytest.raises(KeyboardInterrupt):
        services.attach_as_app(site, folder, "", ["flask", "shell"], 1)
    assert stopped == [unit]


def test_a_line_for_the_journal_says_whose_it_is(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    address = str(tmp_path / "journal")
    monkeypatch.setattr(services, "JOURNAL", address)
    services.log(site, "nobody listens")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journald:
        journald.bind(address)
        journald.settimeout(5)
        services.log(site, "one\ntwo")
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
def serving(site: Site, server: Any, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site whose app runs, answers, and says that it serves the release abc."""
    site.settings["bind"] = f"127.0.0.1:{server.port}"
    server.answers = {"/healthz": (200, b"")}
    (site.path("run_directory") / "served.json").write_text(json.dumps({"pid": 42, "release": "abc"}))
    monkeypatch.setattr(health, "main_pid", lambda _: "42")
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


def test_a_note_of_a_dead_process_is_no_release(serving: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "main_pid", lambda _: "43")
    assert health.served_release(serving) is None
    assert health.wait_until_served(serving, "abc", 0) == "the running process serves no release, not abc"


@pytest.mark.parametrize("text", [None, "{", ""])
def test_no_note_is_no_release(serving: Site, text: str | None) -> None:
    note = serving.path("run_directory") / "served.json"
    note.unlink()
    if text is not None:
        note.write_text(text)
    assert health.served_release(serving) is None


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
