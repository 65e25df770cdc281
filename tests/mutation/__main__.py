"""./dev mutate: test a random sample of mutants, and show those that no test notices."""

from __future__ import annotations

import argparse
import queue
import random
import re
import signal
import sys
import warnings
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from .checkout import Copy
from .measured import Measured, function_of, measure
from .mutants import Mutant, python_files, sample
from .report import Fate, Report, Scenario, Verdict, read_scenarios
from .tests_of import stages

ROOT = Path(__file__).resolve().parent.parent.parent
STATE = ROOT / ".dev" / "mutate"
SCENARIOS = Path(__file__).with_name("scenarios.yml")
#: What runs on the host. The parts of the collection that run on the controller can be named.
DEFAULT_PATHS = ("roles/flask_blog/files/blogctl", "plugins/module_utils", "plugins/modules")
#: Where code is, for the measurement.
SOURCES = ("plugins", "roles/flask_blog/files")

#: pytest's exit statuses: all passed; some failed; interrupted, as by an import that fails; no test was selected.
PASSED, FAILED, INTERRUPTED, NO_TESTS = 0, 1, 2, 5


def main() -> int:
    """Run the command; 1 means that too many mutants survived."""
    options = _options()
    warnings.simplefilter("ignore", SyntaxWarning)  # "is" with a literal, in a mutant
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exception, so that running tests are ended, too
    try:
        files = python_files(ROOT, options.paths or DEFAULT_PATHS)
    except ValueError as error:
        sys.exit(str(error))
    mutants = sample(ROOT, files, options.count, options.seed)
    print(f"{len(mutants)} mutants of {len(files)} files (--seed {options.seed})", flush=True)
    if options.list:
        for mutant in mutants:
            print(f"\n{mutant.place} ({mutant.operator})\n{mutant.diff}")
        return 0
    report = _test(mutants, options)
    report.write(STATE / "report.json")
    for line in report.lines():
        print(line)
    return 0 if report.is_good else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev mutate", description=__doc__)
    parser.add_argument(
        "paths", nargs="*", metavar="PATH", help=f"files or folders; without any: {' '.join(DEFAULT_PATHS)}"
    )
    parser.add_argument("--count", type=int, default=200, help="how many mutants to draw (200)")
    parser.add_argument("--seed", type=int, default=random.randrange(10_000), help="draw the same mutants again")  # noqa: S311
    parser.add_argument("--jobs", type=int, default=2, help="how many to test at the same time (2)")
    parser.add_argument("--floor", type=float, default=95, help="percent that have to be caught (95)")
    parser.add_argument(
        "--covering", action="store_true", help="do not run the tests that do not cover the changed line"
    )
    parser.add_argument("--list", action="store_true", help="show the mutants and test none")
    return parser.parse_args()


def _test(mutants: list[Mutant], options: argparse.Namespace) -> Report:
    tested_with = ROOT / ".venv" / "bin" / "python"
    copies = [Copy.of(ROOT, STATE / str(number), tested_with) for number in range(options.jobs)]
    print("  ... Run the unit tests once and record the lines that each of them covers", flush=True)
    measured = measure(copies[0], Path(sys.executable), SOURCES, STATE / "measured.json")
    for failing in measured.failing:
        print(f"  !!! {failing} fails without any change, so it is left out")
    scenarios = read_scenarios(SCENARIOS)
    report = Report(options.seed, options.floor)
    free: queue.SimpleQueue[Copy] = queue.SimpleQueue()
    for copy in copies:
        free.put(copy)

    def test(mutant: Mutant) -> Verdict:
        copy = free.get()
        try:
            return judge(copy, measured, mutant, scenarios, covering_only=options.covering)
        finally:
            free.put(copy)

    with ThreadPoolExecutor(options.jobs) as pool:
        try:
            for number, future in enumerate(as_completed([pool.submit(test, mutant) for mutant in mutants]), 1):
                verdict = future.result()
                report.verdicts.append(verdict)
                progress = f"[{number:>3}/{len(mutants)}] {verdict.fate:<9} {verdict.mutant.place}"
                print(f"{progress} {verdict.mutant.operator} {verdict.by}".rstrip(), flush=True)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for copy in copies:
                copy.stop()
            raise
    return report


def judge(copy: Copy, measured: Measured, mutant: Mutant, scenarios: list[Scenario], *, covering_only: bool) -> Verdict:
    """Test one mutant until a test fails, a run takes too long, or no test is left."""
    copy.write(mutant.file, mutant.source)
    try:
        todo = stages(measured, mutant.file, mutant.original, mutant.line)
        for tests in filter(None, todo[:2] if covering_only else todo):
            if found := _run(copy, measured, tests):
                return Verdict(mutant, *found)
    finally:
        copy.write(mutant.file, mutant.original)
    for scenario in scenarios:
        if scenario.catches(mutant):
            return Verdict(mutant, Fate.SCENARIO, f"{scenario.scenario}: {scenario.reason}")
    return Verdict(mutant, Fate.SURVIVED)


def _run(copy: Copy, measured: Measured, tests: Sequence[str]) -> tuple[Fate, str] | None:
    """Run some tests; return how the mutant ended, or None if they all pass.

    A test that fails once and passes on its own is one that a busy computer has disturbed. It judges no mutant.
    """
    left_out = list(measured.failing)
    while True:
        done = copy.run([copy.python, *_pytest(left_out), *tests], measured.patience(tests))
        if done.status is None:
            return Fate.TIMEOUT, " ".join(tests)[:100]
        if done.status in (PASSED, NO_TESTS):
            return None
        failed = _who_failed(done.status, done.output)
        if "::" not in failed or failed in left_out:
            return Fate.CAUGHT, failed
        again = copy.run([copy.python, *_pytest(()), function_of(failed)], measured.patience([function_of(failed)]))
        if again.status != PASSED:
            return Fate.CAUGHT, failed
        left_out.append(failed)


def _pytest(left_out: Iterable[str]) -> list[str]:
    options = ["-x", "-q", "--tb=no", "-rfE", "-p", "no:cacheprovider"]
    return ["-m", "pytest", *options, *(word for test in left_out for word in ("--deselect", test))]


def _who_failed(status: int, output: str) -> str:
    """Return the test that failed, from pytest's summary.

    :raises RuntimeError: if pytest did not get so far as to run a test, which says nothing about the mutant.
    """
    if found := re.search(r"^(?:FAILED|ERROR) (.+?)(?: - |$)", output, re.MULTILINE):
        return found[1]
    if status in (FAILED, INTERRUPTED) or status < 0 or status > 128:
        return "pytest itself"  # the change breaks an import that all tests need, or ends the process
    raise RuntimeError(f"pytest ended with {status}:\n{output[-4000:]}")


if __name__ == "__main__":
    sys.exit(main())
