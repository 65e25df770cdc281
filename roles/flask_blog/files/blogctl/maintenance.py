"""Show a maintenance page to everybody but the addresses that the site lists."""

from __future__ import annotations

from pathlib import Path

from .operations import recorded
from .release import release_of
from .site import Site, live_target, locked


def switch_file(site: Site) -> Path:
    """Return the file whose presence nginx reads as "under maintenance"."""
    return site.path("root") / "maintenance"


def is_on(site: Site) -> bool:
    """Say whether the maintenance page is shown."""
    return switch_file(site).exists()


def turn(site: Site, on: bool) -> bool:
    """Turn the page on or off; nginx sees it with its next request, without a reload.

    :returns: whether that changed anything.
    """
    with locked(site, f"maintenance {'on' if on else 'off'}"):
        if is_on(site) == on:
            return False
        release = release_of(site, live_target(site))
        with recorded(site, f"maintenance {'on' if on else 'off'}", release, release):
            if on:
                switch_file(site).touch(mode=0o644)
            else:
                switch_file(site).unlink()
    return True
