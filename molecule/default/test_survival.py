"""What happens at night: processes die, the machine reboots, and nobody is there."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from molecule.conftest import Operator, Visitor

BLOG = "blog.example.com"
UNITS = ("nginx.service", "flask-blog.socket", "flask-blog.service", "flask-blog-backup.timer")


def master(host: Any) -> str:
    """The process id of gunicorn's master."""
    pid: str = host.check_output("systemctl show --property MainPID --value flask-blog.service")
    assert pid != "0"
    return pid


def is_replaced(host: Any, killed: str) -> bool:
    """Say whether another master runs now."""
    pid = host.check_output("systemctl show --property MainPID --value flask-blog.service")
    return pid not in {"0", killed}


def workers(host: Any) -> set[str]:
    """The process ids of gunicorn's workers."""
    return set(host.check_output("pgrep --parent %s || true", master(host)).split())


def test_the_site_survives_a_killed_master(host: Any, visit: Callable[..., Visitor]) -> None:
    killed, visitor = master(host), visit(BLOG)
    host.check_output("kill -9 %s", killed)
    # The orphaned workers end within a second, and take with them what they have accepted. Then requests wait, as the
    # socket is systemd's: no connection is ever refused, and nobody has to ask twice.
    statuses = [visitor.ask("/").status]
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and not is_replaced(host, killed):
        statuses.append(visitor.ask("/").status)
    assert is_replaced(host, killed)
    assert set(statuses) <= {200, 502}
    assert statuses.count(502) <= 2, statuses
    assert visitor.ask("/").status == 200


def test_the_site_survives_a_killed_worker(
    host: Any, visit: Callable[..., Visitor], eventually: Callable[..., None]
) -> None:
    eventually(lambda: len(workers(host)) == 2)
    same_master, victim = master(host), min(workers(host))
    host.check_output("kill -9 %s", victim)
    assert visit(BLOG).ask("/").status == 200
    eventually(lambda: len(workers(host) - {victim}) == 2)
    assert master(host) == same_master
    assert visit(BLOG).ask("/").status == 200


@pytest.mark.parametrize("unit", UNITS)
def test_the_machine_comes_up_with(host: Any, unit: str) -> None:
    assert host.check_output("systemctl is-enabled %s", unit) == "enabled"
    assert host.check_output("systemctl is-active %s", unit) == "active"


def test_the_site_is_back_after_a_reboot(
    host: Any, operator: Operator, visit: Callable[..., Visitor], eventually: Callable[..., None]
) -> None:
    before = host.check_output("systemctl show --property UserspaceTimestampMonotonic --value")
    operator.reboot()

    def answers() -> bool:
        try:
            return visit(BLOG).ask("/").status == 200
        except OSError:
            return False

    eventually(answers, 60)
    assert host.check_output("systemctl show --property UserspaceTimestampMonotonic --value") != before
    assert visit(BLOG).ask("/static/css/blog.css").status == 200
    assert host.check_output("systemctl is-active flask-blog-backup.timer") == "active"
