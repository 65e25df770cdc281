"""Activate a release, or go back to one before: what visitors get changes in one step, and no request is lost."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from dataclasses import dataclass
from typing import Any

from . import assets, health, operations, sandbox, services, transaction
from .initialise import forget_interrupted, initialise, note_initialised
from .pruning import prune
from .site import (
    Busy,
    FollowUpFailed,
    HostError,
    OperationError,
    Site,
    app_folder,
    data_alone,
    link_aside,
    live_target,
    locked,
    point_link,
    point_link_at,
    restore_settings,
    starts_held,
)

#: What can go wrong on a host. Everything else, such as being interrupted, goes on as it is once things are put back.
FAILURES = (OperationError, OSError, ValueError, sqlite3.Error)

#: Values of flask_blog_rehearse beside True.
START, NO_REHEARSAL = "start", False

#: Seconds that requests in flight may take to end, beyond what a start may take (gunicorn.conf.py: graceful_timeout).
DRAIN = 60.0

#: What a snapshot can promise: it holds this host's databases, and no other server's.
DATA_RESTORED = (
    "The data is as it was before, as far as it lies in the data folder's databases; what a command changed on another"
    " server, such as PostgreSQL, is not undone."
)

#: Seconds after its start within which a process has said what it serves.
SAYING = 5.0

#: What programs say when the host has failed them (strerror(3), https://www.sqlite.org/rescode.html, systemctl).
HOST_FAILURES = (
    "No space left on device",
    "database or disk is full",
    "Disk quota exceeded",
    "Read-only file system",
    "Input/output error",
    "disk I/O error",
    "Cannot allocate memory",
    "Too many open files in system",
    "Failed to connect to bus",
    "Failed to connect to system scope bus",
    "Failed to get D-Bus connection",
)


@dataclass
class Outcome:
    """How an activation went."""

    release: str
    previous: str | None
    initialised: bool = False
    #: seconds for which requests waited in the socket's queue while the data changed; 0 where nothing had to wait
    waited: float = 0.0
    data_changed: bool = False


def release_of(site: Site, target: str | None) -> str | None:
    """Return the release that a link's target belongs to."""
    return os.path.relpath(target, site.path("releases")).split("/")[0] if target else None


def activate(site: Site, release: str, operation: str = "activate", commands: bool = True) -> Outcome:
    """Make a release the live one.

    It is rehearsed on a copy of the data first. Where its commands changed that copy, requests wait in the socket's
    queue while they run on the live data, after a snapshot; otherwise nothing waits. Whatever fails, the release
    before serves on, on its own data, and the failed one is marked.

    :param commands: run the release's commands; going back does not.
    :raises OperationError: saying what is served then.
    """
    with locked(site, f"{operation} {release}"):
        services.watch(site)
        return activate_locked(site, release, operation, commands)


def activate_locked(site: Site, release: str, operation: str, commands: bool) -> Outcome:
    """Make a release the live one, while the site's lock is held."""
    sandbox.refuse_without_gunicorn(site, release)
    finish_interrupted(site)
    previous = live_target(site)
    outcome = Outcome(release, release_of(site, previous))
    with operations.recorded(site, operation, outcome.previous, release) as entry:
        try:
            outcome.initialised = initialise(site, release)
            replace(site, release, previous, outcome, commands)
        except FAILURES as error:
            # A release that failed is not to be chosen by a rollback; where the host failed, it may be a good one.
            entry.details["voids"] = release != outcome.previous and not is_of_host(error)
            if isinstance(error, OperationError):
                raise
            # A full disk or a damaged database is a failure in words like any other.
            raise OperationError(str(error) or type(error).__name__) from error
        entry.details |= {"waited": outcome.waited, "data_changed": outcome.data_changed}
    # It serves. Whatever goes wrong from here on is reported, and makes it no failed release.
    note_initialised(site)
    services.forget_changes(site)
    if commands:  # going back brings nothing that could be one too many
        try:
            prune(site, operations.History.of(site))
        except OSError as error:
            services.log(site, f"old releases could not be removed: {error}")
    run_afterwards(site, release)
    return outcome


def replace(site: Site, release: str, previous: str | None, outcome: Outcome, commands: bool) -> None:
    """Replace what serves: rehearse, change the data if there is something to change, switch."""
    wanted = site.settings["release_commands"] if commands and release != outcome.previous else []
    is_up = previous is not None and services.is_active(site.settings["service_unit"])
    if is_up and not health.is_reachable(site):
        # The app has the same socket as its successor, and can spoil it for both (shutdown(2), setsockopt(2)).
        services.log(site, "nobody can connect to the site, so its socket is made anew")
        site.pending("socket").parent.mkdir(exist_ok=True)
        site.pending("socket").touch()
    joins = is_up and not site.pending("socket").exists()
    if previous is not None:
        # A rollback target has served before, so it is not rehearsed.
        how = site.settings["rehearse"] if commands else NO_REHEARSAL
        outcome.data_changed = try_out(site, release, wanted, how=how, joins=joins)
    if wanted and (outcome.data_changed or not is_up):
        outcome.data_changed = True
        outcome.waited = switch_with_data(site, release, previous, wanted, is_up=is_up)
        return
    if wanted:
        # They changed nothing in the rehearsal, so nothing has to wait for them.
        try:
            sandbox.run_commands(site, release, wanted, site.path("data"))
        except FAILURES as error:
            raise OperationError(
                f"The commands of {release} changed nothing on a copy of the data and failed on the live data: {error}"
                f"\nThe release before it serves on.{_settings_put_back(site)}"
            ) from error
    if previous is None or not joins:
        start_first(site, release, previous)
    else:
        switch(site, release, previous)


def try_out(site: Site, release: str, commands: list[str], *, how: bool | str, joins: bool) -> bool:
    """Try a release without visitors, and say whether its commands change the data.

    :param how: C(True) with its commands on a copy of the data, cut off from everything else; C(start) without its
        commands on the live data, with the live network; C(False) only as far as nothing else will try it.
    :param joins: whether it is to join on the socket of the one that serves: then it tries itself on the live data.
    :raises OperationError: if it fails; the live site was not touched.
    """
    try:
        if how is True:
            return sandbox.rehearse(site, release, commands)
        if (how == START and commands) or (not commands and not joins):
            sandbox.prove(site, release, site.path("data"))
    except FAILURES as error:
        raise OperationError(f"{error}{_settings_put_back(site)}") from error
    return bool(commands)


def _settings_put_back(site: Site) -> str:
    """Put the settings back under a process that still runs on them."""
    if not restore_settings(site):
        return ""
    with contextlib.suppress(OperationError):
        services.systemctl("daemon-reload")
    return "\nThe settings from before were put back as well."


def is_of_host(error: BaseException | None) -> bool:
    """Say whether the host failed, and not the release: a file, a database of ours, systemd, a full disk, a lock.

    An app that met a full disk says so in its output or its journal, which are part of the message.
    """
    while error is not None:
        if isinstance(error, HostError | Busy | OSError | sqlite3.Error):
            return True
        if any(words in str(error) for words in HOST_FAILURES):
            return True
        error = error.__cause__
    return False


def recover(site: Site) -> str:
    """Wait until no operation is under way, and see to one that was killed; say in words what was done.

    It runs beside each operation that changes what serves (NAME-recovery.service), and at boot.
    """
    with locked(site, "recover", wait=float("inf")):
        return finish_interrupted(site)


def finish_interrupted(site: Site) -> str:
    """Undo, or end, what an operation that was killed has begun, and say in words what was done.

    An operation is in the journal before it touches anything, and its end is there before the lock is free.
    """
    killed = operations.unfinished(site)
    service = site.settings["service_unit"]
    if killed:
        services.end_orphans(site, site.settings["activation_timeout"] + DRAIN)
    with starts_held(site):
        # While starts are held, a service that is up stays up: an open transaction means that it is down or starting.
        pending = transaction.is_open(site)
        if pending:
            services.systemctl("stop", next_unit(site), service)
            transaction.undo(site)
    if killed or pending:
        sandbox.forget_copy(site)
        transaction.forget_unbegun(site)
        forget_interrupted(site)
        for link in (site.path("link"), site.path("root") / "next"):
            link_aside(link).unlink(missing_ok=True)
    if pending:
        with contextlib.suppress(OperationError):  # a release that cannot start is one more reason to go on
            services.systemctl("start", service)
    said = "what it had begun with the data was undone; " if pending else ""
    changing = [entry for entry in killed if entry.operation in ("activate", "rollback")]
    if changing:
        said += settle(site, changing[-1])
    if services.is_active(next_unit(site)) and services.is_active(service):
        services.systemctl("stop", next_unit(site))
    serves = release_of(site, live_target(site))
    for entry in killed:
        operations.close(site, entry, serves, said)
    return said


def settle(site: Site, killed: operations.Operation) -> str:
    """See that the release that the link names serves, and say in words what was done.

    The link moves once the release has answered, if only where no visitor reaches it. Where it does not answer now, the
    one before it is put back, unless visitors may have written to data that only the newer one knows.
    """
    service, seconds = site.settings["service_unit"], site.settings["activation_timeout"]
    target = live_target(site)
    release = release_of(site, target)
    if target is None or release is None:
        return "nothing was served before it, and nothing is now"
    try:
        if not services.is_active(site.settings["socket_unit"]) or site.pending("socket").exists():
            start(site)
        else:
            services.systemctl("start", service)  # one that is under way comes to its end first
            if running_release(site) != release:
                services.systemctl("restart", service)
            elif release == killed.origin:
                return f"{release} serves on"
        problem = health.wait_for_instance(site, "main", release, seconds)
    except FAILURES as error:
        problem = str(error)
    if not problem:
        return f"{release} serves"
    changed = [killed.release or "", f"{transaction.LEFT}{killed.origin}"]
    may_go_back = killed.origin not in (None, release)
    if may_go_back and not any(transaction.snapshot_folder(site, name).exists() for name in changed):
        with contextlib.suppress(OperationError):
            before = str(app_folder(site, killed.origin or ""))
            return f"{release} does not answer: {problem}. {take_back(site, before, target)}"
    return f"{release} does not answer, and systemd goes on trying: {problem}"


def running_release(site: Site) -> str | None:
    """Return the release of the running process, which says so a moment after systemd calls it started."""
    deadline = time.monotonic() + SAYING
    while (found := health.served_release(site)) is None and time.monotonic() < deadline:
        time.sleep(health.PAUSE)
    return found


def next_unit(site: Site) -> str:
    """Return the unit of the second instance, which serves while the first one changes its release."""
    return f"{site.name}-next.service"


def start(site: Site) -> None:
    """Start the service anew. Its socket stays open, so that requests wait instead of failing.

    The socket itself starts anew only where it has to: it is not there, or it listens somewhere else now.
    """
    socket, service = site.settings["socket_unit"], site.settings["service_unit"]
    if not services.is_active(socket) or site.pending("socket").exists():
        services.systemctl("stop", socket, service, next_unit(site))
        services.systemctl("start", socket)
    services.systemctl("restart", service)


def start_first(site: Site, release: str, previous: str | None) -> None:
    """Start a release where nothing is served, or where the socket has to move.

    :raises OperationError: after the release before, if there is one, was put back.
    """
    since = services.cursor()
    try:
        point_link(site, str(app_folder(site, release)))
        start(site)
        problem = health.wait_until_served(site, release, site.settings["activation_timeout"])
        if problem:
            raise OperationError(problem)
    except BaseException as error:
        journal = services.journal(site.settings["service_unit"], since=since)
        outcome = take_back(site, previous, str(app_folder(site, release)))
        raise _refusal(release, error, outcome, journal) from error


def _refusal(release: str, error: BaseException, outcome: str, journal: str) -> BaseException:
    """Return what to raise for a release that was taken back; an interruption stays one."""
    if not isinstance(error, FAILURES):
        return error
    return OperationError(
        f"The release {release} does not serve: {error}\n{outcome}\nThe journal's last lines:\n{journal}"
    )


def take_back(site: Site, previous: str | None, failed: str) -> str:
    """Serve what was served before, and say in words whether that worked."""
    service = site.settings["service_unit"]
    try:
        if previous is None:
            # The socket stays: another account must not get the address, and with it the visitors of this site.
            services.systemctl("stop", service)
            site.path("link").unlink(missing_ok=True)
            return "There was no release before it, so nothing is served yet. Its data is kept."
        restored = restore_settings(site)
        if previous == failed and not restored:
            return "There is no other release to go back to; systemd goes on trying to start this one."
        point_link(site, previous)
        services.systemctl("daemon-reload")
        start(site)
        release = release_of(site, previous) or ""
        problem = health.wait_until_served(site, release, site.settings["activation_timeout"])
    except FAILURES as error:
        problem = str(error)
    if problem:
        return f"The release before it was put back, but does not answer either: {problem}"
    with_settings = " with its settings" if restored else ""
    return f"The release before it ({release}) was put back{with_settings} and serves."


def switch(site: Site, release: str, previous: str) -> None:
    """Change what serves without a pause.

    A second instance with the new release tries its pages on the live data (gunicorn.conf.py) and joins on the same
    socket; the first one finishes its requests, starts anew with the new release, and takes over again.

    :raises OperationError: when the release before serves alone again.
    """
    service, seconds = site.settings["service_unit"], site.settings["activation_timeout"]
    folder = str(app_folder(site, release))
    since = services.cursor()
    try:
        point_link_at(site.path("root") / "next", folder)
        services.systemctl("restart", next_unit(site))
        problem = health.wait_for_instance(site, "next", release, seconds, next_unit(site))
        if problem:
            raise OperationError(problem)
        keep_assets(site, previous)
    except BaseException as error:
        # The first instance was not touched: without the second one, everything is as it was.
        journal = services.journal(next_unit(site), since=since)
        outcome = f"The release before it serves on.{_stop_next(site)}{_settings_put_back(site)}"
        services.forget_failure(next_unit(site))
        # Without a place to read on from, the journal may tell of another release.
        refusal = health.REFUSAL.search(journal) if since and isinstance(error, FAILURES) else None
        raise _refusal(release, OperationError(refusal[1]) if refusal else error, outcome, journal) from error
    try:
        point_link(site, folder)
        services.systemctl("restart", service)
        # The second instance is healthy and would answer for the first: that one is asked by its name.
        if problem := health.wait_for_instance(site, "main", release, seconds):
            raise OperationError(problem)
    except BaseException as error:
        journal = services.journal(service, since=since)
        # The second instance serves until the first one is back on the release before.
        outcome = take_back(site, previous, folder)
        outcome += _stop_next(site)
        raise _refusal(release, error, outcome, journal) from error
    # Both serve the same release now: the second one ends its requests while nobody waits for it.
    if problem := _stop_next(site, "--no-block"):
        services.log(site, f"{release} is served.{problem}")


def _stop_next(site: Site, *options: str) -> str:
    try:
        services.systemctl("stop", *options, next_unit(site))
    except OperationError as error:
        return f"\nThe second instance does not stop: {error}"
    return ""


def keep_assets(site: Site, previous: str | None) -> None:
    """Keep the old assets reachable. It is a courtesy: where it fails, the release goes on."""
    try:
        assets.keep(site, release_of(site, previous) or "")
    except (OSError, OperationError) as error:
        services.log(site, f"the assets of the release before could not be kept: {error}")


def switch_with_data(site: Site, release: str, previous: str | None, commands: list[str], *, is_up: bool) -> float:
    """Change data and release together, while requests wait in the socket's queue.

    Until the new release has answered on the changed data, nobody else has seen it: going back loses nothing. From
    then on its visitors write, and the data is never put back by itself.

    :param is_up: whether the service runs; one that does not, is kept from starting.
    :returns: the seconds that requests waited.
    :raises OperationError: when the release before serves again, on the data from before.
    """
    try:
        with data_alone(site), starts_held(site):
            began = change_data(site, release, previous, commands, is_up=is_up)
    except Busy as error:
        raise Busy(f"{error}{_settings_put_back(site)}") from error
    if not is_up or site.pending("socket").exists():
        start(site)
    problem = health.wait_until_served(site, release, site.settings["activation_timeout"])
    if problem:
        raise OperationError(
            f"The release {release} was proved on the live data and then did not start: {problem}\n"
            f"systemd goes on trying. Its data stays, as it may hold new writes; see 'blogctl rollback --help'."
        )
    return round(time.monotonic() - began, 3) if is_up else 0.0


def change_data(site: Site, release: str, previous: str | None, commands: list[str], *, is_up: bool) -> float:
    """Change the data and the link while starts are held; return when requests began to wait.

    :raises OperationError: once data, link and settings are those from before.
    """
    try:
        began = stop_and_hold(site, is_up=is_up)
        transaction.begin(site, release, previous)
        sandbox.run_commands(site, release, commands, site.path("data"))
        sandbox.prove(site, release, site.path("data"))
        keep_assets(site, previous)
        point_link(site, str(app_folder(site, release)))
        transaction.commit(site)
    except BaseException as error:
        undone = undo_change(site) + _settings_put_back(site)
        if not isinstance(error, FAILURES):
            raise
        raise OperationError(f"{release} failed on the live data: {error}\n{undone}") from error
    return began


def stop_and_hold(site: Site, *, is_up: bool) -> float:
    """Stop both instances while starts are held; return when requests began to wait.

    :raises OperationError: where the service does not get there; nothing was changed then.
    """
    service = site.settings["service_unit"]
    began = time.monotonic()
    if is_up:
        services.systemctl("restart", "--no-block", service)
        wait_until_held(service, site.settings["activation_timeout"] + DRAIN)
    else:
        services.systemctl("stop", service)
    services.systemctl("stop", next_unit(site))
    return began


def undo_change(site: Site) -> str:
    """Undo an open change of the data while starts are held, and say in words whether that worked."""
    try:
        transaction.undo(site)
        if live_target(site) is None:
            return f"{DATA_RESTORED} There was no release before it, so nothing is served yet."
        # It waits until starts are no longer held; where it waits already, this changes nothing.
        services.systemctl("start", "--no-block", site.settings["service_unit"])
    except FAILURES as error:
        return (
            f"Putting the data back failed: {error}. Each start of the service tries it again, and the site stays down"
            " until that works; free the disk if it is full."
        )
    return f"The release before it serves again. {DATA_RESTORED}"


def wait_until_held(service: str, seconds: float) -> None:
    """Wait until the old processes are gone and the new start is held.

    :raises OperationError: where the service does not get there.
    """
    deadline = time.monotonic() + seconds
    while services.state_of(service) != ("activating", "start-pre"):
        if time.monotonic() >= deadline:
            raise OperationError(f"{service} did not stop within {seconds} s; nothing was changed")
        time.sleep(0.02)


def run_afterwards(site: Site, release: str) -> None:
    """Run the commands that follow a release. It serves already: one that fails is reported and changes nothing."""
    try:
        sandbox.run_commands(site, release, site.settings["after_release_commands"], site.path("data"))
    except OperationError as error:
        raise FollowUpFailed(f"The release {release} is served, but a command after it failed: {error}") from error


def summary(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome for C(--json)."""
    return vars(outcome)
