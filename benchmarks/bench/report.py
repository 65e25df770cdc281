"""The report: tables in Markdown, for people at the terminal and for results/latest.md."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

RESULTS = Path(__file__).resolve().parents[1] / "results" / "latest.md"
INTRODUCTION = """# Measured

What `./dev bench` measured last, on containers of Debian 12; [the method](../README.md). Absolute times depend on the
computer, so lean on the ratios. A section is replaced when its measurement is run again.
"""
#: The sections in their order.
NOTHING_CHANGED = "Nothing changed"
NEW_RELEASE = "A release of changed code"
UNDER_LOAD = "Ten releases under load"
FIRST_DEPLOYMENT = "First deployment, packages cached"
MEMORY = "Memory of the example blog"
HTTPS = "HTTPS and plain HTTP"
BACKUP = "Backup and restore of a large database"
SECTIONS = (NOTHING_CHANGED, NEW_RELEASE, UNDER_LOAD, FIRST_DEPLOYMENT, MEMORY, HTTPS, BACKUP)


@dataclass
class Row:
    """The rounds of one contender."""

    title: str
    version: str
    seconds: list[float] = field(default_factory=list)
    #: rounds in which it reported a change
    changes: int = 0

    @property
    def median(self) -> float:
        """The median in seconds."""
        return statistics.median(self.seconds)

    @property
    def spread(self) -> str:
        """The fastest and the slowest round."""
        return f"{min(self.seconds):.1f}–{max(self.seconds):.1f}"


@dataclass(frozen=True)
class Target:
    """A target: the role's median is at most a multiple of another contender's."""

    against: str
    most: float

    def sentence(self, ratio: float) -> str:
        """Return the target and the measured ratio as a sentence."""
        judged = verdict(ratio, self.most)
        return f"Target: at most {self.most} × {self.against}'s time. Measured: {ratio:.2f} ×. {judged}."


def verdict(measured: float, most: float) -> str:
    """Return whether a target is met, as text."""
    return "Met" if measured <= most else "Missed"


def comparison(rows: Sequence[Row], target: Target) -> str:
    """Return the table of a comparison and its verdict; the first row is the role."""
    role = rows[0]
    by_title = {row.title: row for row in rows}
    table = [
        "| Contender | Version | Median, s | Fastest–slowest, s | Role's time ÷ this one's |",
        "|---|---|---:|---:|---:|",
        *(
            f"| {row.title} | {row.version} | {row.median:.1f} | {row.spread} | {role.median / row.median:.2f} |"
            for row in rows
        ),
    ]
    conditions = (
        f"Rounds: {len(role.seconds)}. Cores, for the controller and its containers together: {os.cpu_count()}."
    )
    peer = by_title[target.against]
    sentence = target.sentence(role.median / peer.median)
    return "\n".join([*table, "", conditions, "", f"**{sentence}**", *doubts([role, peer])])


def doubts(rows: Sequence[Row]) -> list[str]:
    """Return the reasons why a ratio of these rows is not reliable."""
    reasons = []
    if len(rows[0].seconds) < 3:
        reasons.append("there are fewer than three rounds")
    if any(max(row.seconds) > 2 * min(row.seconds) for row in rows):
        reasons.append("the computer was busy, as a slowest round took more than twice as long as the fastest")
    return ["", f"Measure again before you quote this: {' and '.join(reasons)}."] if reasons else []


def publish(section: str, text: str) -> None:
    """Print a section, and replace it in the results."""
    print(f"\n{section}\n\n{text}\n", flush=True)
    found = {**_sections(), section: text}
    RESULTS.parent.mkdir(exist_ok=True)
    parts = [INTRODUCTION, *(f"## {title}\n\n{found[title]}\n" for title in SECTIONS if title in found)]
    RESULTS.write_text("\n".join(parts), encoding="utf-8")


def _sections() -> dict[str, str]:
    """Read the sections of the results."""
    if not RESULTS.exists():
        return {}
    _, *parts = RESULTS.read_text(encoding="utf-8").split("\n## ")
    titled = (part.partition("\n") for part in parts)
    return {title: body.strip() for title, _, body in titled}
