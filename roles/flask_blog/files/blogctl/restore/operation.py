"""Restore a backup: verify it, lay its data beside the present one, and exchange both while requests wait.

The exchange renames directories, so requests wait for a restart of the app and no longer, whatever the data's size. Its
undo is the reverse, and every start of the service does it first if the restore was killed.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ..data import exchange, transaction
from ..data import folder as data_folder
from ..data.exchange import Loss
from ..errors import OperationError, Undecided
from ..host import health, systemd
from ..host.locks import locked
from ..host.releases import live_release, live_target, release_names
from ..host.watch import Watch
from ..release import rehearsal
from ..release.data_change import data_change
from ..release.history import recorded
from ..release.recovery import recover_locked
from ..release.settings import settings_loaded
from ..release.switch import start
from ..site import Site
from . import extraction, safety, source
from . import loss as losses
from .source import Backup


@dataclass
class Outcome:
    """What a restore did, or would do."""

    backup: str
    release: str
    #: the release that was live when the backup was made; None if it does not say
    made_by: str | None
    files: int
    bytes: int
    #: what is restored; None for all data
    only: list[str] | None
    loss: Loss
    #: present files that stay, as the backup lacks them
    kept: list[str]
    dry_run: bool
    #: seconds that requests waited
    waited: float = 0.0
    #: the name of the safety copy
    safety: str = ""
    #: why the safety copy is not stored yet
    warnings: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the outcome for programs."""
        return {**{key: value for key, value in vars(self).items() if key != "loss"}, **losses.to_dict(self.loss)}


def restore(site: Site, wanted: str, only: list[str], *, discard_newer: bool = False, dry_run: bool = False) -> Outcome:
    """Restore a backup's data.

    :param wanted: C(latest), the name of a backup or a safety copy, or a moment.
    :param only: files and directories of the data; empty for all of it.
    :param discard_newer: lose what was written since the backup.
    :param dry_run: say what would be done and lost, and change nothing.
    :raises Undecided: with what would be lost, without C(discard_newer).
    :raises OperationError: with the state that things are in.
    """
    with locked(site, f"restore {wanted}"):
        if not dry_run:
            systemd.start_recovery(site)
            recover_locked(site)
        safety.finish(site)
        backup = source.choose(site, wanted)
        paths = source.paths_of(backup, only)
        release = live_release(site)
        if release is None:
            raise OperationError(
                f"{site.name} has no live release yet; {source.NOTHING_CHANGED}. Run playbooks/site.yml first, and"
                " restore then."
            )
        rehearsal.refuse_without_gunicorn(site, release)
        source.verify(backup)
        files = source.files_below(backup, paths)
        with safety.noted(site, paths) as name:
            try:
                loss = exchange.stage(site, backup.root, files, paths, backup.moment)
            except OperationError as error:
                message = f"The backup {backup.name} cannot be restored: {error}; {source.NOTHING_CHANGED}"
                raise type(error)(message) from error
            size = sum(entry["size"] for entry in files.values())
            kept = [path for path in backup.skipped if source.is_below(path, paths)]
            outcome = Outcome(
                backup.name, release, backup.release, len(files), size, paths, loss, kept, dry_run=dry_run
            )
            if dry_run or (loss and not discard_newer):
                safety.finish(site)
            if dry_run:
                return outcome
            if loss and not discard_newer:
                raise Undecided(
                    f"restoring {backup.name} would lose:\n{losses.describe(loss)}\nNothing was changed."
                    f" --discard-newer restores it all the same; the present data is kept as {name}.",
                    **losses.to_dict(loss),
                )
            commands = _commands(site, backup, release)
            if release != backup.release:
                _rehearse(site, backup, files, release, commands, paths)
            _exchange(site, outcome, name, commands)
        try:
            outcome.safety = safety.finish(site)
        except OperationError as error:
            outcome.safety = name
            outcome.warnings.append(str(error))
    return outcome


def _commands(site: Site, backup: Backup, release: str) -> list[str]:
    """Return the release's own commands, such as migrations, if another release made the backup."""
    return [] if release == backup.release else list(site.settings["release_commands"])


def _rehearse(
    site: Site,
    backup: Backup,
    files: dict[str, dict[str, Any]],
    release: str,
    commands: list[str],
    paths: list[str] | None,
) -> None:
    """Try the live release on a copy of the backup, as another release made it.

    :raises OperationError: if it does not work with that data; nothing was changed.
    """
    if paths is not None or not site.settings["rehearse"]:
        return  # single files are no data to start on
    try:
        with on_copy(site, backup, files) as (copy, _):
            rehearsal.run_commands(site, release, commands, copy)
            rehearsal.prove(site, release, copy)
    except (OperationError, OSError, ValueError) as error:
        by = f"made by {backup.release}" if backup.release else "which does not say what release made it"
        remedy = (
            f"'blogctl activate {backup.release}' serves that release; restore the backup then."
            if backup.release in release_names(site)
            else "Release code that works with that data, and restore the backup then."
        )
        raise OperationError(
            f"The live release {release} does not work with the data of {backup.name}, {by};"
            f" {source.NOTHING_CHANGED}.\n{remedy}\n{error}"
        ) from error


@contextlib.contextmanager
def on_copy(
    site: Site, backup: Backup, files: dict[str, dict[str, Any]]
) -> Iterator[tuple[Path, dict[str, dict[str, int]]]]:
    """Lay a backup's data where a rehearsal can work on it, and remove it at the end.

    :yields: the directory, and the rows of each database by table.
    """
    folder = rehearsal.make_folder(site)
    try:
        rows = exchange.fill(site, folder, backup.root, files, data_folder.scan(site).directories)
        yield folder, rows
    finally:
        rehearsal.remove_copy(site)


def _exchange(site: Site, outcome: Outcome, name: str, commands: list[str]) -> None:
    """Exchange the data while requests wait, and wait until the site serves on it.

    :raises OperationError: after the data was put back; or when the site does not serve on data that its release has
        answered on.
    """
    release, previous = outcome.release, live_target(site)
    service, socket = site.settings["service_unit"], site.settings["socket_unit"]
    is_up = systemd.is_active(service)
    watch = Watch.of(site, release, service)
    failure = f"Restoring {outcome.backup} failed"
    begin: Callable[[], object] = partial(transaction.begin_exchange, site, name, previous, outcome.only)
    with recorded(site, "restore", release, release) as entry:
        entry.details |= {"backup": outcome.backup, "safety": name}
        with data_change(site, name, previous, is_up=is_up, failure=failure, begin=begin) as began:
            exchange.exchange(site, outcome.only, outcome.kept)
            rehearsal.run_commands(site, release, commands, site.path("data"))
            rehearsal.prove(site, release, site.path("data"))
        if site.pending("socket").exists():
            start(site)
        elif not is_up:
            systemd.systemctl("start", socket, service)
        problem = health.wait_until_served(site, release, site.settings["activation_timeout"])
        problem = problem or health.home_problem(site, site.settings["activation_timeout"])
        outcome.waited = round(time.monotonic() - began, 3)
        entry.details["waited"] = outcome.waited
        if problem:
            what = f"{release} passed its test on the data of {outcome.backup} and then did not start"
            state = f"systemd keeps trying. 'blogctl restore {name}' puts the data from before back."
            raise OperationError(watch.diagnose().message(what, problem, state))
    settings_loaded(site)


def extract(site: Site, wanted: str, only: list[str], target: Path) -> tuple[Backup, int]:
    """Write a backup's data to an empty directory of root's alone; return the backup and the number of files."""
    backup = source.choose(site, wanted)
    paths = source.paths_of(backup, only)
    source.verify(backup)
    files = source.files_below(backup, paths)
    extraction.write(backup, files, target)
    return backup, len(files)
