"""Copies of the backups in a restic repository: copy the newest backup, check the repository, remove old copies.

What is known of the repository is kept in the site's state folder, for C(blogctl backups) and the doctor.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import socket
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import Busy, OperationError
from ..host.files import write_atomically
from ..host.locks import offsite_alone
from ..site import Site
from . import retention
from .restic import BACKUP_TAG, SITE_TAG, Damaged, NoRepository, Repository, Snapshot
from .settings import SETTINGS
from .stored import DATA
from .verify import MANIFEST, read_manifest

#: In the site's state folder.
STATE = "offsite.json"
#: One of so many parts of the repository is read each day, so that a week reads all of it.
PARTS = 7
#: Snapshots that the state lists.
LISTED = 1000


@dataclass
class State:
    """What is known of a site's repository. Times are RFC 3339 in UTC; empty for never."""

    #: sha256 of its address: that of another repository counts for nothing
    repository: str = ""
    #: the last backup that was copied, its snapshot, and when
    backup: str = ""
    snapshot: str = ""
    copied: str = ""
    #: when the repository was checked last, without a fault
    checked: str = ""
    #: when old copies were removed last
    pruned: str = ""
    #: what went wrong last, and when; empty if all is well
    problem: str = ""
    problem_time: str = ""
    #: the part of the repository in which a check found damage; 0 for none
    damaged: int = 0
    #: the snapshots that were there, and when
    snapshots: list[dict[str, Any]] = field(default_factory=list)
    listed: str = ""


def path_of(site: Site) -> Path:
    """Return the file with the state."""
    return site.path("state") / STATE


def read(site: Site, repository: Repository | None = None) -> State:
    """Return the state; an empty one if there is none, it is damaged, or it is that of another repository."""
    found = State()
    with contextlib.suppress(OSError, ValueError, TypeError):
        found = State(**json.loads(path_of(site).read_text(encoding="utf-8")))
    if repository is not None and found.repository != _key(repository):
        return State(repository=_key(repository))
    return found


def _key(repository: Repository) -> str:
    return hashlib.sha256(repository.address.encode()).hexdigest()


def _write(site: Site, state: State) -> None:
    path_of(site).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomically(path_of(site), json.dumps(asdict(state), indent=1) + "\n")


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


@dataclass
class Outcome:
    """What was done."""

    backup: str
    repository: str
    #: whether the repository was made, and the backup copied, by this call
    created: bool = False
    copied: bool = False
    checked: bool = False
    #: names of the backups whose copies were removed
    removed: list[str] = field(default_factory=list)


def copy(site: Site) -> Outcome:
    """Copy the newest backup to the site's repository, unless it is there; once a day, check the repository.

    :raises OperationError: if that fails; the backups on this host are not touched.
    """
    repository = Repository(site)
    names = retention.complete_backups(site.path("backups"))
    if not names:
        raise OperationError(f"{site.name} has no backup yet, so there is none to copy; 'blogctl backup' makes one")
    outcome = Outcome(names[-1], repository.shown)
    with offsite_alone(site):
        state = read(site, repository)
        if state.backup == outcome.backup and not state.problem and _is_today(state.checked):
            return outcome
        with _noted(site, state):
            _open(repository, state, outcome)
            found = repository.snapshots(site.name)
            _copy(site, repository, state, outcome, found)
            found = repository.snapshots(site.name)
            _list(state, found)
            _maintain(site, repository, state, outcome, found)
    return outcome


@contextlib.contextmanager
def _noted(site: Site, state: State) -> Iterator[None]:
    """Write the state at the end, with the failure if there is one."""
    try:
        yield
    except OperationError as error:
        state.problem, state.problem_time = str(error), _now()
        _write(site, state)
        advice = " It is tried again with the next backup." if isinstance(error, Busy) else ""
        raise type(error)(
            f"The backup of {site.name} was not copied or not checked off-site; the backups on this host, and the blog,"
            f" are as they were: {error}{advice}"
        ) from error
    state.problem, state.problem_time = "", ""
    _write(site, state)


def _open(repository: Repository, state: State, outcome: Outcome) -> None:
    """See that the repository answers. Make it if this site never had one there."""
    try:
        repository.probe()
    except NoRepository as error:
        if state.backup:
            # A disk that is not mounted, or a bucket that somebody has emptied, is not answered with a new one.
            raise NoRepository(
                f"{error}. It was there on {state.copied}. Find out what became of it; to begin a new one there, remove"
                f" {STATE} in the site's state folder (/opt/NAME/state) and try again"
            ) from error
        repository.create()
        outcome.created = True
    repository.unlock()


def _copy(site: Site, repository: Repository, state: State, outcome: Outcome, found: list[Snapshot]) -> None:
    """Copy the backup, unless a call that was killed afterwards has done so."""
    present = next((one for one in found if one.backup == outcome.backup), None)
    if present is None:
        folder = site.path("backups") / outcome.backup
        with retention.held(folder):
            manifest = read_manifest(folder)
            moment = datetime.datetime.strptime(outcome.backup, retention.NAME_FORMAT)
            parent = next((one.id for one in reversed(found) if one.host == socket.gethostname()), "")
            names = [name for name in (DATA, SETTINGS, MANIFEST) if (folder / name).exists()]
            repository.add(
                folder, names, socket.gethostname(), f"{moment:%Y-%m-%d %H:%M:%S}", _tags(site, manifest), parent
            )
        outcome.copied = True
        present = next((one for one in repository.snapshots(site.name) if one.backup == outcome.backup), None)
        if present is None:
            raise OperationError(f"the repository {repository.shown} does not list the copy of {outcome.backup}")
    state.backup, state.snapshot, state.copied = outcome.backup, present.id, _now()


def _tags(site: Site, manifest: Mapping[str, Any]) -> list[str]:
    """Return the tags of a snapshot: its list is readable without the manifests."""
    size = sum(entry["size"] for entry in manifest["files"].values())
    lacks = len(manifest.get("skipped", {})) + manifest.get("skipped_more", 0)
    release = manifest.get("release", {}).get("id", "")
    tags = {SITE_TAG: site.name, BACKUP_TAG: manifest["name"], "release": release, "bytes": size, "lacks": lacks}
    return [f"{name}={value}" for name, value in tags.items()]


def _list(state: State, found: list[Snapshot]) -> None:
    state.snapshots, state.listed = [one.to_dict() for one in found[-LISTED:]], _now()


def _maintain(site: Site, repository: Repository, state: State, outcome: Outcome, found: list[Snapshot]) -> None:
    """Remove old copies, and read a part of the repository, both once a day."""
    settings = site.settings.get("repository", {})
    if state.damaged or not _is_today(state.checked):
        today = datetime.datetime.now(datetime.UTC).toordinal() % PARTS + 1
        # A part that was damaged stays the reason of a failure until it was read without one.
        for part in sorted({state.damaged or today, today}):
            try:
                repository.check(part, PARTS)
            except Damaged as error:
                state.damaged = part
                raise Damaged(
                    f"the repository is damaged: {error}. No copy was removed. The backups on this host are whole;"
                    " begin a new repository with them, or see 'Troubleshooting' in restic's manual"
                ) from error
        state.damaged, state.checked, outcome.checked = 0, _now(), True
    if settings.get("append_only") or _is_today(state.pruned):
        return
    # Those of another host with a site of this name are not this one's to remove.
    mine = [one for one in found if one.host == socket.gethostname() and retention.is_name(one.backup)]
    whole = [one.backup for one in mine if one.tags.get("lacks", "0") == "0"]
    kept = retention.kept([one.backup for one in mine], whole, settings.get("keep", {}))
    if old := [one for one in mine if one.backup not in kept]:
        repository.forget([one.id for one in old])
        repository.prune()
        outcome.removed = [one.backup for one in old]
        _list(state, [one for one in found if one not in old])
    state.pruned = _now()


def _is_today(moment: str) -> bool:
    return moment[:10] == _now()[:10]
