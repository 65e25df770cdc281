"""Which tests to run for a mutant: the mirrored test files, the tests that cover its line, and the others."""

from __future__ import annotations

import ast
import re
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from .checkout import Copy

#: The tests that need no machine and judge code, below the checkout.
TESTS = "tests/unit"
#: Seconds that the measured run may take.
MEASURED_LIMIT = 3600
#: A run may take so many times what its tests took when they were measured, and so many seconds more.
PATIENCE, GRACE = 4, 30


@dataclass
class Measured:
    """What one run of all tests on the original code has shown.

    :param covering: by file and line, the test functions that reach it; C(0) stands for all lines of the file.
    :param seconds: by test function.
    :param failing: tests that fail without a mutant; they judge none.
    """

    covering: dict[tuple[str, int], set[str]] = field(default_factory=lambda: defaultdict(set))
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    failing: list[str] = field(default_factory=list)

    @property
    def files(self) -> list[str]:
        """The test files."""
        return sorted({_file_of(test) for test in self.seconds})

    def patience(self, tests: Iterable[str]) -> float:
        """Return the seconds that a run of some tests or test files may take."""
        chosen = set(tests)
        known = (seconds for test, seconds in self.seconds.items() if test in chosen or _file_of(test) in chosen)
        return GRACE + PATIENCE * sum(known)


def measure(copy: Copy, python: Path, sources: Sequence[str]) -> Measured:
    """Run all tests once on the original code, and record which test reaches which line.

    :param python: an interpreter that has pytest-cov.
    :raises RuntimeError: if pytest itself failed.
    """
    report, data = copy.folder / "measured.xml", copy.folder / ".coverage"
    covered = [f"--cov={source}" for source in sources]
    options = ["--cov-context=test", "--cov-report=", f"--junitxml={report}", "-o", "junit_family=xunit1"]
    done = copy.run([python, "-m", "pytest", "-q", TESTS, *covered, *options], MEASURED_LIMIT)
    if done.status not in (0, 1) or not report.exists() or not data.exists():
        raise RuntimeError(f"The tests cannot be measured:\n{done.output[-4000:]}")
    measured = Measured()
    _read_report(measured, report)
    _read_coverage(measured, data, copy.folder.resolve())
    return measured


def _read_report(measured: Measured, report: Path) -> None:
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314  (pytest has just written it)
        name = f"{case.get('file')}::{case.get('name')}"
        measured.seconds[_function_of(name)] += float(case.get("time") or 0)
        if case.find("failure") is not None or case.find("error") is not None:
            measured.failing.append(name)


def _read_coverage(measured: Measured, data: Path, folder: Path) -> None:
    from coverage import CoverageData  # only the command has it, not the tests of this file

    read = CoverageData(str(data))
    read.read()
    for path in read.measured_files():
        file = str(Path(path).relative_to(folder))
        for line, contexts in read.contexts_by_lineno(path).items():
            tests = {_function_of(context.rpartition("|")[0]) for context in contexts if "|" in context}
            measured.covering[file, line] |= tests
            measured.covering[file, 0] |= tests


def stages(measured: Measured, file: str, source: str, line: int) -> list[list[str]]:
    """Return the three stages of tests to run for a mutant, in this order, until something fails; any may be empty.

    A line that is executed when its module is imported is covered by no test in particular: the test files of all that
    reach the module stand in. The tests that run code in another process are found only by the last stage.
    """
    first = mirrored(measured.files, file)
    covering = next(
        (
            found
            for one in range(line, _statement_start(source, line) - 1, -1)
            if (found := measured.covering[file, one])
        ),
        set[str](),
    )
    second = sorted(test for test in covering if _file_of(test) not in first)
    if not covering:
        second = sorted({_file_of(test) for test in measured.covering[file, 0]} - set(first))
    third = [test for test in measured.files if test not in first and test not in second]
    return [first, second, third]


def mirrored(test_files: Iterable[str], file: str) -> list[str]:
    """Return the test files that are named after a source file.

    C(blogctl/release/activate.py) has C(test_activate.py), C(test_release_activate.py) or
    C(test_blogctl_release_activate.py), in C(tests/unit) or in a folder there that mirrors the source's. A module of
    Ansible may have C(test_module_NAME.py).
    """
    parts = PurePosixPath(file).with_suffix("").parts
    names = {"_".join(parts[start:]) for start in range(len(parts))}
    if "modules" in parts:
        names.add(f"module_{parts[-1]}")
    folders = {*PurePosixPath(TESTS).parts, *parts[:-1]}
    return [
        test
        for test in test_files
        if PurePosixPath(test).stem.removeprefix("test_") in names and {*PurePosixPath(test).parts[:-1]} <= folders
    ]


def _statement_start(source: str, line: int) -> int:
    """Return the first line of the innermost statement that a line belongs to."""
    lines = (
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or node.lineno)
    )
    return max(lines, default=line)


def _function_of(test: str) -> str:
    """Return a test's name without its parameters, which may hold what no command line should."""
    return re.sub(r"\[.*", "", test, flags=re.DOTALL)


def _file_of(test: str) -> str:
    return test.partition("::")[0]
