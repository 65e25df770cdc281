"""A bad release never serves: no request fails, and the data is unchanged, with every acknowledged entry."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ledger import NAME, Book, copy_of_the_blog, served, visitors
from load import Load

# The machines share the cases, as none depends on Debian's version alone.

#: Bad code, and the expected message.
BEHAVIOURS = {
    "12": {
        "cannot be imported": "this release cannot be imported",
        "misses a package": "No module named 'a_package_that_nobody_installed'",
        "asks the kernel about its network": "Address family not supported by protocol",
    },
    "13": {
        "answers 500": "answered 500",
        "hangs at start": "/healthz: no answer",
    },
}
#: The second statement fails after the first one was committed.
MIGRATION = "CREATE TABLE tags (id INTEGER PRIMARY KEY)\nALTER TABLE no_such_table ADD COLUMN name TEXT\n"
#: Appended to migrate.py: whether it runs on the live data.
LIVE = "live = '/rehearsal' not in Path('/proc/self/mountinfo').read_text()\n"
#: Locks the database for longer than a command may take.
HOLD = "    connection.execute('BEGIN IMMEDIATE'); print('holds it', flush=True)\n    import time; time.sleep(600)\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A copy of the blog to change."""
    return copy_of_the_blog(tmp_path)


def append(source: Path, code: str) -> None:
    """Append code to the release command."""
    with (source / "migrate.py").open("a") as script:
        script.write(code)


@contextmanager
def unnoticed(operator: Any, visit: Callable[..., Any]) -> Iterator[Load]:
    """Check that no request fails during the block, and that no data is lost or changed."""
    before, release = Book.read(operator), served(visit)
    with visitors(operator) as load:
        yield load
    assert load.total > 50
    assert load.failures == []
    assert set(load.releases) == {release}, "no visitor saw the bad one"
    assert served(visit) == release
    after = Book.read(operator)
    assert after.schema == before.schema
    assert before.entries.items() <= after.entries.items()
    assert len(load.written) > 5
    assert after.holds_all_that_was_acknowledged(load)


def refused(operator: Any, source: Path, *words: str, **options: object) -> None:
    """Deploy a bad release and check the message."""
    run = operator.play("--extra-vars", json.dumps({"source": str(source), **options}))
    assert run.returncode != 0, run.output
    for word in words:
        assert word in run.output, run.output


def test_code_that_does_not_work_never_serves(operator: Any, visit: Callable[..., Any], source: Path) -> None:
    with unnoticed(operator, visit):
        for behaviour, words in BEHAVIOURS[operator.machine[-2:]].items():
            (source / "behaviour").write_text(behaviour)
            patience = {"patience": 5} if behaviour == "hangs at start" else {}
            refused(operator, source, words, "the live site was not touched", **patience)


@pytest.mark.machine("12")
def test_code_that_does_not_work_on_the_live_data_alone_meets_no_visitor(
    host: Any, operator: Any, visit: Callable[..., Any], source: Path
) -> None:
    """A rehearsal cannot find this; the new instance has to fail its own check before it serves."""
    (source / "behaviour").write_text("answers 500 on the live data")
    with unnoticed(operator, visit):
        refused(operator, source, "does not serve: /healthz: answered 500", "The previous release still serves")
    assert host.run("systemctl --failed --plain --no-legend").stdout == "", "nothing is broken on the machine"


@pytest.mark.machine("13")
def test_a_migration_that_fails_half_way_leaves_the_data_as_it_was(
    host: Any, operator: Any, visit: Callable[..., Any], source: Path
) -> None:
    (source / "migrations.sql").write_text(MIGRATION)
    with unnoticed(operator, visit):
        refused(operator, source, "no such table", "the live site was not touched")
    for journal in ("journalctl --unit flask-blog --no-pager", "blogctl logs --since=-10min"):
        assert "2: ALTER TABLE no_such_table" in host.check_output(journal), "what the command said"


@pytest.mark.machine("13")
def test_secrets_that_a_command_prints_are_shown_nowhere(host: Any, operator: Any, source: Path) -> None:
    """Neither Ansible's output nor the journal, which members of the group adm read, has them."""
    key = host.check_output("sed -n 's/^SECRET_KEY=\"\\(.*\\)\"$/\\1/p' /etc/flask-blog/environment")
    assert len(key) == 64
    append(source, "import os\nprint(dict(os.environ))\nraise SystemExit('a bad key: ' + os.environ['SECRET_KEY'])\n")
    run = operator.play("-vvv", "--extra-vars", json.dumps({"source": str(source)}))
    assert run.returncode != 0, run.output
    assert "a bad key: ********" in run.output
    assert key not in run.output
    journal = host.check_output("journalctl --unit flask-blog --no-pager --since=-10min")
    assert "'SECRET_KEY': '********'" in journal
    assert key not in journal
    assert key not in host.check_output("blogctl --json releases")


@pytest.mark.machine("12")
def test_a_migration_that_fails_on_the_live_data_alone_is_undone(
    operator: Any, visit: Callable[..., Any], source: Path
) -> None:
    """A rehearsal cannot find this."""
    (source / "migrations.sql").write_text("CREATE TABLE tags (id INTEGER PRIMARY KEY)\n")
    append(source, f"{LIVE}assert not live, 'it fails on the live data'\n")
    with unnoticed(operator, visit):
        refused(operator, source, "it fails on the live data", "The data is as it was before")


def test_a_migration_that_would_lock_ends_with_its_time(
    operator: Any, visit: Callable[..., Any], tmp_path: Path
) -> None:
    """The machines share the ways to lock."""
    ways = {
        "12": [waits_for_itself, waits_for_a_shell_that_somebody_left_open],
        "13": [keeps_the_database_from_the_app],
    }
    for number, lock in enumerate(ways[operator.machine[-2:]]):
        lock(operator, visit, copy_of_the_blog(tmp_path / str(number)))


def waits_for_itself(operator: Any, visit: Callable[..., Any], source: Path) -> None:
    append(
        source,
        "other = sqlite3.connect(folder / 'database.db', isolation_level=None)\n"
        "other.execute('BEGIN IMMEDIATE')\n"
        "print('waits for itself', flush=True)\n"
        "connection.execute('PRAGMA busy_timeout = 600000')\n"
        "connection.execute('CREATE TABLE tags (id INTEGER PRIMARY KEY)')\n",
    )
    with unnoticed(operator, visit):
        words = ("took longer than flask_blog_command_timeout, 4 s, and was ended", "waits for itself")
        refused(operator, source, *words, "the live site was not touched", limit=4)


def keeps_the_database_from_the_app(operator: Any, visit: Callable[..., Any], source: Path) -> None:
    """It changes nothing in the rehearsal, so visitors are served while it runs; writers wait for it."""
    append(source, f"{LIVE}if live:\n{HOLD}")
    with unnoticed(operator, visit) as load:
        words = ("changed nothing on a copy of the data and failed on the live data", "took longer", "holds it")
        refused(operator, source, *words, "The previous release still serves", limit=4)
    assert load.slowest() > 3, "the test is one only if somebody had to wait"


def waits_for_a_shell_that_somebody_left_open(operator: Any, visit: Callable[..., Any], source: Path) -> None:
    """A shell starts a write transaction when the data is changed, so the migration cannot lock the database.

    It was not started by "blogctl run", for which the change would wait.
    """
    shell = (
        "import os, sqlite3, time\n"
        "while not os.path.exists('/opt/flask-blog/transaction.json'): time.sleep(0.02)\n"
        "c = sqlite3.connect('database.db', timeout=30, isolation_level=None)\n"
        "c.execute('BEGIN IMMEDIATE')\n"
        "time.sleep(15)\n"
    )
    (source / "migrations.sql").write_text("CREATE TABLE tags (id INTEGER PRIMARY KEY)\n")
    waits = (
        "from pathlib import Path\n"
        f"{LIVE}if live:\n"
        "    import sqlite3, time\n"
        "    c = sqlite3.connect(Path(__file__).parent / 'database.db', timeout=0, isolation_level=None)\n"
        "    try:\n"
        "        while True:\n"
        "            c.execute('BEGIN IMMEDIATE'); c.execute('ROLLBACK'); time.sleep(0.05)\n"
        "    except sqlite3.OperationalError as error:\n"
        "        print(error, flush=True)\n"
    )
    script = (source / "migrate.py").read_text()
    (source / "migrate.py").write_text(
        script.replace("folder = ", f"{waits}folder = ").replace("timeout=5", "timeout=600")
    )
    account = ["--user", "flask-blog", "--workdir", "/var/lib/flask-blog"]
    command = ["docker", "exec", "--detach", *account, operator.machine, "python3", "-c", shell]
    with unnoticed(operator, visit):
        subprocess.run(command, check=True)
        words = ("took longer", "database is locked", "The data is as it was before")
        refused(operator, source, *words, limit=5)


@pytest.mark.machine("13")
def test_a_disk_that_is_full_spoils_no_release_and_leaves_nothing_half(
    host: Any, operator: Any, visit: Callable[..., Any], source: Path
) -> None:
    """The disk is full, first for the code, then for the environment. With free space, the same run succeeds."""
    folders = "ls -A /opt/flask-blog/releases /opt/flask-blog/venvs"
    before = host.check_output(folders)
    host.check_output("fallocate --length $(($(df --output=avail -B1 /opt | tail -n 1) - 4000000)) /opt/filler")
    big = source / "static" / "big.css"
    with unnoticed(operator, visit):
        big.write_bytes(b"/* */\n" * 2_000_000)
        refused(operator, source, "No space left on device")
        assert host.check_output(folders) == before
        big.unlink()
        (source / "requirements.txt").write_text("Flask\nitsdangerous\n")
        refused(operator, source, "No space left on device")
        assert ".incomplete" not in host.check_output(folders)
        venvs = host.check_output("ls -A /opt/flask-blog/venvs").split()
        assert venvs == before.split("venvs:")[1].split()
    host.check_output("rm /opt/filler")
    run = operator.play("--extra-vars", f"source={source}")
    assert run.returncode == 0, run.output


def test_the_command_before_the_first_release_speaks_in_the_journal_too(host: Any) -> None:
    assert "the book is bound" in host.check_output("journalctl --unit flask-blog --no-pager")


@pytest.mark.machine("12")
def test_a_command_after_a_release_that_does_not_end_is_reported_and_the_release_stays(
    host: Any, operator: Any, visit: Callable[..., Any], source: Path
) -> None:
    before = served(visit)
    (source / "static" / "good.css").write_text("body { color: green; }\n")
    with visitors(operator) as load:
        words = ("is served, but a command after it failed", "took longer than flask_blog_command_timeout, 3 s")
        refused(operator, source, *words, "it is out", limit=3, after=["echo it is out; sleep 600"])
    assert load.failures == []
    assert Book.read(operator).holds_all_that_was_acknowledged(load)
    assert served(visit) != before
    assert visit(NAME).ask("/static/good.css").text == "body { color: green; }\n"
    assert "it is out" in host.check_output("journalctl --unit flask-blog --no-pager")
    again = host.run("blogctl --json activate %s", served(visit))
    assert again.rc == 5
    assert json.loads(again.stderr)["status"] == 5
    assert visit(NAME).ask("/static/good.css").status == 200


# -- first releases ---------------------------------------------------------------------------------------------------

#: Faults of a first release with the line that names each, and the remedy.
FAULTS = {
    "12": {
        "misses a package": (
            r"does not serve: ModuleNotFoundError: No module named 'yaml' \(app\.py, line \d+\)",
            "Add PyYAML to the app's requirements",
        ),
        "takes all memory": (
            r"does not serve: the app ran out of memory.* flask_blog_memory_max \(150M of",
            "lower flask_blog_workers",
        ),
        "writes an asset": (
            r"does not serve: /: answered 500: OSError: \[Errno 30\] Read-only file system: 'static/gen' \(app\.py",
            "flask_blog_writable_paths: [static/gen]",
        ),
    },
    "13": {
        "opens a log": (
            r"does not serve: OSError: \[Errno 30\] Read-only file system: 'logs' \(app\.py",
            "flask_blog_writable_paths: [logs]",
        ),
        "serves itself": (
            r"does not serve: importing app starts a web server of its own",
            "__main__",
        ),
        "answers 500": (
            r"does not serve: /: answered 500: KeyError: 'THEME' \(app\.py, line \d+\)",
            "There is no previous",
        ),
    },
}
WORKING = {
    "12": ("creates a table", "creates a table of a second release"),
    "13": ("runs Flask's own server", "runs a program of its environment"),
}
FAULTY = {
    "flask_blog_name": "faulty",
    "flask_blog_bind": "127.0.0.1:8009",
    "flask_blog_server_names": ["faulty.example.com"],
    "flask_blog_health_path": "/",
    "flask_blog_init_commands": [],
    "flask_blog_release_commands": [],
    "flask_blog_memory_max": "150M",
    "flask_blog_memory_high": "infinity",
    # A test that waited for it would be over long before.
    "flask_blog_activation_timeout": 1200,
}


@pytest.fixture
def faulty(operator: Any, tmp_path: Path) -> Callable[[str], Any]:
    """Deploy the faulty blog with a fault: faulty(fault)."""
    source = tmp_path / "faulty"
    shutil.copytree(Path(__file__).parents[2] / "tests" / "blogs" / "faulty", source)

    def run(fault: str) -> Any:
        (source / "fault").write_text(fault)
        return operator.play("--extra-vars", json.dumps({**FAULTY, "flask_blog_source": str(source)}))

    return run


def test_a_first_release_that_cannot_start_fails_at_once_with_its_own_error_first(
    operator: Any, faulty: Callable[[str], Any]
) -> None:
    for fault, (line, remedy) in FAULTS[operator.machine[-2:]].items():
        run = faulty(fault)
        assert run.returncode != 0, run.output
        assert re.search(line, run.output), run.output
        assert remedy in run.output, run.output


def test_a_blog_that_nobody_wrote_for_a_server_works(
    operator: Any, visit: Callable[..., Any], faulty: Callable[[str], Any]
) -> None:
    for fault in WORKING[operator.machine[-2:]]:
        run = faulty(fault)
        assert run.returncode == 0, run.output
        assert re.search(r"faulty: release \w+ serves at http://faulty\.example\.com", run.output)
        assert visit("faulty.example.com").ask("/").status == 200
