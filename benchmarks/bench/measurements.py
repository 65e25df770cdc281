"""The measurements: nothing to do, new code, a first deployment, and memory; and the list of all."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from .backup import backup
from .contenders import Contender, Pyinfra, PyinfraWithoutCode, Role, Shell, Workplace
from .https import https
from .machines import BenchmarkError, Machine, machine
from .report import FIRST_DEPLOYMENT, MEMORY, NEW_RELEASE, NOTHING_CHANGED, Row, Target, comparison, publish, verdict
from .under_load import under_load

#: Requests before the loaded memory is measured, and how many run at the same time.
REQUESTS, AT_ONCE = 500, 8
#: Maximum memory of the loaded blog in megabytes (10^6 bytes).
MOST_MEMORY = 120

#: Runs on the machine: the proportional set size of each program's processes, in bytes (proc(5), smaps_rollup).
MEASURE_MEMORY = """
import json, pathlib, re
found = {"gunicorn": [], "nginx": []}
for process in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        command = (process / "cmdline").read_text().split(chr(0))
        sizes = (process / "smaps_rollup").read_text()
    except OSError:
        continue
    for program, processes in found.items():
        if command[0].startswith(program + ":") or any(part.endswith("/bin/" + program) for part in command[:2]):
            processes.append(int(re.search(r"^Pss: +([0-9]+) kB", sizes, re.M)[1]) * 1024)
print(json.dumps(found))
"""


def rotated(contenders: Sequence[Contender], turn: int) -> list[Contender]:
    """Return the contenders in the order of a round: each is first in its turn."""
    turn %= len(contenders)
    return [*contenders[turn:], *contenders[:turn]]


def rows_for(contenders: Sequence[Contender]) -> dict[str, Row]:
    """Return an empty row for each contender."""
    return {contender.key: Row(contender.title, contender.version) for contender in contenders}


def nothing_changed(place: Workplace, rounds: int) -> None:
    """Measure a deployment that has nothing to change."""
    role, pyinfra, without_code, shell = Role(place), Pyinfra(place), PyinfraWithoutCode(place), Shell(place)
    contenders: list[Contender] = [role, pyinfra, without_code, shell]
    rows = rows_for(contenders)
    with contextlib.ExitStack() as machines:
        targets: dict[str, Machine] = {}
        for deployer in (role, pyinfra, shell):
            targets[deployer.key] = machines.enter_context(machine(deployer.key))
            first = deployer.deploy(targets[deployer.key])
            print(f"  deployed by {deployer.title} ({first.seconds:.1f} s)", flush=True)
        targets[without_code.key] = targets[pyinfra.key]
        for turn in range(rounds):
            for contender in rotated(contenders, turn):
                done = contender.deploy(targets[contender.key])
                rows[contender.key].seconds.append(done.seconds)
                rows[contender.key].changes += done.changed
            _show(f"round {turn + 1} of {rounds}", list(rows.values()))
    text = comparison(list(rows.values()), Target(pyinfra.title, 0.5))
    for row in rows.values():
        if row.changes:
            text += f"\n\nNot what it should be: {row.title} changed something in {row.changes} of {rounds} rounds."
    publish(NOTHING_CHANGED, text)


def new_release(place: Workplace, rounds: int) -> None:
    """Measure a deployment of changed code: a module, a template and a style sheet, with the same requirements."""
    contenders: list[Contender] = [Role(place), Pyinfra(place), Shell(place)]
    rows = rows_for(contenders)
    with contextlib.ExitStack() as machines:
        targets: dict[str, Machine] = {}
        for contender in contenders:
            targets[contender.key] = machines.enter_context(machine(contender.key))
            first = contender.deploy(targets[contender.key])
            print(f"  deployed by {contender.title} ({first.seconds:.1f} s)", flush=True)
        for turn in range(rounds):
            _change_code(place, turn)
            for contender in rotated(contenders, turn):
                done = contender.deploy(targets[contender.key])
                if not done.changed:
                    raise BenchmarkError(f"{contender.title} did not see that the code had changed")
                rows[contender.key].seconds.append(done.seconds)
            _show(f"round {turn + 1} of {rounds}", list(rows.values()))
    publish(NEW_RELEASE, comparison(list(rows.values()), Target(contenders[1].title, 0.5)))


def _change_code(place: Workplace, number: int) -> None:
    for path, remark in {
        "app.py": "# {}\n",
        "templates/base.html": "<!-- {} -->\n",
        "static/css/blog.css": "/* {} */\n",
    }.items():
        with (place.blog / path).open("a", encoding="utf-8") as file:
            file.write(remark.format(f"change {number}"))


def first_deploy(place: Workplace, rounds: int) -> None:
    """Measure a deployment on a new machine that has all downloads on its disk."""
    contenders: list[Contender] = [Role(place), Pyinfra(place), Shell(place)]
    rows = rows_for(contenders)
    for turn in range(rounds):
        for contender in rotated(contenders, turn):
            with machine(contender.key) as target:
                rows[contender.key].seconds.append(contender.deploy(target).seconds)
        _show(f"round {turn + 1} of {rounds}", list(rows.values()))
    publish(FIRST_DEPLOYMENT, comparison(list(rows.values()), Target(contenders[-1].title, 1.3)))


def memory(place: Workplace, rounds: int) -> None:
    """Measure the blog's and nginx's memory, idle and after requests. One machine is enough: sizes hardly vary."""
    del rounds
    with machine("memory") as target:
        Role(place).deploy(target)
        idle = _memory(target)
        _load(target)
        loaded = _memory(target)
    rows = [
        *((program, str(len(loaded[program])), sum(idle[program]), sum(loaded[program])) for program in loaded),
        ("together", "", sum(map(sum, idle.values())), sum(map(sum, loaded.values()))),
    ]
    total = rows[-1][-1] / 1e6
    table = [
        f"| Proportional memory (Pss), MB | Processes | Idle | After {REQUESTS} requests |",
        "|---|---:|---:|---:|",
        *(f"| {title} | {count} | {before / 1e6:.0f} | {after / 1e6:.0f} |" for title, count, before, after in rows),
        "",
        f"**Target: at most {MOST_MEMORY} MB after {REQUESTS} requests. Measured: {total:.0f} MB. "
        f"{verdict(total, MOST_MEMORY)}.**",
    ]
    publish(MEMORY, "\n".join(table))


def _memory(target: Machine) -> dict[str, list[int]]:
    """Return the bytes of each process by program.

    :raises BenchmarkError: if a program does not run.
    """
    found: dict[str, list[int]] = json.loads(target.execute("python3", "-c", MEASURE_MEMORY))
    for program, processes in found.items():
        if not processes:
            raise BenchmarkError(f"no process of {program} was found")
    return found


def _load(target: Machine) -> None:
    """Send the requests, several at once, so that all workers and threads are used.

    :raises BenchmarkError: if a response is not a page.
    """
    paths = ["/", "/tags/", "/feed.xml", "/sitemap.xml", "/static/css/blog.css"]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = pool.map(lambda number: target.get(paths[number % len(paths)])[0], range(REQUESTS))
    bad = [status for status in answers if status != 200]
    if bad:
        raise BenchmarkError(f"{len(bad)} of {REQUESTS} requests failed, the first with status {bad[0]}")


def _show(what: str, rows: Sequence[Row]) -> None:
    print(f"  {what}: " + ", ".join(f"{row.title} {row.seconds[-1]:.1f} s" for row in rows), flush=True)


#: By the name that the command line knows.
MEASUREMENTS = {
    "nothing-changed": (nothing_changed, 5),
    "new-release": (new_release, 5),
    "under-load": (under_load, 1),
    "first-deploy": (first_deploy, 3),
    "memory": (memory, 1),
    "https": (https, 5),
    "backup": (backup, 3),
}
