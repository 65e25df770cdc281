"""Change the data and the release together, while requests wait in the socket's queue."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from ..data import transaction
from ..errors import FAILURES, Busy, OperationError, with_state
from ..host import health, systemd
from ..host.locks import data_alone, starts_held
from ..host.releases import app_folder, live_target, point_link
from ..host.units import next_unit
from ..host.watch import Watch
from ..site import Site
from . import rehearsal
from .settings import restore_under_running
from .switch import keep_assets, start

#: Seconds that requests in flight may take to end, beyond what a start may take (gunicorn.conf.py: graceful_timeout).
DRAIN_TIMEOUT = 60.0
#: Seconds between two checks whether the service has stopped.
POLL_INTERVAL = 0.02

#: What a snapshot can promise: it holds this host's databases, and no other server's.
DATA_RESTORED = (
    "The data is as it was before, as far as it lies in the data folder's databases; what a command changed on another"
    " server, such as PostgreSQL, is not undone."
)


@contextlib.contextmanager
def data_change(
    site: Site,
    snapshot: str,
    previous: str | None,
    *,
    is_up: bool,
    failure: str,
    undo_settings: Callable[[Site], str] = lambda _: "",
    begin: Callable[[], object] | None = None,
) -> Iterator[float]:
    """Change the live data and the live link in one transaction, while no request is served.

    At the end of the context, the change stands and starts are no longer held back. If the context fails, the data and
    the link are restored, and the service is started with the previous release.

    :param snapshot: name of the snapshot of the present data.
    :param previous: target of the live link; None if there is no link.
    :param is_up: whether the service runs; one that does not run is kept from starting.
    :param failure: begins the message of a failure.
    :param undo_settings: restores the settings and returns a line for the message.
    :param begin: begins the transaction instead of a snapshot of the databases.
    :yields: when requests began to wait (C(time.monotonic())).
    :raises Busy: if a command uses the data; nothing was changed.
    :raises OperationError: after the data and the link were restored.
    """
    with data_alone(site), starts_held(site):
        try:
            began = stop_and_hold(site, is_up=is_up)
            begin() if begin else transaction.begin(site, snapshot, previous)
            yield began
            transaction.commit(site)
        except BaseException as error:
            state = undo(site) + undo_settings(site)
            if not isinstance(error, FAILURES):
                raise
            raise OperationError(with_state(error, state, failure)) from error


def switch_with_data(site: Site, release: str, previous: str | None, commands: list[str], *, is_up: bool) -> float:
    """Run a release's commands on the live data and switch to it, while requests wait.

    Until the new release has answered on the changed data, nobody else has seen it, so an undo loses nothing. From then
    on its visitors write, and the data is never restored automatically.

    :param previous: target of the live link; None if there is no link.
    :param is_up: whether the service runs.
    :returns: the seconds that requests waited.
    :raises OperationError: when the previous release serves again, on the data from before.
    """
    watch = Watch.of(site, release, site.settings["service_unit"])
    began = _change_data(site, release, previous, commands, is_up=is_up)
    if not is_up or site.pending("socket").exists():
        start(site)
    problem = health.wait_until_served(site, release, site.settings["activation_timeout"])
    if problem:
        what = f"The release {release} passed its test on the live data and then did not start"
        state = "systemd keeps trying. The data stays, as it may hold new writes; see 'blogctl rollback --help'."
        raise OperationError(watch.diagnose().message(what, problem, state))
    return round(time.monotonic() - began, 3) if is_up else 0.0


def _change_data(site: Site, release: str, previous: str | None, commands: list[str], *, is_up: bool) -> float:
    """Change the data and the link; return when requests began to wait."""
    failure = f"{release} failed on the live data"
    undo_settings = restore_under_running
    try:
        with data_change(site, release, previous, is_up=is_up, failure=failure, undo_settings=undo_settings) as began:
            rehearsal.run_commands(site, release, commands, site.path("data"))
            rehearsal.prove(site, release, site.path("data"))
            keep_assets(site, previous)
            point_link(site, str(app_folder(site, release)))
    except Busy as error:
        raise Busy(f"{error}{restore_under_running(site)}") from error
    return began


def stop_and_hold(site: Site, *, is_up: bool) -> float:
    """Stop both instances while starts are held; return when requests began to wait.

    :raises OperationError: if the service does not stop; nothing was changed then.
    """
    service = site.settings["service_unit"]
    began = time.monotonic()
    if is_up:
        systemd.systemctl("restart", "--no-block", service)
        wait_until_held(service, site.settings["activation_timeout"] + DRAIN_TIMEOUT)
    else:
        systemd.systemctl("stop", service)
    systemd.systemctl("stop", next_unit(site))
    return began


def wait_until_held(service: str, seconds: float) -> None:
    """Wait until the old processes are gone and the new start is held.

    :raises OperationError: if that takes longer.
    """
    deadline = time.monotonic() + seconds
    while systemd.state_of(service) != ("activating", "start-pre"):
        if time.monotonic() >= deadline:
            raise OperationError(f"{service} did not stop within {seconds} s; nothing was changed")
        time.sleep(POLL_INTERVAL)


def undo(site: Site) -> str:
    """Undo an open change of the data while starts are held, and return a sentence on whether that worked."""
    try:
        transaction.undo(site)
        if live_target(site) is None:
            return f"{DATA_RESTORED} There is no previous release, so nothing is served yet."
        # The start waits until starts are no longer held; if it waits already, this changes nothing.
        systemd.systemctl("start", "--no-block", site.settings["service_unit"])
    except FAILURES as error:
        return (
            f"Restoring the data failed: {error}. Each start of the service tries it again, and the site stays down"
            " until that works; free the disk if it is full."
        )
    return f"The previous release serves again. {DATA_RESTORED}"
