"""The site recovers from killed processes and from a reboot."""

from __future__ import annotations

import http.client
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
    """Return whether another master has started."""
    found = host.check_output("systemctl show --property MainPID,ActiveState --value flask-blog.service").split()
    return "active" in found and not {"0", killed} & set(found)


@pytest.fixture(autouse=True)
def settled(host: Any, eventually: Callable[..., None]) -> None:
    """Wait until the site has recovered from the previous test."""
    eventually(lambda: is_replaced(host, killed="0"))


def workers(host: Any) -> set[str]:
    """The process ids of gunicorn's workers."""
    return set(host.check_output("pgrep --parent %s || true", master(host)).split())


def was_answered(visitor: Visitor) -> bool:
    """Return whether a visitor got the whole page."""
    try:
        status = visitor.ask("/").status
    except http.client.IncompleteRead:
        return False
    assert status in {200, 502}
    return status == 200


def test_the_site_survives_a_killed_master(
    host: Any, visit: Callable[..., Visitor], eventually: Callable[..., None]
) -> None:
    killed, visitor = master(host), visit(BLOG)
    answered: list[bool] = []

    def replaced() -> bool:
        answered.append(was_answered(visitor))
        return is_replaced(host, killed)

    host.check_output("kill -9 %s", killed)
    # The orphaned workers exit at once; requests that they had accepted fail. Later requests wait, as systemd holds the
    # socket: no connection is refused.
    eventually(replaced)
    assert answered.count(False) <= 2, answered
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
