"""One command goes back: losing no request, and no data unless that was asked for."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from load import Load

LEDGER = Path(__file__).parents[2] / "tests" / "blogs" / "ledger"
NAME = "book.example.com"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A copy of the blog to change."""
    return Path(shutil.copytree(LEDGER, tmp_path / "ledger"))


def served(visit: Callable[..., Any]) -> str:
    """Return the release that visitors get."""
    return str(visit(NAME).ask("/healthz").json()["release"])


def book(operator: Any) -> dict[str, Any]:
    """Return the names of the database's tables and the ids of all rows."""
    found: dict[str, Any] = operator.python(
        "import sqlite3\n"
        "c = sqlite3.connect('/var/lib/flask-blog/database.db')\n"
        "tables = [row[0] for row in c.execute('SELECT name FROM sqlite_schema ORDER BY name')]\n"
        "rows = [row[0] for row in c.execute('SELECT id FROM entries ORDER BY id')]\n"
        "print(json.dumps({'tables': tables, 'rows': rows}))"
    )
    return found


def bring(operator: Any, source: Path) -> None:
    """Release the changed blog."""
    run = operator.play("--extra-vars", f"source={source}")
    assert run.returncode == 0, run.output


def test_going_back_without_a_change_of_the_schema_loses_no_request_and_no_row(
    host: Any, operator: Any, visit: Callable[..., Any], source: Path
) -> None:
    before = served(visit)
    (source / "static" / "new.css").write_text("body { color: red; }\n")
    bring(operator, source)
    assert served(visit) != before
    with Load(operator.address(), NAME) as load:
        time.sleep(1)
        assert f"{before} is served again" in host.check_output("blogctl rollback")
        time.sleep(1)
    assert load.failures == []
    assert served(visit) == before
    assert set(load.acknowledged) <= set(book(operator)["rows"])


def test_going_back_over_a_change_of_the_schema_needs_a_word_and_says_what_it_loses(
    host: Any, operator: Any, visit: Callable[..., Any], source: Path
) -> None:
    before, old = served(visit), book(operator)
    (source / "migrations.sql").write_text("CREATE TABLE tags (id INTEGER PRIMARY KEY)\n")
    bring(operator, source)
    after = served(visit)
    assert book(operator)["tables"] == [*old["tables"], "tags"]
    with Load(operator.address(), NAME):
        time.sleep(1)
    written = len(book(operator)["rows"]) - len(old["rows"])
    assert written > 0

    asked = host.run("blogctl rollback")
    assert asked.rc == 1
    assert f"{written} rows in database.db: entries" in asked.stderr
    assert served(visit) == after, "nothing was done"

    with Load(operator.address(), NAME) as load:
        time.sleep(1)
        done = host.check_output("blogctl rollback --restore-data")
        time.sleep(1)
    assert "left behind: " in done
    assert load.failures == []
    assert served(visit) == before
    assert book(operator)["tables"] == old["tables"]
    assert set(old["rows"]) <= set(book(operator)["rows"])
    host.check_output("test -s /var/backups/flask-blog/snapshots/left-%s/database.db", after)


def test_a_failed_release_is_never_gone_back_to(
    host: Any, operator: Any, visit: Callable[..., Any], source: Path
) -> None:
    before = served(visit)
    (source / "behaviour").write_text("answers 500")
    assert operator.play("--extra-vars", f"source={source} patience=5").returncode != 0
    (failed,) = [line.split()[0] for line in host.check_output("blogctl releases").splitlines() if "  failed" in line][
        :1
    ]
    refused = host.run("blogctl rollback %s", failed)
    assert refused.rc == 1
    assert "failed when it was activated" in refused.stderr
    assert served(visit) == before


def test_a_killed_change_of_the_data_is_undone_and_ended_by_the_next_run(
    host: Any, operator: Any, visit: Callable[..., Any], source: Path
) -> None:
    """Killed while the commands run on the live data: the note is on the disk, and requests wait."""
    before, old = served(visit), book(operator)
    (source / "migrations.sql").write_text("CREATE TABLE marks (id INTEGER PRIMARY KEY)\n")
    with (source / "migrate.py").open("a") as script:
        script.write(
            "if '/rehearsal' not in Path('/proc/self/mountinfo').read_text():\n    import time; time.sleep(6)\n"
        )
    host.check_output(
        "systemd-run --quiet --collect sh -c %s",
        "until test -e /opt/flask-blog/transaction.json; do sleep 0.1; done; sleep 2; "
        "pkill -KILL -f 'sbin/blogctl --site flask-blog activate'",
    )
    with Load(operator.address(), NAME) as load:
        assert operator.play("--extra-vars", f"source={source}").returncode != 0
        time.sleep(2)
    assert load.failures == []
    assert served(visit) == before
    assert book(operator)["tables"] == old["tables"]
    assert set(load.acknowledged) <= set(book(operator)["rows"])
    bring(operator, source)
    assert "marks" in book(operator)["tables"]
    assert served(visit) != before
