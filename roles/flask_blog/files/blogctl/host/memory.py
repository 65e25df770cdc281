"""Whether the kernel killed processes for want of memory, and whose limit was reached."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from ..site import Site
from .systemd import properties_of

#: Control groups of the host, in the form of cgroup-v2 (kernel.org: admin-guide/cgroup-v2).
CGROUPS = Path("/sys/fs/cgroup")
#: Names systemd's own control group, below which all units are.
INIT = Path("/proc/1/cgroup")
MEMINFO = Path("/proc/meminfo")
#: The slice of all services.
SLICE = "system.slice"


@dataclass(frozen=True)
class Events:
    """Counters of memory.events: C(oom) a limit was reached, C(kills) processes that the kernel killed."""

    oom: int = 0
    kills: int = 0

    def since(self, before: Events) -> Events:
        """Return what was counted since then."""
        return Events(self.oom - before.oom, self.kills - before.kills)


#: Processes were killed, and no counter says why, as on a host with the control groups of version 1.
UNCOUNTED = Events(oom=-1, kills=1)
LIMIT_REMEDY = (
    "Raise flask_blog_memory_max if the host has more memory, lower flask_blog_workers, or let the app load less."
)


def of_services() -> Events:
    """Return the counters of all services together: those of a unit vanish with it. Zeros if there are none."""
    try:
        root = INIT.read_text(encoding="utf-8").rpartition("0::")[2].strip().removesuffix("/init.scope")
    except OSError:
        return Events()
    return _read(f"{root}/{SLICE}")


def of_unit(unit: str) -> Events:
    """Return the counters of a unit that runs, since it was started; zeros if there are none."""
    group = properties_of(unit, "ControlGroup").get("ControlGroup", "")
    return _read(group) if group else Events()


def _read(group: str) -> Events:
    with contextlib.suppress(OSError, ValueError):
        text = (CGROUPS / group.lstrip("/") / "memory.events").read_text(encoding="utf-8")
        found = {name: int(count) for name, count in (line.split() for line in text.splitlines())}
        return Events(found.get("oom", 0), found.get("oom_kill", 0))
    return Events()


def problem(site: Site, found: Events) -> tuple[str, str] | None:
    """Return what ran out of memory and the remedy; None if the kernel killed nothing.

    :param found: what was counted while the app ran.
    """
    if not found.kills:
        return None
    limit = site.settings["sandbox"].get("MemoryMax", "")
    if found == UNCOUNTED:
        return (
            f"the app ran out of memory, as it seems: its processes were killed, and it may use flask_blog_memory_max"
            f" ({limit} of {_total()})",
            LIMIT_REMEDY,
        )
    if found.oom and limit:
        return (
            f"the app ran out of memory: it reached flask_blog_memory_max ({limit} of {_total()}), and the kernel"
            " killed one of its processes",
            LIMIT_REMEDY,
        )
    return (
        f"the host ran out of memory ({_total()}), and the kernel killed a process of the app",
        "Add memory or swap to the host, stop other services, or lower flask_blog_workers.",
    )


def is_of_host(found: Events) -> bool:
    """Say whether the host itself had no memory left, so that the app is not to blame."""
    return bool(found.kills) and not found.oom


def _total() -> str:
    """Return the host's memory for people."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        kibibytes = int(MEMINFO.read_text(encoding="utf-8").split("MemTotal:")[1].split()[0])
        return f"{kibibytes / 2**20:.1f} GiB"
    return "the host's memory"
