"""A blog's databases are opened beside the blog that uses them, by the app's account and never by root."""

from __future__ import annotations

import contextlib
import os
import pwd
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest
from blogctl.backup import create
from blogctl.data import process, transaction
from blogctl.data.inside import sqlite
from blogctl.data.layer import data_layer
from blogctl.site import Site


def database(path: Path) -> Path:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = wal")
        connection.execute("CREATE TABLE post (title TEXT)")
        connection.execute("INSERT INTO post VALUES ('hello')")
        connection.commit()
    return path


@pytest.mark.parametrize("name", ["database.db", "what? 100%.db", "a#b.db"])
@pytest.mark.parametrize("read_only", [True, False])
def test_a_database_is_opened_whatever_its_name(tmp_path: Path, name: str, read_only: bool) -> None:
    opened = sqlite.connect(database(tmp_path / name), sqlite.Clock(60), read_only=read_only)
    with contextlib.closing(opened) as connection:
        assert connection.execute("SELECT title FROM post").fetchall() == [("hello",)]


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        sqlite.connect(tmp_path / "missing.db", sqlite.Clock(60))
    assert os.listdir(tmp_path) == []


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.db").write_text("not a database, but long enough to have a header of its own" * 20)
    with pytest.raises(sqlite3.Error):
        sqlite.connect(tmp_path / "notes.db", sqlite.Clock(60))


def test_nothing_in_a_schema_may_call_functions_with_side_effects(tmp_path: Path) -> None:
    with contextlib.closing(sqlite.connect(database(tmp_path / "x.db"), sqlite.Clock(60))) as connection:
        assert connection.execute("PRAGMA trusted_schema").fetchone() == (0,)


def test_a_query_without_an_end_is_interrupted_when_the_time_is_up(tmp_path: Path) -> None:
    with contextlib.closing(sqlite.connect(database(tmp_path / "x.db"), sqlite.Clock(0.2))) as connection:
        endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
        with pytest.raises(sqlite3.OperationalError, match="interrupted"):
            connection.execute(endless)


# -- root, and an app's account that is another one -------------------------------------------------------------------


@pytest.fixture
def foreign(site: Site, tmp_path: Path) -> Site:
    """A site whose app has its own account, which owns the data folder."""
    if os.geteuid() != 0:
        pytest.skip("only root can start programs with another account")
    owner = pwd.getpwnam("nobody")
    site.settings.update(user="nobody", group="nogroup")
    for parent in [tmp_path, *tmp_path.parents]:
        if parent.stat().st_mode & 0o005 != 0o005:  # pytest closes its folders to everybody but root
            os.chmod(parent, 0o755)  # noqa: S103
    site.path("backups").chmod(0o700)
    os.chown(site.path("data"), owner.pw_uid, owner.pw_gid)
    reads = ["/usr/bin/test", "-r", process.__file__]
    if subprocess.run(reads, user=owner.pw_uid, extra_groups=[], check=False).returncode:
        pytest.skip("another account cannot read the repository")
    return site


def given(path: Path) -> Path:
    """Give a file to the app's account."""
    owner = pwd.getpwnam("nobody")
    os.chown(path, owner.pw_uid, owner.pw_gid)
    return path


def test_the_work_on_the_data_has_the_apps_account_and_no_other_group(
    foreign: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    says_who = "import os, sys, json, socket; end = socket.socket(fileno=0); ids = [os.getresuid(), os.getresgid()]"
    says_who += "; end.send(json.dumps({'done': True, 'ids': ids, 'groups': os.getgroups()}).encode())"
    monkeypatch.setattr(process, "PROGRAM", says_who)
    with process.working(foreign, "scan") as work:
        answer = work.finish()
    owner = pwd.getpwnam("nobody")
    assert answer["ids"] == [[owner.pw_uid] * 3, [owner.pw_gid] * 3]
    assert set(answer["groups"]) <= {owner.pw_gid}


def test_nobody_makes_files_beside_a_database_that_its_owner_could_not_make(foreign: Site) -> None:
    """Root may write there and the owner may not: no write-ahead log is made, and the database is named."""
    given(database(foreign.path("data") / "database.db"))
    foreign.path("data").chmod(0o555)
    assert list(create.back_up(foreign)["skipped"]) == ["database.db"]
    assert os.listdir(foreign.path("data")) == ["database.db"]


def test_a_snapshot_lies_where_only_root_enters_and_belongs_to_root(foreign: Site) -> None:
    given(database(foreign.path("data") / "database.db"))
    folder = transaction.begin(foreign, "new", None)
    copy = folder / "database.db"
    with contextlib.closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT title FROM post").fetchall() == [("hello",)]
    assert (copy.stat().st_uid, folder.stat().st_mode & 0o777) == (0, 0o700)


def test_what_is_put_back_belongs_to_the_app(foreign: Site) -> None:
    path = given(database(foreign.path("data") / "database.db"))
    folder = transaction.begin(foreign, "new", None)
    path.unlink()
    data_layer(foreign).restore(folder)
    assert path.stat().st_uid == pwd.getpwnam("nobody").pw_uid


def test_what_the_app_may_not_read_is_in_no_backup(foreign: Site) -> None:
    """A file that root has put there, or a link to one: root's rights are not the app's."""
    (foreign.path("data") / "of-root").write_text("secret")
    (foreign.path("data") / "of-root").chmod(0o600)
    (foreign.path("data") / "closed").mkdir(mode=0o700)
    result = create.back_up(foreign)
    assert result["skipped"] == {"of-root": "Permission denied", "closed": "Permission denied"}
    assert result["files"] == 0


def test_work_that_nobody_waits_for_has_a_lower_priority(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the live data is copied for a change, requests wait."""
    start, niced = process.start_process, dict[str, bool]()

    def remember(site: Site, request: dict[str, object], *places: Any, **more: Any) -> Any:
        niced[str(request["operation"])] = more["niced"]
        return start(site, request, *places, **more)

    monkeypatch.setattr(process, "start_process", remember)
    database(site.path("data") / "database.db")
    layer = data_layer(site)
    layer.fingerprint(site.path("data"))
    transaction.begin(site, "new", None)
    transaction.undo(site)
    assert niced == {"fingerprint": True, "read": False, "scan": False, "restore": False}


def test_what_is_no_database_in_a_snapshot_does_not_hide_the_databases_after_it(site: Site) -> None:
    """A damaged database is kept with the files beside it."""
    path = database(site.path("data") / "database.db")
    snapshot = transaction.begin(site, "new", None)
    transaction.commit(site)
    (snapshot / "a.db-wal").write_text("a part of another one")
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO post VALUES ('again')")
    (change,) = data_layer(site).compare(snapshot).tables
    assert (change.table, change.written, change.deleted) == ("post", 1, 0)
