"""Activate a release: rehearse it, change the data if its commands do, and switch without losing a request."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

from ..data import folder, outside, seed, seeds
from ..errors import FAILURES, FollowUpFailed, OperationError, with_state
from ..host import dotenv, health, journal, systemd
from ..host.locks import locked
from ..host.releases import app_folder, live_target, release_of
from ..shared import issued
from ..site import Site
from . import rehearsal
from .data_change import switch_with_data
from .failures import is_of_host
from .hints import hints
from .history import History, recorded
from .prune import prune
from .recovery import recover_locked
from .settings import restore_under_running, settings_loaded
from .switch import restore_previous, start_first, switch

#: Seconds that the home page may take before the data is looked at.
HOME_PAGE_TIMEOUT = 10.0

#: Values of flask_blog_rehearse beside True.
START, NO_REHEARSAL = "start", False


@dataclass
class Outcome:
    """The result of an activation."""

    release: str
    previous: str | None
    initialised: bool = False
    #: seconds for which requests waited in the socket's queue while the data changed; 0 if none had to wait
    waited: float = 0.0
    data_changed: bool = False
    #: sentences on what works and should be changed
    warnings: list[str] = field(default_factory=list)


def activate(site: Site, release: str, operation: str = "activate", commands: bool = True) -> Outcome:
    """Make a release the live one.

    It is rehearsed on a copy of the data first. If its commands changed that copy, requests wait in the socket's queue
    while the commands run on the live data, after a snapshot; otherwise nothing waits. If the activation fails, the
    previous release still serves, on its own data, and the failed one is marked.

    :param commands: run the release's commands; a rollback does not.
    :raises OperationError: with what is served then.
    """
    with locked(site, f"{operation} {release}"):
        systemd.start_recovery(site)
        return activate_locked(site, release, operation, commands)


def activate_locked(site: Site, release: str, operation: str, commands: bool) -> Outcome:
    """Make a release the live one, while the site's lock is held."""
    rehearsal.refuse_without_gunicorn(site, release)
    recover_locked(site)
    previous = live_target(site)
    if previous is None:
        ask_for_certificate(site)
    outcome = Outcome(release, release_of(site, previous))
    brought: list[str] = []
    with recorded(site, operation, outcome.previous, release) as entry:
        try:
            outcome.initialised = seed.initialise(site, release)
            brought = seeds.bring(site, release)
            replace(site, release, previous, outcome, commands)
            check_data(site, release, previous, outcome)
        except FAILURES as error:
            # A rollback must not choose a release that failed. If the host failed, the release may be a good one.
            entry.details["marks_failed"] = release != outcome.previous and not is_of_host(error, site)
            with contextlib.suppress(*FAILURES):
                seeds.take_back(site, release, brought)
                if live_target(site) is None and not seed.is_initialised(site):
                    seed.note_left_behind(site)
            if isinstance(error, OperationError):
                raise
            raise OperationError(str(error) or type(error).__name__) from error
        entry.details |= {"waited": outcome.waited, "data_changed": outcome.data_changed}
    # It serves. A later problem is reported, and does not make it a failed release.
    seed.note_initialised(site)
    settings_loaded(site)
    if commands:  # a rollback adds no release
        _prune(site)
        outcome.warnings += filter(None, [dotenv.hint(site, app_folder(site, release))])
    run_afterwards(site, release)
    return outcome


def ask_for_certificate(site: Site) -> None:
    """Let the authority issue a site's first certificate while its first release starts; nobody waits for it here."""
    if site.settings.get("tls") == issued.ACME and not site.path("certificate").exists():
        with contextlib.suppress(OperationError):  # the timer does so as well
            systemd.systemctl("start", "--no-block", site.unit("certificate_unit"))


def check_data(site: Site, release: str, previous: str | None, outcome: Outcome) -> None:
    """Check that what the running app keeps survives a restart, and is in the backups.

    A first deployment fails if it does not, as nobody has written anything yet. A later one is served, with a warning.

    :param previous: target of the live link before; None if there was no link.
    :raises OperationError: after the first release was stopped again.
    """
    health.visit_home_page(site, HOME_PAGE_TIMEOUT)
    shown = outside.running(site)
    try:
        problems = outside.problems(site, shown)
        outside.note(site, problems)
    except OSError as error:
        journal.log(site, f"it is not known whether the app keeps its data in the data folder: {error}")
        return
    if previous is not None or not problems:
        # 'blogctl status' reads the journal at any time; a release of a running blog has to be fast.
        outcome.warnings += [*problems, *(hints(site, shown) if previous is None else [])]
        return
    state = restore_previous(site, None, str(app_folder(site, release)))
    if outcome.initialised and not folder.scan(site).databases:
        seed.forget_initialised(site)
    raise OperationError("\n".join([f"The release {release} works, and would lose data:", *problems, state]))


def _prune(site: Site) -> None:
    try:
        prune(site, History.of(site))
    except OSError as error:
        journal.log(site, f"old releases could not be removed: {error}")


def replace(site: Site, release: str, previous: str | None, outcome: Outcome, commands: bool) -> None:
    """Replace what serves: rehearse, change the data if the commands do, switch.

    :param previous: target of the live link; None if there is no link.
    """
    wanted = site.settings["release_commands"] if commands and release != outcome.previous else []
    is_up = previous is not None and systemd.is_active(site.settings["service_unit"])
    if is_up and not health.is_reachable(site):
        # The app has the same socket as its successor, and can break it for both (shutdown(2), setsockopt(2)).
        journal.log(site, "nobody can connect to the site, so its socket is created again")
        site.pending("socket").parent.mkdir(exist_ok=True)
        site.pending("socket").touch()
    joins = is_up and not site.pending("socket").exists()
    if previous is not None:
        # A rollback target has served before, so it is not rehearsed.
        how = site.settings["rehearse"] if commands else NO_REHEARSAL
        outcome.data_changed = rehearse(site, release, wanted, how=how, joins=joins)
    if wanted and (outcome.data_changed or not is_up):
        outcome.data_changed = True
        outcome.waited = switch_with_data(site, release, previous, wanted, is_up=is_up)
        return
    if wanted:
        _run_unchanging(site, release, wanted)
    if previous is None or not joins:
        start_first(site, release, previous)
    else:
        switch(site, release, previous)


def rehearse(site: Site, release: str, commands: list[str], *, how: bool | str, joins: bool) -> bool:
    """Try a release without visitors, and say whether its commands change the data.

    :param how: C(True) runs its commands on a copy of the data, isolated from everything else; C(start) starts it
        without its commands on the live data, with the live network; C(False) does so only if nothing else tries it.
    :param joins: whether it will join on the socket of the live instance: then it requests its pages on the live data.
    :raises OperationError: if it fails; the live site was not changed.
    """
    try:
        if how is True:
            return rehearsal.rehearse(site, release, commands)
        if (how == START and commands) or (not commands and not joins):
            rehearsal.prove(site, release, site.path("data"))
    except FAILURES as error:
        raise OperationError(with_state(error, restore_under_running(site))) from error
    return bool(commands)


def _run_unchanging(site: Site, release: str, commands: list[str]) -> None:
    """Run commands on the live data that changed nothing in the rehearsal, so that no request has to wait.

    :raises OperationError: if one fails; the previous release still serves.
    """
    try:
        rehearsal.run_commands(site, release, commands, site.path("data"))
    except FAILURES as error:
        what = f"The commands of {release} changed nothing on a copy of the data and failed on the live data"
        state = f"The previous release still serves.{restore_under_running(site)}"
        raise OperationError(with_state(error, state, what)) from error


def run_afterwards(site: Site, release: str) -> None:
    """Run the commands that follow a release. It serves already, so a failure changes nothing.

    :raises FollowUpFailed: if one fails.
    """
    try:
        rehearsal.run_commands(site, release, site.settings["after_release_commands"], site.path("data"))
    except OperationError as error:
        raise FollowUpFailed(f"The release {release} is served, but a command after it failed: {error}") from error
