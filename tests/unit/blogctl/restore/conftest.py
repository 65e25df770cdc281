"""Fixtures of the tests of a restore: a live release with data, and a backup of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from backups import day, numbered_database
from blogctl.backup import create
from blogctl.backup.verify import MANIFEST
from blogctl.host.releases import point_link
from blogctl.site import Site
from fake_machine import Add, Machine, machine

__all__ = ["machine"]


@pytest.fixture
def live(site: Site, machine: Machine, add_release: Add) -> Site:
    """A live release, with a database and uploads."""
    point_link(site, str(add_release("old")))
    site.settings["config"] = str(site.path("config"))
    data = site.path("data")
    numbered_database(data / "database.db").chmod(0o640)
    for name in ("a.jpg", "b.jpg"):
        (data / "static" / "uploads").mkdir(parents=True, exist_ok=True)
        (data / "static" / "uploads" / name).write_bytes(name.encode())
    (data / "instance").mkdir()
    return site


@pytest.fixture
def backup(live: Site) -> Path:
    """Its backup."""
    return live.path("backups") / str(create.back_up(live, day(1))["name"])


@pytest.fixture
def rewrite(backup: Path) -> Callable[[Callable[[dict[str, Any]], object]], None]:
    """Change the backup's manifest."""

    def change(how: Callable[[dict[str, Any]], object]) -> None:
        manifest = json.loads((backup / MANIFEST).read_text())
        how(manifest)
        (backup / MANIFEST).write_text(json.dumps(manifest))

    return change
