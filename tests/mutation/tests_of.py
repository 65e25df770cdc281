"""Which tests to run for a mutant: the mirrored test files, the tests that cover its line, and the others."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import PurePosixPath

from .measured import TESTS, Measured, file_of


def stages(measured: Measured, file: str, source: str, line: int) -> list[list[str]]:
    """Return the three stages of tests to run for a mutant, in this order, until something fails; any may be empty.

    A line that is executed when its module is imported is covered by no test in particular: the test files of all that
    reach the module stand in. The tests that run code in another process are found only by the last stage.
    """
    first = mirrored(measured.files, file)
    lines = range(line, _statement_start(source, line) - 1, -1)
    covering = next((found for one in lines if (found := measured.covering[file, one])), set[str]())
    second = sorted(test for test in covering if file_of(test) not in first)
    if not covering:
        second = sorted({file_of(test) for test in measured.covering[file, 0]} - set(first))
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
