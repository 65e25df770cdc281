"""The app's address changes in the run of a release that fails: the site goes on at its old address."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ledger import NAME, Book, copy_of_the_blog, served

BIND = {"bind": "127.0.0.1:8010"}
#: Appended to the release command: it changes the data, and fails on the live data alone.
FAILS = (
    "connection.execute('CREATE TABLE IF NOT EXISTS moved (id INTEGER PRIMARY KEY)')\n"
    "assert '/rehearsal' in Path('/proc/self/mountinfo').read_text(), 'it fails on the live data'\n"
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A copy of the blog to change."""
    return copy_of_the_blog(tmp_path)


@pytest.fixture
def stays(host: Any, operator: Any, visit: Callable[..., Any], eventually: Callable[..., None]) -> Callable[..., None]:
    """Deploy a bad release with another address, and check that the site goes on: stays(source, "what it says")."""

    def deploy(source: Path, *words: str) -> None:
        before = served(visit)
        refused = operator.play("--extra-vars", json.dumps({"source": str(source), **BIND}))
        assert refused.returncode != 0
        for word in (*words, "The previous settings were restored as well"):
            assert word in refused.output, refused.output
        eventually(lambda: visit(NAME).ask("/healthz").status == 200, 10)
        assert served(visit) == before
        host.check_output("systemctl stop flask-blog.socket flask-blog.service && systemctl start flask-blog.socket")
        assert served(visit) == before, "it starts at the old address, too"

    return deploy


@pytest.mark.machine("13")
def test_a_bad_release_with_another_address_leaves_the_site_at_the_old_one(
    host: Any, operator: Any, visit: Callable[..., Any], stays: Callable[..., None], source: Path
) -> None:
    before = served(visit)
    (source / "behaviour").write_text("answers 500")
    stays(source, "answered 500")
    (source / "behaviour").write_text("works")
    for variables in (BIND, {}):
        run = operator.play("--extra-vars", json.dumps({"source": str(source), **variables}))
        assert run.returncode == 0, run.output
        assert served(visit) != before
        assert host.run("ss --listening --numeric --tcp").stdout.count(variables.get("bind", "127.0.0.1:8000")) == 1


@pytest.mark.machine("12")
def test_a_migration_that_is_undone_leaves_the_site_at_the_old_address(
    operator: Any, stays: Callable[..., None], source: Path
) -> None:
    before = Book.read(operator)
    with (source / "migrate.py").open("a") as script:
        script.write(FAILS)
    stays(source, "it fails on the live data", "The data is as it was before")
    after = Book.read(operator)
    assert (after.schema, after.entries) == (before.schema, before.entries)
