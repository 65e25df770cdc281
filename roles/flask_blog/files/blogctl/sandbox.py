"""Run a release where no visitor reaches it: its commands, and an instance that answers on a socket of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from . import data, health, services
from .site import OperationError, Site, app_folder, release_manifest

#: The paths that must answer, beside the health path.
HOME = "/"
#: The copy of the data lies here, below the backups.
COPY = "rehearsal"


def run_commands(site: Site, release: str, commands: list[str], place: Path) -> None:
    """Run a release's own commands on some data, in their order.

    :param place: what the commands find in the place of the data folder.
    :raises OperationError: naming the first command that fails, with what it said.
    """
    folder = app_folder(site, release)
    root = release_manifest(site, release).get("source_root", "")
    for command in commands:
        services.run_as_app(site, folder, root, command, place)


def forget_copy(site: Site) -> None:
    """Remove the copy of the data that a rehearsal worked on."""
    shutil.rmtree(_copy(site), ignore_errors=True)


def _copy(site: Site) -> Path:
    # Below a folder that only root enters: the app must not be able to put a link in its place.
    return site.path("backups") / COPY


@contextlib.contextmanager
def private_instance(site: Site, release: str, place: Path) -> Iterator[Path]:
    """Run a release behind a socket in the file system, without a network.

    :param place: what it finds in the place of the data folder.
    :returns: the socket's path.
    """
    unit = services.instance_unit(site)
    socket = Path("/run") / unit / "app.sock"
    folder = app_folder(site, release)
    properties = {"PrivateNetwork": "yes", "RuntimeDirectory": unit, "RuntimeDirectoryMode": "0750"}
    if place != site.path("data"):
        # Nobody waits for what it does at its end, as its data is thrown away.
        properties["KillSignal"] = "SIGKILL"
    services.stop_transient(unit)
    services.start_transient(
        site,
        unit,
        folder,
        place,
        properties,
        {"FLASK_BLOG_INSTANCE": "rehearsal"},
        [
            f"{folder}/venv/bin/gunicorn",
            "--config",
            f"{site.settings['config']}/gunicorn.conf.py",
            "--bind",
            f"unix:{socket}",
            "--workers",
            "1",
            "--threads",
            "2",
            str(site.settings["wsgi"]),
        ],
    )
    try:
        yield socket
    finally:
        # Nobody else may have the data open while it changes; and a copy goes once this is over.
        services.stop_transient(unit)


def prove(site: Site, release: str, place: Path) -> None:
    """Start a release on some data and ask it for its health path and its home page.

    :raises OperationError: with what it answered and the last lines of its journal.
    """
    since = services.cursor()
    unit = services.instance_unit(site)
    with private_instance(site, release, place) as socket:
        problem = health.wait_for_socket(site, socket, unit, site.settings["activation_timeout"])
        if problem is None and (answer := health.ask_socket(site, socket, HOME, 10.0)).status not in health.ANSWERED:
            problem = f"{HOME}: {answer.reason}"
    if problem:
        raise OperationError(f"{problem}\nIts journal's last lines:\n{services.journal(unit, since=since)}")


def rehearse(site: Site, release: str, commands: list[str]) -> bool:
    """Try a release on a copy of the data, mounted in the data's place: its commands, then its pages.

    Nothing of the live site is touched.

    :returns: whether the commands changed the data.
    :raises OperationError: naming the step that failed.
    """
    copy = _copy(site)
    forget_copy(site)
    try:
        try:
            data.copy(site.path("data"), copy)
            before = data.fingerprint(copy) if commands else {}
        except (OSError, ValueError, sqlite3.Error) as error:
            raise OperationError(f"the data cannot be copied for it: {error}") from error
        run_commands(site, release, commands, copy)
        changed = bool(commands) and data.fingerprint(copy) != before
        prove(site, release, copy)
        return changed
    except (OperationError, OSError, ValueError, sqlite3.Error) as error:
        raise OperationError(f"The rehearsal of {release} failed; the live site was not touched: {error}") from error
    finally:
        forget_copy(site)


def refuse_without_gunicorn(site: Site, release: str) -> None:
    """Refuse a release without an environment that it could start in, before anything is touched.

    :raises OperationError: with the remedy.
    """
    venv = app_folder(site, release) / "venv"
    if not os.access(venv / "bin" / "gunicorn", os.X_OK):
        raise OperationError(f"the release {release} has no gunicorn in {venv}; bring its code with the playbook again")
