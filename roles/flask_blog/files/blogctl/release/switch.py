"""Switch the service to another release without losing a request, or restore the one before."""

from __future__ import annotations

from ..errors import FAILURES, HostError, OperationError
from ..host import health, journal, systemd
from ..host.diagnosis import Diagnosis
from ..host.releases import app_folder, next_link, point_link, release_of
from ..host.units import next_unit
from ..host.watch import Watch
from ..shared import contract
from ..site import Site
from . import assets
from .settings import reopen_socket, restore_settings, restore_under_running


def start(site: Site) -> None:
    """Restart the service. Its socket stays open, so that requests wait instead of failing.

    The socket is restarted only if it does not run, or has to move to another address.
    """
    socket, service = site.settings["socket_unit"], site.settings["service_unit"]
    if not systemd.is_active(socket) or site.pending("socket").exists():
        reopen_socket(site)
    systemd.systemctl("restart", service)


def start_first(site: Site, release: str, previous: str | None) -> None:
    """Start a release if nothing is served, or if the socket has to move.

    :param previous: target of the live link; None if there is no link.
    :raises OperationError: after the previous release, if there is one, was restored.
    """
    watch = Watch.of(site, release, site.settings["service_unit"])
    try:
        point_link(site, str(app_folder(site, release)))
        start(site)
        seconds = site.settings["activation_timeout"]
        problem = health.wait_until_served(site, release, seconds, watch.problem) or health.home_problem(site, seconds)
        if problem:
            raise OperationError(problem)
    except BaseException as error:
        found = watch.diagnose()
        state = restore_previous(site, previous, str(app_folder(site, release)))
        raise _failure(site, release, error, state, found) from error


def switch(site: Site, release: str, previous: str) -> None:
    """Change what serves without a pause.

    A second instance with the new release requests its pages on the live data (gunicorn.conf.py) and joins on the same
    socket. The first one finishes its requests, restarts with the new release, and takes over again.

    :param previous: target of the live link.
    :raises OperationError: when the previous release serves alone again.
    """
    folder = str(app_folder(site, release))
    _start_second(site, release, previous, folder)
    _restart_first(site, release, previous, folder)
    # Both serve the same release now. Nobody waits until the second one has ended its requests.
    if problem := _stop_second(site, "--no-block"):
        journal.log(site, f"{release} is served.{problem}")


def restart(site: Site, release: str, target: str) -> None:
    """Restart what serves, alone: requests wait in the socket's queue meanwhile, and none fails.

    :param target: of the live link.
    :raises OperationError: when it serves again with its settings of before.
    """
    _restart_first(site, release, target, target)


def _start_second(site: Site, release: str, previous: str, folder: str) -> None:
    unit = next_unit(site)
    watch = Watch.of(site, release, unit)
    try:
        contract.replace_link(next_link(site), folder)
        systemd.systemctl("restart", unit)
        seconds = site.settings["activation_timeout"]
        problem = health.wait_for_instance(site, "next", release, seconds, unit, watch.problem)
        if problem:
            raise OperationError(problem)
        keep_assets(site, previous)
    except BaseException as error:
        # The first instance was not changed: without the second one, everything is as before.
        found = watch.diagnose()
        # Without a cursor, the lines may be about another release.
        refusal = health.REFUSAL.search(watch.output()) if watch.since and isinstance(error, FAILURES) else None
        state = f"The previous release still serves.{_stop_second(site)}{restore_under_running(site)}"
        systemd.reset_failed(unit)
        raise _failure(site, release, OperationError(refusal[1]) if refusal else error, state, found) from error


def _restart_first(site: Site, release: str, previous: str, folder: str) -> None:
    service = site.settings["service_unit"]
    # The second instance has served the release already, so a start that fails is tried once more.
    watch = Watch.of(site, release, service, restarts=1)
    try:
        point_link(site, folder)
        systemd.systemctl("restart", service)
        # The second instance is healthy and may answer instead of the first one, so that one is asked by its name.
        seconds = site.settings["activation_timeout"]
        if problem := health.wait_for_instance(site, "main", release, seconds, watch=watch.problem):
            raise OperationError(problem)
    except BaseException as error:
        found = watch.diagnose()
        # The second instance serves until the first one is back on the previous release.
        state = restore_previous(site, previous, folder)
        state += _stop_second(site)
        raise _failure(site, release, error, state, found) from error


def _failure(site: Site, release: str, error: BaseException, state: str, found: Diagnosis) -> BaseException:
    """Return the error to raise for a release that does not serve; an interrupt stays one."""
    if not isinstance(error, FAILURES):
        return error
    problem = str(error)
    message = found.for_page(site, problem).message(f"The release {release} does not serve", problem, state)
    return HostError(message) if found.of_host else OperationError(message)


def _stop_second(site: Site, *options: str) -> str:
    """Stop the second instance; return a line for the message if that fails."""
    try:
        systemd.systemctl("stop", *options, next_unit(site))
    except OperationError as error:
        return f"\nThe second instance does not stop: {error}"
    return ""


def restore_previous(site: Site, previous: str | None, failed: str) -> str:
    """Serve the previous release, and return a sentence on whether that worked.

    :param previous: target of the live link before; None if there was no link.
    :param failed: target of the live link for the release that failed.
    """
    service = site.settings["service_unit"]
    try:
        if previous is None:
            # The socket stays: another account must not get the address, and with it this site's visitors.
            systemd.systemctl("stop", service)
            site.path("link").unlink(missing_ok=True)
            return "There is no previous release, so nothing is served yet. The data is kept."
        restored = restore_settings(site)
        if previous == failed and not restored:
            return "There is no other release to go back to; systemd keeps trying to start this one."
        point_link(site, previous)
        systemd.systemctl("daemon-reload")
        start(site)
        release = release_of(site, previous) or ""
        problem = health.wait_until_served(site, release, site.settings["activation_timeout"])
    except FAILURES as error:
        problem = str(error)
    if problem:
        return f"The previous release was restored, but does not answer either: {problem}"
    with_settings = " with its settings" if restored else ""
    return f"The previous release ({release}) was restored{with_settings} and serves."


def keep_assets(site: Site, previous: str | None) -> None:
    """Keep the assets of the previous release reachable. If that fails, it is logged, and the release goes on."""
    try:
        assets.keep(site, release_of(site, previous) or "")
    except (OSError, OperationError) as error:
        journal.log(site, f"the assets of the previous release could not be kept: {error}")
