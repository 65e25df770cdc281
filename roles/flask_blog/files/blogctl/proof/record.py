"""The result of the last proof, in root's own state folder."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

from ..data.seed import state_folder
from ..host.files import write_atomically
from ..site import Site

#: In the state directory.
NAME = "proof.json"
#: Days after which a proof is stale: the timer has missed two weeks.
STALE_DAYS = 15


def _path(site: Site) -> Path:
    return state_folder(site) / NAME


def write(site: Site, result: dict[str, Any]) -> None:
    """Keep the result of a proof."""
    write_atomically(_path(site), json.dumps(result))


def read(site: Site) -> dict[str, Any] | None:
    """Return the result of the last proof; None if there is none."""
    try:
        found = json.loads(_path(site).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def is_stale(result: dict[str, Any], now: datetime.datetime) -> bool:
    """Say whether a proof is too old to rely on, or says no time."""
    try:
        return now - datetime.datetime.fromisoformat(str(result.get("time"))) > datetime.timedelta(days=STALE_DAYS)
    except (ValueError, TypeError):
        return True


def describe(result: dict[str, Any] | None, now: datetime.datetime) -> str:
    """Return the result of the last proof, for people."""
    if result is None:
        return "no backup was proved yet; 'blogctl prove' restores the newest one where no visitor reaches it"
    what = f"{result.get('backup')} with {result.get('release')}, {result.get('time')}"
    if result.get("problem"):
        return f"FAILED: {what}: {str(result['problem']).partition(chr(10))[0]}"
    return f"{'STALE' if is_stale(result, now) else 'ok'}: {what}"
