"""The command line of blogctl."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import backup, maintenance, release, rollback, services, status, transaction
from .site import OperationError, Site, app_folder, live_target, load, release_manifest, starts_held

EPILOG = """exit status:
  0  done
  1  the operation failed; what was live before is live still, or the message says otherwise
  2  the command line is wrong
  130  interrupted; what was begun was undone

examples:
  blogctl status
  blogctl rollback
  blogctl --site travel-blog run -- flask create-admin ada
"""

#: Seconds for which a start waits at most for what a killed operation had started.
ORPHANS = 15.0


@dataclass(frozen=True)
class Result:
    """What a command has to say: a mapping for programs, words for people."""

    values: dict[str, Any]
    words: str


def _activate(site: Site, options: argparse.Namespace) -> Result:
    outcome = release.activate(site, options.release)
    words = f"{outcome.release} is served"
    if outcome.initialised:
        words += ", with new data"
    if outcome.waited:
        words += f"; requests waited {outcome.waited:.1f} s while the data changed"
    return Result(release.summary(outcome), words)


def _rollback(site: Site, options: argparse.Namespace) -> Result:
    found = rollback.rollback(site, options.release, options.restore_data, options.keep_data)
    words = f"{found['release']} is served again"
    if found["restored"]:
        rows = ", ".join(f"{count} rows in {table}" for table, count in found["lost"].items()) or "no rows"
        kept = transaction.snapshot_folder(site, f"{transaction.LEFT}{found['previous']}")
        words += f", on the data from then; left behind: {rows} (kept in {kept})"
    return Result(found, words)


def _backup(site: Site, _: argparse.Namespace) -> Result:
    made = backup.back_up(site)
    return Result(made, f"{made['name']}: {made['files']} files, {made['bytes']} bytes, verified")


def _maintenance(site: Site, options: argparse.Namespace) -> Result:
    changed = maintenance.turn(site, options.state == "on")
    words = f"the maintenance page is {options.state}" + ("" if changed else " already")
    return Result({"maintenance": options.state == "on", "changed": changed}, words)


def _status(site: Site, _: argparse.Namespace) -> Result:
    found = status.status(site)
    return Result(found, status.status_words(found))


def _releases(site: Site, _: argparse.Namespace) -> Result:
    found = status.releases(site)
    return Result(found, status.releases_words(found))


def _logs(site: Site, options: argparse.Namespace) -> Result:
    arguments = ["journalctl", f"--unit={site.name}*", f"--lines={options.lines}"]
    arguments += ["--follow"] if options.follow else ["--no-pager"]
    os.execvp(arguments[0], arguments)  # noqa: S606  (it replaces this process, so that Ctrl-C ends it)


def _run(site: Site, options: argparse.Namespace) -> Result:
    current = release.release_of(site, live_target(site))
    if current is None:
        raise OperationError(f"{site.name} has no live release to run a command in")
    root = release_manifest(site, current).get("source_root", "")
    words = options.words[1:] if options.words[:1] == ["--"] else options.words
    if not words:
        raise OperationError("name a command after --, such as: blogctl run -- flask shell")
    raise SystemExit(services.attach_as_app(site, app_folder(site, current), root, words))


def _prepare_start(site: Site, _: argparse.Namespace) -> Result:
    """Called by systemd before the app starts: wait while an operation holds starts back, undo one that was killed."""
    with starts_held(site, wait=float("inf")):
        if transaction.is_open(site):
            services.end_orphans(site, ORPHANS)
        undone = transaction.undo(site)
    return Result({"undone": undone}, "an interrupted change of the data was undone" if undone else "")


def _recover(site: Site, _: argparse.Namespace) -> Result:
    """Called by systemd beside each operation and at boot: see to one that was killed."""
    done = release.recover(site)
    return Result({"done": done}, f"an operation was killed: {done}" if done else "")


def parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    top = argparse.ArgumentParser(
        prog="blogctl",
        description="Operate the blogs of this host.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--site", metavar="NAME", help="the site to work on; needed where the host has several")
    top.add_argument("--json", action="store_true", help="say the result as JSON, for programs")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[Site, argparse.Namespace], Result], text: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=text, description=text)
        one.set_defaults(run=run)
        return one

    command("status", _status, "what is served, whether it answers, what happened last")
    command("releases", _releases, "the releases on this host, and the journal of operations")
    one = command("activate", _activate, "rehearse a release and serve it; where that fails, nothing changes")
    one.add_argument("release", metavar="ID", help="the release's id, a folder in /opt/SITE/releases")
    one = command("rollback", _rollback, "go back to the good release before, or to the one named")
    one.add_argument("release", metavar="ID", nargs="?", help="the release to go back to")
    flags = one.add_mutually_exclusive_group()
    flags.add_argument(
        "--restore-data", action="store_true", help="go back to the data from then as well, and lose rows"
    )
    flags.add_argument("--keep-data", action="store_true", help="run the older release on the newer schema")
    command("backup", _backup, "back the site's data up, verify the copy, remove old ones")
    one = command("maintenance", _maintenance, "show a maintenance page to everybody but the listed addresses")
    one.add_argument("state", choices=["on", "off"])
    one = command("logs", _logs, "what the app wrote to the journal")
    one.add_argument("-f", "--follow", action="store_true", help="go on as lines come in")
    one.add_argument("-n", "--lines", type=int, default=100, help="how many of the last lines (100)")
    one = command("run", _run, "run a command as the app does, such as: blogctl run -- flask shell")
    one.add_argument("words", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    # For systemd alone, so --help does not list them.
    commands.add_parser("prepare-start").set_defaults(run=_prepare_start)
    commands.add_parser("recover").set_defaults(run=_recover)
    return top


def _interrupt(number: int, _: Any) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit status."""
    options = parser().parse_args(arguments)
    # A connection that breaks, or a kill that leaves time for it, puts back what was begun, like Ctrl-C does.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        result = options.run(load(options.site), options)
    except (OperationError, OSError, sqlite3.Error) as error:
        print(json.dumps({"error": str(error)}) if options.json else f"blogctl: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("blogctl: interrupted", file=sys.stderr)
        return 130
    if options.json or result.words:
        print(json.dumps(result.values) if options.json else result.words)
    return 0
