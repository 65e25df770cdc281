"""blogctl run"""

from __future__ import annotations

import argparse
import os

from ..errors import OperationError
from ..host import run_as_app
from ..host.locks import data_shared
from ..host.releases import app_folder, live_release, release_manifest
from ..site import Site
from .command import Command, Result


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command to run."""
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="the command, after --")


def run(site: Site, options: argparse.Namespace) -> Result:
    """Run a command as the app, and exit with its status."""
    words = options.words[1:] if options.words[:1] == ["--"] else options.words
    if not words:
        raise OperationError("name a command after --, such as: blogctl run -- flask shell")
    current = live_release(site)
    if current is None:
        raise OperationError(
            f"{site.name} has no live release to run a command in; activate one (blogctl releases lists them)"
        )
    root = release_manifest(site, current).source_root
    with data_shared(site) as lock:
        raise SystemExit(run_as_app.attach(site, app_folder(site, current), root, words, lock))


def programs(site: Site) -> list[str]:
    """Return the programs in the live release's virtual environment."""
    live = live_release(site)
    return os.listdir(app_folder(site, live) / "venv" / "bin") if live else []


COMMAND = Command(
    "run",
    summary="run a command as the app does, such as: blogctl run -- flask shell",
    description=(
        "The command runs in the live release's directory, with its environment, as the app's account, in the same"
        " sandbox, and on the terminal if there is one. The exit status is that of the command."
    ),
    run=run,
    example="blogctl run -- flask create-admin ada",
    arguments=add_arguments,
    usage="blogctl run [--site NAME] -- COMMAND [ARGUMENT...]",
    requires_interface=True,
    complete=lambda _: ["--"],
    complete_program=programs,
)
