"""The range of Python's versions that a project asks for is read as pip and Poetry read it."""

from __future__ import annotations

import itertools

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils.source import python_range
from packaging.specifiers import InvalidSpecifier, SpecifierSet

VERSIONS = [(3, 11, 2), (3, 13, 5)]


@pytest.mark.parametrize(
    ("wanted", "on_12", "on_13"),
    [
        (">=3.12", False, True),
        (">=3.8,<3.12", True, False),
        (">=3.8 <3.12", True, False),
        ("~=3.11", True, True),
        ("~=3.11.1", True, False),
        ("==3.11.*", True, False),
        ("!=3.11.*", False, True),
        ("^3.12", False, True),
        ("^3.11", True, True),
        ("^2.7", False, False),
        ("~3.11", True, False),
        ("~3", True, True),
        ("~2.7 || ^3.12", False, True),
        (">=3.11.3", False, True),
        ("3.13.5", False, True),
        ("*", True, True),
        ("", True, True),
        (">=3.12rc1", True, True),
        ("what is this", True, True),
    ],
)
def test_a_range_accepts_the_versions_in_it_and_what_is_not_understood_is_left_to_pip(
    wanted: str, on_12: bool, on_13: bool
) -> None:
    assert [python_range.accepts(wanted, version) for version in VERSIONS] == [on_12, on_13]


def test_standard_ranges_are_read_as_pip_reads_them() -> None:
    operators = ("<", "<=", "==", "!=", ">=", ">", "~=")
    numbers = ("3", "3.0", "3.11", "3.11.2", "3.11.*", "3.12", "3.13.5", "4", "2.7")
    compared = 0
    for operator, number, version in itertools.product(operators, numbers, VERSIONS):
        text = f"{operator}{number}"
        try:
            expected = SpecifierSet(text).contains(".".join(map(str, version)))
        except InvalidSpecifier:
            continue
        assert python_range.accepts(text, version) == expected, (text, version)
        compared += 1
    assert compared > 90
