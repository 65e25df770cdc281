"""Go back to a release before, with or without the data from before."""

from __future__ import annotations

import time
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
    start,
    stop_and_hold,
    undo_change,
)
from .site import (
    OperationError,
    Site,
    Undecided,
    app_folder,
    data_alone,
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
            changed, rows = data.differences(site, snapshot) if snapshot else (False, [])
        except OperationError as error:
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
                data.put_back(site, snapshot)
                sandbox.prove(site, target, site.path("data"))
                point_link(site, str(app_folder(site, target)))
                transaction.commit(site)
            except BaseException as error:
                undone = undo_change(site)
                if not isinstance(error, FAILURES):
                    raise
                raise OperationError(f"{target} was not gone back to: {error}\n{undone}") from error
        if site.pending("socket").exists():
            start(site)
        elif not is_up:
            services.systemctl("start", site.settings["socket_unit"], site.settings["service_unit"])
        problem = health.wait_until_served(site, target, site.settings["activation_timeout"])
        outcome.waited = round(time.monotonic() - began, 3)
        entry.details |= {"waited": outcome.waited, "restored": str(snapshot)}
        if problem:
            raise OperationError(f"{target} was proved on the restored data and then did not start: {problem}")
    services.forget_changes(site)
    return outcome
