"""Fixtures of the tests of releases: fake units, and a live release."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest
from blogctl.data import transaction
from blogctl.host.releases import point_link
from blogctl.site import Site
from data_folders import BEFORE, SINCE, database
from fake_machine import Add, Machine, activated, machine

__all__ = ["machine"]


@pytest.fixture
def old(site: Site, machine: Machine, add_release: Add) -> Path:
    """A live release, with a row in its database."""
    folder = add_release("old")
    point_link(site, str(folder))
    with contextlib.closing(sqlite3.connect(site.path("data") / "database.db")) as connection:
        connection.executescript("PRAGMA journal_mode = WAL; CREATE TABLE post (id); INSERT INTO post VALUES (1);")
    return folder


@pytest.fixture
def migrated(site: Site, add_release: Add) -> Site:
    """A release that changed the schema, and a row written since."""
    point_link(site, str(add_release("old")))
    activated(site, "old")
    database(site.path("data") / "database.db", BEFORE)
    transaction.begin(site, "new", str(site.path("releases") / "old"))
    transaction.commit(site)
    database(site.path("data") / "database.db", SINCE)
    point_link(site, str(add_release("new")))
    activated(site, "new", data_changed=True)
    return site
