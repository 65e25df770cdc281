"""A bad release never serves: no request fails, and the data is what it was, with every acknowledged row."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from load import Load

LEDGER = Path(__file__).parents[2] / "tests" / "blogs" / "ledger"
NAME = "book.example.com"

#: What the new code does, and what the message must say of it.
BEHAVIOURS = {
    "cannot be imported": "this release cannot be imported",
    "answers 500": "answered 500",
    "hangs at start": "/healthz: no answer",
    "misses a package": "No module named 'a_package_that_nobody_installed'",
}
#: The second statement fails; the first one stays behind, as with many a migration tool.
MIGRATION = "CREATE TABLE tags (id INTEGER PRIMARY KEY)\nALTER TABLE no_such_table ADD COLUMN name TEXT\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A copy of the blog to spoil."""
    return Path(shutil.copytree(LEDGER, tmp_path / "ledger"))


def book(operator: Any) -> dict[str, Any]:
    """Return the database's schema and the ids of all its rows."""
    found: dict[str, Any] = operator.python(
        "import sqlite3\n"
        "c = sqlite3.connect('/var/lib/flask-blog/database.db')\n"
        "schema = c.execute('SELECT name, sql FROM sqlite_schema ORDER BY name').fetchall()\n"
        "rows = [row[0] for row in c.execute('SELECT id FROM entries ORDER BY id')]\n"
        "print(json.dumps({'schema': schema, 'rows': rows}))"
    )
    return found


def refused(operator: Any, visit: Callable[..., Any], source: Path, *words: str) -> None:
    """Bring a bad release under load, and see that nobody noticed and nothing was lost."""
    before, served = book(operator), visit(NAME).ask("/healthz").json()["release"]
    with Load(operator.address(), NAME) as load:
        run = operator.play("--extra-vars", f"source={source} patience=5")
    assert run.returncode != 0, run.output
    for word in words:
        assert word in run.output
    assert load.total > 100
    assert load.failures == []
    assert set(load.releases) == {served}, "no visitor saw the bad one"
    assert visit(NAME).ask("/healthz").json()["release"] == served
    after = book(operator)
    assert after["schema"] == before["schema"]
    assert set(before["rows"]) <= set(after["rows"])
    assert set(load.acknowledged) <= set(after["rows"]), "every acknowledged row is there"


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_code_that_does_not_work_never_serves(
    operator: Any, visit: Callable[..., Any], source: Path, behaviour: str
) -> None:
    (source / "behaviour").write_text(behaviour)
    refused(operator, visit, source, BEHAVIOURS[behaviour], "the live site was not touched")


def test_a_migration_that_fails_half_way_leaves_the_data_as_it_was(
    operator: Any, visit: Callable[..., Any], source: Path
) -> None:
    (source / "migrations.sql").write_text(MIGRATION)
    refused(operator, visit, source, "no such table", "the live site was not touched")


def test_a_migration_that_fails_on_the_live_data_alone_is_undone(
    operator: Any, visit: Callable[..., Any], source: Path
) -> None:
    """Its second statement fails only where the data folder is not a copy: what no rehearsal can find."""
    with (source / "migrate.py").open("a") as script:
        script.write(
            "connection.execute('CREATE TABLE IF NOT EXISTS tags (id INTEGER PRIMARY KEY)')\n"
            "live = '/rehearsal' not in Path('/proc/self/mountinfo').read_text()\n"
            "assert not live, 'it fails on the live data'\n"
        )
    refused(operator, visit, source, "it fails on the live data", "The data is as it was before")


def test_after_all_of_them_a_good_release_serves(operator: Any, visit: Callable[..., Any], source: Path) -> None:
    (source / "static" / "good.css").write_text("body { color: green; }\n")
    run = operator.play("--extra-vars", f"source={source}")
    assert run.returncode == 0, run.output
    assert visit(NAME).ask("/static/good.css").text == "body { color: green; }\n"
