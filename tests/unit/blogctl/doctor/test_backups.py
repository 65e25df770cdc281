"""The age of backups, of their proof and of copies elsewhere; what the newest lacks; units and timers."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest
from blogctl.doctor import backups, units
from blogctl.doctor.check import ERROR
from blogctl.site import Site
from doctor_host import Host, whats

NOW = datetime.datetime(2026, 11, 27, 12, tzinfo=datetime.UTC).timestamp()
CALENDAR = """  Original form: daily
Normalized form: *-*-* 00:00:00
    Next elapse: Sat 2026-11-28 00:00:00 UTC
       From now: 5h left
   {0} #2: Sun 2026-11-29 00:00:00 UTC
       From now: 1 day left
   {0} #3: Mon 2026-11-30 00:00:00 UTC
"""


@pytest.fixture(params=["Iter.", "Iteration"])
def scheduled(site: Site, host: Host, request: pytest.FixtureRequest) -> Site:
    """A site that is backed up each day."""
    site.path("state").mkdir(parents=True)
    site.settings["backup_timer"] = "blog-backup.timer"
    host.units["blog-backup.timer"] = {
        "UnitFileState": "enabled",
        "ActiveState": "active",
        "TimersCalendar": "{ OnCalendar=*-*-* 00:00:00 ; next_elapse=Sat 2026-11-28 00:03:12 UTC }",
    }
    host.programs["systemd-analyze calendar --iterations=12 *-*-* 00:00:00"] = (0, CALENDAR.format(request.param))
    return site


def backup(site: Site, name: str, **manifest: Any) -> None:
    folder = site.path("backups") / name
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps({"files": {}, **manifest}))


def test_a_backup_of_last_night_is_silent(scheduled: Site) -> None:
    backup(scheduled, "20261127T000312Z")
    backup(scheduled, "20260101T000312Z")
    assert list(backups.backups_are_recent(scheduled, NOW)) == []
    assert list(backups.newest_lacks_nothing(scheduled)) == []


def test_a_backup_older_than_twice_the_interval_is_named(scheduled: Site) -> None:
    backup(scheduled, "20261125T100000Z")
    (found,) = backups.backups_are_recent(scheduled, NOW)
    assert found.what == "the newest backup, 20261125T100000Z, is 50 hours old"
    assert "every 24 hours" in found.why
    assert found.command == "blogctl --site blog backup"


def test_a_blog_without_any_backup_is_named_once_it_should_have_one(scheduled: Site) -> None:
    assert list(backups.backups_are_recent(scheduled, NOW)) == [], "it has no data either"
    note = scheduled.path("state") / "initialised"
    note.touch()
    made = note.stat().st_mtime
    assert list(backups.backups_are_recent(scheduled, made + 3600)) == []
    (found,) = backups.backups_are_recent(scheduled, made + 3 * 86400)
    assert found.what == "there is no backup, and the blog is 72 hours old"


def test_a_blog_that_is_not_to_be_backed_up_is_silent(scheduled: Site, host: Host) -> None:
    host.units["blog-backup.timer"] |= {"UnitFileState": "disabled", "ActiveState": "inactive"}
    (scheduled.path("state") / "initialised").touch()
    assert list(backups.backups_are_recent(scheduled, NOW + 1000 * 86400)) == []


def test_what_the_newest_backup_lacks_is_named(scheduled: Site) -> None:
    backup(scheduled, "20261127T000312Z", skipped={"posts.db": "it is damaged"})
    (found,) = backups.newest_lacks_nothing(scheduled)
    assert found.what == "the newest backup, 20261127T000312Z, lacks posts.db (it is damaged)"


def moment(days: float) -> str:
    return datetime.datetime.fromtimestamp(NOW - days * 86400, datetime.UTC).isoformat(timespec="seconds")


def test_a_failed_or_old_proof_and_copy_are_named(scheduled: Site, host: Host) -> None:
    assert list(backups.proofs_are_recent(scheduled, NOW)) == []
    proof, copy = (scheduled.path("state") / name for name in ("proof.json", "offsite.json"))
    proof.write_text(json.dumps({"time": moment(1), "problem": ""}))
    copy.write_text(json.dumps({"copied": moment(1.5), "problem": ""}))
    assert list(backups.proofs_are_recent(scheduled, NOW)) == []
    proof.write_text(json.dumps({"time": moment(20)}))
    scheduled.settings.update({"offsite_unit": "blog-offsite.service", "offsite_timer": "blog-offsite.timer"})
    copy.write_text(json.dumps({"copied": moment(1), "problem": "wrong password\nmore"}))
    assert [(one.what, one.command) for one in backups.proofs_are_recent(scheduled, NOW)] == [
        ("the last proof of the backups is 20 days old", "blogctl --site blog prove"),
        ("the last copy of the backups elsewhere failed: wrong password", "systemctl start blog-offsite.service"),
    ]
    proof.write_text("{")
    copy.write_text(json.dumps({"copied": moment(3)}))
    assert whats(backups.proofs_are_recent(scheduled, NOW)) == [
        "the last copy of the backups elsewhere is 72 hours old"
    ], "it is made after each backup"
    host.units["blog-offsite.timer"] = {"UnitFileState": "disabled"}
    assert list(backups.proofs_are_recent(scheduled, NOW)) == []


# -- units and timers --


def test_a_failed_unit_is_named_with_the_command(site: Site, host: Host) -> None:
    host.programs["systemctl show"] = (
        0,
        "Id=blog.service\nActiveState=active\n\nId=blog-backup.service\nActiveState=failed\nResult=exit-code\n",
    )
    host.units["blog-backup.service"] = {"Result": "exit-code", "ExecMainStatus": "1"}
    (found,) = units.no_unit_failed(site)
    assert found.what == "blog-backup.service failed: exit-code, status 1"
    assert (found.level, found.command) == (ERROR, "systemctl start blog-backup.service")


def test_systemd_that_does_not_answer_is_an_error_of_the_check(site: Site, host: Host) -> None:
    host.programs["systemctl show"] = (1, "Failed to connect to bus")
    with pytest.raises(OSError, match="Failed to connect to bus"):
        list(units.no_unit_failed(site))


@pytest.mark.parametrize(
    ("properties", "is_found"),
    [
        ({"ActiveState": "active", "SubState": "waiting", "NextElapseUSecRealtime": "Sat 2026-11-28"}, False),
        ({"ActiveState": "active", "SubState": "waiting", "NextElapseUSecMonotonic": "1d"}, False),
        ({"ActiveState": "active", "SubState": "running", "NextElapseUSecRealtime": ""}, False),
        ({"ActiveState": "active", "SubState": "elapsed", "NextElapseUSecMonotonic": "infinity"}, True),
        ({"ActiveState": "inactive"}, False),
    ],
)
def test_a_timer_that_will_not_elapse_again_is_named(
    site: Site, host: Host, properties: dict[str, str], is_found: bool
) -> None:
    site.settings["backup_timer"] = "blog-backup.timer"
    host.units["blog-backup.timer"] = properties
    found = [one.command for one in units.timers_run(site)]
    assert found == (["systemctl restart blog-backup.timer"] if is_found else [])
