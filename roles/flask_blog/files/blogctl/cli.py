"""The command line of blogctl."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from .activate import activate
from .backup import back_up
from .site import OperationError, load

EPILOG = """exit status:
  0  done
  1  the operation failed; what was live before is live still, or the message says otherwise
  2  the command line is wrong
"""


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
    one = commands.add_parser("activate", help="serve a release, or take it back where it does not answer")
    one.add_argument("release", metavar="ID", help="the release's id, a folder in /opt/SITE/releases")
    commands.add_parser("backup", help="back the site's data up, verify the copy, remove old ones")
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit status."""
    options = parser().parse_args(arguments)
    try:
        site = load(options.site)
        if options.command == "activate":
            result: dict[str, Any] = activate(site, options.release)
            words = f"{result['release']} is served" + (", with new data" if result["initialised"] else "")
        else:
            result = back_up(site)
            words = f"{result['name']}: {result['files']} files, {result['bytes']} bytes, verified"
    except OperationError as error:
        print(json.dumps({"error": str(error)}) if options.json else f"blogctl: {error}", file=sys.stderr)
        return 1
    print(json.dumps(result) if options.json else words)
    return 0
