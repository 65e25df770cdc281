"""The host: memory, clock, pending upgrades."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

from ..host import memory, systemd
from ..site import Site
from .check import ERROR, ON_CONTROLLER, PLAYBOOK, WARNING, Check, Finding, output_of

#: This part of the memory that the app may use is near its end.
NEAR = 0.9
#: Workers for each core, and beside them, from which on more of them make the app slower.
WORKERS_BY_CORE, WORKERS_MORE = 2, 1
#: Days after which apt's lists say nothing about upgrades any more.
LISTS_AGE = 14
APT_LISTS = Path("/var/lib/apt/lists")
REBOOT = Path("/run/reboot-required")
#: Written by systemd at boot, if the machine is a container: the clock and the kernel are those of its host.
CONTAINER = Path("/run/systemd/container")
PROC = Path("/proc")


def memory_suffices(site: Site) -> Iterator[Finding]:
    """Compare the memory that the app used with what it may use, and with what a release needs."""
    unit = site.unit("service_unit")
    if ran_out := memory.problem(site, memory.of_unit(unit)):
        what, remedy = ran_out
        yield Finding(
            ERROR,
            what,
            "requests in that process were lost, and it happens again",
            f"{remedy} The count begins again when the app restarts.",
            f"systemctl restart {unit}",
        )
    found = systemd.properties_of(unit, "ControlGroup", "MemoryMax", "MainPID")
    group = memory.CGROUPS / found.get("ControlGroup", "").lstrip("/")
    total = _total()
    most = int(limit) if (limit := found.get("MemoryMax", "")).isdigit() else total
    peak = _number(group / "memory.peak") if found.get("ControlGroup") else 0
    if not ran_out and most and peak > NEAR * min(most, total):
        yield Finding(
            WARNING,
            f"the app used up to {_shown(peak)} of the {_shown(min(most, total))} that it may use",
            "a little more, and the kernel kills its processes",
            f"{memory.LIMIT_REMEDY} {ON_CONTROLLER}",
            PLAYBOOK,
        )
    yield from _workers(site, group if found.get("ControlGroup") else None, found.get("MainPID", "0"), total)


def _workers(site: Site, group: Path | None, main: str, total: int) -> Iterator[Finding]:
    """Compare the number of workers with the cores, and their memory with the host's."""
    workers, cores = int(site.settings.get("gunicorn_options", {}).get("workers", 1)), os.cpu_count() or 1
    if workers > WORKERS_BY_CORE * cores + WORKERS_MORE:
        yield Finding(
            WARNING,
            f"flask_blog_workers is {workers}, and the host has {cores} cores",
            "more workers than cores take memory and make the app slower",
            f"Set flask_blog_workers to {cores} or {2 * cores}, and raise flask_blog_threads for more requests at once."
            f" {ON_CONTROLLER}",
            PLAYBOOK,
        )
    if group is None:
        return
    try:
        pids = (group / "cgroup.procs").read_text(encoding="ascii").split()
    except OSError:
        return
    used = sum(_proportional(pid) for pid in pids)
    if total and 2 * used > NEAR * total:
        yield Finding(
            WARNING,
            f"the app's {len([pid for pid in pids if pid != main])} workers use {_shown(used)}, and the host has"
            f" {_shown(total)}",
            "during a release two instances run beside each other, and the host may run out of memory",
            f"Lower flask_blog_workers, or add memory or swap to the host. {ON_CONTROLLER}",
            PLAYBOOK,
        )


def _proportional(pid: str) -> int:
    """Return the bytes of a process, each page that several share divided by their number (proc_pid_smaps(5))."""
    try:
        text = (PROC / pid / "smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0  # it has ended
    found = re.search(r"^Pss:\s+(\d+) kB$", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _number(path: Path) -> int:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0  # Linux before 5.19 has no memory.peak


def _total() -> int:
    try:
        found = re.search(r"^MemTotal:\s+(\d+) kB$", memory.MEMINFO.read_text(encoding="ascii"), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


def _shown(number: int) -> str:
    return f"{number / 2**20:.0f} MiB" if number < 2**30 else f"{number / 2**30:.1f} GiB"


def clock_is_right(_: Site) -> Iterator[Finding]:
    """Ask whether the clock is synchronised."""
    if CONTAINER.exists():
        return
    status, output = output_of("timedatectl", "show")
    found = dict(line.split("=", 1) for line in output.splitlines() if "=" in line)
    if status or found.get("NTPSynchronized") != "no":
        return
    if found.get("NTP") == "yes":
        fix = "Its service runs and reaches no server: see what it says, and let UDP port 123 out."
        do = "timedatectl timesync-status"
    elif found.get("CanNTP") == "yes":
        fix, do = "Turn the synchronisation on.", "timedatectl set-ntp true"
    else:
        fix, do = "Install a service that synchronises it.", "apt-get install systemd-timesyncd"
    yield Finding(
        WARNING,
        "the clock is not synchronised",
        "certificates, logins and backups depend on the time; a wrong clock makes them fail at some point",
        fix,
        do,
    )


def upgrades_are_installed(_: Site, now: float | None = None) -> Iterator[Finding]:
    """Look for security upgrades and a reboot that are due."""
    if REBOOT.exists() and not CONTAINER.exists():
        yield Finding(
            WARNING,
            "the host has to be rebooted to use an upgrade of its kernel or of a library",
            "the hole that was closed is still open in what runs",
            "Reboot when it suits; the site comes back by itself, in less than a minute on most hosts.",
            "systemctl reboot",
        )
    status, output = output_of("apt-get", "--simulate", "--quiet", "-o", "Debug::NoLocking=true", "upgrade", seconds=20)
    due = re.findall(r"^Inst (\S+) .*Debian-Security", output, re.MULTILINE) if not status else []
    if due:
        more = f" and {len(due) - 8} more" if len(due) > 8 else ""
        yield Finding(
            WARNING,
            f"{len(due)} security upgrades are not installed: {', '.join(due[:8])}{more}",
            "the holes that they close are known to everybody",
            "Install them. The role flaskblog.hosting.host does so every day by itself.",
            "apt-get update && apt-get upgrade",
        )
    age = (time.time() if now is None else now) - _updated()
    if age > LISTS_AGE * 86400:
        yield Finding(
            WARNING,
            f"apt has not asked for upgrades for {age / 86400:.0f} days" if _updated() else "apt knows no packages",
            "security upgrades may be pending that nobody knows of",
            "Let apt update its lists. The role flaskblog.hosting.host does so every day by itself.",
            "apt-get update",
        )


def _updated() -> float:
    """Return when apt last got its lists of packages; 0 if it has none."""
    if not any(APT_LISTS.glob("*Release")):
        return 0.0
    # The lists themselves have the server's time; apt downloads to the second directory.
    return max(path.stat().st_mtime for path in (APT_LISTS, APT_LISTS / "partial") if path.exists())


CHECKS = (
    Check("memory", "the memory of the app", memory_suffices),
    Check("clock", "the clock", clock_is_right),
    Check("upgrades", "for pending upgrades", upgrades_are_installed, 25.0),
)
