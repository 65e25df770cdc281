"""Real failures reach real receivers, once, and their end does as well."""

from __future__ import annotations

import email
import email.policy
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

BACKUP = "flask-blog-backup.service"
CHECK = "flask-blog-notify-check.service"
RECOVERED = "flask-blog-notify-recovered@check.service"
INCIDENT = "/opt/flask-blog/state/notify/check.json"


def lines(host: Any, path: str) -> list[str]:
    found = host.file(path)
    return list(found.content_string.splitlines()) if found.exists else []


def messages(host: Any, job: str) -> list[dict[str, Any]]:
    """Return what the webhook got about a job."""
    got = [json.loads(line) for line in lines(host, "/var/lib/receiver/got")]
    bodies = [json.loads(one["body"]) for one in got if one["path"] == "/hook/T0K3N"]
    return [one for one in bodies if one["job"] == job]


def events(host: Any, job: str) -> list[str]:
    return [one["event"] for one in messages(host, job)]


def pings(host: Any) -> list[str]:
    got = [json.loads(line)["path"] for line in lines(host, "/var/lib/receiver/got")]
    return [path.removeprefix("/ping/P1NG") for path in got if path.startswith("/ping/")]


def commands(host: Any) -> list[tuple[str, str]]:
    """Return as which account the command ran, and what it was told."""
    got = [json.loads(line) for line in lines(host, "/var/lib/receiver/got")]
    told = [one for one in got if one["path"].startswith("/told/")]
    return [(one["path"].removeprefix("/told/"), json.loads(one["body"])["event"]) for one in told]


def titles(host: Any) -> list[str]:
    """Return the subjects of all mails."""
    text = "\n".join(lines(host, "/var/lib/receiver/mail"))
    mails = [one for one in text.split("arguments: -i -t\n") if one]
    found = [email.message_from_string(one, policy=email.policy.default) for one in mails]
    assert {str(one["To"]) for one in found} <= {"ada@example.com"}
    return [str(one["Subject"]) for one in found]


@pytest.fixture(scope="module")
def told(host: Any, eventually: Callable[..., None]) -> Callable[..., None]:
    """Wait until the webhook got these events about a job, and no others."""

    def wait(job: str, expected: list[str], seconds: float = 30) -> None:
        eventually(lambda: len(events(host, job)) >= len(expected), seconds)
        assert events(host, job) == expected

    return wait


def test_a_test_message_reaches_everybody_and_the_command_has_no_rights(host: Any) -> None:
    assert host.check_output("blogctl notify").splitlines() == ["webhook: sent", "command: sent", "mail: sent"]
    assert events(host, "") == ["test"]
    assert titles(host)[0].endswith(": test")
    assert commands(host) == [("nobody", "test")]


def test_a_backup_that_works_is_told_to_its_monitor_alone(host: Any, eventually: Callable[..., None]) -> None:
    host.check_output("systemctl start %s", BACKUP)
    eventually(lambda: pings(host) == ["/start", ""])
    assert events(host, "backup") == []
    assert host.file("/opt/flask-blog/state/notify/backup.json").exists is False


def test_a_backup_on_a_full_disk_is_one_message_to_everybody(
    host: Any, told: Callable[..., None], eventually: Callable[..., None]
) -> None:
    host.check_output("mount -t tmpfs -o size=4k,mode=0700 tmpfs /var/backups/flask-blog")
    for _ in range(2):
        assert host.run("systemctl start %s", BACKUP).rc != 0
        eventually(lambda: host.run("systemctl is-active 'flask-blog-notify*@*'").stdout.strip() in ("", "inactive"))
    told("backup", ["failed"])
    (message,) = messages(host, "backup")
    assert "No space left on device" in message["text"]
    assert f"sudo systemctl start {BACKUP}" in message["text"]
    eventually(lambda: len(titles(host)) == 2)
    assert titles(host)[1] == message["title"]
    assert commands(host) == [("nobody", "test"), ("nobody", "failed")]
    eventually(lambda: pings(host) == ["/start", "", "/start", "/fail", "/start", "/fail"])


def test_a_backup_that_works_again_is_told_once(host: Any, told: Callable[..., None]) -> None:
    host.check_output("umount /var/backups/flask-blog")
    for _ in range(2):
        time.sleep(1)  # backups are named after the second
        host.check_output("systemctl start %s", BACKUP)
        told("backup", ["failed", "recovered"])


def moment(host: Any, unit: str, what: str) -> int:
    """Return when the process of a unit has started or ended, in microseconds."""
    return int(host.check_output("systemctl show --value --property=ExecMain%sTimestampMonotonic %s", what, unit))


def test_a_receiver_that_hangs_delays_no_backup(host: Any, eventually: Callable[..., None]) -> None:
    ping = "flask-blog-notify-ping-start@backup.service"
    host.check_output("touch /var/lib/receiver/hangs")
    host.check_output("systemctl start %s", BACKUP)
    eventually(lambda: host.run("systemctl is-active %s", ping).stdout.strip() == "failed", 60)
    host.check_output("rm /var/lib/receiver/hangs")
    assert moment(host, ping, "Exit") - moment(host, ping, "Start") > 9_000_000, "it hung"
    assert moment(host, BACKUP, "Start") - moment(host, ping, "Start") < 5_000_000, "the backup did not wait for it"


def test_an_app_that_cannot_start_is_told_once_and_its_recovery_after_a_while(
    host: Any, told: Callable[..., None], eventually: Callable[..., None], visit: Callable[..., Any]
) -> None:
    host.check_output("mv /opt/flask-blog/venvs /opt/flask-blog/venvs.away")
    host.check_output("systemctl kill --signal=KILL flask-blog.service")
    assert host.run("systemctl start %s", CHECK).rc != 0
    told("check", ["failed"])
    (message,) = messages(host, "check")
    assert message["title"].endswith("the site does not serve")
    assert "sudo blogctl --site flask-blog status" in message["remedy"]
    host.check_output("mv /opt/flask-blog/venvs.away /opt/flask-blog/venvs")
    eventually(lambda: visit("book.example.com").ask("/").status == 200, 60)
    host.check_output("systemctl start %s", CHECK)
    eventually(lambda: json.loads(host.file(INCIDENT).content_string)["well_since"] > 0)
    assert events(host, "check") == ["failed"], "it has to serve for five minutes"
    # Starting a unit that still runs would not run it again.
    eventually(lambda: host.run("systemctl is-active %s", RECOVERED).stdout.strip() == "inactive")
    host.check_output(f'sed -i \'s/"well_since": [0-9.]*/"well_since": 1.0/\' {INCIDENT}')
    host.check_output("systemctl start %s", CHECK)
    told("check", ["failed", "recovered"])
    eventually(lambda: not host.file(INCIDENT).exists)


def test_no_address_is_in_the_journal_or_a_unit(host: Any) -> None:
    for secret in ("T0K3N", "P1NG"):
        assert host.run("journalctl --no-pager | grep -c %s", secret).stdout.strip() == "0"
        assert host.run("grep -r %s /etc/systemd /opt/flask-blog/state", secret).stdout == ""
    assert host.file("/etc/flask-blog/notify.json").mode == 0o600


def test_a_host_without_a_mail_system_is_said_by_the_run(host: Any, operator: Any) -> None:
    host.check_output("mv /usr/sbin/sendmail /usr/sbin/sendmail.away")
    run = operator.play()
    host.check_output("mv /usr/sbin/sendmail.away /usr/sbin/sendmail")
    assert run.changed == 0
    assert "flask_blog_notify.mail: the host has no /usr/sbin/sendmail" in " ".join(run.output.split())


def test_nobody_is_told_any_more_once_the_variables_are_empty(host: Any, operator: Any) -> None:
    nobody = '{"flask_blog_notify": {}, "flask_blog_notify_ping": {}}'
    assert operator.play("--extra-vars", nobody).changed > 0
    assert operator.play("--extra-vars", nobody).changed == 0
    assert host.run("ls /etc/systemd/system/flask-blog-notify*@* /etc/flask-blog/notify.json").stdout == ""
    assert not host.service("flask-blog-notify-check.timer").is_running
    assert "notify@" not in host.check_output("systemctl cat %s", BACKUP)
