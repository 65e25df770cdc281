"""No operation waits longer than it may for an instance, and it learns what was wrong last."""

from __future__ import annotations

import contextlib
import itertools
import signal
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
from blogctl.host import health
from blogctl.site import Site

SILENT = health.Answer(0, "no answer: refused")
OTHER = health.Answer(200, "answered 200", "main old")
SICK = health.Answer(503, "answered 503", "next new")
WELL = health.Answer(200, "answered 200", "next new")

#: More requests than any of these tests needs, so that a wait without an end fails.
ENDLESS = 10_000


@dataclass
class World:
    """A clock that only sleeps and answers move, and the answers of the app, the last of which repeats."""

    answers: Iterator[health.Answer] = field(default_factory=lambda: iter([]))
    last: health.Answer = SILENT
    takes_all_the_time: bool = False
    now: float = 1000.0
    timeouts: list[float] = field(default_factory=list)
    checked: list[float] = field(default_factory=list)
    runs: bool = True

    def ask(self, _: Site, timeout: float) -> health.Answer:
        self.timeouts.append(timeout)
        assert len(self.timeouts) < ENDLESS, "the wait has no end"
        self.now += timeout if self.takes_all_the_time else 0
        self.last = next(self.answers, self.last)
        return self.last

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def is_active(self, _: str) -> bool:
        self.checked.append(self.now)
        return self.runs


Wait = Callable[..., str | None]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr(health, "time", SimpleNamespace(monotonic=lambda: made.now, sleep=made.sleep))
    monkeypatch.setattr(health, "ask", made.ask)
    monkeypatch.setattr(health, "is_active", made.is_active)
    return made


@pytest.fixture
def wait(site: Site, world: World) -> Wait:
    """Wait for the instance C(next) of the release C(new), with these answers."""

    def run(*answers: health.Answer, seconds: float = 10, unit: str = "") -> str | None:
        world.answers = iter(answers)
        return health.wait_for_instance(site, "next", "new", seconds, unit)

    return run


@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        ([SILENT], "no answer: refused"),
        ([OTHER], "it never answered"),
        ([SICK], "answered 503"),
        ([SICK, OTHER], "answered 503"),
        ([SILENT, OTHER], "no answer: refused"),
        ([SICK, SILENT], "no answer: refused"),
    ],
)
def test_the_wait_ends_at_its_deadline_with_what_was_wrong_last(
    wait: Wait, world: World, answers: Iterable[health.Answer], problem: str
) -> None:
    began = world.now
    assert wait(*answers) == f"/healthz: {problem}"
    assert began + 10 <= world.now < began + 11


def test_the_wait_ends_as_soon_as_the_instance_has_answered_well(wait: Wait, world: World) -> None:
    began = world.now
    assert wait(SILENT, OTHER, SICK, WELL) is None
    assert len(world.timeouts) == 4
    assert world.now < began + 1


@pytest.mark.parametrize("instance", ["main new", "next old", "next", ""])
def test_an_answer_of_another_instance_or_release_is_not_enough(wait: Wait, instance: str) -> None:
    assert wait(health.Answer(200, "answered 200", instance)) is not None


def test_slow_answers_of_the_other_instance_leave_time_for_further_questions(wait: Wait, world: World) -> None:
    """The first question may take two seconds, each further one twice as long, and none longer than what is left."""
    world.takes_all_the_time = True
    began = world.now
    wait(OTHER)
    assert world.timeouts == pytest.approx([2, 4, 4 - 2 * health.INSTANCE_POLL_INTERVAL])
    assert world.now <= began + 10.1


def test_every_question_has_a_second_at_least(wait: Wait, world: World) -> None:
    wait(SILENT, seconds=0)
    assert world.timeouts == [1]


def test_a_unit_that_has_ended_is_not_waited_for(wait: Wait, world: World) -> None:
    world.runs = False
    began = world.now
    assert wait(SILENT, unit="blog-next.service") == "/healthz: it ended by itself"
    assert world.now < began + 1


def test_systemd_is_asked_about_the_unit_only_now_and_then(wait: Wait, world: World) -> None:
    began = world.now
    assert wait(SILENT, unit="blog-next.service") == "/healthz: no answer: refused"
    moments = [began, *world.checked]
    pauses = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert len(pauses) > 10
    assert all(health.STATE_INTERVAL < pause < 2 * health.STATE_INTERVAL for pause in pauses)


def test_an_instance_without_a_unit_of_its_own_is_not_looked_up(wait: Wait, world: World) -> None:
    wait(SILENT)
    assert world.checked == []


# -- the served release, and its socket -----------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "timeouts"), [(0, [1]), (0.5, [1]), (7, [7])])
def test_the_served_release_is_asked_for_within_the_time_that_is_left(
    site: Site, world: World, monkeypatch: pytest.MonkeyPatch, seconds: float, timeouts: list[float]
) -> None:
    monkeypatch.setattr(health, "served_release", lambda _: "old")
    world.takes_all_the_time = True
    world.answers = iter([WELL])
    problem = health.wait_until_served(site, "new", seconds)
    assert problem == "the running process serves old, not new"
    assert world.timeouts == timeouts


def test_a_socket_whose_queue_is_full_holds_nobody_up(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "CONNECT_TIMEOUT", 0.1)
    signal.alarm(10)
    place = tmp_path / "socket"
    site.settings["bind"] = f"unix:{place}"
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(place))
        listener.listen(0)
        assert health.is_reachable(site)
        for _ in range(3):
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.connect(str(place))
        assert not health.is_reachable(site)
    signal.alarm(0)
