"""Nobody waits for an instance that cannot start."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from blogctl.host import health, journal, memory, systemd
from blogctl.host.watch import Watch
from blogctl.site import Site

KILLED = "[7] [ERROR] Worker (pid:{}) was sent SIGKILL! Perhaps out of memory?"
TIMEOUT = "[7] [CRITICAL] WORKER TIMEOUT (pid:9)"


@pytest.fixture
def watch(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Watch]:
    """Watch an instance in a state and with an output: watch(output, SubState=...)."""

    def make(output: str = "", restarts: int = 0, **state: str) -> Watch:
        monkeypatch.setattr(systemd, "properties_of", lambda *_: {"SubState": "running", "NRestarts": "0", **state})
        monkeypatch.setattr(journal, "lines_since", lambda *_: output)
        monkeypatch.setattr(journal, "sync", lambda: None)
        found = Watch(site, "blog.service", "s=1", tmp_path, restarts)
        found._next = 0.0
        return found

    return make


@pytest.mark.parametrize(
    ("output", "state", "problem"),
    [
        ("", {}, ""),
        ("", {"SubState": "start-pre"}, ""),
        ("", {"SubState": "auto-restart"}, "it ended by itself"),
        ("", {"SubState": "failed"}, "it ended by itself"),
        ("", {"NRestarts": "47"}, ""),
        ("[8] [ERROR] takes no request: /: answered 500", {}, "/: answered 500"),
        (" * Serving Flask app 'app'", {}, "no answer"),
        ("[ERROR] gevent has replaced Python's threads, with which Gunicorn serves the app", {}, "no answer"),
        (KILLED.format(8), {}, ""),
        (f"{KILLED.format(8)}\n{KILLED.format(9)}", {}, "its workers were killed one after the other"),
        (f"{TIMEOUT}\n{KILLED.format(9)}", {}, "a worker did not finish loading the app within"),
    ],
)
def test_an_instance_that_cannot_start_is_known_by_its_state_and_its_output(
    watch: Callable[..., Watch], output: str, state: dict[str, str], problem: str
) -> None:
    assert watch(output, **state).problem().startswith(problem)
    assert bool(watch(output, **state).problem()) == bool(problem)


def test_a_start_that_may_fail_once_is_waited_for(watch: Callable[..., Watch]) -> None:
    assert watch(restarts=1, SubState="auto-restart").problem() == ""


@pytest.mark.parametrize(("before", "after", "ended"), [("0", "1", True), ("47", "0", False), ("47", "48", True)])
def test_a_start_by_systemd_counts_if_it_is_one_of_this_instance(
    watch: Callable[..., Watch], monkeypatch: pytest.MonkeyPatch, before: str, after: str, ended: bool
) -> None:
    found = watch(NRestarts=before)
    assert found.problem() == ""
    monkeypatch.setattr(systemd, "properties_of", lambda *_: {"SubState": "running", "NRestarts": after})
    found._next = 0.0
    assert found.problem() == ("it ended by itself" if ended else "")


def test_it_looks_no_more_often_than_once_in_a_while(watch: Callable[..., Watch]) -> None:
    found = watch(SubState="failed")
    found._next = time.monotonic() + 60
    assert found.problem() == ""


def test_memory_of_a_unit_that_is_gone_is_counted_with_all_services(
    watch: Callable[..., Watch], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "of_unit", lambda _: memory.Events())
    monkeypatch.setattr(memory, "of_services", lambda: memory.Events(oom=5, kills=2))
    found = watch(f"{KILLED.format(8)}\n{KILLED.format(9)}")
    found.counted = memory.Events(oom=5, kills=1)
    assert "the host ran out of memory" in found.diagnose().cause, "no limit was reached since then"
    found.counted = memory.Events(oom=4, kills=1)
    assert "flask_blog_memory_max" in found.diagnose().cause or not found.site.settings["sandbox"].get("MemoryMax")


def test_the_kernels_counters_are_read_for_a_unit_and_for_all_services(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = tmp_path / "cgroup" / "machine" / "system.slice"
    (group / "blog.service").mkdir(parents=True)
    (group / "memory.events").write_text("low 0\nhigh 3\nmax 9\noom 4\noom_kill 2\noom_group_kill 0\n")
    (group / "blog.service" / "memory.events").write_text("oom 1\noom_kill 1\n")
    (tmp_path / "init").write_text("0::/machine/init.scope\n")
    monkeypatch.setattr(memory, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(memory, "INIT", tmp_path / "init")
    assert memory.of_services() == memory.Events(oom=4, kills=2)
    monkeypatch.setattr(memory, "properties_of", lambda *_: {"ControlGroup": "/machine/system.slice/blog.service"})
    assert memory.of_unit("blog.service") == memory.Events(oom=1, kills=1)
    monkeypatch.setattr(memory, "properties_of", lambda *_: {"ControlGroup": ""})
    assert memory.of_unit("blog.service") == memory.Events()
    (group / "memory.events").write_text("what is this\n")
    assert memory.of_services() == memory.Events()


# -- waiting ----------------------------------------------------------------------------------------------------------


def answers(monkeypatch: pytest.MonkeyPatch, *found: health.Answer) -> None:
    left: queue.SimpleQueue[health.Answer] = queue.SimpleQueue()
    for one in found:
        left.put(one)
    monkeypatch.setattr(health, "ask", lambda *_, **__: left.get())
    monkeypatch.setattr(health, "served_release", lambda _: "new")


def test_a_request_that_nobody_answers_does_not_hold_up_the_watch(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch)
    began = time.monotonic()
    assert health.wait_until_served(site, "new", 60, lambda: "it ended by itself") == "/healthz: it ended by itself"
    assert time.monotonic() - began < 5
    assert [one for one in threading.enumerate() if one.daemon], "the request still waits, and ends with the process"


def test_an_error_of_the_release_itself_ends_the_wait_and_one_of_an_app_that_is_not_ready_does_not(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    well = health.Answer(200, "answered 200", "main new")
    answers(monkeypatch, health.Answer(500, "answered 500", "main new"))
    assert health.wait_until_served(site, "new", 60, lambda: "") == "/healthz: answered 500"
    answers(monkeypatch, health.Answer(404, "answered 404", "main new"))
    assert health.wait_until_served(site, "new", 60, lambda: "") == "/healthz: answered 404"
    answers(monkeypatch, health.Answer(503, "answered 503", "main new"), well)
    assert health.wait_until_served(site, "new", 60, lambda: "") is None
    answers(monkeypatch, health.Answer(500, "answered 500", "main old"), well)
    assert health.wait_until_served(site, "new", 60, lambda: "") is None, "another release answered"
    answers(monkeypatch, health.Answer(500, "answered 500", "main new"), well)
    assert health.wait_until_served(site, "new", 60) is None, "a release that is restored has all of its time"
