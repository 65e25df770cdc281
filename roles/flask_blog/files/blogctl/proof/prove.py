"""Restore a backup into the rehearsal's sandbox, boot the live release on it, and compare rows."""

from __future__ import annotations

import datetime
import time
from typing import Any

from ..data import exchange
from ..errors import OperationError, with_state
from ..host import systemd
from ..host.locks import locked
from ..host.releases import live_release
from ..release import rehearsal
from ..release.history import recorded
from ..release.recovery import recover_locked
from ..restore import operation, source
from ..restore.source import Backup
from ..site import Site
from . import record

Rows = dict[str, dict[str, int]]


def prove(site: Site, wanted: str) -> dict[str, Any]:
    """Prove that a backup can be restored, and keep the result. The live site and its data are not touched.

    :returns: C(backup), C(release), C(time), C(seconds), C(rows) in the backup, C(live_rows), and C(fewer): tables with
        fewer rows now than in the backup.
    :raises OperationError: naming the step that failed.
    """
    with locked(site, f"prove {wanted}"):
        systemd.start_recovery(site)
        recover_locked(site)
        release = live_release(site)
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        result: dict[str, Any] = {"backup": wanted, "release": release, "time": now}
        with recorded(site, "prove", release, release):
            began = time.monotonic()
            try:
                backup = source.choose(site, wanted)
                result["backup"] = backup.name
                result |= _prove(site, backup, release)
            except (OperationError, OSError, ValueError) as error:
                record.write(site, {**result, "problem": str(error)})
                what = f"{result['backup']} could not be proved"
                state = "The live site was not touched. Correct the cause, and take and prove another backup."
                raise OperationError(with_state(error, state, what)) from error
            result["seconds"] = round(time.monotonic() - began, 3)
            record.write(site, result)
    return result


def _prove(site: Site, backup: Backup, release: str | None) -> dict[str, Any]:
    if release is None:
        raise OperationError("no release is live")
    source.verify(backup)
    commands = [] if release == backup.release else list(site.settings["release_commands"])
    paths = [str(path) for path in site.settings.get("proof_paths", [])]
    with operation.on_copy(site, backup, backup.files) as (copy, rows):
        _refuse_fewer(backup, rows)
        rehearsal.run_commands(site, release, commands, copy)
        rehearsal.prove(site, release, copy, paths)
    now = exchange.rows(site)
    return {
        "rows": _total(rows),
        "live_rows": _total(now),
        "fewer": [
            f"table {table} of {path}: {count} in the backup, {now[path].get(table, 0)} now"
            for path, counts in sorted(rows.items())
            if path in now
            for table, count in sorted(counts.items())
            if now[path].get(table, 0) < count
        ],
    }


def _refuse_fewer(backup: Backup, rows: Rows) -> None:
    """Refuse a restored database with fewer rows than were counted when it was backed up.

    :raises OperationError: naming the table.
    """
    for path, entry in sorted(backup.files.items()):
        counted = entry.get("rows")
        for table, count in sorted(counted.items() if isinstance(counted, dict) else ()):
            found = rows.get(path, {}).get(table, 0)
            if isinstance(count, int) and found < count:
                raise OperationError(
                    f"table {table} of {path} has {found} rows after the restore, and had {count} when it was backed up"
                )


def _total(rows: Rows) -> int:
    return sum(count for counts in rows.values() for count in counts.values())
