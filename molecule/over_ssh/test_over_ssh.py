"""A bare server over SSH: the messages while the run waited, and its result."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def said(host: Any) -> list[str]:
    """The output of the scenario's runs about this machine."""
    log = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], "run.log").read_text(encoding="utf-8")
    return [line for line in log.splitlines() if f"[{host.backend.name}]:" in line]


def test_the_blog_serves(visit: Callable[..., Any]) -> None:
    assert "The first note" in visit("notes.example.com").ask("/").text


@pytest.mark.parametrize("lock", ["/var/lib/apt/lists/lock", "/var/lib/dpkg/lock-frontend"])
def test_the_run_named_the_lock_it_waited_for_before_python_was_there(said: list[str], lock: str) -> None:
    assert any("apt is busy there, waiting" in line and lock in line for line in said), "\n".join(said)


def test_the_packages_were_tried_again_until_apt_was_free(said: list[str]) -> None:
    assert any("FAILED - RETRYING" in line and "packages |" in line for line in said), "\n".join(said)


def test_the_first_boot_came_to_its_own_end(host: Any) -> None:
    assert not host.run("systemctl is-failed first-boot.service").succeeded
    assert not host.run("systemctl is-active first-boot.service").succeeded


def test_root_has_no_way_in(host: Any) -> None:
    assert "permitrootlogin no" in host.check_output("/usr/sbin/sshd -T")


def test_nothing_of_the_run_is_left_in_the_users_home(host: Any) -> None:
    assert host.check_output("ls -A /home/admin/.ansible/tmp 2>/dev/null || true") == ""
