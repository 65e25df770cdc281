"""Go back to a release before, with or without the data from before."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import data, health, sandbox, services, transaction
from .operations import BEGUN, FAILED, INTERRUPTED, History, Operation, read, recorded
from .release import (
    FAILURES,
    Outcome,
    activate_locked,
    finish_interrupted,
    release_of,
    stop_and_hold,
    undo_change,
)
from .site import (
    OperationError,
    Site,
    Undecided,
    app_folder,
    data_alone,
    forget_pending,
    live_target,
    locked,
    point_link,
    starts_held,
)


def choose(site: Site, wanted: str | None) -> str:
    """Return the release to go back to: the one named, or the last good one before the live one.

    :raises OperationError: where there is none, or the one named failed.
    """
    history = History.of(site)
    current = release_of(site, live_target(site))
    history.refuse_failed(wanted)
    if wanted == current:
        raise OperationError(f"{wanted} is live already")
    if wanted:
        app_folder(site, wanted)
        return wanted
    # One that somebody went back from was not good enough; it has to be named.
    earlier = [release for release in history.good if release != current and release not in history.left]
    earlier = [release for release in earlier if (site.path("releases") / release).is_dir()]
    if not earlier:
        raise OperationError("there is no good release before the live one; 'blogctl releases' lists what there is")
    return earlier[-1]


def snapshot_before(site: Site, target: str) -> Path | None:
    """Return the snapshot of the data as the target release left it, where a release after it changed the data.

    An operation that was killed may have changed the data as well: its snapshot stays only where the change stands.
    """
    entries = [entry for entry in read(site) if entry.operation in ("activate", "rollback") and entry.result != FAILED]
    after: list[Operation] = []
    for entry in entries:
        after = [] if entry.release == target and entry.has_arrived else [*after, entry]
    for entry in after:
        folder = transaction.snapshot_folder(site, entry.release or "")
        may_have_changed = entry.result == BEGUN or (entry.result == INTERRUPTED and entry.has_arrived)
        if (may_have_changed or entry.details.get("data_changed")) and folder.is_dir():
            return folder
    return None


@contextlib.contextmanager
def _both(before: Path, now: Path) -> Iterator[sqlite3.Connection]:
    """Open the present database, and a snapshot beside it as C(before); root alone reaches that one."""
    with contextlib.closing(data.connect(now, read_only=True)) as connection:
        connection.execute("ATTACH DATABASE ? AS before", (f"{before.absolute().as_uri()}?mode=ro",))
        yield connection


def schema_changed(before: Path, now: Path) -> bool:
    """Say whether two databases differ in a table's, an index's or a trigger's definition."""
    query = "SELECT name, coalesce(sql, '') FROM {}.sqlite_schema ORDER BY name, sql"
    with _both(before, now) as connection:
        ours, theirs = (connection.execute(query.format(where)).fetchall() for where in ("main", "before"))
    return bool(ours != theirs)


def rows_since(before: Path, now: Path) -> dict[str, tuple[int, int]]:
    """Count, by table, the rows written or changed since a snapshot, and those deleted since.

    Compared are the columns that both have. A row is known by its primary key; in a table without one, a changed row
    counts as written and as deleted.
    """
    counted = {}
    with _both(before, now) as connection:
        tables, known = _tables(connection, "main"), _tables(connection, "before")
        for table in sorted(tables | known):
            if table in tables and table in known:
                columns, keys = _common_columns(connection, table)
                counts = (
                    _count_only_in(connection, "main", "before", table, columns, distinct=bool(keys)),
                    _count_only_in(connection, "before", "main", table, keys or columns, distinct=bool(keys)),
                )
            else:
                where = "main" if table in tables else "before"
                # A name cannot be a parameter; it is quoted.
                query = f"SELECT count(*) FROM {where}.{_quoted(table)}"  # noqa: S608
                (count,) = connection.execute(query).fetchone()
                counts = (count, 0) if table in tables else (0, count)
            if any(counts):
                counted[table] = counts
    return counted


def _common_columns(connection: sqlite3.Connection, table: str) -> tuple[list[str], list[str]]:
    """Return the columns that a table has in both databases, and its primary key where it is the same in both."""
    quoted = _quoted(table)
    now, before = (
        {str(row[1]): int(row[5]) for row in connection.execute(f"PRAGMA {where}.table_info({quoted})")}
        for where in ("main", "before")
    )
    keys = {name for name, place in now.items() if place}
    same = keys == {name for name, place in before.items() if place}
    return [name for name in now if name in before], sorted(keys) if same else []


def _count_only_in(
    connection: sqlite3.Connection, where: str, other: str, table: str, columns: list[str], *, distinct: bool
) -> int:
    """Count a table's rows that the other database has not, equal ones as often as they are there."""
    names = ", ".join(_quoted(name) for name in columns) or "NULL"
    if not distinct:
        names += f", row_number() OVER (PARTITION BY {names})"
    rows = [f"SELECT {names} FROM {one}.{_quoted(table)}" for one in (where, other)]  # noqa: S608
    (count,) = connection.execute(f"SELECT count(*) FROM ({rows[0]} EXCEPT {rows[1]})").fetchone()  # noqa: S608
    return int(count)


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


def losses(site: Site, snapshot: Path) -> tuple[bool, list[dict[str, Any]]]:
    """Say whether the schema changed since a snapshot, and what happened to how many rows of which table since.

    :returns: for each table in which something did: C(database), C(table), C(written) (or changed), C(deleted).
    """
    changed, rows = False, list[dict[str, Any]]()
    for relative in data.databases_of(snapshot):
        before, now = snapshot / relative, site.path("data") / relative
        if now.exists():
            changed |= schema_changed(before, now)
            rows += [
                {"database": str(relative), "table": table, "written": written, "deleted": deleted}
                for table, (written, deleted) in rows_since(before, now).items()
            ]
    return changed, rows


def in_words(lost: list[dict[str, Any]]) -> str:
    """Return what happened to rows for people."""

    def number(count: int, what: str) -> list[str]:
        return [f"{count} row{'' if count == 1 else 's'} {what}"] if count else []

    tables = (
        " and ".join(number(one["written"], "written or changed") + number(one["deleted"], "deleted"))
        + f" in table {one['table']} of {one['database']}"
        for one in lost
    )
    return "; ".join(tables) or "no row was written, changed or deleted"


def rollback(
    site: Site, wanted: str | None, restore_data: bool = False, keep_data: bool = False, dry_run: bool = False
) -> dict[str, Any]:
    """Go back to a release.

    Where the schema changed since, the older code may not understand the data: then it takes one of the two flags.

    :param dry_run: find out what would be done, and do nothing.
    :returns: C(release), C(previous), C(waited), C(restored), and C(lost) rows by table.
    :raises Undecided: saying what restoring the data would lose, where no flag was given.
    """
    with locked(site, f"rollback {wanted or ''}".strip()):
        if not dry_run:
            services.watch(site)
            finish_interrupted(site)
        target = choose(site, wanted)
        snapshot = snapshot_before(site, target)
        try:
            changed, rows = losses(site, snapshot) if snapshot else (False, [])
        except sqlite3.Error as error:
            if not (restore_data or keep_data):
                raise Undecided(
                    f"the data cannot be compared with that of {target}: {error}\n"
                    "Choose: --restore-data goes back to the data from then, --keep-data keeps the present one."
                ) from error
            changed, rows = True, []
        if restore_data and not snapshot:
            raise OperationError(
                f"no release since {target} changed the data, so there is none to restore; leave the flag out"
            )
        if changed and not (restore_data or keep_data):
            raise Undecided(
                f"the database's schema changed since {target}. Going back with the data from then would lose"
                f" what happened since: {in_words(rows)}.\nChoose: --restore-data loses that, --keep-data runs the"
                " older code on the newer schema.",
                release=target,
                lost=rows,
            )
        lost = rows if restore_data else []
        if dry_run:
            current = release_of(site, live_target(site))
            return {"release": target, "previous": current, "restored": restore_data, "lost": lost, "dry_run": True}
        if restore_data and snapshot:
            outcome = restore(site, target, snapshot)
        else:
            outcome = activate_locked(site, target, "rollback", commands=False)
        return {**vars(outcome), "restored": restore_data, "lost": lost, "dry_run": False}


def restore(site: Site, target: str, snapshot: Path) -> Outcome:
    """Go back to a release and to the data from before a later one, in one step, while the site's lock is held.

    The present data is kept beside it.
    """
    previous = live_target(site)
    if previous is None:
        raise OperationError("nothing is live that could be left")
    sandbox.refuse_without_gunicorn(site, target)
    current = release_of(site, previous)
    outcome = Outcome(target, current, data_changed=True)
    is_up = services.is_active(site.settings["service_unit"])
    with recorded(site, "rollback", current, target) as entry:
        with data_alone(site), starts_held(site):
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
