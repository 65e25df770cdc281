"""List what can be restored: backups, snapshots of releases and rollbacks, and the copies off-site."""

from __future__ import annotations

import datetime
import os
from pathlib import Path
from typing import Any

from ..data.transaction import LEFT_PREFIX
from ..errors import OperationError
from ..shared import contract
from ..shared.printable import printable
from ..site import Site
from . import offsite, retention
from .restic import Repository, Snapshot
from .verify import MANIFEST, read_manifest

#: Seconds until the repository has answered; the last known list is shown otherwise.
ANSWER_TIMEOUT = 20.0


def backups(site: Site) -> list[dict[str, Any]]:
    """Return the backups on this host, the oldest first.

    :returns: C(id), C(moment), C(release), C(files), C(bytes), C(databases), C(lacks) with reasons by path,
        C(verified), and C(format). One with a damaged manifest has its C(id), C(moment) and C(problem).
    """
    root = site.path("backups")
    return [_describe(root / name) for name in retention.complete_backups(root) if retention.is_name(name)]


def _describe(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"id": folder.name, "moment": moment_of(folder.name)}
    try:
        manifest = read_manifest(folder)
        files = manifest["files"]
        return {
            **found,
            "release": manifest.get("release", {}).get("id", ""),
            "files": len(files),
            "bytes": sum(entry["size"] for entry in files.values()),
            "databases": sorted(path for path, entry in files.items() if entry.get("tables") is not None),
            "lacks": manifest.get("skipped", {}),
            "lacks_more": manifest.get("skipped_more", 0),
            # The manifest is written once every file was read back.
            "verified": _iso((folder / MANIFEST).stat().st_mtime),
            "format": manifest.get("format", 1),
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        return {**found, "problem": f"its manifest is damaged: {error or type(error).__name__}"}


def moment_of(name: str) -> str:
    """Return the moment of a backup by its name, as RFC 3339 writes it."""
    return datetime.datetime.strptime(name, retention.NAME_FORMAT).strftime("%Y-%m-%dT%H:%M:%S+00:00")


def _iso(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")


def snapshots(site: Site) -> list[dict[str, Any]]:
    """Return the snapshots of the databases, the oldest first.

    :returns: C(id), C(moment), C(release), C(reason), C(release) or C(rollback), and C(bytes).
    """
    root = site.path("snapshots")
    found = []
    for folder in root.iterdir() if root.is_dir() else ():
        if not folder.is_dir() or folder.name.endswith(contract.INCOMPLETE):
            continue
        is_left = folder.name.startswith(LEFT_PREFIX)
        found.append(
            {
                "id": folder.name,
                "moment": _iso(folder.stat().st_mtime),
                "release": folder.name.removeprefix(LEFT_PREFIX),
                "reason": "rollback" if is_left else "release",
                "bytes": sum(
                    os.lstat(Path(place, name)).st_size for place, _, names in os.walk(folder) for name in names
                ),
            }
        )
    return sorted(found, key=lambda one: str(one["moment"]))


def copies(site: Site, address: str | None = None, *, ask: bool = True) -> dict[str, Any] | None:
    """Return the copies in the site's repository, or in another one; None if it has none.

    :param ask: the repository itself; otherwise, and if it does not answer, what was known last.
    :returns: C(repository), C(asked) and C(listed), when the list was made; C(problem), why the repository does not
        answer or what its last copy or check met; C(copied) and C(checked); and C(snapshots).
    :raises OperationError: if another repository does not answer.
    """
    if address is None and not site.settings.get("repository", {}).get("kind"):
        return None
    repository = Repository(site, address)
    state = offsite.read(site, repository)
    known = [one for entry in state.snapshots if (one := Snapshot.of(entry))]
    found: dict[str, Any] = {
        "repository": repository.shown,
        "asked": False,
        "listed": state.listed,
        "problem": state.problem,
        "copied": state.copied,
        "checked": state.checked,
    }
    if ask:
        try:
            known = repository.snapshots(site.name, ANSWER_TIMEOUT)
            found |= {"asked": True, "listed": _iso(datetime.datetime.now(datetime.UTC).timestamp())}
        except OperationError as error:
            if address is not None:
                raise
            found["problem"] = str(error)
    return {**found, "snapshots": [_copy(one) for one in known]}


def _copy(one: Snapshot) -> dict[str, Any]:
    return {
        "id": one.id,
        "backup": one.backup,
        "moment": moment_of(one.backup) if retention.is_name(one.backup) else one.time,
        "host": one.host,
        "release": one.tags.get("release", ""),
        "bytes": int(number) if (number := one.tags.get("bytes", "")).isdecimal() else None,
        "lacks": int(number) if (number := one.tags.get("lacks", "")).isdecimal() else None,
    }


def describe(site: Site, found: dict[str, Any]) -> str:
    """Return the lists for people."""
    copied = {one["backup"] for one in (found["offsite"] or {}).get("snapshots", [])}
    lines = [f"Backups in {site.path('backups')}:"]
    lines += [f"  {_line(one, copied)}" for one in found["backups"]] or ["  none"]
    if found["snapshots"]:
        lines.append(f"Databases from before a release or a rollback changed them, in {site.path('snapshots')}:")
        lines += [
            f"  {one['id']}  {_short(one['moment'])}  before the {one['reason']}, {size(one['bytes'])}"
            for one in found["snapshots"]
        ]
    if remote := found["offsite"]:
        since = "" if remote["asked"] else f", as known on {_short(remote['listed']) or 'no day yet'}"
        lines.append(f"Off-site in {remote['repository']}{since}:")
        lines += [f"  {_remote_line(one)}" for one in remote["snapshots"]] or ["  none"]
        lines += [f"  problem: {remote['problem']}"] if remote["problem"] else []
    else:
        lines.append("No copies off-site: flask_blog_backup_repository is not set.")
    return printable("\n".join(lines))


def _line(one: dict[str, Any], copied: set[str]) -> str:
    if "problem" in one:
        return f"{one['id']}  {one['problem']}"
    parts = [f"{one['files']} files, {size(one['bytes'])}", f"verified {_short(one['verified'])}"]
    parts += [f"release {one['release']}"] if one["release"] else []
    parts += ["off-site"] if one["id"] in copied else []
    count = len(one["lacks"]) + one["lacks_more"]
    parts += [f"lacks {count}: {', '.join(sorted(one['lacks']))}"] if count else []
    return f"{one['id']}  {'; '.join(parts)}"


def _remote_line(one: dict[str, Any]) -> str:
    parts = [f"from {one['host']}"]
    parts += [size(one["bytes"])] if one["bytes"] is not None else []
    parts += [f"release {one['release']}"] if one["release"] else []
    parts += [f"lacks {one['lacks']}"] if one["lacks"] else []
    return f"{one['backup'] or _short(one['moment'])}  {one['id'][:8]}  {'; '.join(parts)}"


def _short(moment: str) -> str:
    return moment[:16].replace("T", " ")


def size(number: int) -> str:
    """Return a number of bytes for people."""
    value, unit = float(number), "bytes"
    for unit in ("bytes", "KB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
