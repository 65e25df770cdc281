"""Units that failed, and timers that do not run."""

from __future__ import annotations

from collections.abc import Iterator

from ..host import systemd
from ..host.units import units_of
from ..site import Site
from .check import ERROR, Check, Finding, output_of

#: Units of the host's that sites need.
SHARED = ("nginx.service",)
#: systemd starts these again by itself, and P(serving) says why they fail.
OF_APP = ("service_unit", "socket_unit")


def no_unit_failed(site: Site) -> Iterator[Finding]:
    """Look for units of the site that failed."""
    app = {site.unit(key) for key in OF_APP}
    own = (str(value) for key, value in site.settings.items() if key.endswith("_unit"))
    names = dict.fromkeys([*units_of(site), *own, *_timers(site), *SHARED])
    status, output = output_of(
        *("systemctl", "show", "--property=Id,ActiveState,Result,ExecMainStatus,LoadState", "--", *names)
    )
    if status:
        raise OSError(f"systemd does not answer: {output.strip()[-300:]}")
    for block in output.split("\n\n"):
        found = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        name = found.get("Id", "")
        if found.get("ActiveState") != "failed":
            continue
        ended = systemd.how_it_ended(name).removeprefix(f" ({name}: ").removesuffix(")") or "it gives no reason"
        is_socket = name.endswith((".socket", ".timer"))
        yield Finding(
            ERROR,
            f"{name} failed: {ended}",
            "visitors are not served" if name in {*app, *SHARED} else "what it does for the site was not done",
            f"See why with 'journalctl -u {name} -n 30', correct the reason, and start it again.",
            f"systemctl restart {name}" if is_socket else f"systemctl start {name}",
        )


def timers_run(site: Site) -> Iterator[Finding]:
    """Look for timers that are on and will not elapse again."""
    for name in _timers(site):
        found = systemd.properties_of(
            name, "ActiveState", "SubState", "NextElapseUSecRealtime", "NextElapseUSecMonotonic", "Unit"
        )
        if found.get("ActiveState") != "active":
            continue
        is_planned = bool(found.get("NextElapseUSecRealtime")) or found.get("NextElapseUSecMonotonic", "0") not in (
            *("", "0", "infinity"),
        )
        # While its unit runs, a timer waits for the end of it.
        if not is_planned and found.get("SubState") != "running":
            yield Finding(
                ERROR,
                f"{name} is on, and has no next time",
                f"{found.get('Unit') or 'its unit'} is never started again",
                "Start the timer again.",
                f"systemctl restart {name}",
            )


def _timers(site: Site) -> list[str]:
    return [str(value) for key, value in site.settings.items() if key.endswith("_timer")]


CHECKS = (
    Check("failed", "which units failed", no_unit_failed),
    Check("timers", "when timers run", timers_run),
)
