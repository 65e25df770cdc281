"""Say what a restore loses, for people."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ..data.exchange import Loss
from ..data.interface import TableChange


def to_dict(loss: Loss) -> dict[str, Any]:
    """Return what a restore loses for programs: C(lost) rows by table, and C(lost_files)."""
    return {
        "lost": [asdict(table) for table in loss.rows],
        "lost_files": {
            "missing": loss.missing.count,
            "changed": loss.changed.count,
            "named": [*loss.missing.named, *loss.changed.named],
        },
        "not_compared": loss.problems,
    }


def describe(loss: Loss) -> str:
    """Return what a restore loses, in lines."""
    lines = [_row(table) for table in loss.rows]
    lines += [f"rows in {loss.more} more tables"] if loss.more else []
    if loss.missing.count:
        lines.append(f"{_files(loss.missing.count)} that the backup lacks: {loss.missing}")
    if loss.changed.count:
        lines.append(f"{_files(loss.changed.count)} changed since: {loss.changed}")
    lines += [
        f"the present state of {path}, which cannot be compared: {reason}" for path, reason in loss.problems.items()
    ]
    return "\n".join(f"  {line}" for line in lines)


def _row(table: TableChange) -> str:
    parts = []
    if table.written:
        parts.append(f"{table.written} row{'' if table.written == 1 else 's'} written or changed since")
    if table.deleted:
        parts.append(f"the removal of {table.deleted} row{'' if table.deleted == 1 else 's'}")
    return f"table {table.table} of {table.database}: {' and '.join(parts)}"


def _files(count: int) -> str:
    return f"{count} file{'' if count == 1 else 's'}"
