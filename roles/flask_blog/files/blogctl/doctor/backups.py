"""How old the newest backup is, what it lacks, and what is known of its proof and of copies elsewhere."""

from __future__ import annotations

import datetime
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ..backup.retention import NAME_FORMAT, complete_backups
from ..backup.verify import read_manifest
from ..host import systemd
from ..shared import contract
from ..site import Site
from .check import ERROR, Check, Finding, command, output_of

#: Times of a schedule that are looked at: the longest pause between two of them counts.
ITERATIONS = 12
#: A line of systemd-analyze(1) with a time.
TIME = re.compile(r"(?:Next elapse|Iteration #\d+|Iter\. #\d+): \w+ (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC")
#: Seconds that a backup may be late beside its schedule: it takes time, and starts spread.
ALLOWANCE = 3600.0
#: Seconds that a proof of the backups, and a copy elsewhere, may be old: a proof is made each week.
PROOF_AGE = 15 * 24 * 3600.0


def backups_are_recent(site: Site, now: float | None = None) -> Iterator[Finding]:
    """Compare the newest backup's age with the schedule of its timer."""
    now = time.time() if now is None else now
    interval = _interval(site)
    if interval is None:
        return  # flask_blog_backup_schedule is "never"
    names = complete_backups(site.path("backups"))
    limit = 2 * interval + ALLOWANCE
    made = _moment(names[-1]) if names else _first_data(site)
    if made is None or now - made <= limit:
        return
    age = _days(now - made)
    yield Finding(
        ERROR,
        f"the newest backup, {names[-1]}, is {age} old" if names else f"there is no backup, and the blog is {age} old",
        f"what was written since is lost with the disk; the schedule makes one every {_shown(interval)}",
        "Make one now; it says why if it fails.",
        command(site, "backup"),
    )


def newest_lacks_nothing(site: Site) -> Iterator[Finding]:
    """Look for what the newest backup could not copy."""
    names = complete_backups(site.path("backups"))
    if not names:
        return
    manifest = read_manifest(site.path("backups") / names[-1])
    skipped = manifest.get("skipped") or {}
    if skipped:
        listed = ", ".join(f"{path} ({reason})" for path, reason in list(skipped.items())[:5])
        yield Finding(
            ERROR,
            f"the newest backup, {names[-1]}, lacks {listed}",
            "these files are in older backups alone, or in none",
            "Correct the reason, such as a damaged database, and back up again.",
            command(site, "backup"),
        )


def proofs_are_recent(site: Site, now: float | None = None) -> Iterator[Finding]:
    """Read what the proof of the backups, and the copy elsewhere, have noted about their last run, if they exist."""
    now = time.time() if now is None else now
    interval = _interval(site)
    copy_age = PROOF_AGE if interval is None else 2 * interval + ALLOWANCE
    for note in (
        Note(
            "proof.json",
            "time",
            "proof of the backups",
            "nobody knows whether they can be restored",
            PROOF_AGE,
            "prove",
        ),
        Note(
            "offsite.json",
            "copied",
            "copy of the backups elsewhere",
            "a lost server takes them along",
            copy_age,
            "offsite",
        ),
    ):
        found = note.read(site)
        if found is None or not note.is_wanted(site):
            continue
        reason = str(found.get("problem") or "").partition("\n")[0]
        age = now - _seconds(found.get(note.key))
        if reason or age > note.most:
            unit = str(site.settings.get(f"{note.unit}_unit", ""))
            yield Finding(
                ERROR,
                f"the last {note.what} failed: {reason}" if reason else f"the last {note.what} is {_days(age)} old",
                note.why,
                f"Correct the reason and start it again.{f' journalctl -u {unit} says more.' if unit else ''}",
                f"systemctl start {unit}" if unit else command(site, note.unit),
            )


@dataclass(frozen=True)
class Note:
    """What a unit notes about its last run in the site's state directory."""

    name: str
    #: of the moment of the last success
    key: str
    what: str
    why: str
    #: seconds that it may be old
    most: float
    #: begins the names of the settings with its unit and its timer
    unit: str

    def is_wanted(self, site: Site) -> bool:
        """Say whether its timer is enabled; one that is not known counts as such."""
        timer = str(site.settings.get(f"{self.unit}_timer", ""))
        found = systemd.properties_of(timer, "LoadState", "UnitFileState") if timer else {}
        return found.get("LoadState") != "not-found" and found.get("UnitFileState") != "disabled"

    def read(self, site: Site) -> dict[str, Any] | None:
        """Return the note; None if there is none, or it is damaged."""
        try:
            found = json.loads((site.path("state") / self.name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None


def _seconds(value: object) -> float:
    """Return a moment in ISO 8601 as seconds since the epoch; 0 for anything else."""
    try:
        return datetime.datetime.fromisoformat(str(value)).timestamp()
    except ValueError:
        return 0.0


def _days(seconds: float) -> str:
    return f"{seconds / 3600:.0f} hours" if seconds < 4 * 86400 else f"{seconds / 86400:.0f} days"


def _interval(site: Site) -> float | None:
    """Return the longest pause between two backups of the schedule in seconds; None if it has none, or runs never."""
    timer = str(site.settings.get("backup_timer", ""))
    if not timer:
        return None  # an older role did not write it
    found = systemd.properties_of(timer, "UnitFileState", "ActiveState", "TimersCalendar")
    calendar = re.search(r"OnCalendar=([^;}]+)", found.get("TimersCalendar", ""))
    if not calendar or (found.get("ActiveState") != "active" and found.get("UnitFileState") != "enabled"):
        return None
    status, output = output_of(
        *("systemd-analyze", "calendar", f"--iterations={ITERATIONS}", calendar[1].strip()), environment={"TZ": "UTC"}
    )
    times = [
        datetime.datetime.strptime(one, "%Y-%m-%d %H:%M:%S").replace(tzinfo=datetime.UTC).timestamp()
        for one in TIME.findall(output)
    ]
    if status or len(times) < 2:
        return None
    return max(later - earlier for earlier, later in pairwise(times))


def _moment(name: str) -> float:
    return datetime.datetime.strptime(name, NAME_FORMAT).replace(tzinfo=datetime.UTC).timestamp()


def _first_data(site: Site) -> float | None:
    """Return when the blog got its first data; None if it has none."""
    try:
        return (site.path("state") / contract.INITIALISED).stat().st_mtime
    except OSError:
        return None


def _shown(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds < 2 * 3600 else f"{seconds / 3600:.0f} hours"


CHECKS = (
    Check("proof", "the proof of the backups", proofs_are_recent),
    Check("backup", "how old the newest backup is", backups_are_recent),
    Check("backup-content", "what the newest backup lacks", newest_lacks_nothing),
)
