"""Serve a release, or take it back."""

from __future__ import annotations

import os

from . import health, services
from .initialise import initialise
from .site import (
    OperationError,
    Site,
    app_folder,
    forget_pending,
    live_target,
    locked,
    point_link,
    restore_settings,
)


def activate(site: Site, release: str) -> dict[str, object]:
    """Make a release the live one.

    A new blog gets its data first. Then the link moves, the service starts anew behind its socket (where requests
    wait meanwhile), and the app must answer its health path. Where it does not, link and settings go back.

    :returns: C(release), C(previous), C(initialised).
    :raises OperationError: after the release before has been put back.
    """
    with locked(site):
        folder = app_folder(site, release)
        # Asked before anything is touched: a release whose venv is missing can never start.
        if not os.access(folder / "venv" / "bin" / "gunicorn", os.X_OK):
            raise OperationError(f"the release {release} has no gunicorn in {folder}/venv; run the playbook again")
        initialised = initialise(site, release)
        previous = live_target(site)
        try:
            point_link(site, str(folder))
            start(site)
            problem = health.wait_until_served(site, release, site.settings["activation_timeout"])
            if problem:
                raise OperationError(problem)
        except OperationError as error:
            journal = services.journal(site.settings["service_unit"])
            outcome = take_back(site, previous, str(folder))
            raise OperationError(
                f"The release {release} does not serve: {error}\n{outcome}\nThe journal's last lines:\n{journal}"
            ) from error
        forget_pending(site)
    return {"release": release, "previous": previous, "initialised": initialised}


def start(site: Site) -> None:
    """Start the service anew. Its socket stays open, so that requests wait instead of failing.

    The socket itself starts anew only where it has to: it is not there, or it listens somewhere else now.
    """
    socket, service = site.settings["socket_unit"], site.settings["service_unit"]
    if not services.is_active(socket) or site.pending("socket").exists():
        services.systemctl("stop", socket, service)
        services.systemctl("start", socket)
    services.systemctl("restart", service)


def take_back(site: Site, previous: str | None, failed: str) -> str:
    """Serve what was served before, and say in words whether that worked."""
    socket, service = site.settings["socket_unit"], site.settings["service_unit"]
    if previous is None:
        services.systemctl("stop", socket, service)
        site.path("link").unlink(missing_ok=True)
        return "There was no release before it, so nothing is served yet. Its data is kept."
    restored = restore_settings(site)
    if previous == failed and not restored:
        return "There is no other release to go back to; systemd goes on trying to start this one."
    try:
        point_link(site, previous)
        services.systemctl("daemon-reload")
        start(site)
        release = os.path.relpath(previous, site.path("releases")).split("/")[0]
        problem = health.wait_until_served(site, release, site.settings["activation_timeout"])
    except OperationError as error:
        problem = str(error)
    if problem:
        return f"The release before it was put back, but does not answer either: {problem}"
    with_settings = " with its settings" if restored else ""
    return f"The release before it ({release}) was put back{with_settings} and serves."
