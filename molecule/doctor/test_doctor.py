"""What is broken is found with the command that fixes it, and after that command the host is healthy again.

Each part of the host is broken as people break it: by hand, as root.
"""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest

PLAYBOOK = "ansible-playbook playbooks/site.yml"
DOCTOR = "../../playbooks/doctor.yml"
NAME, DATA, CONFIG = "flask-blog", "/var/lib/flask-blog", "/etc/flask-blog"
LIVE = f"/var/www/{NAME}"

Findings = dict[str, list[dict[str, Any]]]


def examine(host: Any) -> Findings:
    """Return what the doctor finds, by check."""
    result = host.run("blogctl --json doctor")
    found: Findings = {}
    for one in json.loads(result.stdout)["findings"]:
        found.setdefault(one["check"], []).append(one)
    levels = {one["level"] for findings in found.values() for one in findings}
    assert result.rc == (11 if "error" in levels else 12 if levels else 0)
    return found


def follow(host: Any, operator: Any, command: str) -> None:
    """Run a command that the doctor printed, on the machine or on the controller."""
    if command == PLAYBOOK:
        assert operator.play().changed > 0
    else:
        result = host.run(command)
        assert result.rc == 0, f"{command}: {result.stdout}{result.stderr}"


def is_healthy(host: Any) -> None:
    assert examine(host) == {}


def test_a_host_whose_apt_knows_no_packages_is_told_so(host: Any) -> None:
    found = examine(host)
    assert [one["command"] for one in found.pop("upgrades")] == ["apt-get update"]
    assert found == {}
    # As apt leaves it; the real command takes half a minute.
    host.check_output("touch /var/lib/apt/lists/deb.debian.org_InRelease")
    is_healthy(host)


def test_a_healthy_host_is_one_line_within_ten_seconds(host: Any) -> None:
    begun = time.monotonic()
    result = host.run("blogctl doctor")
    assert time.monotonic() - begun < 10
    assert (result.rc, result.stdout.count("\n")) == (0, 1), result.stdout
    assert re.fullmatch(r"flask-blog is healthy \(\d+ checks\)\n", result.stdout)


#: How something is broken, the check that finds it, a part of its line, and the start of the command that fixes it.
ON_THE_HOST = [
    ("blogctl maintenance on", "serving", "the maintenance page is on", "blogctl --site flask-blog maintenance off"),
    (f"chmod 0644 {CONFIG}/environment", "files", "mode 0644 instead of 0640", "chown -h root:flask-blog"),
    (f"chown nobody {CONFIG}/gunicorn.conf.py", "files", "owner nobody instead of root", "chown -h root:flask-blog"),
    (
        f"systemctl disable --now {NAME}-backup.timer",
        "units",
        f"{NAME}-backup.timer is not enabled",
        f"systemctl enable --now {NAME}-backup.timer",
    ),
    ("systemctl stop nginx", "nginx", "nginx does not run", "systemctl start nginx.service"),
    (
        f"mkdir -p /etc/systemd/system/{NAME}.service.d && printf '[Service]\\nWorkingDirectory=/srv\\n'"
        f" > /etc/systemd/system/{NAME}.service.d/override.conf && systemctl daemon-reload",
        "unit",
        f"its working directory is /srv, not {LIVE}",
        f"systemctl revert {NAME}.service",
    ),
    (
        f"touch -d '-10 days' /opt/{NAME}/state/initialised; rm -rf /var/backups/{NAME}/[0-9]*",
        "backup",
        "there is no backup, and the blog is 10 days old",
        "blogctl --site flask-blog backup",
    ),
    (
        f"touch -d '+1 minute' /etc/systemd/system/{NAME}.service",
        "unit",
        f"systemd has not read {NAME}.service",
        "systemctl daemon-reload",
    ),
    (
        f"mount -t tmpfs -o ro tmpfs /var/backups/{NAME}; systemctl start {NAME}-backup.service;"
        f" umount /var/backups/{NAME}",
        "failed",
        f"{NAME}-backup.service failed",
        f"systemctl start {NAME}-backup.service",
    ),
    (
        f"cd /tmp && (setsid {LIVE}/venv/bin/flask --app {LIVE}/app.py run --port 5005 >/dev/null 2>&1 &) && sleep 3",
        "development",
        "a development server listens on port 5005",
        "kill ",
    ),
    (
        f"cd {DATA}/static/uploads && runuser -u {NAME} -- sh -c 'umask 077; touch private.png'",
        "read",
        f"cannot read uploads: {DATA}/static/uploads/private.png",
        f"blogctl --site {NAME} run -- find static/uploads/",
    ),
    (
        f"rm {LIVE}/venv/bin/gunicorn",
        "environment",
        "has no gunicorn",
        "blogctl --site flask-blog rebuild ",
    ),
]


@pytest.mark.parametrize(
    ("damage", "check", "line", "command"),
    ON_THE_HOST,
    ids=[f"{check}-{line[:24]}" for _, check, line, _ in ON_THE_HOST],
)
def test_what_is_broken_is_found_and_its_command_fixes_it(
    host: Any, operator: Any, damage: str, check: str, line: str, command: str
) -> None:
    host.run("env GREETING=hello PYTHONDONTWRITEBYTECODE=1 timeout 60 sh -c %s", damage)
    found = examine(host)
    assert set(found) == {check}, found
    assert [one for one in found[check] if line in one["what"] and one["command"].startswith(command)], found
    for one in found[check]:
        follow(host, operator, one["command"])
    is_healthy(host)


#: The same for what the playbook alone mends; all at once, as a run takes its time.
BY_PLAYBOOK = [
    (f"sed -i '/proxy_set_header X-Forwarded-Proto/d' {CONFIG}/schemes/http/site.conf", "headers", "X-Forwarded-Proto"),
    (f"sed -i 's#alias {LIVE}/static/;#alias {LIVE}/assets/;#' {CONFIG}/schemes/http/site.conf", "headers", "/assets/"),
    (f"chmod 0700 $(readlink {LIVE})/static", "read", "cannot read static files of the live release"),
    (f"chown root {DATA}/database.db && chmod 0600 {DATA}/database.db", "write", f"cannot write {DATA}/database.db"),
    (
        f"cd {DATA}/static/uploads && touch a.png && chown root:root a.png && chmod 0600 a.png",
        "read",
        f"cannot read uploads: {DATA}/static/uploads/a.png",
    ),
    (f"echo '# hot fix' >> $(readlink {LIVE})/app.py", "code", "app.py (changed)"),
    (f"sed -i /GREETING/d {CONFIG}/environment && systemctl restart {NAME}", "serving", "KeyError: 'GREETING' (app.py"),
]


def test_all_that_the_playbook_mends_is_found_at_once_and_mended_by_one_run(host: Any, operator: Any) -> None:
    for damage, _, _ in BY_PLAYBOOK:
        host.run("timeout 20 sh -c %s", damage)
    time.sleep(3)  # the app's first attempt to start
    found = examine(host)
    for _, check, line in BY_PLAYBOOK:
        assert [one for one in found[check] if line in one["what"]], (check, line, found)
        assert all(one["command"] == PLAYBOOK for one in found[check] if line in one["what"] and check != "serving")
    (missing,) = found["serving"]
    assert missing["fix"].startswith("Set GREETING in flask_blog_environment")
    (changed,) = [one for one in found["files"] if one["what"].startswith(f"{CONFIG}/schemes/http/site.conf")]
    assert f"+        alias {LIVE}/assets/;" in changed["diff"]
    (secret,) = [one for one in found["files"] if one["what"].startswith(f"{CONFIG}/environment")]
    assert secret["diff"] == []
    follow(host, operator, PLAYBOOK)
    is_healthy(host)


def test_errors_of_the_app_are_counted_until_it_is_restarted(host: Any, visit: Any) -> None:
    for _ in range(3):
        assert visit("patient.test").ask("/fails").status == 500
    host.check_output("journalctl --sync")
    found = examine(host)
    assert [one["what"] for one in found["errors"]] == ["3 x LookupError: there is no post 17"]
    host.check_output(f"systemctl restart {NAME}")
    is_healthy(host)


def test_the_playbook_shows_one_table_and_fails_if_anything_is_wrong(host: Any, operator: Any) -> None:
    run = operator.play(playbook=DOCTOR)
    assert run.changed == 0
    assert re.search(r"flask-blog +healthy", run.output)
    host.check_output("blogctl maintenance on")
    run = operator.play("--check", playbook=DOCTOR)
    assert run.returncode != 0
    text = " ".join(run.output.split())  # Ansible breaks long lines
    assert f"{operator.machine} flask-blog warning serving: the maintenance page is on" in text
    assert "fix: blogctl --site flask-blog maintenance off" in text
    host.check_output("blogctl maintenance off")
    assert "Did you mean flask_blog_name?" in operator.play("-e", "flask_blog_nam=x", playbook=DOCTOR).output


def test_a_host_whose_site_is_damaged_says_what_to_do(host: Any, operator: Any) -> None:
    host.check_output(f"mv {CONFIG}/site.json /root/ && echo '{{' > {CONFIG}/site.json")
    result = host.run("blogctl doctor")
    assert result.rc == 1
    assert "is damaged" in result.stderr
    assert "run playbooks/site.yml" in result.stderr
    assert "it could not be examined" in " ".join(operator.play(playbook=DOCTOR).output.split())
    host.check_output(f"mv /root/site.json {CONFIG}/site.json")
    is_healthy(host)
