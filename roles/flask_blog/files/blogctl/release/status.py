"""The state of a site, and the list of its releases."""

from __future__ import annotations

import contextlib
import os
from dataclasses import asdict
from typing import Any

from ..data import outside
from ..errors import OperationError
from ..host import environment, health, maintenance, systemd
from ..host.releases import app_folder, live_release, live_target, release_manifest, release_names
from ..host.watch import diagnose_last_start
from ..site import Site
from .hints import hints
from .history import DONE, FAILED, History, choose, read

MISSING_FOLDER = (
    "Run the playbook again: it unpacks the release again, and serves it. The data is not part of a release, and is"
    " kept."
)

NOTHING_LIVE = "No release is live yet. Correct the cause, and run the playbook again."


def status(site: Site) -> dict[str, Any]:
    """Return a site's state: what is linked, what is served, whether it answers, the last operation."""
    entries = read(site)
    answer = health.ask(site, timeout=10.0)
    service = site.settings["service_unit"]
    shown = outside.running(site)
    linked, served = live_release(site), health.served_release(site)
    serves = answer.is_healthy and served is not None and served == linked
    return {
        "site": site.name,
        "address": site.address,
        "linked": linked,
        "served": served,
        **origin(site, served),
        "service": systemd.state_of(service)[0],
        "socket": systemd.state_of(site.settings["socket_unit"])[0],
        "healthy": answer.is_healthy,
        "health": f"{site.settings['health_path']}: {answer.reason}",
        "serves": serves,
        **({} if serves else why(site, linked, served)),
        "environment": environment.problem_of_live(site),
        "maintenance": maintenance.is_on(site),
        "last": asdict(entries[-1]) if entries else None,
        "problems": [*outside.problems(site, shown), *hints(site, shown)],
    }


def why(site: Site, release: str | None, served: str | None) -> dict[str, str]:
    """Return the C(cause) and the C(remedy) of a site that does not serve; empty texts if they are not known.

    :param release: the one that the live link names.
    :param served: the one of the running process.
    """
    target = live_target(site)
    if target is not None and not os.path.isdir(target):
        # The app's errors are about its own files then, and the cause is not in it.
        return {"cause": f"The folder of the live release is missing: {target}", "remedy": MISSING_FOLDER}
    folder = None
    with contextlib.suppress(OperationError):
        folder = app_folder(site, release) if release else None
    found = diagnose_last_start(site, site.settings["service_unit"], folder)
    if target is None and served is None and not found.remedy:
        # After a boot the service finds no release to start, and the cause is in the journal of operations.
        problem = next((entry.details.get("problem") for entry in reversed(read(site)) if entry.result == FAILED), "")
        return {"cause": str(problem or "").partition("\n")[0], "remedy": NOTHING_LIVE}
    return {"cause": found.cause, "remedy": found.remedy}


def origin(site: Site, release: str | None) -> dict[str, str]:
    """Return the C(commit) and the C(ref) of a release from Git."""
    try:
        manifest = release_manifest(site, release).to_dict() if release else {}
    except OperationError:
        return {}
    return {key: manifest[key] for key in ("ref", "commit") if manifest.get(key)}


def describe_origin(found: dict[str, Any]) -> str:
    """Return a release's origin for people, such as C(main 1a2b3c4d5e6f)."""
    return " ".join(
        [*([found["ref"]] if "ref" in found else []), *([found["commit"][:12]] if "commit" in found else [])]
    )


def describe_status(found: dict[str, Any]) -> str:
    """Return a status for people."""
    came_from = f" ({text})" if (text := describe_origin(found)) else ""
    lines = [
        f"site         {found['site']}, {found['address']}",
        f"release      {found['served'] or 'none is served'}{came_from}"
        + ("" if found["served"] == found["linked"] else f" (the link says {found['linked']})"),
        f"service      {found['service']}, socket {found['socket']}",
        f"health       {found['health']}",
        f"maintenance  {'on' if found['maintenance'] else 'off'}",
    ]
    if last := found["last"]:
        lines.append(f"last         {last['operation']} {last['release'] or ''} {last['result']}, {last['time']}")
    if found["environment"]:
        lines.append(f"environment  {found['environment']}")
    lines += [f"problem      {text}" for text in found["problems"]]
    if not found["serves"]:
        lines += [f"cause        {found['cause']}"] if found["cause"] else []
        lines.append(found["remedy"] or "The site does not serve as it should; 'blogctl logs' may show why.")
    return "\n".join(lines)


def releases(site: Site) -> dict[str, Any]:
    """List a site's releases, the one activated last at the end, and its journal of operations."""
    history, entries = History.of(site), read(site)
    live = health.served_release(site)
    try:
        previous = choose(site, None)
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


def describe_releases(found: dict[str, Any], lines: int = 20) -> str:
    """Return releases and the last operations for people."""
    text = []
    for entry in found["releases"]:
        parts = [entry["id"], f"{entry['state']:<8}", entry.get("activated", ""), describe_origin(entry)]
        text.append("  ".join([*parts, _shortened(entry.get("problem", ""))]).rstrip())
    text = [*(text or ["no releases"]), ""]
    for entry in found["operations"][-lines:]:
        change = f"{entry['origin'] or '-'} -> {entry['release'] or '-'}"
        waited = entry["details"].get("waited")
        text.append(
            f"{entry['time']}  {entry['operation']:<15} {change:<30} {entry['result']:<11} {entry['seconds']:.1f} s"
            + (f", requests waited {waited:.1f} s" if isinstance(waited, int | float) and waited else "")
            + f"  by {entry['who']}"
            + (f"; {recovery}" if (recovery := entry["details"].get("recovery")) else "")
        )
    return "\n".join(text).rstrip()


def _shortened(text: str, length: int = 100) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
