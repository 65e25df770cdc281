"""What a check is, what it finds, and how all of them run within a time limit."""

from __future__ import annotations

import queue
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import OperationError
from ..host import visitors
from ..shared.printable import printable
from ..site import Site

#: Something is broken, or data may be lost; and something that will break, or that a person should look at.
ERROR, WARNING = "error", "warning"

#: Seconds that one check may take, unless it says otherwise, and that all may take together.
LIMIT, TOTAL_LIMIT = 8.0, 40.0
#: Checks that run at the same time: most of them wait for a program.
WORKERS = 4
#: Characters of each text of a finding, lines of a difference, and findings of one check.
TEXT_LIMIT, DIFF_LIMIT, FINDINGS_LIMIT = 1500, 60, 20
#: Seconds that a program may take that a check runs, and bytes of its output that are read.
PROGRAM_LIMIT, OUTPUT_LIMIT = 6.0, 1 << 20

#: The command on the controller that writes again what the role manages.
PLAYBOOK = "ansible-playbook playbooks/site.yml"
ON_CONTROLLER = "Run the playbook on the controller."


@dataclass(frozen=True)
class Finding:
    """Something that is wrong."""

    #: C(ERROR) or C(WARNING)
    level: str
    #: what is wrong, where, as far as known with the reason
    what: str
    #: why it matters
    why: str
    #: what to do, in words
    fix: str
    #: the command line that does it, exactly; empty if a person has to decide
    command: str = ""
    #: how a managed file differs
    diff: tuple[str, ...] = ()
    #: the name of the check; P(examine) sets it
    check: str = ""


@dataclass(frozen=True)
class Check:
    """A check: its name for programs, what it does in a sentence for the case that it fails, and its function."""

    name: str
    subject: str
    find: Callable[[Site], Iterable[Finding]]
    seconds: float = LIMIT


def examine(site: Site, checks: Sequence[Check], total: float = TOTAL_LIMIT) -> list[Finding]:
    """Run all checks and return what they found, in their order. A check that fails or hangs is a finding itself."""
    done: queue.SimpleQueue[tuple[int, list[Finding]]] = queue.SimpleQueue()
    begun: dict[int, float] = {}
    slots = threading.Semaphore(WORKERS)

    def work(number: int, check: Check) -> None:
        with slots:
            begun[number] = time.monotonic()
            done.put((number, _run(site, check)))

    # A thread that hangs ends with this process.
    for number, check in enumerate(checks):
        threading.Thread(target=work, args=(number, check), daemon=True).start()
    deadline = time.monotonic() + total
    found: dict[int, list[Finding]] = {}
    while len(found) < len(checks):
        try:
            number, findings = done.get(timeout=0.1)
            found.setdefault(number, findings)  # one that came late counts as failed
        except queue.Empty:
            pass
        now = time.monotonic()
        for number, check in enumerate(checks):
            if number in found:
                continue
            if number in begun and now - begun[number] > check.seconds:
                found[number] = [_named(_late(site, check, check.seconds), check)]
                slots.release()
            elif now > deadline:
                found[number] = [_named(_late(site, check, total), check)]
    return [finding for number in sorted(found) for finding in found[number]]


def _run(site: Site, check: Check) -> list[Finding]:
    try:
        return [_named(finding, check) for finding, _ in zip(check.find(site), range(FINDINGS_LIMIT), strict=False)]
    except OperationError as error:
        return [_named(_failed(check, str(error)), check)]
    except Exception as error:  # whatever is broken, the other checks go on
        return [_named(_failed(check, f"{type(error).__name__}: {error}"), check)]


def _failed(check: Check, reason: str) -> Finding:
    return Finding(
        ERROR,
        f"could not check {check.subject}: {reason}",
        "what is wrong there would not be found",
        f"Correct the reason. If the site's files are damaged, {PLAYBOOK} writes them again.",
    )


def _late(site: Site, check: Check, seconds: float) -> Finding:
    return Finding(
        ERROR,
        f"could not check {check.subject}: no result within {seconds:.0f} s",
        "the host is overloaded, or something that the check asks hangs",
        "See what the host is busy with, and try again.",
        f"blogctl --site {site.name} doctor",
    )


def _named(finding: Finding, check: Check) -> Finding:
    """Return a finding with its check's name and without anything that controls a terminal."""
    return Finding(
        finding.level,
        _line(finding.what),
        _line(finding.why),
        _line(finding.fix),
        printable(finding.command),
        tuple(printable(line)[:TEXT_LIMIT] for line in finding.diff[:DIFF_LIMIT]),
        check.name,
    )


def _line(text: str) -> str:
    """Return a text as one line."""
    return " ".join(printable(text)[:TEXT_LIMIT].split())


# -- what checks need --


def command(site: Site, *words: str) -> str:
    """Return a command line of blogctl for a site."""
    return " ".join(["blogctl", "--site", site.name, *words])


def output_of(
    *words: str,
    seconds: float = PROGRAM_LIMIT,
    environment: dict[str, str] | None = None,
    account: tuple[int, int, list[int]] | None = None,
) -> tuple[int, str]:
    """Run a program; return its exit status and the beginning of its output, errors included.

    :param account: uid, gid and other groups to run it with.
    :raises OSError: if it cannot run, or takes too long.
    """
    more = {"user": account[0], "group": account[1], "extra_groups": account[2]} if account else {}
    with subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", **(environment or {})},
        **more,  # type: ignore[call-overload]
    ) as process:
        timer = threading.Timer(seconds, process.kill)
        timer.start()
        try:
            found = process.stdout.read(OUTPUT_LIMIT)
            ended = not process.stdout.read(1)
            if not ended:
                process.kill()
            process.wait()
        finally:
            is_late = not timer.is_alive()
            timer.cancel()
        if is_late:
            raise TimeoutError(f"'{' '.join(words)}' did not end within {seconds:.0f} s")
    return process.returncode, found.decode(errors="replace")


def text_of(path: str | Path) -> str | None:
    """Return the text of a small file in a folder of root's; None if it is missing or no regular file."""
    try:
        return visitors.read_small(Path(path))
    except OSError:
        return None
