"""Roll back to an earlier release, with or without the data from then."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..data import transaction
from ..data.interface import Comparison, TableChange
from ..data.layer import data_layer
from ..errors import OperationError, Undecided
from ..host import health, systemd
from ..host.locks import locked
from ..host.releases import app_folder, live_release, live_target, point_link, release_of
from ..host.watch import Watch
from ..site import Site
from . import rehearsal
from .activate import Outcome, activate_locked
from .data_change import data_change
from .history import BEGUN, FAILED, INTERRUPTED, Operation, choose, read, recorded
from .recovery import recover_locked
from .settings import settings_loaded
from .switch import start


@dataclass(frozen=True)
class Plan:
    """What a rollback does."""

    target: str
    #: of the data to restore; None keeps the present data
    snapshot: Path | None
    #: rows that restoring the data loses
    lost: list[TableChange]

    def to_dict(self) -> dict[str, Any]:
        """Return the part of the result that a dry run has, too."""
        return {"restored": self.snapshot is not None, "lost": [asdict(table) for table in self.lost]}


def snapshot_before(site: Site, target: str) -> Path | None:
    """Return the snapshot of the data as the target release left it; None if no later release changed the data.

    An operation that was killed may have changed the data as well: its snapshot stays only if the change stands.
    """
    entries = [entry for entry in read(site) if entry.operation in ("activate", "rollback") and entry.result != FAILED]
    after: list[Operation] = []
    for entry in entries:
        after = [] if entry.release == target and entry.succeeded else [*after, entry]
    for entry in after:
        folder = transaction.snapshot_folder(site, entry.release or "")
        may_have_changed = entry.result == BEGUN or (entry.result == INTERRUPTED and entry.succeeded)
        if (may_have_changed or entry.details.get("data_changed")) and folder.is_dir():
            return folder
    return None


def describe_loss(lost: list[TableChange]) -> str:
    """Return what happened to rows, for people."""

    def number(count: int, what: str) -> list[str]:
        return [f"{count} row{'' if count == 1 else 's'} {what}"] if count else []

    tables = (
        " and ".join(number(one.written, "written or changed") + number(one.deleted, "deleted"))
        + f" in table {one.table} of {one.database}"
        for one in lost
    )
    return "; ".join(tables) or "no row was written, changed or deleted"


def rollback(
    site: Site, wanted: str | None, restore_data: bool = False, keep_data: bool = False, dry_run: bool = False
) -> dict[str, Any]:
    """Roll back to a release.

    If the schema changed since, the older code may not understand the data: then one of the two flags is needed.

    :param dry_run: return what would be done, and change nothing.
    :returns: C(release), C(previous), C(waited), C(restored), and C(lost) rows by table.
    :raises Undecided: with the rows that restoring the data would lose, if no flag was given.
    """
    with locked(site, f"rollback {wanted or ''}".strip()):
        if not dry_run:
            systemd.start_recovery(site)
            recover_locked(site)
        plan = decide(site, choose(site, wanted), restore_data=restore_data, keep_data=keep_data)
        if dry_run:
            return {"release": plan.target, "previous": live_release(site), **plan.to_dict(), "dry_run": True}
        if plan.snapshot:
            outcome = restore(site, plan.target, plan.snapshot)
        else:
            outcome = activate_locked(site, plan.target, "rollback", commands=False)
        return {**vars(outcome), **plan.to_dict(), "dry_run": False}


def decide(site: Site, target: str, *, restore_data: bool, keep_data: bool) -> Plan:
    """Return what a rollback does with the data.

    :raises Undecided: if the schema changed, or the data cannot be compared, and no flag was given.
    :raises OperationError: if there is no data to restore.
    """
    snapshot = snapshot_before(site, target)
    decided = restore_data or keep_data
    found = Comparison(schema_changed=False, tables=[])
    try:
        if snapshot:
            found = data_layer(site).compare(snapshot)
    except OperationError as error:
        if not decided:
            raise Undecided(
                f"the data cannot be compared with that of {target}: {error}\n"
                "Choose: --restore-data restores the data from then, --keep-data keeps the present data."
            ) from error
    if restore_data and not snapshot:
        raise OperationError(
            f"no release since {target} changed the data, so there is none to restore; leave the flag out"
        )
    if found.schema_changed and not decided:
        raise Undecided(
            f"the database's schema changed since {target}. Restoring the data from then would lose"
            f" what happened since: {describe_loss(found.tables)}.\nChoose: --restore-data loses that, --keep-data runs"
            " the older code on the newer schema.",
            release=target,
            lost=[asdict(table) for table in found.tables],
        )
    return Plan(target, snapshot, found.tables) if restore_data else Plan(target, None, [])


def restore(site: Site, target: str, snapshot: Path) -> Outcome:
    """Roll back to a release and to the data of a snapshot in one transaction, while the site's lock is held.

    A snapshot of the present data is kept.
    """
    previous = live_target(site)
    if previous is None:
        raise OperationError("there is no live release to roll back from")
    rehearsal.refuse_without_gunicorn(site, target)
    current = release_of(site, previous)
    outcome = Outcome(target, current, data_changed=True)
    is_up = systemd.is_active(site.settings["service_unit"])
    left, failure = f"{transaction.LEFT_PREFIX}{current}", f"The rollback to {target} failed"
    watch = Watch.of(site, target, site.settings["service_unit"])
    with recorded(site, "rollback", current, target) as entry:
        with data_change(site, left, previous, is_up=is_up, failure=failure) as began:
            data_layer(site).restore(snapshot)
            rehearsal.prove(site, target, site.path("data"))
            point_link(site, str(app_folder(site, target)))
        if site.pending("socket").exists():
            start(site)
        elif not is_up:
            systemd.systemctl("start", site.settings["socket_unit"], site.settings["service_unit"])
        problem = health.wait_until_served(site, target, site.settings["activation_timeout"])
        outcome.waited = round(time.monotonic() - began, 3)
        entry.details |= {"waited": outcome.waited, "restored": str(snapshot)}
        if problem:
            what = f"{target} passed its test on the restored data and then did not start"
            raise OperationError(watch.diagnose().message(what, problem, "systemd keeps trying."))
    settings_loaded(site)
    return outcome
