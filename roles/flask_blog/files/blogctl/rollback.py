"""Go back to a release before, with or without the data from before."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path
from typing import Any

from . import data, health, sandbox, services, transaction
from .operations import BEGUN, DONE, FAILED, History, Operation, read, recorded
from .release import (
    FAILURES,
    Outcome,
    activate_locked,
    finish_interrupted,
    release_of,
    stop_and_hold,
    undo_change,
)
from .site import OperationError, Site, app_folder, forget_pending, live_target, locked, point_link, starts_held


def choose(site: Site, wanted: str | None) -> str:
    """Return the release to go back to: the one named, or the last good one before the live one.

    :raises OperationError: where there is none, or the one named failed.
    """
    history = History.of(site)
    current = release_of(site, live_target(site))
    if wanted in history.failed:
        raise OperationError(
            f"{wanted} failed when it was activated: {history.failed[wanted]}\n"
            f"Where the cause is gone, try it again with 'blogctl activate {wanted}'."
        )
    if wanted == current:
        raise OperationError(f"{wanted} is live already")
    if wanted:
        app_folder(site, wanted)
        return wanted
    # One that somebody went back from was not good enough; it has to be named.
    earlier = [release for release in history.good if release != current and release not in history.left]
    earlier = [release for release in earlier if (site.path("releases") / release).is_dir()]
    if not earlier:
        raise OperationError("there is no good release before the live one")
    return earlier[-1]


def snapshot_before(site: Site, target: str) -> Path | None:
    """Return the snapshot of the data as the target release left it, where a release after it changed the data.

    An operation that was killed may have changed the data as well: its snapshot stays only where the change stands.
    """
    entries = [entry for entry in read(site) if entry.operation in ("activate", "rollback") and entry.result != FAILED]
    after: list[Operation] = []
    for entry in entries:
        after = [] if entry.release == target and entry.result == DONE else [*after, entry]
    for entry in after:
        folder = transaction.snapshot_folder(site, entry.release or "")
        if (entry.result == BEGUN or entry.details.get("data_changed")) and folder.is_dir():
            return folder
    return None


def schema(database: Path) -> list[tuple[str, str]]:
    """Return a database's schema: each table's, index's and trigger's name and definition."""
    with contextlib.closing(data.connect(database, read_only=True)) as connection:
        rows = connection.execute("SELECT name, coalesce(sql, '') FROM sqlite_schema ORDER BY name").fetchall()
    return [(str(name), str(sql)) for name, sql in rows]


def rows_since(before: Path, now: Path) -> dict[str, int]:
    """Count, by table, the rows that are new or different since a snapshot, in the columns that both have."""
    lost = {}
    with contextlib.closing(data.connect(now, read_only=True)) as connection:
        connection.execute("ATTACH DATABASE ? AS before", (f"{before.absolute().as_uri()}?mode=ro",))
        tables, known = _tables(connection, "main"), _tables(connection, "before")
        for table in sorted(tables):
            quoted = _quoted(table)
            if table not in known:
                query = f"SELECT count(*) FROM main.{quoted}"  # noqa: S608  (a name cannot be a parameter; it is quoted)
                (count,) = connection.execute(query).fetchone()
            else:
                ours = [row[1] for row in connection.execute(f"PRAGMA main.table_info({quoted})")]
                theirs = {row[1] for row in connection.execute(f"PRAGMA before.table_info({quoted})")}
                columns = ", ".join(_quoted(name) for name in ours if name in theirs) or "NULL"
                only_now = f"SELECT {columns} FROM main.{quoted} EXCEPT SELECT {columns} FROM before.{quoted}"  # noqa: S608
                (count,) = connection.execute(f"SELECT count(*) FROM ({only_now})").fetchone()  # noqa: S608
            if count:
                lost[table] = count
    return lost


def _tables(connection: sqlite3.Connection, database: str) -> set[str]:
    """Return the tables that hold rows of their own; a virtual one keeps them in others, which are found as well."""
    query = f"SELECT name, coalesce(sql, '') FROM {database}.sqlite_schema WHERE type = 'table'"  # noqa: S608
    found = connection.execute(query)
    return {
        str(name)
        for name, sql in found
        if not name.startswith("sqlite_") and not sql.upper().startswith("CREATE VIRTUAL")
    }


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def losses(site: Site, snapshot: Path) -> tuple[bool, dict[str, int]]:
    """Say whether the schema changed since a snapshot, and how many rows of which table were written since."""
    changed, rows = False, dict[str, int]()
    for relative in data.databases_of(snapshot):
        before, now = snapshot / relative, site.path("data") / relative
        if now.exists():
            changed |= schema(before) != schema(now)
            rows |= {f"{relative}: {table}": count for table, count in rows_since(before, now).items()}
    return changed, rows


def rollback(site: Site, wanted: str | None, restore_data: bool = False, keep_data: bool = False) -> dict[str, Any]:
    """Go back to a release.

    Where the schema changed since, the older code may not understand the data: then it takes one of the two flags.

    :returns: C(release), C(previous), C(waited), C(restored), and C(lost) rows by table.
    :raises OperationError: saying what restoring the data would lose, where no flag was given.
    """
    with locked(site):
        finish_interrupted(site)
        target = choose(site, wanted)
        snapshot = snapshot_before(site, target)
        try:
            changed, rows = losses(site, snapshot) if snapshot else (False, {})
        except sqlite3.Error as error:
            if not (restore_data or keep_data):
                raise OperationError(
                    f"the data cannot be compared with that of {target}: {error}\n"
                    "Choose: --restore-data goes back to the data from then, --keep-data keeps the present one."
                ) from error
            changed, rows = True, {}
        if snapshot and restore_data:
            outcome = restore(site, target, snapshot)
            return {**vars(outcome), "restored": True, "lost": rows}
        if restore_data:
            raise OperationError(
                f"no release since {target} changed the data, so there is none to restore; leave the flag out"
            )
        if changed and not keep_data:
            words = ", ".join(f"{count} rows in {table}" for table, count in rows.items()) or "no rows"
            raise OperationError(
                f"the database's schema changed since {target}. Going back with the data from then would lose what was"
                f" written or changed since: {words}.\nChoose: --restore-data loses that, --keep-data runs the older"
                " code on the newer schema."
            )
        outcome = activate_locked(site, target, "rollback", commands=False)
        return {**vars(outcome), "restored": False, "lost": {}}


def restore(site: Site, target: str, snapshot: Path) -> Outcome:
    """Go back to a release and to the data from before a later one, in one step, while the site's lock is held.

    The present data is kept beside it.
    """
    previous = live_target(site)
    if previous is None:
        raise OperationError("nothing is live that could be left")
    if not sandbox.has_gunicorn(site, target):
        raise OperationError(f"the release {target} has no environment to run in any more")
    current = release_of(site, previous)
    outcome = Outcome(target, current, data_changed=True)
    is_up = services.is_active(site.settings["service_unit"])
    with recorded(site, "rollback", current, target) as entry:
        with starts_held(site):
            try:
                began = stop_and_hold(site, is_up=is_up)
                transaction.begin(site, f"{transaction.LEFT}{current}", previous)
                data.put_back(snapshot, site.path("data"))
                sandbox.prove(site, target, site.path("data"))
                point_link(site, str(app_folder(site, target)))
                transaction.commit(site)
            except BaseException as error:
                undone = undo_change(site)
                if not isinstance(error, FAILURES):
                    raise
                raise OperationError(f"{target} was not gone back to: {error}\n{undone}") from error
        if not is_up:
            services.systemctl("start", site.settings["socket_unit"], site.settings["service_unit"])
        problem = health.wait_until_served(site, target, site.settings["activation_timeout"])
        outcome.waited = round(time.monotonic() - began, 3)
        entry.details |= {"waited": outcome.waited, "restored": str(snapshot)}
        if problem:
            raise OperationError(f"{target} was proved on the restored data and then did not start: {problem}")
    forget_pending(site)
    return outcome
