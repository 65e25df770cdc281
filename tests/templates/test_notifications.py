"""Every unit that can fail tells one place, and nothing of it is on a host where nobody is told."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from unit_files import settings, unit

HOOK = "https://hooks.example.com/s3cr3t"
TOLD = {"notify": {"mail": ["ada@example.com"], "webhook": HOOK, "command": ["/bin/tell", 7]}}
PINGED = {"notify_ping": {"backup": "https://hc-ping.com/1", "proof": "https://hc-ping.com/2"}}
JOBS = {
    "backup": "flask-blog-backup.service",
    "certificate": "flask-blog-certificate.service",
    "recovery": "flask-blog-recovery.service",
    "check": "flask-blog-notify-check.service",
}
OWN = ("notify@", "notify-recovered@", "notify-ping@", "notify-ping-start@", "notify-ping-fail@")


def path(name: str) -> str:
    return f"/etc/systemd/system/flask-blog-{name}.service"


@pytest.mark.parametrize("job", JOBS)
def test_each_unit_that_can_fail_tells_it_and_that_it_works_again(render: Any, job: str) -> None:
    found = settings(unit(render, JOBS[job], **TOLD))
    assert found["Unit.OnFailure"] == [f"flask-blog-notify@{job}.service"]
    assert found["Unit.OnSuccess"] == [f"flask-blog-notify-recovered@{job}.service"]
    plain = settings(unit(render, JOBS[job]))
    assert not {"Unit.OnFailure", "Unit.OnSuccess"} & {*plain}


def test_every_unit_of_the_site_that_is_no_part_of_the_app_tells_it(render: Any) -> None:
    """A new unit needs a job, or a reason to stand here."""
    silent = {"flask-blog.service", "flask-blog-next.service", *(f"flask-blog-{name}.service" for name in OWN)}
    services = {
        item["path"].rpartition("/")[2]: item
        for item in render(**TOLD, **PINGED).objects
        if item["kind"] == "file" and re.fullmatch(r"/etc/systemd/system/[^/]+\.service", item["path"])
    }
    assert silent | {*JOBS.values()} <= {*services}
    for name, item in services.items():
        assert ("OnFailure=flask-blog-notify@" in item["content"]) is (name not in silent), name


def test_a_monitor_is_told_beside_the_job_and_of_its_end(render: Any) -> None:
    found = settings(unit(render, "flask-blog-backup.service", **TOLD, **PINGED))
    assert found["Unit.Wants"] == ["flask-blog-notify-ping-start@backup.service"]
    assert found["Unit.OnFailure"][1] == "flask-blog-notify-ping-fail@backup.service"
    assert found["Unit.OnSuccess"][1] == "flask-blog-notify-ping@backup.service"
    assert "Unit.After" not in found, "the backup waits for no monitor"
    for end in ("ping", "ping-fail"):
        after = settings(unit(render, f"flask-blog-notify-{end}@.service", **PINGED))
        assert after["Unit.After"] == ["flask-blog-notify-ping-start@%i.service"]
    assert "ping" not in unit(render, "flask-blog-recovery.service", **TOLD, **PINGED)


def test_where_nobody_is_told_there_are_no_units_and_no_settings_for_it(render: Any) -> None:
    kinds = {item["path"]: item["kind"] for item in render().objects}
    assert {kinds[path(name)] for name in OWN} == {"absent"}
    assert kinds["/etc/flask-blog/notify.json"] == "absent"
    told = {item["path"]: item["kind"] for item in render(**TOLD).objects}
    assert [told[path(name)] for name in OWN] == ["file", "file", "absent", "absent", "absent"]


def test_urls_are_in_a_file_of_root_s_and_in_no_unit(render: Any) -> None:
    rendered = render(**TOLD, **PINGED)
    (item,) = [item for item in rendered.objects if item["path"] == "/etc/flask-blog/notify.json"]
    assert (item["owner"], item["mode"], item["secret"]) == ("root", "0600", True)
    assert json.loads(item["content"]) == {
        "mail": ["ada@example.com"],
        "webhook": HOOK,
        "command": ["/bin/tell", "7"],
        "command_user": "nobody",
        "ping": {"backup": "https://hc-ping.com/1", "proof": "https://hc-ping.com/2"},
    }
    others = [str(one.get("content")) for one in rendered.objects if one is not item]
    assert not [text for text in others if "s3cr3t" in text or "hc-ping" in text]


def test_a_message_has_the_rights_that_its_channels_need_and_mail_a_process_of_its_own(render: Any) -> None:
    alone = settings(unit(render, "flask-blog-notify@.service", notify={"webhook": "https://hooks.example.com/x"}))
    assert alone["Service.CapabilityBoundingSet"] == [""]
    assert alone["Service.ExecStart"] == ["/usr/local/sbin/blogctl --site flask-blog notify-report %i"]
    assert "Service.KillMode" not in alone
    found = settings(unit(render, "flask-blog-notify@.service", **TOLD))
    assert found["Service.CapabilityBoundingSet"] == ["CAP_KILL CAP_SETGID CAP_SETUID"]
    assert found["Service.ExecStart"][1].startswith("+/usr/local/sbin/blogctl")
    assert found["Service.KillMode"] == ["process"], "a mail system delivers in the background"
    for name in OWN:
        one = settings(unit(render, f"flask-blog-{name}.service", **TOLD, **PINGED))
        assert one["Service.ProtectSystem"] == ["strict"]
        assert "/var/lib/flask-blog" in one["Service.InaccessiblePaths"][0]


def test_a_recovery_needs_no_process_while_nothing_has_failed(render: Any) -> None:
    found = settings(unit(render, "flask-blog-notify-recovered@.service", **TOLD))
    assert found["Unit.ConditionPathExists"] == [
        "|/opt/flask-blog/state/notify/%i.json",
        "|/run/flask-blog-hosting/flask-blog.notify/%i.json",
    ]


@pytest.mark.parametrize(("chosen", "runs"), [({}, False), (PINGED, False), (TOLD, True)])
def test_the_site_is_checked_where_somebody_is_told(render: Any, chosen: dict[str, Any], runs: bool) -> None:
    units = {one["name"]: one for one in render(**chosen).variables["__flask_blog_units"]}
    timer = units["flask-blog-notify-check.timer"]
    assert (timer["enabled"], timer["active"]) == (runs, runs)


@pytest.mark.parametrize(("chosen", "noted"), [({}, []), (TOLD, ["/usr/sbin/sendmail"])])
def test_a_host_without_a_mail_system_is_said_where_mail_is_wanted(
    render: Any, chosen: dict[str, Any], noted: list[str]
) -> None:
    assert [item["path"] for item in render(**chosen).objects if item["kind"] == "program"] == noted
