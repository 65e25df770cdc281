"""The maintenance page: nginx shows it while a file is there."""

from __future__ import annotations

from pathlib import Path

from ..site import Site


def switch_file(site: Site) -> Path:
    """Return the file that makes nginx show the maintenance page."""
    return site.path("maintenance")


def is_on(site: Site) -> bool:
    """Say whether the maintenance page is shown."""
    return switch_file(site).exists()


def switch(site: Site, on: bool) -> None:
    """Show or hide the maintenance page; nginx checks the file at each request, without a reload."""
    if on:
        switch_file(site).touch(mode=0o644)
    else:
        switch_file(site).unlink()
