"""Compare a database with a snapshot of it: its schema, and how many rows of which table differ."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from .sqlite import Clock, connect


@contextlib.contextmanager
def _both(before: Path, now: Path, clock: Clock) -> Iterator[sqlite3.Connection]:
    """Open the present database, and a snapshot of it as C(before)."""
    with contextlib.closing(connect(now, clock, read_only=True)) as connection:
        connection.execute("ATTACH DATABASE ? AS before", (f"{before.absolute().as_uri()}?mode=ro",))
        yield connection


def schema_changed(before: Path, now: Path, clock: Clock) -> bool:
    """Say whether two databases differ in a table's, an index's or a trigger's definition."""
    query = "SELECT name, coalesce(sql, '') FROM {}.sqlite_schema ORDER BY name, sql"
    with _both(before, now, clock) as connection:
        ours, theirs = (connection.execute(query.format(where)).fetchall() for where in ("main", "before"))
    return bool(ours != theirs)


def rows_since(before: Path, now: Path, clock: Clock) -> dict[str, tuple[int, int]]:
    """Count, by table, the rows written or changed since a snapshot, and those deleted since.

    Compared are the columns that both have. A row is known by its primary key; in a table without one, a changed row
    counts as written and as deleted.
    """
    counted = {}
    with _both(before, now, clock) as connection:
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
    """Return the columns that a table has in both databases, and its primary key if it is the same in both."""
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
