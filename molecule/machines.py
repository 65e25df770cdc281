"""The names of a scenario's machines, as .config/molecule/config.yml composes them."""

from __future__ import annotations

import os


def machine(name: str) -> str:
    """Return the full name of one of the scenario's machines: it carries the checkout and the scenario."""
    checkout = os.environ.get("FLASKBLOG_MACHINES") or "flaskblog"
    return f"{checkout}-{os.environ['MOLECULE_SCENARIO_NAME']}-{name}"
