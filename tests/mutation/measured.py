"""Which unit test covers which line, measured on the original code and kept for the next run."""

from __future__ import annotations

import hashlib
import json
import re
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .checkout import Copy

#: The tests that need no machine and judge code, below the checkout.
TESTS = "tests/unit"
#: Seconds that the measured run may take.
MEASURED_LIMIT = 3600
#: A run may take so many times what its tests took when they were measured, and so many seconds more.
PATIENCE, GRACE = 4, 30


@dataclass
class Measured:
    """What a run of the tests on the original code has shown.

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
        return sorted({file_of(test) for test in self.seconds})

    def patience(self, tests: Iterable[str]) -> float:
        """Return the seconds that a run of some tests or test files may take."""
        chosen = set(tests)
        known = (seconds for test, seconds in self.seconds.items() if test in chosen or file_of(test) in chosen)
        return GRACE + PATIENCE * sum(known)

    def without(self, files: Iterable[str]) -> Measured:
        """Return the same without the tests of some files."""
        out = set(files)
        rest = Measured(failing=[test for test in self.failing if file_of(test) not in out])
        rest.seconds.update((test, seconds) for test, seconds in self.seconds.items() if file_of(test) not in out)
        rest.covering.update(
            (place, {test for test in tests if file_of(test) not in out}) for place, tests in self.covering.items()
        )
        return rest


def measure(copy: Copy, python: Path, sources: Sequence[str], kept: Path) -> Measured:
    """Run the tests once on the original code, and record which test reaches which line.

    Only test files that have changed since the last time are run, unless anything else has.

    :param python: an interpreter that has pytest-cov.
    :param kept: the file in which the result is kept.
    :raises RuntimeError: if pytest itself failed.
    """
    tests = {str(path.relative_to(copy.folder)): _hash([path]) for path in copy.folder.glob(f"{TESTS}/**/test_*.py")}
    code = _hash(path for path in copy.files() if str(path.relative_to(copy.folder)) not in tests)
    measured, known = _read(kept, code)
    changed = sorted(file for file in tests if known.get(file) != tests[file])
    measured = measured.without({*changed, *(known.keys() - tests.keys())})
    if changed:
        _run(measured, copy, python, sources, changed)
        _write(kept, code, tests, measured)
    return measured


def _run(measured: Measured, copy: Copy, python: Path, sources: Sequence[str], tests: Sequence[str]) -> None:
    report, data = copy.folder / "measured.xml", copy.folder / ".coverage"
    covered = [f"--cov={source}" for source in sources]
    options = ["--cov-context=test", "--cov-report=", f"--junitxml={report}", "-o", "junit_family=xunit1"]
    done = copy.run([python, "-m", "pytest", "-q", *tests, *covered, *options], MEASURED_LIMIT)
    if done.status not in (0, 1) or not report.exists() or not data.exists():
        raise RuntimeError(f"The tests cannot be measured:\n{done.output[-4000:]}")
    _read_report(measured, report)
    _read_coverage(measured, data, copy.folder)


def _read_report(measured: Measured, report: Path) -> None:
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314  (pytest has just written it)
        name = f"{case.get('file')}::{case.get('name')}"
        measured.seconds[function_of(name)] += float(case.get("time") or 0)
        if case.find("failure") is not None or case.find("error") is not None:
            measured.failing.append(name)


def _read_coverage(measured: Measured, data: Path, folder: Path) -> None:
    from coverage import CoverageData  # only the command has it, not the tests of this file

    read = CoverageData(str(data))
    read.read()
    for path in read.measured_files():
        file = str(Path(path).relative_to(folder))
        for line, contexts in read.contexts_by_lineno(path).items():
            tests = {function_of(context.rpartition("|")[0]) for context in contexts if "|" in context}
            measured.covering[file, line] |= tests
            measured.covering[file, 0] |= tests


def _read(kept: Path, code: str) -> tuple[Measured, dict[str, str]]:
    """Return what was measured for the same code, and the hashes of the test files then."""
    try:
        found = json.loads(kept.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return Measured(), {}
    if found["code"] != code:
        return Measured(), {}
    measured, names = Measured(failing=found["failing"]), found["names"]
    measured.seconds.update(found["seconds"])
    measured.covering.update(((file, line), {names[one] for one in tests}) for file, line, tests in found["covering"])
    return measured, found["tests"]


def _write(kept: Path, code: str, tests: dict[str, str], measured: Measured) -> None:
    names = {name: number for number, name in enumerate(sorted(measured.seconds))}
    covering = [
        [file, line, sorted(names[test] for test in reached if test in names)]
        for (file, line), reached in measured.covering.items()
    ]
    found = {
        "code": code,
        "tests": tests,
        "names": list(names),
        "covering": covering,
        "seconds": measured.seconds,
        "failing": measured.failing,
    }
    kept.write_text(json.dumps(found), encoding="utf-8")


def _hash(paths: Iterable[Path]) -> str:
    total = hashlib.sha256()
    for path in sorted(paths):
        total.update(f"{path}\0{path.readlink() if path.is_symlink() else ''}\0".encode())
        total.update(b"" if path.is_symlink() else path.read_bytes())
    return total.hexdigest()


def function_of(test: str) -> str:
    """Return a test's name without its parameters, which may hold what no command line should."""
    return re.sub(r"\[.*", "", test, flags=re.DOTALL)


def file_of(test: str) -> str:
    """Return the file that a test is in."""
    return test.partition("::")[0]
