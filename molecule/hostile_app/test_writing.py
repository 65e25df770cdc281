"""Root writes, renames and gives away nothing by a name in the app's folder, whatever the app has put there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hostile import BACKUPS, CHANGE, DATA, FAIL_LIVE, LIBRARY, NEIGHBOUR, PAYLOAD, SECRET, SECRET_FILE, Hostile

if TYPE_CHECKING:
    from molecule.conftest import Operator

#: What older versions took for their own notes in the data folder.
NOTES = (".initialised", ".initialising")
#: Makes two directories with the same names, one of files and one of links, and exchanges them without an end.
EXCHANGE = """
files, links = DATA / 'static/uploads/album', DATA / 'static/uploads/links'
files.mkdir(parents=True)
links.mkdir()
for number in range(1, 61):
    (files / f'{number}.png').write_text('mine')
    (files / f'{number}.png').chmod(0o600)
    (links / f'{number}.png').symlink_to(targets[number % len(targets)])
repeat(lambda: exchange(files, links))
"""
#: Exchanges a directory above the uploads for a link to the neighbour's, and gives the playbook something to do.
EXCHANGE_PARENT = """
static, link = DATA / 'static', DATA / 'link'
if not link.is_symlink() and not static.is_symlink():
    link.symlink_to(f'{target}/static')
    (static / 'uploads').chmod(0o700)
    for number in range(1, 61):
        (static / 'uploads' / f'{number}.png').write_text('mine')
        (static / 'uploads' / f'{number}.png').chmod(0o600)
if not running():
    repeat(lambda: exchange(static, link))
"""


def rows(app: Hostile) -> int:
    """Count the rows that release commands have written."""
    query = "SELECT count(*) FROM t"
    code = "import sqlite3\nprint(*sqlite3.connect(DATA / 'database.db').execute(query).fetchone())"
    return int(app.run(code, query=query))


def test_a_note_that_the_app_forges_moves_no_file_over_root_s_own_code(app: Hostile) -> None:
    app.run(
        "(DATA / 'lib').symlink_to(library)\n"
        "for note in notes:\n"
        "    planted = DATA / note / 'lib'\n"
        "    planted.mkdir(parents=True)\n"
        "    text = Path(library, 'maintenance.py').read_text()\n"
        "    (planted / 'maintenance.py').write_text(text + payload)\n",
        library=LIBRARY,
        notes=NOTES,
        payload=PAYLOAD,
    )
    assert app.activate().status == 0
    assert app.blogctl("rollback").status == 0
    assert app.blogctl("status").status == 0


def test_a_note_that_leads_to_a_neighbour_moves_none_of_its_files(app: Hostile) -> None:
    app.run("for note in notes: (DATA / note).symlink_to(target)", notes=NOTES, target=NEIGHBOUR)
    assert app.activate().status == 0
    assert app.blogctl("rollback").status == 0
    assert app.visit("book.example.com").ask("/").json()["entries"] > 0


@pytest.mark.parametrize("planted", ["a link", "a directory of links"])
def test_undoing_a_failed_migration_writes_through_nothing_that_the_app_planted(app: Hostile, planted: str) -> None:
    app.run(CHANGE)
    app.run(
        "place = DATA / '.database.db.restored'\n"
        "if planted == 'a link':\n"
        "    place.symlink_to('/etc/ld.so.preload')\n"
        "else:\n"
        "    place.mkdir()\n"
        "    for name in ('ld.so.preload', 'shadow'): (place / name).symlink_to(f'/etc/{name}')\n",
        planted=planted,
    )
    app.write("command.py", CHANGE + FAIL_LIVE)
    before = app.live()
    refused = app.activate()
    assert refused.status == 1
    assert "The data is as it was before" in refused.stderr
    assert app.live() == before
    assert app.serves()
    assert rows(app) == 1


@pytest.mark.parametrize("planted", ["links", "a directory for the database", "a link for the database"])
def test_restoring_data_writes_through_nothing_that_the_app_planted(app: Hostile, planted: str) -> None:
    app.run(CHANGE)
    app.write("command.py", CHANGE.replace("t (c)", "u (c)").replace("INTO t", "INTO u"))
    before = app.live()
    assert app.activate().status == 0
    app.run(
        "place = DATA / '.database.db.restored'\n"
        "place.symlink_to('/etc/ld.so.preload')\n"
        "if planted != 'links':\n"
        "    (DATA / 'database.db').unlink()\n"
        "if planted == 'a directory for the database':\n"
        "    (DATA / 'database.db').mkdir()\n"
        "    (DATA / 'database.db' / 'shadow').symlink_to('/etc/shadow')\n"
        "if planted == 'a link for the database':\n"
        "    (DATA / 'database.db').symlink_to(target)\n",
        planted=planted,
        target=f"{NEIGHBOUR}/database.db",
    )
    done = app.blogctl("rollback", "--restore-data")
    assert done.status == 0, done.stderr
    assert app.live() == before
    assert app.serves()
    assert rows(app) == 1


def test_files_exchanged_for_links_while_root_copies_give_nothing_away(app: Hostile) -> None:
    targets = ["/etc/shadow", "/etc/passwd", SECRET_FILE, f"{NEIGHBOUR}/database.db"]
    app.run(CHANGE)
    app.write("command.py", CHANGE)
    app.run(EXCHANGE, targets=targets)
    for _ in range(3):
        done = app.blogctl("backup")
        assert done.status in (0, 1, 7), done.stderr
        app.run("import time; time.sleep(1)")
    assert app.host.run("ls -d %s/2*", BACKUPS).rc == 0, "no backup came to its end"
    # The rehearsal copies, the change takes a snapshot; its commands run beside what the app has left running.
    assert app.activate().status == 0
    for words in (SECRET, "root:"):
        assert app.host.run("grep --recursive --files-with-matches %s %s", words, BACKUPS).stdout == ""
    assert app.host.run("find %s -type l", BACKUPS).stdout == ""


def test_a_directory_exchanged_for_a_link_while_the_playbook_runs_gives_nothing_away(
    app: Hostile, operator: Operator
) -> None:
    for _ in range(3):
        # The playbook may have started the app anew.
        app.run(EXCHANGE_PARENT, target=NEIGHBOUR)
        operator.play("--extra-vars", "with_neighbour=false")
    owners = app.host.check_output("find %s -printf '%%u\n' | sort -u", f"{NEIGHBOUR}/static/uploads")
    assert owners == "neighbour"
    assert app.host.run("find %s -user root", DATA).stdout == ""
