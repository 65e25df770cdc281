"""Which backups are kept, and removing the others."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from .verify import MANIFEST, read_manifest

#: A backup's name is the moment at which it was begun, in UTC, so that names sort by age.
NAME_FORMAT = "%Y%m%dT%H%M%SZ"
#: Starts the name of a backup that is being made or removed.
INCOMPLETE_PREFIX = ".incomplete-"

#: The key of each period: backups with the same key are of the same hour, day, week or month.
PERIODS: dict[str, Callable[[datetime.datetime], object]] = {
    "last": lambda moment: moment,
    "hourly": lambda moment: (moment.date(), moment.hour),
    "daily": lambda moment: moment.date(),
    "weekly": lambda moment: moment.isocalendar()[:2],
    "monthly": lambda moment: (moment.year, moment.month),
}


def complete_backups(root: Path) -> list[str]:
    """Return the names of the complete backups, oldest first."""
    return sorted(path.parent.name for path in root.glob(f"[0-9]*/{MANIFEST}"))


def lacks_nothing(backup: Path) -> bool:
    """Say whether everything could be copied; a manifest that cannot be read says no."""
    try:
        return not read_manifest(backup).get("skipped")
    except (OSError, ValueError):
        return False


def prune(root: Path, keep: Mapping[str, int], made: str = "") -> list[str]:
    """Remove the backups that the retention does not keep; the newest one always stays.

    A backup that lacks files never takes the place of one that lacks none.

    :param made: the one that was just made, which stays as well: a clock that was wrong may have made a later name.
    """
    names = complete_backups(root)
    stay = kept(names, [name for name in names if lacks_nothing(root / name)], keep) | {made}
    removed = [name for name in names if name not in stay and not _is_held(root / name)]
    for name in removed:
        # Renamed first: an interrupted removal must not leave half a backup under its name.
        aside = root / f"{INCOMPLETE_PREFIX}{name}"
        (root / name).rename(aside)
        shutil.rmtree(aside)
    return removed


def kept(names: Iterable[str], whole: Iterable[str], keep: Mapping[str, int]) -> set[str]:
    """Return which backups stay.

    :param whole: those that lack nothing.
    """
    return retained(names, keep) | retained(whole, keep)


@contextlib.contextmanager
def held(backup: Path) -> Iterator[None]:
    """Keep a backup from being removed while it is read; the kernel lets it go with the process."""
    handle = os.open(backup / MANIFEST, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield
    finally:
        os.close(handle)


def _is_held(backup: Path) -> bool:
    handle = os.open(backup / MANIFEST, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def is_name(name: str) -> bool:
    """Say whether a text is the name of a backup."""
    try:
        datetime.datetime.strptime(name, NAME_FORMAT)
    except ValueError:
        return False
    return True


def retained(names: Iterable[str], keep: Mapping[str, int]) -> set[str]:
    """Return which backups to keep: the last one of each of the newest hours, days, weeks and months that have any.

    :param keep: how many of each of C(PERIODS); 0 for none.
    """
    newest_first = sorted(names, reverse=True)
    found = set(newest_first[:1])
    for period, key in PERIODS.items():
        seen: set[object] = set()
        for name in newest_first:
            moment = datetime.datetime.strptime(name, NAME_FORMAT)
            if key(moment) not in seen and len(seen) < int(keep.get(period, 0)):
                seen.add(key(moment))
                found.add(name)
    return found
