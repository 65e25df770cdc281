"""The tables of a database: how many rows each has, its schema, and what differs from a snapshot of it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from .. import tree
from .common import LIST_LIMIT
from .sqlite import STEPS_PER_CHECK, Clock, connect

#: Bytes of the names and numbers of one database's tables, as JSON, in a message.
ROWS_BYTES = 24 << 10


@contextlib.contextmanager
def _at_rest(database: Path, clock: Clock) -> Iterator[sqlite3.Connection]:
    """Open a database that nobody writes to; texts are bytes, as the app may have written any."""
    address = f"{database.absolute().as_uri()}?mode=ro&immutable=1"
    with contextlib.closing(sqlite3.connect(address, uri=True)) as connection:
        connection.set_progress_handler(clock.is_up, STEPS_PER_CHECK)
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.text_factory = bytes
        yield connection


def schema_digest(database: Path, clock: Clock) -> str:
    """Return a sha256 over the definitions in a database's schema and C(PRAGMA user_version)."""
    total = hashlib.sha256()
    with _at_rest(database, clock) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        total.update(f"{version}".encode())
        query = (
            "SELECT CAST(type AS BLOB), CAST(name AS BLOB), CAST(coalesce(sql, '') AS BLOB) FROM sqlite_schema"
            " WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY 1, 2, 3"
        )
        for row in connection.execute(query):
            for value in row:
                content = value or b""
                total.update(b"\0%d\0" % len(content))
                total.update(content)
    return total.hexdigest()


def count_rows(database: Path, clock: Clock) -> dict[str, int]:
    """Count the rows of each table of a database that nobody writes to.

    :returns: by the table's name; as many tables as a message can hold, and those whose names are text.
    """
    counted: dict[str, int] = {}
    with _at_rest(database, clock) as connection:
        room = ROWS_BYTES
        for table in sorted(_tables(connection, "main"))[:LIST_LIMIT]:
            (count,) = connection.execute(f"SELECT count(*) FROM {_quoted(table)}").fetchone()  # noqa: S608
            room -= len(json.dumps({table: count}))
            if len(table) > tree.NAME_LENGTH or room < 0:
                continue
            counted[table] = int(count)
    return counted


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
    found = ((_text(name), _text(sql)) for name, sql in connection.execute(query))
    return {
        name for name, sql in found if not name.startswith("sqlite_") and not sql.upper().startswith("CREATE VIRTUAL")
    }


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def all_rows(database: Path, clock: Clock) -> dict[str, int]:
    """Count the rows of each table."""
    with contextlib.closing(connect(database, clock, read_only=True)) as connection:
        return {
            table: int(connection.execute(f"SELECT count(*) FROM {_quoted(table)}").fetchone()[0])  # noqa: S608
            for table in sorted(_tables(connection, "main"))
        }
