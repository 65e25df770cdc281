"""Memory, clock, upgrades."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from blogctl.doctor import machine
from blogctl.doctor.check import ERROR
from blogctl.host import memory
from blogctl.site import Site
from doctor_host import Host, whats

MIB = 1 << 20


@pytest.fixture
def group(live: Site, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The control group of a service that may use 512 of 2048 MiB, and has two workers."""
    monkeypatch.setattr(memory, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(machine, "PROC", tmp_path / "proc")
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    (tmp_path / "meminfo").write_text(f"MemTotal:       {2048 * 1024} kB\n")
    folder = tmp_path / "cgroup" / "system.slice" / "blog.service"
    folder.mkdir(parents=True)
    (folder / "memory.events").write_text("oom 0\noom_kill 0\n")
    (folder / "memory.peak").write_text(str(100 * MIB))
    (folder / "cgroup.procs").write_text("7\n8\n9\n")
    for pid in (7, 8, 9):
        (tmp_path / "proc" / str(pid)).mkdir(parents=True)
        (tmp_path / "proc" / str(pid) / "smaps_rollup").write_text(f"Rss: 9 kB\nPss:    {30 * 1024} kB\n")
    host.units["blog.service"] |= {
        "ControlGroup": "/system.slice/blog.service",
        "MemoryMax": str(512 * MIB),
        "MainPID": "7",
    }
    live.settings["gunicorn_options"] = {"workers": 2}
    live.settings["sandbox"]["MemoryMax"] = "512M"
    return folder


def test_an_app_with_enough_memory_is_silent(live: Site, group: Path) -> None:
    assert list(machine.memory_suffices(live)) == []


def test_processes_that_the_kernel_killed_are_named(live: Site, group: Path) -> None:
    (group / "memory.events").write_text("oom 3\noom_kill 2\n")
    (found,) = machine.memory_suffices(live)
    assert found.level == ERROR
    assert "it reached flask_blog_memory_max (512M of 2.0 GiB)" in found.what


def test_a_high_water_mark_near_the_limit_is_named(live: Site, group: Path) -> None:
    (group / "memory.peak").write_text(str(500 * MIB))
    assert whats(machine.memory_suffices(live)) == ["the app used up to 500 MiB of the 512 MiB that it may use"]


def test_too_many_workers_for_the_cores_are_named(live: Site, group: Path) -> None:
    live.settings["gunicorn_options"]["workers"] = 9
    (found,) = machine.memory_suffices(live)
    assert found.what == "flask_blog_workers is 9, and the host has 2 cores"
    assert "flask_blog_workers to 2 or 4" in found.fix


def test_too_many_workers_for_the_memory_are_named(live: Site, group: Path, tmp_path: Path) -> None:
    for pid in (7, 8, 9):
        (tmp_path / "proc" / str(pid) / "smaps_rollup").write_text(f"Pss: {400 * 1024} kB\n")
    (found,) = machine.memory_suffices(live)
    assert found.what == "the app's 2 workers use 1.2 GiB, and the host has 2.0 GiB"


def test_a_service_that_does_not_run_is_no_crash(live: Site, group: Path, host: Host) -> None:
    host.units["blog.service"] = {}
    assert list(machine.memory_suffices(live)) == []


@pytest.mark.parametrize(
    ("shown", "command"),
    [
        ("NTPSynchronized=yes\nNTP=yes\n", None),
        ("NTPSynchronized=no\nNTP=no\nCanNTP=yes\n", "timedatectl set-ntp true"),
        ("NTPSynchronized=no\nNTP=yes\nCanNTP=yes\n", "timedatectl timesync-status"),
        ("NTPSynchronized=no\nNTP=no\nCanNTP=no\n", "apt-get install systemd-timesyncd"),
    ],
)
def test_a_clock_that_is_not_synchronised_is_named(
    live: Site, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shown: str, command: str | None
) -> None:
    monkeypatch.setattr(machine, "CONTAINER", tmp_path / "container")
    host.programs["timedatectl show"] = (0, shown)
    assert [found.command for found in machine.clock_is_right(live)] == ([command] if command else [])
    (tmp_path / "container").touch()
    assert list(machine.clock_is_right(live)) == [], "a container has its host's clock"


UPGRADE = """Inst libssl3 [3.0.15-1] (3.0.16-1~deb12u1 Debian-Security:12/stable-security [amd64])
Inst tzdata [2024a] (2024b Debian:12.9/stable [all])
Conf libssl3 (3.0.16-1~deb12u1 Debian-Security:12/stable-security [amd64])
"""


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The lists of a host that asked for upgrades today."""
    for name, path in (("APT_LISTS", "lists"), ("REBOOT", "reboot-required"), ("CONTAINER", "container")):
        monkeypatch.setattr(machine, name, tmp_path / path)
    (tmp_path / "lists" / "partial").mkdir(parents=True)
    (tmp_path / "lists" / "security_InRelease").touch()
    return tmp_path / "lists"


def test_a_host_with_all_upgrades_is_silent(live: Site, host: Host, apt: Path) -> None:
    host.programs["apt-get --simulate"] = (0, "Inst tzdata [2024a] (2024b Debian:12.9/stable [all])\n")
    assert list(machine.upgrades_are_installed(live)) == []


def test_pending_security_upgrades_and_a_reboot_are_named(live: Site, host: Host, apt: Path) -> None:
    host.programs["apt-get --simulate"] = (0, UPGRADE)
    machine.REBOOT.touch()
    found = list(machine.upgrades_are_installed(live))
    assert [one.command for one in found] == ["systemctl reboot", "apt-get update && apt-get upgrade"]
    assert found[1].what == "1 security upgrades are not installed: libssl3"


def test_a_host_that_does_not_ask_for_upgrades_is_named(live: Site, host: Host, apt: Path) -> None:
    asked = apt.stat().st_mtime
    (found,) = machine.upgrades_are_installed(live, asked + 20 * 86400)
    assert found.what == "apt has not asked for upgrades for 20 days"
    (apt / "security_InRelease").unlink()
    assert whats(machine.upgrades_are_installed(live)) == ["apt knows no packages"]
