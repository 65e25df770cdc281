"""Root does not write, rename or chown by name in the app's folder, regardless of what the app planted there."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import installed_tool
import pytest
from hostile import BACKUPS, CHANGE, DATA, FAIL_LIVE, NEIGHBOUR, PAYLOAD, SECRET, SECRET_FILE, Hostile

if TYPE_CHECKING:
    from molecule.conftest import Operator

ON_12, ON_13 = pytest.mark.machine("12"), pytest.mark.machine("13")
#: Names of notes that older versions kept in the data folder.
NOTES = (".initialised", ".initialising")
#: Makes two directories with the same names, one of files and one of links, and exchanges them in a loop.
EXCHANGE = """
files, links = DATA / 'static/uploads/album', DATA / 'static/uploads/links'
files.mkdir(parents=True)
links.mkdir()
for number in range(1, 61):
    (files / f'{number}.png').write_text('mine')
    (files / f'{number}.png').chmod(0o600)
    (links / f'{number}.png').symlink_to(targets[number % len(targets)])
repeat(lambda: exchange(files, links), pause=0)
"""
#: Exchanges a directory above writable ones for a link to the neighbour's in a loop, and causes drift to correct.
EXCHANGE_PARENT = """
import os, time
albums, link = DATA / 'albums', DATA / 'link'
if not os.path.lexists(link):
    for number in range(1, 31):
        (albums / str(number)).chmod(0o700)
    link.symlink_to(target)
def there_and_back():
    # Longer a directory than a link: the playbook refuses a link that it finds.
    exchange(albums, link)
    time.sleep(0.0001)
    exchange(albums, link)
    time.sleep(0.0015)
if not running():
    repeat(there_and_back, pause=0)
"""


def rows(app: Hostile) -> int:
    """Count the rows that release commands have written."""
    query = "SELECT count(*) FROM t"
    code = "import sqlite3\nprint(*sqlite3.connect(DATA / 'database.db').execute(query).fetchone())"
    return int(app.run(code, query=query))


@ON_12
def test_a_note_that_the_app_forges_moves_no_file_over_root_s_own_code(app: Hostile) -> None:
    app.run(
        "(DATA / 'lib').symlink_to(library)\n"
        "for note in notes:\n"
        "    planted = DATA / note / 'lib'\n"
        "    planted.mkdir(parents=True)\n"
        "    text = Path(library, 'cli.py').read_text()\n"
        "    (planted / 'cli.py').write_text(text + payload)\n",
        library=f"{installed_tool.folder(app.host)}/blogctl",
        notes=NOTES,
        payload=PAYLOAD,
    )
    assert app.activate().status == 0
    assert app.blogctl("rollback").status == 0
    assert app.blogctl("status").status == 0


@ON_13
def test_a_note_that_leads_to_a_neighbour_moves_none_of_its_files(app: Hostile) -> None:
    app.run("for note in notes: (DATA / note).symlink_to(target)", notes=NOTES, target=NEIGHBOUR)
    assert app.activate().status == 0
    assert app.blogctl("rollback").status == 0
    assert app.visit("book.example.com").ask("/").json()["entries"] > 0


@pytest.mark.parametrize(
    "planted", [pytest.param("a link", marks=ON_12), pytest.param("a directory of links", marks=ON_13)]
)
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


@pytest.mark.parametrize(
    "planted", [pytest.param("links", marks=ON_13), pytest.param("a directory for the database", marks=ON_12)]
)
def test_restoring_data_writes_through_nothing_that_the_app_planted(app: Hostile, planted: str) -> None:
    app.run(CHANGE)
    app.write("command.py", CHANGE.replace("t (c)", "u (c)").replace("INTO t", "INTO u"))
    before = app.live()
    assert app.activate().status == 0
    app.run(
        "place = DATA / '.database.db.restored'\n"
        "place.symlink_to('/etc/ld.so.preload')\n"
        "(DATA / 'database.db').unlink()\n"
        "if planted == 'a directory for the database':\n"
        "    (DATA / 'database.db').mkdir()\n"
        "    (DATA / 'database.db' / 'shadow').symlink_to('/etc/shadow')\n"
        "else:\n"
        "    (DATA / 'database.db').symlink_to(target)\n",
        planted=planted,
        target=f"{NEIGHBOUR}/database.db",
    )
    done = app.blogctl("rollback", "--restore-data")
    assert done.status == 0, done.stderr
    assert app.live() == before
    assert app.serves()
    assert rows(app) == 1


@ON_12
def test_files_exchanged_for_links_while_root_copies_give_nothing_away(app: Hostile) -> None:
    targets = ["/etc/shadow", "/etc/passwd", SECRET_FILE, f"{NEIGHBOUR}/database.db"]
    app.run(CHANGE)
    app.write("command.py", CHANGE)
    app.run(EXCHANGE, targets=targets)
    # The rehearsal copies the data, and the change of it takes a snapshot.
    assert app.activate().status == 0
    app.run(
        "if not running():\n"
        "    repeat(lambda: exchange(DATA / 'static/uploads/album', DATA / 'static/uploads/links'), pause=0)\n"
    )
    for _ in range(2):
        assert app.blogctl("backup").status in (0, 7)
        time.sleep(1)  # a backup is named after its second
    for words in (SECRET, "root:"):
        assert app.host.run("grep --recursive --files-with-matches %s %s", words, BACKUPS).stdout == ""
    assert app.host.run("find %s -type l", BACKUPS).stdout == ""


@ON_12
def test_a_directory_exchanged_for_a_link_while_the_playbook_runs_gives_nothing_away(
    app: Hostile, operator: Operator
) -> None:
    for _ in range(3):
        # The playbook may have restarted the app.
        app.run(EXCHANGE_PARENT, target=f"{NEIGHBOUR}/albums")
        operator.play("--extra-vars", "with_neighbour=false")
    owners = app.host.check_output("find %s -printf '%%u\n' | sort -u", f"{NEIGHBOUR}/albums")
    assert owners == "neighbour"
    assert app.host.run("find %s -user root", DATA).stdout == ""
