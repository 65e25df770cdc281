"""./dev mutate: what it leaves alone, which tests it runs for a mutant, and how it counts."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from mutation.excluded import Excluded  # noqa: E402
from mutation.measured import GRACE, PATIENCE, Measured  # noqa: E402
from mutation.report import Fate, Report, Scenario, Verdict, read_scenarios  # noqa: E402
from mutation.tests_of import mirrored, stages  # noqa: E402


@dataclass(frozen=True)
class Change:
    """A mutant of one line."""

    file: str = "plugins/module_utils/beneath.py"
    before: str = "os.close(handle)"
    after: str = "pass"
    place: str = "plugins/module_utils/beneath.py:7"
    operator: str = "RemoveStatement"
    diff: str = "-    os.close(handle)\n+    pass"

    @property
    def changed_lines(self) -> tuple[list[str], list[str]]:
        return [self.before], [self.after]


SOURCE = """\
from dataclasses import dataclass

LIMIT: int | None = 5
NAME = "ä" * (2 + 3)


@dataclass(frozen=True)
class Point:
    size: int = 7


def grow(value: int | str) -> int | None:
    assert isinstance(value, int)
    return value + 1


if __name__ == "__main__":
    grow(1 + 1)
"""


@pytest.mark.parametrize(
    ("text", "operator"),
    [
        ("| None =", "BitOr"),
        ("| str)", "BitOr"),
        ("| None:", "BitOr"),
        ("True", "ReplaceTrueWithFalse"),
        ("isinstance", "AddNot"),
        ("1 + 1", "NumberReplacer"),
        ("5\n", "NumberReplacer"),
        ("7", "NumberReplacer"),
        ("3)", "NumberReplacer"),
    ],
)
def test_a_change_that_no_test_could_notice_is_not_made(text: str, operator: str) -> None:
    assert Excluded.of(SOURCE).covers(_place_of(text), operator)


@pytest.mark.parametrize(("text", "operator"), [("+ 1\n", "Add"), ("1\n\n", "NumberReplacer"), ("+ 3", "Add")])
def test_every_other_change_is_made(text: str, operator: str) -> None:
    assert not Excluded.of(SOURCE).covers(_place_of(text), operator)


def _place_of(text: str) -> tuple[int, int]:
    before = SOURCE[: SOURCE.index(text)]
    return before.count("\n") + 1, len(before.rpartition("\n")[2])


@pytest.mark.parametrize(
    ("file", "test", "is_mirror"),
    [
        ("blogctl/release/activate.py", "tests/unit/blogctl/release/test_activate.py", True),
        ("blogctl/release/activate.py", "tests/unit/blogctl/test_release_activate.py", True),
        ("blogctl/release/activate.py", "tests/unit/test_blogctl_release_activate.py", True),
        ("blogctl/release/activate.py", "tests/unit/source/test_activate.py", False),
        ("blogctl/release/activate.py", "tests/unit/test_reactivate.py", False),
        ("plugins/modules/plan.py", "tests/unit/test_module_plan.py", True),
        ("plugins/modules/plan.py", "tests/unit/modules/test_plan.py", True),
        ("plugins/action/plan.py", "tests/unit/test_module_plan.py", False),
    ],
)
def test_a_test_file_mirrors_the_source_that_it_is_named_after(file: str, test: str, is_mirror: bool) -> None:
    assert mirrored([test], f"roles/flask_blog/files/{file}" if file[0] == "b" else file) == [test] * is_mirror


def measured() -> Measured:
    found = Measured()
    found.seconds.update({f"tests/unit/test_{name}.py::test_it": 1.0 for name in ("beneath", "tree", "hold", "git")})
    found.seconds["tests/unit/test_tree.py::test_more"] = 2.0
    found.covering["plugins/module_utils/beneath.py", 2] = {
        "tests/unit/test_beneath.py::test_it",
        "tests/unit/test_tree.py::test_more",
    }
    found.covering["plugins/module_utils/beneath.py", 0] = {"tests/unit/test_hold.py::test_it"}
    return found


def test_the_mirrored_tests_come_first_then_those_that_cover_the_line_then_all_others() -> None:
    source = "def f():\n    return (\n        1 +\n        2\n    )\n"
    for line in (2, 4):
        first, second, third = stages(measured(), "plugins/module_utils/beneath.py", source, line)
        assert first == ["tests/unit/test_beneath.py"]
        assert second == ["tests/unit/test_tree.py::test_more"], "a line of a statement counts for its first line"
        assert third == ["tests/unit/test_git.py", "tests/unit/test_hold.py", "tests/unit/test_tree.py"]


def test_a_line_that_runs_at_import_is_tested_by_all_that_reach_its_module() -> None:
    _, second, _ = stages(measured(), "plugins/module_utils/beneath.py", "A = 1\n", 1)
    assert second == ["tests/unit/test_hold.py"]


def test_a_run_may_take_several_times_what_its_tests_take() -> None:
    assert measured().patience(["tests/unit/test_tree.py"]) == GRACE + PATIENCE * 3
    assert measured().patience(["tests/unit/test_tree.py::test_more"]) == GRACE + PATIENCE * 2


def test_the_tests_of_a_changed_file_are_forgotten_and_all_others_kept() -> None:
    found = measured()
    found.failing = ["tests/unit/test_tree.py::test_it[1]", "tests/unit/test_git.py::test_it"]
    rest = found.without(["tests/unit/test_tree.py"])
    assert rest.files == [f"tests/unit/test_{name}.py" for name in ("beneath", "git", "hold")]
    assert rest.failing == ["tests/unit/test_git.py::test_it"]
    assert rest.covering["plugins/module_utils/beneath.py", 2] == {"tests/unit/test_beneath.py::test_it"}


def test_a_run_with_too_many_survivors_has_failed() -> None:
    caught, survived = Verdict(Change(), Fate.CAUGHT), Verdict(Change(), Fate.SURVIVED)
    assert Report(1, 95, [caught] * 19 + [survived]).is_good
    report = Report(1, 95, [caught] * 18 + [survived])
    assert not report.is_good
    text = "\n".join(report.lines())
    assert "survived: plugins/module_utils/beneath.py:7 (RemoveStatement)" in text
    assert Change.diff in text
    assert "94.7 % caught" in text


def test_a_timeout_and_a_scenario_count_as_caught_and_are_listed() -> None:
    report = Report(1, 95, [Verdict(Change(), Fate.TIMEOUT), Verdict(Change(), Fate.SCENARIO, "default: why")])
    assert report.share == 100
    text = "\n".join(report.lines())
    assert "caught by scenario: plugins/module_utils/beneath.py:7 (RemoveStatement) default: why" in text
    assert "timeout: plugins/module_utils/beneath.py:7" in text


def test_a_scenario_catches_the_mutants_of_its_line_alone() -> None:
    scenario = Scenario(Change.file, "os.close(handle)", "default", "why")
    assert scenario.catches(Change())
    assert not scenario.catches(Change(file="plugins/module_utils/tree.py"))
    assert not scenario.catches(Change(before="os.close(other)"))
    one = Scenario(Change.file, "os.close(handle)", "default", "why", mutant="pass")
    assert one.catches(Change())
    assert not one.catches(Change(after="os.open(handle)"))


def test_what_is_left_to_scenarios_exists() -> None:
    for scenario in read_scenarios(ROOT / "tests" / "mutation" / "scenarios.yml"):
        lines = (ROOT / scenario.file).read_text(encoding="utf-8").splitlines()
        assert scenario.line in map(str.strip, lines), scenario
        assert (ROOT / "molecule" / scenario.scenario / "molecule.yml").exists(), scenario
        assert scenario.reason, scenario
