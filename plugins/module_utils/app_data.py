# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Messages about entries of a directory that the app can write."""

from __future__ import annotations

from ansible_collections.flaskblog.hosting.plugins.module_utils import beneath
from ansible_collections.flaskblog.hosting.plugins.module_utils.printable import printable
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources.difference import Conflict

#: Maximum number of paths in a message; a copied folder may have thousands.
NAMED = 5


def shown(path: str) -> str:
    r"""Return a path for a message, on one line; a file name can have C(\x1b) and line breaks."""
    return printable(path.encode("utf-8", "backslashreplace").decode()).replace("\n", "\\n")


def blocked(problem: beneath.Blocked) -> Conflict:
    """Return the error for a path that cannot be opened without following a link."""
    return Conflict(f"{problem}. Nothing was changed there. Stop the blog, move it away, and run again.")


def foreign(path: str, reason: str, owner: str) -> Conflict:
    """Return the error for a file or directory that must not become the app's."""
    return Conflict(
        f"{path} {reason}, so it is not given to {owner}. Stop the blog, as the app could lead a command elsewhere;"
        f" remove it, or give it away yourself (chown -h {owner} {path}), and run again."
    )
