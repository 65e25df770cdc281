"""What a site serves, and what releases it has."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from . import health, maintenance, rollback, services
from .operations import DONE, FAILED, History, read
from .release import release_of
from .site import OperationError, Site, live_target, release_manifest, release_names


def status(site: Site) -> dict[str, Any]:
    """Say in one mapping how a site is: what is linked, what is served, whether it answers, what happened last."""
    entries = read(site)
    answer = health.ask(site, timeout=10.0)
    service = site.settings["service_unit"]
    linked, served = release_of(site, live_target(site)), health.served_release(site)
    return {
        "site": site.name,
        "linked": linked,
        "served": served,
        **origin(site, served),
        "service": services.state_of(service)[0],
        "socket": services.state_of(site.settings["socket_unit"])[0],
        "healthy": answer.is_healthy,
        "health": f"{site.settings['health_path']}: {answer.reason}",
        "serves": answer.is_healthy and served is not None and served == linked,
        "maintenance": maintenance.is_on(site),
        "last": asdict(entries[-1]) if entries else None,
    }


def origin(site: Site, release: str | None) -> dict[str, str]:
    """Return the C(commit) and the C(ref) that a release was made from, where it says so."""
    try:
        manifest = release_manifest(site, release) if release else {}
    except OperationError:
        return {}
    return {key: str(manifest[key]) for key in ("ref", "commit") if manifest.get(key)}


def origin_words(found: dict[str, Any]) -> str:
    """Return where a release came from for people: C(main 1a2b3c4d5e6f)."""
    return " ".join(
        [*([found["ref"]] if "ref" in found else []), *([found["commit"][:12]] if "commit" in found else [])]
    )


def status_words(found: dict[str, Any]) -> str:
    """Return a status for people."""
    came_from = f" ({words})" if (words := origin_words(found)) else ""
    lines = [
        f"site         {found['site']}",
        f"release      {found['served'] or 'none is served'}{came_from}"
        + ("" if found["served"] == found["linked"] else f" (the link says {found['linked']})"),
        f"service      {found['service']}, socket {found['socket']}",
        f"health       {found['health']}",
        f"maintenance  {'on' if found['maintenance'] else 'off'}",
    ]
    if last := found["last"]:
        lines.append(f"last         {last['operation']} {last['release'] or ''} {last['result']}, {last['time']}")
    if not found["serves"]:
        lines.append("It does not serve as it should; 'blogctl logs' may say why.")
    return "\n".join(lines)


def releases(site: Site) -> dict[str, Any]:
    """List a site's releases, those activated last at the end, and its journal of operations."""
    history, entries = History.of(site), read(site)
    live = health.served_release(site)
    try:
        previous = rollback.choose(site, None)
    except OperationError:
        previous = None
    activated = {
        entry.release: entry
        for entry in entries
        if entry.result == DONE and entry.release and entry.operation in ("activate", "rollback")
    }

    def state(release: str) -> str:
        if release == live:
            return "live"
        if release in history.failed:
            return FAILED
        if release == previous:
            return "previous"
        if release in history.left:
            return "left"
        return "good" if release in history.good else "new"

    def describe(release: str) -> dict[str, Any]:
        found: dict[str, Any] = {"id": release, "state": state(release), **origin(site, release)}
        if release in activated:
            found["activated"] = activated[release].time
        if found["state"] == FAILED:
            found["problem"] = history.failed[release]
        return found

    names = sorted(
        release_names(site), key=lambda name: (activated[name].id if name in activated else float("inf"), name)
    )
    return {
        "releases": [describe(name) for name in names],
        "operations": [asdict(entry) for entry in entries],
    }


def releases_words(found: dict[str, Any], lines: int = 20) -> str:
    """Return releases and the last operations for people."""
    words = []
    for entry in found["releases"]:
        parts = [entry["id"], f"{entry['state']:<8}", entry.get("activated", ""), origin_words(entry)]
        words.append("  ".join([*parts, _shortened(entry.get("problem", ""))]).rstrip())
    words = [*(words or ["no releases"]), ""]
    for entry in found["operations"][-lines:]:
        change = f"{entry['origin'] or '-'} -> {entry['release'] or '-'}"
        waited = entry["details"].get("waited")
        words.append(
            f"{entry['time']}  {entry['operation']:<15} {change:<30} {entry['result']:<11} {entry['seconds']:.1f} s"
            + (f", requests waited {waited:.1f} s" if isinstance(waited, int | float) and waited else "")
            + f"  by {entry['who']}"
            + (f"; {recovery}" if (recovery := entry["details"].get("recovery")) else "")
        )
    return "\n".join(words).rstrip()


def _shortened(words: str, length: int = 100) -> str:
    return words if len(words) <= length else f"{words[: length - 1]}…"
