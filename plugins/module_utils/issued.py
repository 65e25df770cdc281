# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The certificate that an authority has issued for a site, as its host has it, and when it needs another one.

blogctl shares this file (roles/flask_blog/files/blogctl/shared/issued.py is a link to it): it requests certificates and
writes a note beside each. The module plan reads the note alone, so that a run knows in its one round trip whether
something is due.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

#: The value of flask_blog_tls of a site whose certificate an authority issues.
ACME = "acme"

#: In the directory of a certificate.
CHAIN, KEY, NOTE = "fullchain.pem", "privkey.pem", "issued.json"
#: In the site's state directory: what is known between two requests.
STATE = "certificate.json"

#: Of the lifetime, whatever it is: when this part is left, a certificate is renewed; and when this part is left,
#: something has kept it from being renewed for long.
RENEWAL, LATE = 1 / 3, 1 / 4

#: Bytes of a file that are read at most.
LIMIT = 1024 * 1024


@dataclass(frozen=True)
class Issued:
    """What the note beside a certificate says of it. Times are seconds since the epoch."""

    names: list[str]
    begins: int
    ends: int
    issuer: str
    serial: str
    #: the URL of the authority
    directory: str
    #: sha256 of the files, by their name
    digests: dict[str, str] = field(default_factory=dict)

    def left(self, now: float) -> float:
        """Return which part of its lifetime is left."""
        return (self.ends - now) / max(1, self.ends - self.begins)

    @property
    def renewal(self) -> float:
        """When it is to be renewed."""
        return self.ends - (self.ends - self.begins) * RENEWAL

    def is_valid(self) -> bool:
        """Say whether the values of a note that was read have the right types."""
        texts = [*self.names, self.issuer, self.serial, self.directory, *self.digests.values()]
        return all(isinstance(text, str) for text in texts) and type(self.begins) is type(self.ends) is int

    def write(self, folder: str | os.PathLike[str]) -> None:
        """Write the note."""
        Path(folder, NOTE).write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")


def digest(path: str | os.PathLike[str]) -> str:
    """Return the sha256 of a file of root's; an empty text if it cannot be read."""
    try:
        with open(path, "rb") as handle:
            return hashlib.sha256(handle.read(LIMIT)).hexdigest()
    except OSError:
        return ""


def read(folder: str | os.PathLike[str]) -> tuple[Issued | None, str]:
    """Return what the note in a directory says, None without one, and why the certificate there cannot be used."""
    try:
        with open(os.path.join(folder, NOTE), encoding="utf-8") as handle:
            found = Issued(**json.loads(handle.read(LIMIT)))
        if not found.is_valid():
            raise ValueError
    except FileNotFoundError:
        return None, "there is no certificate of the authority yet"
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return None, "what is known of the certificate is damaged"
    changed = [name for name in (CHAIN, KEY) if digest(os.path.join(folder, name)) != found.digests.get(name)]
    return found, f"{' and '.join(changed)} of the certificate changed or missing" if changed else ""


def reasons(site: Mapping[str, Any], now: float) -> list[str]:
    """Return why a site needs another certificate; empty if the one that it has is good.

    :param site: its settings.
    """
    found, problem = read(site["certificate"])
    if found is None or problem:
        return [problem]
    names = needed_names(site)
    lacks = [name for name in names if name not in found.names]
    has = [name for name in found.names if name not in names]
    due = found.renewal <= now
    return [
        *([f"the certificate lacks {', '.join(lacks)}"] if lacks else []),
        *([f"the certificate is for {', '.join(has)} as well"] if has else []),
        *([f"the certificate is of another authority, {found.directory}"] * (found.directory != authority(site))),
        *([f"less than a third of the certificate's lifetime is left, until {date(found.ends)}"] if due else []),
    ]


def needed_names(site: Mapping[str, Any]) -> list[str]:
    """Return the names that a site's certificate needs, in small letters; the first one is for its canonical name.

    Those that a wildcard of the site covers are left out: Let's Encrypt refuses a request with both.
    """
    names = [str(name).lower() for name in site["names"]]
    covers = {name: f"*.{name.partition('.')[2]}" for name in names}
    return list(dict.fromkeys(covers[name] if covers[name] in names else name for name in names))


def authority(site: Mapping[str, Any]) -> str:
    """Return the URL of a site's authority."""
    return str(site["acme_directory"])


def date(seconds: float) -> str:
    """Return a time for people, in UTC."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
