"""The retention keeps the newest of each period, and never more than it says."""

from __future__ import annotations

import datetime
import json
import os
import random
from pathlib import Path

import pytest
from backups import START, day
from blogctl.backup import retention
from blogctl.backup.verify import MANIFEST


def many(seed: int) -> list[str]:
    """Names of backups at random moments of two years."""
    numbers = random.Random(seed)  # noqa: S311
    seconds = sorted(numbers.sample(range(2 * 365 * 86400), k=numbers.randint(1, 200)))
    return [(START + datetime.timedelta(seconds=second)).strftime(retention.NAME_FORMAT) for second in seconds]


def moment(name: str) -> datetime.datetime:
    return datetime.datetime.strptime(name, retention.NAME_FORMAT)


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("keep", [{"daily": 7, "weekly": 4, "monthly": 6}, {"daily": 1}, {"monthly": 3}, {}])
def test_retention_keeps_the_newest_and_never_more_than_it_says(seed: int, keep: dict[str, int]) -> None:
    everything = many(seed)
    kept = retention.retained(everything, keep)
    assert kept <= set(everything)
    assert everything[-1] in kept
    assert len(kept) <= max(1, sum(keep.values()))
    assert retention.retained(kept, keep) == kept, "asking twice removes nothing more"


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("period", ["daily", "weekly", "monthly"])
def test_each_of_the_newest_periods_keeps_its_last_backup_and_no_other(seed: int, period: str) -> None:
    everything = many(seed)
    key = retention.PERIODS[period]
    last = {key(moment(name)): name for name in everything}  # later ones replace earlier ones
    expected = sorted(last.values())[-3:]
    assert sorted(retention.retained(everything, {period: 3})) == expected


@pytest.mark.parametrize("seed", range(10))
def test_backups_taken_every_day_for_two_years_leave_what_the_retention_promises(seed: int) -> None:
    keep = {"daily": 7, "weekly": 4, "monthly": 6}
    kept: set[str] = set()
    for number in range(seed * 5, 730):
        kept = retention.retained({*kept, day(number).strftime(retention.NAME_FORMAT)}, keep)
    moments = sorted(moment(name) for name in kept)
    assert len({found.date() for found in moments[-7:]}) == 7
    assert len({(found.year, found.month) for found in moments}) >= 6
    assert len(kept) <= 17


def test_no_backups_are_nothing_to_keep() -> None:
    assert retention.retained([], {"daily": 7}) == set()


def make(root: Path, moment: datetime.datetime, skipped: dict[str, str] | None = None) -> str:
    name = moment.strftime(retention.NAME_FORMAT)
    (root / name).mkdir()
    (root / name / MANIFEST).write_text(json.dumps({"files": {}, "skipped": skipped or {}}))
    return name


@pytest.mark.parametrize("keep", [{"daily": 7, "weekly": 4, "monthly": 6}, {"daily": 1}])
def test_backups_that_lack_files_never_take_the_place_of_those_that_lack_none(
    tmp_path: Path, keep: dict[str, int]
) -> None:
    whole = [make(tmp_path, day(number)) for number in range(3)]
    expected = retention.retained(whole, keep)
    for hour in range(1, 400, 12):  # later on the last day, and on many days after it
        lacking = make(tmp_path, day(2) + datetime.timedelta(hours=hour), {"database.db": "Permission denied"})
        retention.prune(tmp_path, keep)
        assert lacking in os.listdir(tmp_path)
        assert expected <= set(os.listdir(tmp_path))
    assert len(os.listdir(tmp_path)) <= 2 * sum(keep.values())
    newest = make(tmp_path, day(40))
    retention.prune(tmp_path, {"daily": 1})
    assert os.listdir(tmp_path) == [newest]


def test_a_backup_whose_manifest_is_damaged_counts_as_one_that_lacks_files(tmp_path: Path) -> None:
    name = make(tmp_path, START)
    assert retention.lacks_nothing(tmp_path / name)
    (tmp_path / name / MANIFEST).write_text("{")
    assert not retention.lacks_nothing(tmp_path / name)
    (tmp_path / name / MANIFEST).write_text('{"files": {}}')
    assert retention.lacks_nothing(tmp_path / name), "an older version wrote it"
