"""Two operations at the same time run one after the other, no request fails, and the result is one of both."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import installed_tool
import pytest
from ledger import NAME, Book, copy_of_the_blog
from ledger import served as live
from load import Client, Load

VISITORS = (Client("GET", "/", False), Client("POST", "/entries", True))
#: Every operation records its start and its end; no other record may be between the two.
JOURNAL = "import pathlib; print(json.dumps(pathlib.Path('/opt/flask-blog/operations.jsonl').read_text()))"


def edition(folder: Path, name: str) -> Path:
    """Make a copy of the blog with another style sheet."""
    source = copy_of_the_blog(folder / name)
    (source / "static" / "edition.css").write_text(name)
    return source


def served(visit: Callable[..., Any]) -> str:
    """Return the edition that visitors get, by its style sheet; no other release may answer."""
    releases = {visit(NAME).ask("/healthz").json()["release"] for _ in range(8)}
    assert len(releases) == 1, "one whole release answers"
    return str(visit(NAME).ask("/static/edition.css").text)


def at_once(*runs: Callable[[], Any]) -> list[Any]:
    """Run functions at the same time and return what each returned."""
    results: list[Any] = [None] * len(runs)

    def run(index: int) -> None:
        results[index] = runs[index]()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(runs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def blogctl(operator: Any, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run blogctl on the machine."""
    command = ["docker", "exec", operator.machine, "blogctl", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def load(operator: Any) -> Iterator[Load]:
    """Load during the whole test: no request may fail, and no acknowledged row may be lost."""
    with Load(operator.address(), NAME, fast=VISITORS, slow=(), pause=0.03) as visitors:
        yield visitors
        time.sleep(0.5)
    assert visitors.total > 20
    assert visitors.failures == []
    assert set(visitors.acknowledged) <= Book.read(operator).entries.keys()


@pytest.fixture(scope="module")
def editions(operator: Any, visit: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The ids of two releases that a playbook has brought."""
    ids = []
    for name in ("one", "two"):
        run = operator.play("--extra-vars", f"source={edition(tmp_path_factory.mktemp(name), name)}")
        assert run.returncode == 0, run.output
        ids.append(live(visit))
    return ids[0], ids[1]


@pytest.fixture
def two(operator: Any, editions: tuple[str, str]) -> tuple[str, str]:
    """The ids of two releases on the machine; the second one is live."""
    for one in editions:
        activated = blogctl(operator, "activate", one)
        assert activated.returncode == 0, activated.stderr
    return editions


def assert_one_after_the_other(operator: Any) -> None:
    """Check in the journal that no operation started while another one was running."""
    import json

    lines = [json.loads(line) for line in operator.python(JOURNAL).splitlines()]
    assert [line["id"] for line in lines[0::2]] == [line["id"] for line in lines[1::2]]


def test_two_playbooks_with_different_releases_come_one_after_the_other(
    operator: Any, visit: Callable[..., Any], tmp_path: Path, load: Load
) -> None:
    sources = [edition(tmp_path, name) for name in ("left", "right")]
    runs = at_once(*(lambda source=source: operator.play("--extra-vars", f"source={source}") for source in sources))
    for run in runs:
        assert run.returncode == 0 or "another operation on flask-blog is under way" in run.output, run.output
    assert any(run.returncode == 0 for run in runs)
    assert served(visit) in ("left", "right")
    assert_one_after_the_other(operator)


def test_two_activations_come_one_after_the_other(
    operator: Any, visit: Callable[..., Any], two: tuple[str, str], load: Load
) -> None:
    results = at_once(*(lambda one=one: blogctl(operator, "activate", one) for one in two))
    assert [result.returncode for result in results] == [0, 0], [result.stderr for result in results]
    assert served(visit) in ("one", "two")
    assert_one_after_the_other(operator)


def test_a_backup_and_an_activation_come_one_after_the_other(
    host: Any, operator: Any, visit: Callable[..., Any], two: tuple[str, str], load: Load
) -> None:
    before = len(host.check_output("ls -d /var/backups/flask-blog/2*/ || true").split())
    activated, backed_up = at_once(
        lambda: blogctl(operator, "activate", two[0]),
        lambda: host.run("systemctl start flask-blog-backup.service"),
    )
    assert activated.returncode == 0, activated.stderr
    assert backed_up.rc == 0, host.run("journalctl -u flask-blog-backup --no-pager").stdout
    assert served(visit) == "one"
    assert len(host.check_output("ls -d /var/backups/flask-blog/2*/").split()) == before + 1


def test_a_rollback_while_a_playbook_activates_comes_after_it_or_before_it(
    operator: Any, visit: Callable[..., Any], two: tuple[str, str], tmp_path: Path, load: Load
) -> None:
    source = edition(tmp_path, "three")

    def roll_back() -> subprocess.CompletedProcess[str]:
        # Once the playbook's activation holds the lock.
        wait = "until grep -q activate /run/flask-blog-hosting/flask-blog.lock; do sleep 0.02; done"
        command = ["docker", "exec", operator.machine, "sh", "-c", f"{wait}; exec blogctl rollback"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    run, rolled_back = at_once(lambda: operator.play("--extra-vars", f"source={source}"), roll_back)
    assert rolled_back.returncode == 0, rolled_back.stderr
    assert f"{two[1]} is served again" in rolled_back.stdout, "it went back from what the playbook had brought"
    # The playbook checks for its own release at the end, and may find the other one.
    assert run.returncode == 0 or "verify |" in run.output, run.output
    assert served(visit) == "two"
    assert_one_after_the_other(operator)


def test_a_change_of_the_data_comes_after_a_command_that_somebody_runs_on_it(
    operator: Any, visit: Callable[..., Any], tmp_path: Path, load: Load
) -> None:
    source = edition(tmp_path, "migrating")
    (source / "migrations.sql").write_text("ALTER TABLE entries ADD COLUMN written TEXT\n")
    columns = (
        "import sqlite3, time; time.sleep({}); c = sqlite3.connect('database.db', timeout=30);"
        "print([row[1] for row in c.execute('PRAGMA table_info(entries)')])"
    )
    # It takes longer than the rehearsal before the change.
    ran, run = at_once(
        lambda: blogctl(operator, "run", "--", "python", "-c", columns.format(20)),
        lambda: operator.play("--extra-vars", f"source={source}"),
    )
    assert (ran.returncode, ran.stdout) == (0, "['id', 'text']\n"), "nothing changed under it"
    assert run.returncode == 0, run.output
    assert served(visit) == "migrating"
    now = blogctl(operator, "run", "--", "python", "-c", columns.format(0))
    assert now.stdout == "['id', 'text', 'written']\n"


def test_whoever_waits_in_vain_is_told_who_holds_the_lock_and_a_killed_holder_frees_it_at_once(
    host: Any, operator: Any, visit: Callable[..., Any], two: tuple[str, str], load: Load
) -> None:
    tool = f"import sys, time; sys.path.insert(0, '{installed_tool.folder(host)}'); "
    tool += "from blogctl import errors, site; from blogctl.host import locks\n"
    holder = "with locks.locked(site.load('flask-blog'), 'a test'):\n    print('held', flush=True); time.sleep(600)"
    command = ["docker", "exec", operator.machine, "python3", "-c", tool + holder]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        pid = host.check_output("sed 's/.*process \\([0-9]*\\).*/\\1/' /run/flask-blog-hosting/flask-blog.lock")
        code = tool + (
            "try:\n    with locks.locked(site.load('flask-blog'), 'second', wait=0.5): pass\n"
            "except errors.OperationError as error:\n    print(error)"
        )
        said = host.check_output("python3 -c %s", code)
        assert f"(a test, process {pid}, since 20" in said
        # A waiting operation gets the lock as soon as the holder is killed.
        waiting = subprocess.Popen(
            ["docker", "exec", operator.machine, "blogctl", "activate", two[0]],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        time.sleep(1)
        assert waiting.poll() is None
        host.check_output("kill -KILL %s", pid)
        killed = time.monotonic()
        output, errors = waiting.communicate(timeout=60)
        process.wait()
    assert waiting.returncode == 0, errors
    assert time.monotonic() - killed < 30
    assert "is served" in output
    assert served(visit) == "one"
