"""The output of programs with the rights of the app's account is limited, printable, and whole."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from blogctl.host import run_as_app
from blogctl.site import Site
from transient_units import Units

Add = Callable[[str], Path]


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reads, writes = os.pipe()
    yield reads, writes
    for one in (reads, writes):
        with contextlib.suppress(OSError):
            os.close(one)


def test_output_without_a_line_and_without_an_end_stays_small_in_memory(
    site: Site, units: Units, pipe: tuple[int, int]
) -> None:
    reads, writes = pipe
    sent = [0]

    def flood() -> None:
        while sent[0] < 64 << 20:
            sent[0] += os.write(writes, b"x" * 65536)
        os.close(writes)

    thread = threading.Thread(target=flood)
    thread.start()
    output = run_as_app.Output(site, reads)
    units.logged = _Forgetful()
    tracemalloc.start()
    try:
        longest = max(len(line) for line in output.lines(60))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    thread.join()
    assert sent[0] >= 64 << 20
    assert longest <= 2 * run_as_app.LINE_LIMIT
    assert peak < 16 << 20
    assert len(output.last(10_000)) <= (2 * run_as_app.LINE_LIMIT + 1) * run_as_app.KEPT_LINES


class _Forgetful(list[str]):
    def append(self, _: str) -> None:
        pass


def test_output_cannot_steer_a_terminal(site: Site, units: Units, pipe: tuple[int, int]) -> None:
    reads, writes = pipe
    os.write(writes, b"\x1b]0;title\x07\n\xff\xfehidden\r\x1b[2Kall is well\n\xe2\x80\xaeabc\n")
    os.close(writes)
    output = run_as_app.Output(site, reads)
    said = list(output.lines(5))
    assert said == [r"\x1b]0;title\x07", "��" + r"hidden\x0d\x1b[2Kall is well", r"\u202eabc"]
    assert output.last(3).splitlines() == said == units.logged


def test_only_so_many_lines_of_a_program_go_to_the_journal(site: Site, units: Units, pipe: tuple[int, int]) -> None:
    reads, writes = pipe

    def chatter() -> None:
        os.write(writes, b"".join(b"%d\n" % number for number in range(7000)))
        os.close(writes)

    thread = threading.Thread(target=chatter)
    thread.start()
    output = run_as_app.Output(site, reads)
    assert sum(1 for _ in output.lines(30)) == 7000
    thread.join()
    assert len(units.logged) == run_as_app.LOGGED_LINES == 5000
    assert units.logged[-1] == "it wrote more than 5000 lines; the others are not in the journal"
    assert output.last(1) == "6999", "a message has the end"


def test_output_that_stops_in_the_middle_of_a_line_is_kept(site: Site, units: Units, pipe: tuple[int, int]) -> None:
    reads, writes = pipe
    output = run_as_app.Output(site, reads)
    assert output.last(3) == "(no output)"
    os.write(writes, b"one\ntw")
    began = time.monotonic()
    assert list(output.lines(0.3)) == ["one", "tw"]
    assert 0.2 < time.monotonic() - began < 3, "it waits no longer than it was told to"
