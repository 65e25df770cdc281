"""Settings in files that nothing loads: a hint for people who relied on them."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from ..site import Site

#: The file that Flask's command line loads on a developer's computer. Releases have no C(.env).
FILE = ".flaskenv"
#: Bytes and names that are read.
SIZE_LIMIT, NAMES_LIMIT = 64 * 1024, 20
#: One setting (https://saurabh-kumar.com/python-dotenv/#file-format).
SETTING = re.compile(r"^\s*(?:export\s+)?['\"]?(?P<name>[A-Za-z_][A-Za-z0-9_]*)['\"]?\s*=", re.MULTILINE)
#: These tell Flask's own server and command line what the role decides.
OF_FLASK = re.compile(r"FLASK_(APP|ENV|DEBUG|RUN_\w+|SKIP_DOTENV)")


def unused_settings(site: Site, folder: Path) -> list[str]:
    """Return the names that the release's C(.flaskenv) sets and the app's environment does not have.

    :param folder: the directory of the release's app; it is root's.
    """
    set_here = _names(folder / FILE)
    if not set_here:
        return []
    known = {name for path in site.environments for name in _names(path)}
    return [name for name in set_here if name not in known and not OF_FLASK.fullmatch(name)][:NAMES_LIMIT]


def hint(site: Site, folder: Path) -> str:
    """Return a sentence on settings that are not used, with the remedy; an empty text if there are none."""
    names = unused_settings(site, folder)
    if not names:
        return ""
    return (
        f"The release's {FILE} sets {', '.join(names)}, and nothing loads that file on a server, neither Gunicorn nor a"
        " command. Move what the app needs to flask_blog_environment, or to flask_blog_secrets."
    )


def _names(path: Path) -> list[str]:
    """Return the names that a file of settings sets, in their order; none if it is missing or no regular file."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return []
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return []
        text = file.read(SIZE_LIMIT).decode(errors="replace")
    return list(dict.fromkeys(match["name"] for match in SETTING.finditer(text)))
