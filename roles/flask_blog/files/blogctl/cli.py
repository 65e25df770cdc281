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

from . import as_app, backup, completion, data, grammar, maintenance, release, rollback, services, status, transaction
from .operations import History
from .printable import printable
from .site import OperationError, Site, app_folder, data_shared, live_target, load, release_manifest, starts_held

#: Exit statuses beside those that an OperationError carries (grammar.py says what each means).
WRONG_COMMAND_LINE, NOT_SERVING, INCOMPLETE, INTERRUPTED = 2, 6, 7, 130

#: Seconds for which a start waits at most for what a killed operation had started.
ORPHANS = 15.0


@dataclass(frozen=True)
class Result:
    """What a command has to say: a mapping for programs, words for people, and the exit status."""

    values: dict[str, Any]
    words: str
    status: int = 0


def _activate(site: Site, options: argparse.Namespace) -> Result:
    if not options.retry:
        History.of(site).refuse_failed(options.release)
    outcome = release.activate(site, options.release)
    words = f"{outcome.release} is served"
    if outcome.initialised:
        words += ", with new data"
    if outcome.waited:
        words += f"; requests waited {outcome.waited:.1f} s while the data changed"
    if maintenance.is_on(site):
        words += "; visitors still get the maintenance page (blogctl maintenance off)"
    return Result(release.summary(outcome), words)


def _rollback(site: Site, options: argparse.Namespace) -> Result:
    found = rollback.rollback(site, options.release, options.restore_data, options.keep_data, options.dry_run)
    if options.dry_run:
        words = f"would go back from {found['previous']} to {found['release']}"
        words += f", to the data from then; that loses {rollback.in_words(found['lost'])}" if found["restored"] else ""
        return Result(found, words)
    words = f"{found['release']} is served again"
    if found["restored"]:
        kept = transaction.snapshot_folder(site, f"{transaction.LEFT}{found['previous']}")
        words += f", on the data from then; left behind: {rollback.in_words(found['lost'])} (kept in {kept})"
    return Result(found, words)


def _backup(site: Site, _: argparse.Namespace) -> Result:
    made = backup.back_up(site)
    words = f"{made['name']}: {made['files']} files, {made['bytes']} bytes, verified"
    if skipped := data.Skipped(made["skipped"], made["skipped_more"]):
        words += f"\nnot in it: {skipped}"
    return Result(made, words, INCOMPLETE if skipped else 0)


def _maintenance(site: Site, options: argparse.Namespace) -> Result:
    if options.state is None:
        is_on = maintenance.is_on(site)
        return Result({"maintenance": is_on}, f"the maintenance page is {'on' if is_on else 'off'}")
    wanted = options.state == "on"
    if options.dry_run:
        changed = maintenance.is_on(site) != wanted
        words = f"the maintenance page would be {options.state}" if changed else f"it is {options.state} already"
    else:
        changed = maintenance.turn(site, wanted)
        words = f"the maintenance page is {options.state}" + ("" if changed else " already")
    return Result({"maintenance": wanted, "changed": changed, "dry_run": options.dry_run}, words)


def _status(site: Site, _: argparse.Namespace) -> Result:
    found = status.status(site)
    return Result(found, status.status_words(found), 0 if found["serves"] else NOT_SERVING)


def _releases(site: Site, _: argparse.Namespace) -> Result:
    found = status.releases(site)
    return Result(found, status.releases_words(found))


def _logs(site: Site, options: argparse.Namespace) -> Result:
    arguments = ["journalctl", *(f"--unit={unit}" for unit in services.units_of(site))]
    if options.since is not None:
        arguments.append(f"--since={options.since}")
    if options.lines is not None or options.since is None:
        arguments.append(f"--lines={100 if options.lines is None else options.lines}")
    arguments += ["--follow"] if options.follow else ["--no-pager"]
    arguments += ["--output=json"] if options.json else []
    sys.stdout.flush()
    os.execvp(arguments[0], arguments)  # noqa: S606  (it replaces this process, so that Ctrl-C ends it)


def _run(site: Site, options: argparse.Namespace) -> Result:
    words = options.words[1:] if options.words[:1] == ["--"] else options.words
    if not words:
        raise OperationError("name a command after --, such as: blogctl run -- flask shell")
    current = release.release_of(site, live_target(site))
    if current is None:
        raise OperationError(
            f"{site.name} has no live release to run a command in; activate one (blogctl releases lists them)"
        )
    root = release_manifest(site, current).get("source_root", "")
    with data_shared(site) as lock:
        raise SystemExit(as_app.attach_as_app(site, app_folder(site, current), root, words, lock))


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


RUN: dict[str, Callable[[Site, argparse.Namespace], Result]] = {
    "status": _status,
    "releases": _releases,
    "activate": _activate,
    "rollback": _rollback,
    "backup": _backup,
    "maintenance": _maintenance,
    "logs": _logs,
    "run": _run,
    "prepare-start": _prepare_start,
    "recover": _recover,
}


def _interrupt(number: int, _: Any) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


def _fail(words: str, status: int, as_json: bool, details: dict[str, Any] | None = None, before: str = "") -> int:
    """Say what went wrong on the error output, and return the exit status."""
    words = printable(words)
    text = json.dumps({"error": words, "status": status, **(details or {})}) if as_json else f"{before}blogctl: {words}"
    print(text, file=sys.stderr)
    return status


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["complete"]:  # called by the shells' completion: what follows is no command line of ours
        print("\n".join(completion.complete(arguments[1:] or [""])))
        return 0
    top = grammar.parser(hidden=[name for name in grammar.HIDDEN if name in arguments])
    try:
        options = top.parse_args(arguments)
    except grammar.BadCommandLine as error:
        return _fail(str(error), WRONG_COMMAND_LINE, "--json" in arguments, before=error.usage)
    if options.command == "help":
        (grammar.subparsers(top)[options.topic] if options.topic else top).print_help()
        return 0
    # A connection that breaks, or a kill that leaves time for it, puts back what was begun, like Ctrl-C does.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        result = RUN[options.command](load(options.site or os.environ.get("BLOGCTL_SITE")), options)
    except OperationError as error:
        return _fail(str(error), error.status, options.json, error.details)
    except (OSError, sqlite3.Error) as error:
        return _fail(str(error), OperationError.status, options.json)
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED, options.json)
    if options.json or result.words:
        print(json.dumps(result.values) if options.json else printable(result.words))
    return result.status
