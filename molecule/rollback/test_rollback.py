"""One command rolls back, without losing a request, and without losing data unless requested."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ledger import NAME, Book, copy_of_the_blog, served, visitors

PLAYBOOK = "../../playbooks/rollback.yml"

pytestmark = pytest.mark.machine("13")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A copy of the blog to change."""
    return copy_of_the_blog(tmp_path)


def bring(operator: Any, source: Path) -> None:
    """Release the changed blog."""
    run = operator.play("--extra-vars", f"source={source}")
    assert run.returncode == 0, run.output


def go_back(operator: Any, *arguments: str) -> Any:
    """Run the rollback playbook."""
    return operator.play(*arguments, playbook=PLAYBOOK)


def states(host: Any) -> dict[str, str]:
    """Return the state of each release."""
    found = json.loads(host.check_output("blogctl releases --json"))
    return {release["id"]: release["state"] for release in found["releases"]}


def test_going_back_without_a_change_of_the_schema_loses_no_request_and_no_entry(
    host: Any, operator: Any, visit: Callable[..., Any], source: Path
) -> None:
    before = served(visit)
    (source / "static" / "new.css").write_text("body { color: red; }\n")
    bring(operator, source)
    after = served(visit)
    assert states(host) == {before: "previous", after: "live"}

    planned = go_back(operator, "--check")
    assert planned.changed == 1
    assert f"would roll back from {after} to {before}" in planned.output
    assert served(visit) == after, "check mode changes nothing"

    with visitors(operator) as load:
        time.sleep(1)
        done = go_back(operator)
        time.sleep(1)
    assert done.changed == 1
    assert f"{before} is served again" in done.output
    assert load.failures == []
    assert set(load.releases) == {before, after}
    assert served(visit) == before
    assert Book.read(operator).holds_all_that_was_acknowledged(load)
    assert states(host) == {before: "live", after: "left"}

    nothing = go_back(operator)
    assert nothing.returncode != 0
    assert "there is no good release before the live one" in nothing.output
    assert served(visit) == before


def test_going_back_over_a_change_of_the_schema_needs_a_word_and_says_what_it_loses(
    host: Any, operator: Any, visit: Callable[..., Any], source: Path
) -> None:
    with visitors(operator):
        time.sleep(1)
    before, old = served(visit), Book.read(operator)
    (source / "migrations.sql").write_text("CREATE TABLE tags (id INTEGER PRIMARY KEY)\n")
    bring(operator, source)
    after = served(visit)
    assert Book.read(operator).schema.keys() - old.schema.keys() == {"tags"}
    with visitors(operator):
        time.sleep(1)
    changed, deleted = sorted(old.entries)[:2]
    operator.python(
        "import sqlite3\n"
        "c = sqlite3.connect('/var/lib/flask-blog/database.db', timeout=30)\n"
        "with c:\n"
        "    c.execute('UPDATE entries SET text = \"other words\" WHERE id = ?', (args[0],))\n"
        "    c.execute('DELETE FROM entries WHERE id = ?', (args[1],))\n",
        changed,
        deleted,
        user="flask-blog",
    )
    present = Book.read(operator)
    written = len(present.entries.keys() - old.entries.keys()) + 1
    assert written > 5
    words = f"{written} rows written or changed and 1 row deleted in table entries of database.db"

    asked = go_back(operator)
    assert asked.returncode != 0
    assert words in asked.output
    told = host.run("blogctl rollback --json")
    assert told.rc == 4
    assert json.loads(told.stderr)["lost"] == [
        {"database": "database.db", "table": "entries", "written": written, "deleted": 1}
    ]
    assert served(visit) == after
    assert Book.read(operator) == present, "nothing was done"

    with visitors(operator) as load:
        time.sleep(1)
        done = go_back(operator, "--extra-vars", "flask_blog_rollback_data=restore")
        time.sleep(1)
    assert done.changed == 1
    assert "lost: " in done.output
    assert "kept in /var/backups/" in done.output
    assert load.failures == []
    assert served(visit) == before
    now = Book.read(operator)
    assert now.schema == old.schema
    assert old.entries.items() <= now.entries.items()
    host.check_output("test -s /var/backups/flask-blog/snapshots/left-%s/database.db", after)


def test_with_the_option_the_older_code_runs_on_the_newer_schema(
    operator: Any, visit: Callable[..., Any], source: Path
) -> None:
    before, old = served(visit), Book.read(operator)
    (source / "migrations.sql").write_text("CREATE TABLE marks (id INTEGER PRIMARY KEY)\n")
    bring(operator, source)
    with visitors(operator) as load:
        time.sleep(1)
        done = go_back(operator, "--extra-vars", "flask_blog_rollback_data=keep")
        time.sleep(1)
    assert done.changed == 1
    assert load.failures == []
    assert served(visit) == before
    now = Book.read(operator)
    assert now.schema.keys() - old.schema.keys() == {"marks"}
    assert now.holds_all_that_was_acknowledged(load)


def test_a_release_that_failed_is_never_gone_back_to_and_tried_again_only_knowingly(
    host: Any, operator: Any, visit: Callable[..., Any], source: Path
) -> None:
    good = served(visit)
    (source / "static" / "newer.css").write_text("body { color: blue; }\n")
    bring(operator, source)
    newest = served(visit)
    (source / "behaviour").write_text("answers 500")
    assert operator.play("--extra-vars", f"source={source}").returncode != 0
    (failed,) = [release for release, state in states(host).items() if state == "failed"]
    assert f"The rehearsal of {failed}" in host.check_output("blogctl releases"), "with the reason"

    named = go_back(operator, "--extra-vars", f"flask_blog_rollback_release={failed}")
    assert named.returncode != 0
    assert "failed when it was activated" in named.output
    tried = host.run("blogctl activate %s", failed)
    assert tried.rc == 1
    assert f"blogctl activate --retry {failed}" in tried.stderr
    assert served(visit) == newest
    knowingly = host.run("blogctl activate --retry %s", failed)
    assert knowingly.rc == 1
    assert "answered 500" in knowingly.stderr
    assert served(visit) == newest

    assert f"{good} is served again" in go_back(operator).output
    assert served(visit) == good
    assert visit(NAME).ask("/").status == 200
