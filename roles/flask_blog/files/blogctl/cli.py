"""The command line of blogctl."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
from typing import Any

from . import commands
from .commands import grammar
from .commands.command import Command, Result
from .errors import OperationError
from .host.secrets import mask_of
from .shared.printable import printable
from .site import Site, load

#: Exit statuses beside those of an OperationError and of a command.
WRONG_COMMAND_LINE, INTERRUPTED = 2, 130


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["complete"]:  # the words that follow are those of another command line
        from .commands.complete import complete

        print("\n".join(complete(arguments[1:] or [""])))
        return 0
    name = commands.command_on(arguments)
    known = commands.load_all() if name in (None, "help") else [commands.load(str(name))]
    top = grammar.parser(known)
    try:
        options = top.parse_args(arguments)
    except grammar.BadCommandLine as error:
        return _fail(str(error), WRONG_COMMAND_LINE, "--json" in arguments, before=error.usage)
    (command,) = [one for one in known if one.name == options.command]
    if command.run is None:
        (grammar.subparsers(top)[options.topic] if options.topic else top).print_help()
        return 0
    return _run(command, options)


def _run(command: Command, options: Any) -> int:
    """Run a command on its site, print its result without the site's secrets, and return the exit status."""
    # A lost connection, or a kill that leaves time, undoes the operation like Ctrl-C does.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    site = None
    try:
        site = load(options.site or os.environ.get("BLOGCTL_SITE"))
        mask_of(site)  # the secrets before the command, which may restore earlier ones
        result = _result(site, command, options)
    except OperationError as error:
        return _fail(str(error), error.status, options.json, error.details, site=site)
    except (OSError, sqlite3.Error) as error:
        return _fail(str(error), OperationError.status, options.json, site=site)
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED, options.json)
    try:
        _print_result(site, command, result, as_json=options.json)
    except OSError as error:
        # Python would write the rest again when it ends, and fail with a status of its own.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):  # such as of "head", which has read enough
            print(f"blogctl: it is done, and the result cannot be written: {error}", file=sys.stderr)
            return OperationError.status
    return result.status


def _print_result(site: Site, command: Command, result: Result, *, as_json: bool) -> None:
    """Print a result without the site's secrets.

    :raises OSError: if nobody reads it, or the disk of the file that it goes to is full.
    """
    if as_json:
        # The role shows the message of an operation; a report such as that of "status" would only say the same twice.
        message = {"message": result.message} if command.requires_interface and result.message else {}
        print(json.dumps(mask_of(site).all_texts({**result.values, **message})))
    elif result.message:
        print(printable(mask_of(site).text(result.message)))
    sys.stdout.flush()


def _result(site: Site, command: Command, options: Any) -> Result:
    if command.requires_interface:
        site.require_interface()
    assert command.run is not None
    return command.run(site, options)


def _interrupt(number: int, _: Any) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


def _fail(
    message: str,
    status: int,
    as_json: bool,
    details: dict[str, Any] | None = None,
    before: str = "",
    site: Site | None = None,
) -> int:
    """Print an error on the error output, without the site's secrets, and return the exit status."""
    as_object = {"error": message, "status": status, **(details or {})}
    if site:
        as_object = mask_of(site).all_texts(as_object)
    as_object["error"] = printable(as_object["error"])
    text = json.dumps(as_object) if as_json else f"{before}blogctl: {as_object['error']}"
    print(text, file=sys.stderr)
    return status
