"""Damaged data comes back whole; a restore that is killed leaves the old data or the new, and no mixture."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ledger import NAME, Book, copy_of_the_blog, served, visitors

PLAYBOOK = "../../playbooks/restore.yml"
DATA = "/var/lib/flask-blog"

#: A sha256 of each upload, mode and owner of everything, and every row; as the app's account.
CONTENT = """
import hashlib, os, pathlib, sqlite3
data = pathlib.Path('/var/lib/flask-blog')
found = {}
def attributes(path):
    status = path.stat()
    return [oct(status.st_mode), status.st_uid, status.st_gid]
for path in sorted(data.rglob('*')):
    name = str(path.relative_to(data))
    if path.suffix == '.db':
        connection = sqlite3.connect(path, timeout=30)
        found[name] = [attributes(path), list(connection.iterdump()),
                       connection.execute('PRAGMA journal_mode').fetchone()[0]]
        connection.close()
    elif path.is_file() and not name.endswith(('-wal', '-shm')):
        found[name] = [attributes(path), hashlib.sha256(path.read_bytes()).hexdigest()]
    elif path.is_dir():
        found[name] = attributes(path)
print(json.dumps(found))
"""
UPLOADS = """
import os, pathlib
os.umask(0o027)
for number in range(args[0], args[1]):
    path = pathlib.Path('/var/lib/flask-blog/static/uploads') / str(number % 20) / f'{number}.bin'
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(os.urandom(200))
"""
WRITE = """
import sqlite3
connection = sqlite3.connect('/var/lib/flask-blog/database.db', timeout=30)
connection.executemany('INSERT INTO entries (text) VALUES (?)', [(f'{args[0]} {number}',) for number in range(args[1])])
connection.commit()
"""
EMPTY = """
import sqlite3
connection = sqlite3.connect('/var/lib/flask-blog/database.db', timeout=30)
connection.execute('DELETE FROM entries')
connection.commit()
"""
DAMAGES = {
    "the database is gone": "import os; os.unlink('/var/lib/flask-blog/database.db')",
    "the database is corrupted": (
        "import os; h = os.open('/var/lib/flask-blog/database.db', os.O_WRONLY); os.pwrite(h, b'\\xff' * 8192, 100)"
    ),
    "the uploads are gone": "import shutil; shutil.rmtree('/var/lib/flask-blog/static/uploads')",
    "a link is in their place": (
        "import shutil, os; shutil.rmtree('/var/lib/flask-blog/static');"
        " os.symlink('/etc', '/var/lib/flask-blog/static')"
    ),
}

#: Runs blogctl, and kills it, or stops it for good, when it calls a function.
STOPPER = """
import os, re, signal, sys, time, importlib, pathlib
library = re.search(r'insert\\(0, "([^"]+)"', pathlib.Path('/usr/local/sbin/blogctl').read_text())[1]
sys.path.insert(0, library)
module = importlib.import_module(sys.argv[1])
name, call, how, calls = sys.argv[2], int(sys.argv[3]), sys.argv[4], []
function = getattr(module, name)
def stop(*arguments, **options):
    calls.append(1)
    if len(calls) < call:
        return function(*arguments, **options)
    if how == 'kill':
        os.kill(os.getpid(), signal.SIGKILL)
    pathlib.Path('/var/tmp/reached').write_text('')
    time.sleep(600)
setattr(module, name, stop)
from blogctl.cli import main
sys.exit(main(['restore', '--discard-newer', 'latest']))
"""

#: Where it is stopped, and whose data serves after that. Each machine takes every other step.
STEPS = [
    ("blogctl.data.exchange", "stage", 1, "present"),
    ("blogctl.restore.operation", "_exchange", 1, "present"),
    ("blogctl.data.exchange", "exchange", 1, "present"),
    ("blogctl.release.rehearsal", "prove", 1, "present"),
    ("blogctl.data.transaction", "commit", 1, "present"),
    ("blogctl.host.health", "wait_until_served", 1, "restored"),
    ("blogctl.restore.safety", "finish", 2, "restored"),
    ("blogctl.restore.safety", "_store_one", 30, "restored"),
]


def content(operator: Any) -> dict[str, Any]:
    """Return everything in the data folder."""
    return dict(operator.python(CONTENT, user="flask-blog"))


def restore(host: Any, *words: str) -> dict[str, Any]:
    """Restore, and return what blogctl says."""
    return dict(json.loads(host.check_output("blogctl --json restore " + " ".join(words))))


@pytest.fixture(scope="module")
def backup(host: Any, operator: Any) -> str:
    """A backup of rows and uploads."""
    operator.python(UPLOADS, 0, 400, user="flask-blog")
    operator.python(EMPTY, user="flask-blog")
    operator.python(WRITE, "before", 500, user="flask-blog")
    return str(json.loads(host.check_output("blogctl --json backup"))["name"])


def test_every_row_and_every_byte_comes_back_whatever_happened_to_the_data(
    host: Any, operator: Any, visit: Callable[..., Any], backup: str
) -> None:
    before = content(operator)
    assert len(before) > 400
    assert before["database.db"][2] == "wal"
    for damage, code in DAMAGES.items():
        operator.python(code, user="flask-blog")
        found = restore(host, "--discard-newer")
        assert content(operator) == before, damage
        assert found["waited"] < 60
        answer = visit(NAME).ask("/")
        assert (answer.status, answer.json()["entries"]) == (200, 500)
        assert visit(NAME).ask("/static/uploads/7/7.bin").status == 200, "nginx can read it"
        # systemd has no failed unit, and the data folder holds nothing of the restore.
        assert not host.file(f"{DATA}/.blogctl-restore").exists
    assert host.run("systemctl --failed --no-legend --plain").stdout.strip() == ""
    # The next run finds nothing to correct.
    assert operator.play("--check").changed == 0


def test_visitors_wait_while_the_data_is_restored_and_nobody_gets_an_error(
    host: Any, operator: Any, visit: Callable[..., Any], backup: str
) -> None:
    before = content(operator)
    with visitors(operator) as load:
        time.sleep(1)
        found = restore(host, "--discard-newer")
        time.sleep(1)
    assert load.failures == []
    assert load.total > 50
    present = Book.read(operator)
    assert {number: present.entries[number] for number in range(1, 501)} == {
        number: f"before {number - 1}" for number in range(1, 501)
    }
    assert found["lost"][0]["table"] == "entries"
    # What was written before the restore is in the safety copy, down to the last row.
    kept = restore(host, found["safety"], "--discard-newer")
    assert (
        Book.read(operator).entries.items()
        >= {number: text for number, text in load.written.items() if number not in present.entries}.items()
    )
    assert kept["only"] is None
    restore(host, "--discard-newer", backup)
    assert content(operator) == before


def test_without_consent_the_playbook_says_what_it_would_lose_and_changes_nothing(
    host: Any, operator: Any, backup: str
) -> None:
    operator.python(WRITE, "after", 7, user="flask-blog")
    operator.python(UPLOADS, 400, 403, user="flask-blog")
    present = content(operator)
    planned = operator.play("--check", "--extra-vars", "flask_blog_restore_discard=true", playbook=PLAYBOOK)
    assert planned.changed == 1
    assert "table entries of database.db: 7 rows written or changed since" in planned.output
    assert "3 files that the backup lacks: static/uploads/0/400.bin" in planned.output
    refused = operator.play(playbook=PLAYBOOK)
    assert refused.returncode != 0
    assert "7 rows written or changed since" in refused.output
    assert "flask_blog_restore_discard: true" in refused.output
    assert content(operator) == present
    done = operator.play("--extra-vars", "flask_blog_restore_discard=true", playbook=PLAYBOOK)
    assert done.changed == 1
    assert "puts it back" in done.output
    assert len(content(operator)["database.db"][1]) == len(present["database.db"][1]) - 7


def test_one_database_or_folder_is_restored_and_the_rest_stays(host: Any, operator: Any, backup: str) -> None:
    operator.python(WRITE, "after", 5, user="flask-blog")
    operator.python(UPLOADS, 400, 402, user="flask-blog")
    present = content(operator)
    restore(host, "--only", "database.db", "--discard-newer")
    after = content(operator)
    assert {name for name in present if present[name] != after.get(name)} == {"database.db"}
    restore(host, "--only", "static/uploads", "--discard-newer")
    assert len(content(operator)) == len(present) - 2


def test_data_is_written_to_a_folder_of_roots_and_the_site_is_left_alone(host: Any, operator: Any, backup: str) -> None:
    present = content(operator)
    restore(host, "--to", "/root/restored")
    same = host.check_output(f"diff -r /root/restored /var/backups/flask-blog/{backup}/data && echo same")
    assert same == "same"
    assert host.run(f"blogctl restore --to {DATA}/out").rc == 1
    assert content(operator) == present


def test_a_backup_that_is_not_whole_changes_nothing(host: Any, operator: Any, backup: str) -> None:
    present = content(operator)
    folder = f"/var/backups/flask-blog/{backup}"
    cases = {
        "bit flipped": f"printf X | dd of={folder}/data/database.db bs=1 seek=5000 conv=notrunc status=none",
        "truncated": f"truncate -s 100 {folder}/data/database.db",
        "a link": f"ln -sf /etc/shadow {folder}/data/database.db",
        "a FIFO": f"mkfifo {folder}/data/fifo",
        "an extra file": f"touch {folder}/data/extra",
        "no manifest": f"rm {folder}/manifest.json",
        "half a manifest": f"truncate -s 300 {folder}/manifest.json",
        "another site's": f'sed -i \'s/"site": "flask-blog"/"site": "other"/\' {folder}/manifest.json',
    }
    host.check_output(f"cp -a {folder} /root/kept")
    for case, damage in cases.items():
        host.check_output(damage)
        refused = host.run(f"timeout 60 blogctl restore --discard-newer {backup}")
        assert refused.rc == 1, case
        assert "nothing was changed" in refused.stderr, case
        host.check_output(f"rm -rf {folder} && cp -a /root/kept {folder}")
    for unknown in ("20200101T000000Z", "2020-01-01", "../../etc"):
        refused = host.run(f"blogctl restore --discard-newer {unknown}")
        assert (refused.rc, "nothing was changed" in refused.stderr) == (1, True)
    assert content(operator) == present


def test_a_restore_that_is_killed_at_any_step_is_undone_or_completed(
    host: Any, operator: Any, visit: Callable[..., Any], eventually: Callable[..., None], backup: str
) -> None:
    restore(host, "--discard-newer", backup)
    restored = content(operator)
    for number, (module, name, call, state) in enumerate(STEPS[operator.machine.endswith("13") :: 2]):
        operator.python(WRITE, f"after {number}", 3, user="flask-blog")
        operator.python(UPLOADS, 400 + number, 401 + number, user="flask-blog")
        present = content(operator)
        command = ["docker", "exec", operator.machine, "python3", "-c", STOPPER, module, name, str(call), "kill"]
        killed = subprocess.run(command, capture_output=True, text=True, check=False)
        assert killed.returncode == 137, (module, name, killed)
        settle(host, eventually)
        expected = present if state == "present" else restored
        assert content(operator) == expected, (module, name)
        answer = visit(NAME).ask("/")
        assert answer.status == 200
        assert not host.file(f"{DATA}/.blogctl-restore").exists
        if state == "present":
            restore(host, "--discard-newer", backup)
            continue
        newest = host.check_output("ls -d /var/backups/flask-blog/snapshots/before-restore-*Z").split()[-1]
        restore(host, newest.rpartition("/")[2], "--discard-newer")
        assert content(operator) == present, (module, name, "the safety copy")
        restore(host, "--discard-newer", backup)


def test_a_power_cut_in_the_middle_of_a_restore_leaves_the_present_data(
    host: Any, operator: Any, visit: Callable[..., Any], eventually: Callable[..., None], backup: str
) -> None:
    operator.python(WRITE, "before the cut", 3, user="flask-blog")
    present = content(operator)
    command = ["docker", "exec", operator.machine, "python3", "-c", STOPPER]
    host.check_output("rm -f /var/tmp/reached")
    waiting = subprocess.Popen([*command, "blogctl.release.rehearsal", "prove", "1", "wait"])
    try:
        eventually(lambda: host.file("/var/tmp/reached").exists, 120)
        assert host.file(f"{DATA}/.blogctl-restore/old").exists, "the data is exchanged"
    finally:
        subprocess.run(["docker", "kill", operator.machine], check=True, capture_output=True)
        waiting.wait(timeout=60)
    subprocess.run(["docker", "start", operator.machine], check=True, capture_output=True)
    eventually(lambda: visit(NAME).ask("/").status == 200, 90)
    settle(host, eventually)
    assert content(operator) == present
    assert not host.file(f"{DATA}/.blogctl-restore").exists


def settle(host: Any, eventually: Callable[..., None]) -> None:
    """Wait until the recovery has ended, and the site serves."""
    unit = "flask-blog-recovery.service"
    eventually(lambda: host.run(f"systemctl is-active {unit}").stdout.strip() not in ("active", "activating"), 60)
    assert host.run(f"systemctl is-failed {unit}").rc != 0
    eventually(lambda: host.run("blogctl status").rc == 0, 60)


def test_a_backup_that_the_live_release_does_not_understand_is_refused_with_the_release_that_made_it(
    host: Any, operator: Any, visit: Callable[..., Any], tmp_path: Path, backup: str
) -> None:
    source = copy_of_the_blog(tmp_path)
    strict = "\nassert seen <= len(statements), 'the database is newer than this release'\n"
    (source / "migrate.py").write_text((source / "migrate.py").read_text() + strict)
    release(operator, source)
    older = served(visit)
    (source / "migrations.sql").write_text("CREATE TABLE tags (id INTEGER PRIMARY KEY)\n")
    release(operator, source)
    newer = served(visit)
    # Of the backups of one day, the last one is kept.
    host.check_output(f"cp -a /var/backups/flask-blog/{backup} /root/older")
    host.check_output("blogctl backup")
    host.check_output("blogctl rollback --restore-data")
    assert served(visit) == older
    present = content(operator)

    refused = host.run("blogctl restore --discard-newer")
    assert refused.rc == 1
    first, second = refused.stderr.splitlines()[:2]
    assert f"The live release {older} does not work with the data of" in first
    assert f"made by {newer}; nothing was changed" in first
    assert f"'blogctl activate {newer}' serves that release" in second
    assert "the database is newer than this release" in refused.stderr
    assert content(operator) == present
    assert served(visit) == older

    # An older backup gets the live release's migrations.
    host.check_output(f"blogctl activate {newer}")
    host.check_output(f"cp -a /root/older /var/backups/flask-blog/{backup}")
    restore(host, "--discard-newer", backup)
    assert "CREATE TABLE tags (id INTEGER PRIMARY KEY);" in content(operator)["database.db"][1]
    assert served(visit) == newer


def release(operator: Any, source: Path) -> None:
    """Release the changed blog."""
    run = operator.play("--extra-vars", f"source={source}")
    assert run.returncode == 0, run.output
