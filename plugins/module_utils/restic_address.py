# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The address of a restic repository (https://restic.readthedocs.io/en/stable/030_preparing_a_new_repo.html).

blogctl uses this file as well (roles/flask_blog/files/blogctl/shared/restic_address.py is a link to it).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LOCAL, SFTP = "local", "sftp"

#: What restic itself speaks, by the word before the first colon. C(rclone) would need another program with settings.
KINDS = (SFTP, "rest", "s3", "b2", "azure", "gs", "swift")

#: C(sftp://USER@HOST[:PORT]/PATH), whose path is relative to the home directory, or absolute with two slashes.
SFTP_URL = re.compile(
    r"sftp://(?P<user>[^@/:\s]+)@(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]@/:\s]+)(:(?P<port>\d{1,5}))?/(?P<path>\S+)"
)
#: C(sftp:USER@HOST:PATH), as scp(1) writes it.
SFTP_SCP = re.compile(r"sftp:(?P<user>[^@/:\s]+)@(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]@/:\s]+):(?P<path>\S+)")
#: A name that ssh takes for no option.
SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Sftp:
    """Where a repository on a server with SSH lies."""

    user: str
    #: without the brackets of an IPv6 address
    host: str
    port: int | None = None


def kind_of(address: str) -> str:
    """Return the kind of a repository: C(local), one of C(KINDS), or an empty text for an address that is none."""
    if address.startswith("/"):
        return LOCAL
    word, colon, rest = address.partition(":")
    return word if colon and rest and word in KINDS else ""


def sftp_of(address: str) -> Sftp | None:
    """Return the server of a repository of the kind C(sftp); None if it cannot be read."""
    found = SFTP_URL.fullmatch(address) or (None if address.startswith("sftp://") else SFTP_SCP.fullmatch(address))
    if not found:
        return None
    parts = found.groupdict()
    host, port = parts["host"].strip("[]"), int(parts.get("port") or 0)
    if not SAFE.fullmatch(parts["user"]) or not (SAFE.fullmatch(host) or ":" in host) or port > 65535:
        return None
    return Sftp(parts["user"], host, port or None)
