"""blogctl is killed at each of its steps: the host recovers with one whole release, and the next run converges.

A first run lists the steps (stepper.py). The two machines share the operations, as blogctl does the same on both,
and take some of the steps. With FLASKBLOG_WALK=whole, each machine takes all steps of all operations.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from load import Client, Load

NAME = "book.example.com"
STEPPER = "/root/stepper.py"
#: Light load: one client reads over new connections, one writes over a kept connection.
VISITORS = (Client("GET", "/", False), Client("POST", "/entries", True))
PAUSE = 0.03
#: An ordinary run takes every nth step; fewer for operations that only copy.
SHARE, SHARE_OF_COPIES = 16, 48
WHOLE = os.environ.get("FLASKBLOG_WALK") == "whole"
ON_12, ON_13 = (pytest.mark.machine(*(["12", "13"] if WHOLE else [number])) for number in ("12", "13"))
COPIES = ("< rehearsal.rehearse:", "< assets.keep:")

# Releases made on the machine, by name: copies of the deployed one with another style sheet. One of the two "data"
# releases renames the other's table in two steps, so that a wrong combination of data and release is detected.
MAKE_EDITIONS = """
import os, pathlib, shutil, time
releases = pathlib.Path('/opt/flask-blog/releases')
base = next(path for path in releases.iterdir() if len(path.name) == 12)
for name in ('plain-a', 'plain-b', 'data-a', 'data-b'):
    folder = releases / name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(base, folder, symlinks=True)
    shutil.copystat(base / 'static' / 'book.css', folder / 'static' / 'book.css')
    style = folder / 'static' / 'edition.css'
    style.write_text(name)
    style.chmod(0o644)
    if name.startswith('data'):
        with (folder / 'migrate.py').open('a') as script:
            script.write("name = folder.resolve().name[-1]\\n"
                         "connection.execute(f'DROP TABLE IF EXISTS edition_{dict(a=\\"b\\", b=\\"a\\")[name]}')\\n"
                         "connection.execute(f'CREATE TABLE IF NOT EXISTS edition_{name} (id INTEGER PRIMARY KEY)')\\n")
    group = base.stat().st_gid
    for parent, directories, files in os.walk(folder):
        for path in [parent, *(os.path.join(parent, file) for file in files)]:
            os.chown(path, 0, group, follow_symlinks=False)
    os.utime(folder)
"""


@dataclass
class Machine:
    """blogctl on one machine, and the state of the site."""

    operator: Any
    #: failures by step
    problems: dict[str, list[str]] = field(default_factory=dict)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a program on the machine."""
        command = ["docker", "exec", self.operator.machine, *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def steps(self, *arguments: str) -> list[tuple[str, int]]:
        """Run blogctl to its end; return each step with the number of times it was reached."""
        result = self.run("python3", STEPPER, "count", *arguments)
        assert result.returncode == 0, result.stderr
        found = json.loads(result.stdout.splitlines()[-1])
        assert found["status"] == 0, result.stderr
        return [(step, times) for step, times in found["steps"]]

    def kill(self, step: str, nth: int, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run blogctl until it reaches a step, and kill it there."""
        return self.run("python3", STEPPER, "kill", step, str(nth), *arguments)

    def must(self, *arguments: str) -> None:
        """Run blogctl and check that it succeeds."""
        result = self.run("blogctl", *arguments)
        assert result.returncode == 0, result.stderr

    def state(self) -> dict[str, Any]:
        """Return the state of the site once no operation runs."""
        result = self.run("python3", STEPPER, "state")
        assert result.returncode == 0, result.stderr
        return dict(json.loads(result.stdout))

    def check(self, load: Load, allowed: set[str], *, older: str = "") -> tuple[dict[str, Any], list[str]]:
        """Return the state of the site once no operation runs, and its failures.

        :param older: the release whose older data is restored; rows that were written later are lost then.
        """
        acknowledged = set(load.acknowledged)
        state = self.state()
        wrong = [f"failed: {failure}" for failure in load.failures[:5]]
        if not state["quiet"]:
            wrong.append("something is still under way")
        if len(state["releases"]) != 1 or state["releases"][0] not in allowed:
            wrong.append(f"{state['releases']} answer, not one of {sorted(allowed)}")
        served = state["releases"][0]
        if state["static"] != served:
            wrong.append(f"{served} answers with the static files of {state['static']}")
        if served.startswith("data") and state["tables"] != [f"edition_{served[-1]}"]:
            wrong.append(f"{served} answers on the tables {state['tables']}")
        if state["verdict"] != "ok":
            wrong.append(f"the database is damaged: {state['verdict']}")
        if state["last"]["result"] == "begun":
            wrong.append("the journal takes it for being under way")
        if served != older and (lost := acknowledged - set(state["rows"])):
            wrong.append(f"{len(lost)} acknowledged rows are lost")
        return state, wrong


@pytest.fixture(scope="module")
def machine(operator: Any) -> Machine:
    """The machine with all editions and the stepper on it, and the first edition live."""
    found = Machine(operator)
    copy = ["docker", "cp", str(Path(__file__).with_name("stepper.py")), f"{operator.machine}:{STEPPER}"]
    subprocess.run(copy, check=True, capture_output=True)
    operator.python(MAKE_EDITIONS)
    return found


def chosen(steps: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Return the steps that this run takes, in their order; of a loop, the first and the last time."""
    steps = [(step, nth) for step, times in steps for nth in sorted({1, times})]
    if WHOLE:
        return steps
    copies = [one for one in steps if any(part in one[0] for part in COPIES)]
    others = [one for one in steps if one not in copies]
    taken = copies[SHARE_OF_COPIES // 2 :: SHARE_OF_COPIES] + others[SHARE // 2 :: SHARE]
    return [one for one in steps if one in taken]


def walk(
    machine: Machine,
    steps: list[tuple[str, int]],
    arguments: Callable[[], tuple[str, ...]],
    allowed: set[str],
    wanted: Callable[[], str],
    settle: Callable[[], None] = lambda: None,
    *,
    older: str = "",
) -> None:
    """Kill at each step; check the site, let the next run converge, and check again."""
    problems: dict[str, list[str]] = {}
    missed = []
    address = machine.operator.address()
    for step, nth in steps:
        name = f"{step} ({nth})"
        target = wanted()
        with Load(address, NAME, fast=VISITORS, slow=(), pause=PAUSE) as load:
            killed = machine.kill(step, nth, *arguments())
            if killed.returncode == 0:
                missed.append(name)
            state, wrong = machine.check(load, allowed, older=older)
            if killed.returncode not in (0, 137):
                wrong.append(f"it ended with {killed.returncode}: {killed.stderr[-500:]}")
            if killed.returncode == 137:
                print(
                    f"{machine.operator.machine}: {name}: {state['last']['result']}, {state['releases']} after"
                    f" {state['settled']} s, wanted {target}; {state['last']['details'].get('recovery')}"
                )
            if state["releases"] != [target]:
                machine.must(*arguments())
                wrong += machine.check(load, {target}, older=older)[1]
        # Check again without load.
        state, more = machine.check(load, {target}, older=older)
        wrong += [*more, *(f"left behind: {path}" for path in state["leftovers"])]
        settle()
        if wrong:
            print(f"{machine.operator.machine}: {name}: WRONG {wrong}")
            problems[name] = wrong
    print(f"{machine.operator.machine}: {len(steps)} steps, {len(missed)} not reached: {missed}")
    assert not problems, json.dumps(problems, indent=1)
    assert len(missed) <= len(steps) // 10, missed


@ON_13
@pytest.mark.parametrize("kind", ["plain", "data"])
def test_an_activation_that_is_killed_at_any_step_leaves_one_whole_release(machine: Machine, kind: str) -> None:
    """The two releases replace each other, so that each activation has all steps; "data" ones change the data."""
    first, second = f"{kind}-a", f"{kind}-b"
    machine.must("activate", first)
    listed = machine.steps("activate", second)
    assert len(listed) > 30
    steps = chosen(listed)
    direction = [first, second]
    machine.must("activate", direction[1])

    def wanted() -> str:
        return direction[0]

    def turn() -> None:
        direction.reverse()

    walk(machine, steps, lambda: ("activate", direction[0]), {first, second}, wanted, turn)


@ON_12
def test_a_rollback_of_the_data_that_is_killed_at_any_step_leaves_one_whole_release(machine: Machine) -> None:
    machine.must("activate", "data-a")
    machine.must("activate", "data-b")
    back = ("rollback", "data-a", "--restore-data")
    listed = machine.steps(*back)
    assert len(listed) > 30
    steps = chosen(listed)
    machine.must("activate", "data-b")
    walk(
        machine,
        steps,
        lambda: back,
        {"data-a", "data-b"},
        lambda: "data-a",
        lambda: machine.must("activate", "data-b"),
        older="data-a",
    )
