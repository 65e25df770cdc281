# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What is said about entries of a directory that the app writes."""

from __future__ import annotations

from ansible_collections.flaskblog.hosting.plugins.module_utils import beneath
from ansible_collections.flaskblog.hosting.plugins.module_utils.printable import printable
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources.difference import Conflict

#: Paths that a message names; a folder copied from elsewhere may hold thousands.
NAMED = 5


def shown(path: str) -> str:
    r"""Return a path for a message, on one line: the app chooses its files' names, C(\x1b) and line breaks included."""
    return printable(path.encode("utf-8", "backslashreplace").decode()).replace("\n", "\\n")


def blocked(problem: beneath.Blocked) -> Conflict:
    """Return the refusal of a path that cannot be reached without following a link."""
    return Conflict(f"{problem}. Nothing was changed there. Stop the blog, move it away, and run again.")


def foreign(path: str, reason: str, owner: str) -> Conflict:
    """Return the refusal to give another account's file or directory to the app."""
    return Conflict(
        f"{path} {reason}, so it is not given to {owner}. Stop the blog, as the app could lead a command elsewhere;"
        f" remove it, or give it away yourself (chown -h {owner} {path}), and run again."
    )
