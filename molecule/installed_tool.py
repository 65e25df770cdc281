"""Where a machine has the modules of blogctl: the folder is named by a digest of what it holds."""

from __future__ import annotations

import re
from typing import Any

#: Holds a folder for each version, and says in version.json which one is installed.
ROOT = "/usr/local/lib/flask-blog-hosting"
PROGRAM = "/usr/local/sbin/blogctl"


def folder_of(program: str) -> str:
    """Return the folder that the text of /usr/local/sbin/blogctl names."""
    (found,) = re.findall(r'^sys\.path\.insert\(0, "(.*)"\)$', program, re.MULTILINE)
    return str(found)


def folder(host: Any) -> str:
    """Return the folder that holds the package of the installed version."""
    return folder_of(host.check_output(f"cat {PROGRAM}"))
