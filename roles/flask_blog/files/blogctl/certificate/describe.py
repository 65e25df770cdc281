"""The certificate of a site for people and for programs."""

from __future__ import annotations

import time
from typing import Any

from ..shared import issued
from ..site import Site
from . import state


def status(site: Site) -> dict[str, Any]:
    """Return what C(blogctl status) shows of a certificate of an authority; nothing for another site."""
    if site.settings.get("tls") != issued.ACME:
        return {}
    found, problem = issued.read(site.path("certificate"))
    known = state.read(site)
    facts: dict[str, Any] = {
        "authority": issued.authority(site.settings),
        "missing": known.missing,
        "problem": problem or known.problem,
        "problem_time": issued.date(known.problem_time) if known.problem_time else "",
        "waits_until": issued.date(known.wait) if known.is_waiting(time.time()) else "",
    }
    if found:
        facts |= {
            "names": found.names,
            "issuer": found.issuer,
            "serial": found.serial,
            "ends": issued.date(found.ends),
            "renewal": issued.date(found.renewal),
        }
    return facts


def lines(facts: dict[str, Any]) -> list[str]:
    """Return the same for people, one fact a line."""
    found = []
    if "names" in facts:
        found = [
            f"{', '.join(facts['names'])} until {facts['ends']}, renewed from {facts['renewal']}",
            f"issued by {facts['issuer']}",
        ]
    found += [f"lacks {name}: {reason}" for name, reason in facts["missing"].items()]
    if facts["problem"]:
        time_of = f" ({facts['problem_time']})" if facts["problem_time"] else ""
        found.append(f"{facts['problem']}{time_of}")
    return found
