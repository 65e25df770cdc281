"""What a site serves, and what releases it has."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from . import health, maintenance, services
from .operations import FAILED, History, read
from .release import release_of
from .site import MANIFEST, Site, live_target


def status(site: Site) -> dict[str, Any]:
    """Say in one mapping how a site is: what is linked, what is served, whether it answers, what happened last."""
    entries = read(site)
    answer = health.ask(site, timeout=10.0)
    service = site.settings["service_unit"]
    return {
        "site": site.name,
        "linked": release_of(site, live_target(site)),
        "served": health.served_release(site),
        "service": services.state_of(service)[0],
        "socket": services.state_of(site.settings["socket_unit"])[0],
        "healthy": answer.is_healthy,
        "health": f"{site.settings['health_path']}: {answer.reason}",
        "maintenance": maintenance.is_on(site),
        "last": asdict(entries[-1]) if entries else None,
    }


def status_words(found: dict[str, Any]) -> str:
    """Return a status for people."""
    lines = [
        f"site         {found['site']}",
        f"release      {found['served'] or 'none is served'}"
        + ("" if found["served"] == found["linked"] else f" (the link says {found['linked']})"),
        f"service      {found['service']}, socket {found['socket']}",
        f"health       {found['health']}",
        f"maintenance  {'on' if found['maintenance'] else 'off'}",
    ]
    if last := found["last"]:
        lines.append(f"last         {last['operation']} {last['release'] or ''} {last['result']}, {last['time']}")
    return "\n".join(lines)


def releases(site: Site) -> dict[str, Any]:
    """List a site's releases and its journal of operations."""
    history = History.of(site)
    live = health.served_release(site)
    found = sorted(path.parent.name for path in site.path("releases").glob(f"*/{MANIFEST}"))

    def state(release: str) -> str:
        if release == live:
            return "live"
        if release in history.failed:
            return FAILED
        return "good" if release in history.good else "new"

    return {
        "releases": [{"id": release, "state": state(release)} for release in found],
        "operations": [asdict(entry) for entry in read(site)],
    }


def releases_words(found: dict[str, Any], lines: int = 20) -> str:
    """Return releases and the last operations for people."""
    words = [f"{entry['id']}  {entry['state']}" for entry in found["releases"]] or ["no releases"]
    words.append("")
    for entry in found["operations"][-lines:]:
        change = f"{entry['origin'] or '-'} -> {entry['release'] or '-'}"
        waited = entry["details"].get("waited")
        words.append(
            f"{entry['time']}  {entry['operation']:<15} {change:<30} {entry['result']:<11} {entry['seconds']:.1f} s"
            + (f", requests waited {waited:.1f} s" if waited else "")
            + f"  by {entry['who']}"
            + (f"; {recovery}" if (recovery := entry["details"].get("recovery")) else "")
        )
    return "\n".join(words).rstrip()
