"""A host for the tests of the doctor, whose programs and units answer what a test says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from blogctl.doctor.check import Finding
from blogctl.host import health


@dataclass
class Host:
    """What the host says."""

    #: properties of units
    units: dict[str, dict[str, str]] = field(default_factory=dict)
    #: exit status and output of programs, by the first words of their command lines
    programs: dict[str, tuple[int, str]] = field(default_factory=dict)
    #: the app's answer
    answer: health.Answer = field(default_factory=lambda: health.Answer(200, "answered 200", "main old"))
    #: the release of the running process
    served: str | None = "old"
    #: lines of the service in the journal
    journal: str = ""

    def properties_of(self, unit: str, *names: str) -> dict[str, str]:
        return {name: value for name, value in self.units.get(unit, {}).items() if name in names}

    def output_of(self, *words: str, **_: object) -> tuple[int, str]:
        line = " ".join(words)
        return next((answer for start, answer in self.programs.items() if line.startswith(start)), (0, ""))


def whats(found: Iterable[Finding]) -> list[str]:
    return [finding.what for finding in found]
