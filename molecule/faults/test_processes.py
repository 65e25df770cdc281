"""Processes that are killed, one by one, and what else goes missing while the site serves."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ledger import NAME, Book, copy_of_the_blog, visitors

#: Seconds from a crash to the next response, with a margin for a busy machine.
BACK_WITHIN = 3.0

#: pip's settings, with an index that is not there.
NO_INDEX = "[global]\nindex-url = http://pypi.invalid/simple\ntimeout = 1\nretries = 0\n"

KILLED = {
    "gunicorn": "systemctl show --property MainPID --value flask-blog.service",
    "a worker": "pgrep --parent $(systemctl show --property MainPID --value flask-blog.service) | head -n 1",
    "nginx": "cat /run/nginx.pid",
    "a worker of nginx": "pgrep --parent $(cat /run/nginx.pid) | head -n 1",
    "journald": "systemctl show --property MainPID --value systemd-journald.service",
}


@pytest.mark.parametrize("process", KILLED)
def test_a_killed_process_is_replaced_and_visitors_are_served_at_once(
    host: Any, visit: Callable[..., Any], eventually: Callable[..., None], process: str
) -> None:
    eventually(lambda: visit(NAME).ask("/healthz").status == 200)
    victim = host.check_output(KILLED[process])
    began = time.monotonic()
    host.check_output("kill -9 %s", victim)

    def answers() -> bool:
        return bool(visit(NAME).ask("/healthz", timeout=5).status == 200)

    eventually(answers, BACK_WITHIN)
    print(f"{process}: back after {time.monotonic() - began:.2f} s")
    eventually(lambda: host.check_output(f"{KILLED[process]} || true") not in {"", "0", victim})
    assert host.check_output("systemctl is-active nginx.service flask-blog.service").split() == ["active", "active"]


@pytest.mark.machine(12)
def test_without_dns_and_pypi_a_release_fails_and_the_site_serves(
    host: Any, operator: Any, visit: Callable[..., Any], tmp_path: Path
) -> None:
    source = copy_of_the_blog(tmp_path)
    with (source / "requirements.txt").open("a") as file:
        file.write("itsdangerous\n")
    before = visit(NAME).ask("/healthz").json()["release"]
    # In place: the file is mounted in a container.
    host.check_output("cp /etc/resolv.conf /root/resolv.conf && echo 'nameserver 192.0.2.1' >/etc/resolv.conf")
    host.check_output("mv /etc/pip.conf /root/pip.conf; cat >/etc/pip.conf <<'E'\n" + NO_INDEX + "E")
    try:
        run = operator.play("--extra-vars", f"source={source}")
        assert run.returncode != 0
        assert visit(NAME).ask("/healthz").json()["release"] == before
    finally:
        host.check_output("cat /root/resolv.conf >/etc/resolv.conf; rm /etc/pip.conf; mv /root/pip.conf /etc/; true")
    run = operator.play("--extra-vars", f"source={source}")
    assert run.returncode == 0, run.output
    assert visit(NAME).ask("/healthz").json()["release"] != before


@pytest.mark.machine(13)
def test_two_backups_at_once_and_a_third_by_the_timers_unit_are_all_whole(host: Any, operator: Any) -> None:
    with visitors(operator) as load:
        host.check_output(
            "blogctl backup >/tmp/one 2>&1 & first=$!; systemctl start flask-blog-backup.service & second=$!;"
            " sleep 1.2; blogctl backup >/tmp/two 2>&1; third=$?; wait $first && wait $second && exit $third"
        )
    assert load.failures == []
    assert Book.read(operator).holds_all_that_was_acknowledged(load)


@pytest.mark.machine(13)
@pytest.mark.parametrize("clock", ["-400 days", "+400 days"])
def test_a_clock_that_was_wrong_costs_no_backup(host: Any, clock: str) -> None:
    """Backups are named after the clock. The one that was just made stays, and so do those of the right clock."""
    host.check_output("apt-get -q update && apt-get -q --yes --no-install-recommends install faketime")
    names = "ls /var/backups/flask-blog | grep '^[0-9]' || true"
    host.check_output("blogctl backup; sleep 1.2")
    before = set(host.check_output(names).split())
    host.check_output(f"faketime '{clock}' blogctl backup")
    wrong = set(host.check_output(names).split()) - before
    assert len(wrong) == 1
    host.check_output("sleep 1.2; blogctl backup")
    after = set(host.check_output(names).split())
    assert len(after - before - wrong) == 1, "the one that was just made"
    host.check_output("rm -rf /var/backups/flask-blog/%s", wrong.pop())
