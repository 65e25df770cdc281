"""The names of backups: moments of a clock that may have been wrong."""

from __future__ import annotations

import pytest
from backups import day, numbered_database
from blogctl.backup import create, retention
from blogctl.site import Site


@pytest.fixture
def blog(site: Site) -> Site:
    """A site with a database."""
    numbered_database(site.path("data") / "database.db", 3)
    return site


def test_a_backup_in_the_second_of_another_one_waits_for_the_next(blog: Site) -> None:
    blog.settings["backup_keep"] = {"last": 5}
    made = [create.back_up(blog)["name"] for _ in range(2)]
    assert len(set(made)) == 2
    assert retention.complete_backups(blog.path("backups")) == made


def test_a_name_of_the_future_does_not_cost_the_backup_that_was_just_made(blog: Site) -> None:
    """A clock that was wrong once made the other one; the retention keeps one a day, by name."""
    blog.settings["backup_keep"] = {"daily": 1}
    later = create.back_up(blog, day(30_000))["name"]
    made = create.back_up(blog)["name"]
    assert retention.complete_backups(blog.path("backups")) == [made, later]
