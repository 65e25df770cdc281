"""blogctl restore"""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path

from ..backup.retention import complete_backups
from ..errors import OperationError, Undecided
from ..restore import loss as losses
from ..restore import operation, source
from ..site import Site
from .command import UNDECIDED, Command, Result


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the backup, what of it is wanted, and where to."""
    parser.add_argument(
        "backup",
        metavar="ID",
        nargs="?",
        default=source.LATEST,
        help="a backup, a safety copy, 'latest' (the default), or a moment such as 2026-11-27 or 2026-11-27T18:30 in"
        " UTC: the newest backup of it or before",
    )
    parser.add_argument(
        "--only", metavar="PATH", action="append", default=[], help="restore this file or directory alone; repeatable"
    )
    parser.add_argument("--to", metavar="DIR", help="write the data to a new directory, and leave the site alone")
    parser.add_argument("--discard-newer", action="store_true", help="lose what was written since the backup")
    parser.add_argument("--dry-run", action="store_true", help="print what would be done and lost; change nothing")


def run(site: Site, options: argparse.Namespace) -> Result:
    """Restore a backup."""
    if options.to is not None:
        if options.dry_run or options.discard_newer:
            raise OperationError(
                "--to leaves the site alone, so it takes neither --dry-run nor --discard-newer; nothing was done"
            )
        backup, count = operation.extract(site, options.backup, options.only, Path(options.to))
        values = {"backup": backup.name, "files": count, "to": options.to}
        return Result(values, f"{backup.name}: {count} files, verified, written to {options.to}")
    found = operation.restore(
        site, options.backup, options.only, discard_newer=options.discard_newer, dry_run=options.dry_run
    )
    what = f"{found.backup}: {found.files} files, {found.bytes} bytes"
    if found.only is not None:
        what += f" ({', '.join(found.only)})"
    lines = [f"would restore {what}" if found.dry_run else f"restored {what}, served by {found.release}"]
    if found.loss:
        lines += ["this loses:" if found.dry_run else "lost:", losses.describe(found.loss)]
    elif found.dry_run:
        lines.append("this loses nothing that was written since")
    if found.kept:
        lines.append(f"the backup lacks {', '.join(found.kept)}; the present files stay")
    if found.safety:
        lines.append(f"The data from before is kept: 'blogctl restore {found.safety}' puts it back.")
    return Result(found.to_dict(), "\n".join([*lines, *found.warnings]))


def complete(site: Site) -> list[str]:
    """Return the backups and the safety copies; none without root."""
    with contextlib.suppress(PermissionError):
        return [source.LATEST, *complete_backups(site.path("backups")), *source.safety_copies(site)]
    return []


COMMAND = Command(
    "restore",
    summary="restore the data of a backup",
    description=(
        "The whole backup is verified before anything changes. If rows or files were written since, it lists them and"
        " ends with status 4: choose --discard-newer. Visitors wait for a restart of the app. A restore that fails or"
        " is killed is undone. The data from before is kept as a safety copy, which can be restored as well."
    ),
    run=run,
    example="blogctl restore --dry-run 2026-11-27",
    arguments=add_arguments,
    statuses={Undecided.status: UNDECIDED},
    requires_interface=True,
    complete=complete,
)
