"""blogctl talks to systemd and to the app itself."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from blogctl.data import process
from blogctl.errors import HostError, OperationError
from blogctl.host import journal, locks, run_as_app, systemd
from blogctl.shared import cage
from blogctl.site import Site


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Stand in for systemd's commands and remember them; one with "bad" in it fails."""
    seen: list[list[str]] = []

    def run(command: list[str], *, check: bool = False, **_: Any) -> subprocess.CompletedProcess[Any]:
        seen.append(command)
        failed = "bad" in " ".join(command)
        if failed and check:
            raise subprocess.CalledProcessError(1, command)
        said: Any = b"MainPID=42\nStatusText=a=b\xe2\x80\xa8\xff\n" if "show" in command else "42\n"
        return subprocess.CompletedProcess(command, int(failed), stdout=said, stderr="it is bad\n" if failed else "")

    monkeypatch.setattr(subprocess, "run", run)
    return seen


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines for the journal."""
    lines: list[str] = []
    monkeypatch.setattr(journal, "log", lambda _, text: lines.append(text))
    return lines


def test_systemctl_fails_in_its_own_words(calls: list[list[str]]) -> None:
    systemd.systemctl("start", "good.service")
    with pytest.raises(OperationError, match=r"'systemctl start bad.service' failed: it is bad"):
        systemd.systemctl("start", "bad.service")


def test_a_unit_that_fails_without_a_word_is_reported_with_how_it_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[Any]:
        if "show" in command:
            return subprocess.CompletedProcess(command, 0, stdout=b"Result=exit-code\nExecMainStatus=203\n")
        return subprocess.CompletedProcess(command, 1, stdout="", stderr="")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(OperationError) as failure:
        systemd.systemctl("start", "--no-block", "blog.service")
    assert str(failure.value) == (
        "'systemctl start --no-block blog.service' failed: it wrote nothing and ended with status 1"
        " (blog.service: exit-code, status 203)"
    )


def test_units_are_asked_for(calls: list[list[str]]) -> None:
    assert systemd.is_active("good.service")
    assert not systemd.is_active("bad.service")
    assert systemd.main_pid("good.service") == "42"
    found = systemd.properties_of("good.service", "MainPID", "StatusText")
    assert found == {"MainPID": "42", "StatusText": "a=b\u2028\ufffd"}, "a separator of lines ends none"


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


@pytest.mark.usefixtures("descriptors")
def test_a_program_of_a_killed_operation_is_waited_for_and_what_it_starts_is_ended(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The start may reach systemd after the cleanup has stopped the unit, which is therefore stopped again."""
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


def test_only_transient_units_that_systemd_knows_are_stopped(
    calls: list[list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """To ask systemd about the others takes as long, several times for each release."""
    monkeypatch.setattr(systemd, "TRANSIENT", str(tmp_path))
    systemd.stop_transient("blog-command", "blog-data")
    assert calls == []
    (tmp_path / "blog-data.service").touch()
    systemd.stop_transient("blog-command", "blog-data")
    assert calls == [["systemctl", "stop", "blog-data.service"], ["systemctl", "reset-failed", "blog-data.service"]]


def test_every_program_of_an_operation_shares_its_lock(
    site: Site,
    calls: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
    add_release: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    monkeypatch.delenv(process.CONFINED)
    monkeypatch.setattr(systemd, "TRANSIENT", str(tmp_path))
    (tmp_path / "blog-command.service").touch()
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


# -- health ---------------------------------------------------------------------------------------------------------


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
