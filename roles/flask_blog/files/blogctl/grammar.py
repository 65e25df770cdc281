"""What may be said on blogctl's command line, and the help that explains it."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterable
from typing import Any, NoReturn

DESCRIPTION = """\
Operate the Flask blogs of this host: see what is served, serve another release, go back, show a maintenance
page, back up. It works without the computer that Ansible runs on. Everything but --help needs root.

One operation at a time changes a site; another one waits a minute for it, and then gives up with status 3.
Whatever fails or is interrupted is undone: what was live before is live still, or the message says otherwise.
"""

EPILOG = """\
exit status:
  0    done
  1    refused or failed; what was live before is live still, or the message says otherwise
  2    the command line is wrong; nothing was done
  3    another operation, or a command of blogctl run, is in the way; nothing was done, try again later
  4    a decision is needed: --restore-data or --keep-data; nothing was done
  5    the release is served, but a command that follows a release failed
  6    status alone: the site does not serve as it should
  7    backup alone: it was made and verified, without what could not be copied
  130  interrupted; what was begun was undone
  run ends with the status of its command, logs with journalctl's.

environment:
  BLOGCTL_SITE  the site to work on where --site is not given (sudo passes it on with --preserve-env=BLOGCTL_SITE)
  SUDO_USER     set by sudo; the name that the journal of operations has for you

files (NAME is the site's name):
  /etc/NAME/site.json              what blogctl knows of the site; written by the role
  /etc/NAME/environment            the app's settings and secrets
  /var/www/NAME                    link to the live release
  /opt/NAME/releases/ID            the releases; .release.json in each says what it is
  /opt/NAME/state                  notes of blogctl: that the blog has been given its data
  /opt/NAME/operations.jsonl       the journal of operations: who did what, from what to what, how it ended
  /opt/NAME/maintenance            the maintenance page is shown while this file is there
  /var/lib/NAME                    what the app writes
  /var/backups/NAME                backups; in snapshots/ the databases from before a release changed them
  /run/flask-blog-hosting/NAME.lock  held while an operation is under way; the kernel drops it with its process

examples:
  blogctl status || echo "somebody should look"
  blogctl rollback                     back to the good release before
  blogctl rollback --dry-run           what that would do, and lose
  blogctl logs --since=-1h             what the blog said in the last hour
  blogctl run -- flask shell           a shell in the live release
  blogctl --site travel-blog --json releases

'blogctl help COMMAND' says more about one of the commands.
"""

#: For each command: what it is for in a line, what is worth knowing beyond that, and an example.
COMMANDS = {
    "status": (
        "what is served, whether it answers, what happened last",
        "It asks the app itself, behind nginx, for its health path. The exit status is 6 where the app does not answer"
        " well, or where what is served is not what was activated.",
        "blogctl status --json",
    ),
    "releases": (
        "the releases on this host, and the journal of operations",
        "A release is 'live'; 'previous', which a rollback would choose; 'good', it served before; 'left', a rollback"
        " went back from it; 'failed', with the reason; or 'new', never activated.",
        "blogctl releases",
    ),
    "activate": (
        "rehearse a release and serve it; where that fails, nothing changes",
        "The release is tried on a copy of the data first, with its release commands. No request fails during the"
        " switch. A release that failed is refused until --retry says that the cause is gone.",
        "blogctl activate 3f2a9c1e",
    ),
    "rollback": (
        "go back to the good release before, or to the one named",
        "It never chooses a release that failed, nor one that a rollback left. Where the database's schema changed"
        " since, it says which rows of which table would be lost and stops with status 4: choose --restore-data or"
        " --keep-data. No request fails.",
        "blogctl rollback --dry-run",
    ),
    "backup": (
        "back the site's data up, verify the copy, remove old ones",
        "The copy is consistent while the blog is written to, and counts only after it was read back.",
        "blogctl backup",
    ),
    "maintenance": (
        "show a maintenance page to everybody but the listed addresses",
        "Visitors get 503 with Retry-After, from the next request on. This host itself, and the networks of"
        " flask_blog_maintenance_allow, see the site. It stays on through releases, playbook runs and reboots until"
        " it is turned off. Without on or off it says how it is.",
        "blogctl maintenance on",
    ),
    "logs": (
        "what the blog wrote to the journal, and what its commands said",
        "The units of this site alone: the app, the release being tried, release commands, backups.",
        "blogctl logs --follow",
    ),
    "run": (
        "run a command as the app does, such as: blogctl run -- flask shell",
        "The command runs in the live release's folder, with its environment, as the app's account, in the same"
        " sandbox. It has the terminal, where there is one. Its exit status is blogctl's.",
        "blogctl run -- flask create-admin ada",
    ),
    "help": (
        "explain blogctl, or one of its commands",
        "The same as --help.",
        "blogctl help rollback",
    ),
}

#: Called by systemd, not by people: --help does not list them.
HIDDEN = ("prepare-start", "recover")


class BadCommandLine(Exception):
    """The command line is wrong; the message says why, C(usage) how it is right."""

    def __init__(self, message: str, usage: str) -> None:
        super().__init__(message)
        self.usage = usage


class Parser(argparse.ArgumentParser):
    """A parser whose mistakes can be said as JSON."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of leaving."""
        raise BadCommandLine(message, self.format_usage())


def _common(suppress: bool) -> Parser:
    """Return the options that stand before a command or after it.

    :param suppress: what is not said after a command leaves what was said before it.
    """
    parent = Parser(add_help=False)
    default: dict[str, Any] = {"default": argparse.SUPPRESS} if suppress else {}
    parent.add_argument(
        "--site", metavar="NAME", help="the site to work on; needed where the host has several", **default
    )
    parent.add_argument(
        "--json",
        action="store_true",
        help="say the result as one JSON object on stdout, an error as one on stderr",
        **default,
    )
    return parent


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help as wide as this file's lines, with room for the longest command's name."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=17, width=110)


def parser(hidden: Iterable[str] = ()) -> Parser:
    """Return the command line's grammar.

    :param hidden: the commands of C(HIDDEN) that it takes as well.
    """
    top = Parser(
        prog="blogctl",
        description=DESCRIPTION,
        epilog=EPILOG,
        parents=[_common(suppress=False)],
        formatter_class=_Help,
        usage="blogctl [--site NAME] [--json] COMMAND [OPTION...]\n       blogctl help [COMMAND]",
    )
    found = top.add_subparsers(dest="command", required=True, metavar="COMMAND", title="commands", prog="blogctl")
    common = _common(suppress=True)
    one = {}
    for name, (line, text, example) in COMMANDS.items():
        one[name] = found.add_parser(
            name,
            help=line,
            description=textwrap.fill(f"{line[0].upper()}{line[1:]}. {text}", 110),
            epilog=f"example: {example}",
            parents=[common],
            formatter_class=_Help,
        )
    one["activate"].add_argument("release", metavar="ID", help="the release's id, as 'blogctl releases' lists it")
    one["activate"].add_argument("--retry", action="store_true", help="try a release again that failed before")

    one["rollback"].add_argument("release", metavar="ID", nargs="?", help="the release to go back to")
    data = one["rollback"].add_mutually_exclusive_group()
    data.add_argument(
        "--restore-data", action="store_true", help="go back to the data from then as well, and lose what is newer"
    )
    data.add_argument("--keep-data", action="store_true", help="run the older release on the newer schema")
    one["rollback"].add_argument("--dry-run", action="store_true", help="say what would be done and lost; do nothing")

    one["maintenance"].add_argument("state", choices=["on", "off"], nargs="?", help="without it: say how it is")
    one["maintenance"].add_argument("--dry-run", action="store_true", help="say whether that would change anything")

    one["logs"].add_argument("-f", "--follow", action="store_true", help="go on as lines come in")
    one["logs"].add_argument("-n", "--lines", type=int, metavar="N", help="the last N lines (100, with --since all)")
    one["logs"].add_argument(
        "--since", metavar="TIME", help="lines since then: -1h, today, '2026-11-01 03:00' (systemd.time(7))"
    )

    one["run"].usage = "blogctl run [--site NAME] -- COMMAND [ARGUMENT...]"
    one["run"].add_argument("words", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="the command, after --")

    one["help"].add_argument(
        "topic", metavar="COMMAND", nargs="?", choices=sorted(COMMANDS), help="one of the commands"
    )

    for name in hidden:
        found.add_parser(name)
    return top


def subparsers(top: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return each command's parser."""
    (action,) = [one for one in top._actions if isinstance(one, argparse._SubParsersAction)]
    return dict(action.choices)
