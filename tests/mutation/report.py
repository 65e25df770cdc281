"""What became of the mutants, and what that means."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

import yaml


class Fate(StrEnum):
    """How a mutant ended."""

    CAUGHT = "caught"
    TIMEOUT = "timeout"
    SCENARIO = "caught by scenario"
    SURVIVED = "survived"


class Changed(Protocol):
    """A mutant, as far as a report needs it."""

    @property
    def file(self) -> str: ...
    @property
    def place(self) -> str: ...
    @property
    def operator(self) -> str: ...
    @property
    def diff(self) -> str: ...
    @property
    def changed_lines(self) -> tuple[list[str], list[str]]: ...


@dataclass(frozen=True)
class Verdict:
    """A mutant's end; C(by) is the test or the scenario that caught it."""

    mutant: Changed
    fate: Fate
    by: str = ""


@dataclass(frozen=True)
class Scenario:
    """A line whose mutants only a scenario can catch.

    :param line: the line's text without its indentation; line numbers change too often.
    :param mutant: the text of the changed line, or empty for any change of the line.
    """

    file: str
    line: str
    scenario: str
    reason: str
    mutant: str = ""

    def catches(self, changed: Changed) -> bool:
        """Return whether this is the scenario for a mutant."""
        before, after = changed.changed_lines
        is_line = changed.file == self.file and self.line in before
        return is_line and (not self.mutant or self.mutant in after)


def read_scenarios(path: Path) -> list[Scenario]:
    """Read the list of mutants that only a scenario can catch.

    :raises TypeError: for an entry with a key that is missing or unknown.
    """
    entries: Sequence[Mapping[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8")) or []
    return [Scenario(**entry) for entry in entries]


@dataclass
class Report:
    """All verdicts of a run."""

    seed: int
    floor: float
    verdicts: list[Verdict] = field(default_factory=list)

    def of(self, fate: Fate) -> list[Verdict]:
        """Return the mutants that ended like this, by their place."""
        return sorted((one for one in self.verdicts if one.fate is fate), key=lambda one: one.mutant.place)

    @property
    def share(self) -> float:
        """Percent of the mutants that something has caught."""
        return 100 * (1 - len(self.of(Fate.SURVIVED)) / len(self.verdicts)) if self.verdicts else 100.0

    @property
    def is_good(self) -> bool:
        return self.share >= self.floor

    def lines(self) -> Iterable[str]:
        """Yield the report for a person."""
        for verdict in self.of(Fate.SURVIVED):
            yield f"\nsurvived: {verdict.mutant.place} ({verdict.mutant.operator})\n{verdict.mutant.diff}"
        for fate in (Fate.TIMEOUT, Fate.SCENARIO):
            for verdict in self.of(fate):
                yield f"\n{fate}: {verdict.mutant.place} ({verdict.mutant.operator}) {verdict.by}".rstrip()
        yield ""
        for fate in Fate:
            yield f"{fate:<20}{len(self.of(fate)):>5}"
        share = f"{self.share:.1f} % caught, {self.floor:g} % required (--seed {self.seed})"
        yield f"{'all':<20}{len(self.verdicts):>5}   {share}"

    def write(self, path: Path) -> None:
        """Write all verdicts as JSON."""
        verdicts = [
            {
                "place": one.mutant.place,
                "operator": one.mutant.operator,
                "fate": one.fate,
                "by": one.by,
                "diff": one.mutant.diff,
            }
            for one in self.verdicts
        ]
        path.write_text(json.dumps({"seed": self.seed, "verdicts": verdicts}, indent=1), encoding="utf-8")
