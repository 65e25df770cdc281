# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The networks of trusted proxies: those that a user names, and those of CDNs that the role knows by name.

A CDN's networks are data: C(cdn_networks/NAME.yml), with their source and date (docs/proxies.md).
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from ansible.module_utils.common.yaml import yaml_load

FOLDER = Path(__file__).parent / "cdn_networks"
#: Days after which a list of networks may lack some that its CDN uses.
MAX_AGE = 180


@dataclass(frozen=True)
class NetworkSet:
    """The networks from which a CDN connects to a site, where they were published, and the day that they are of."""

    name: str
    sources: tuple[str, ...]
    date: date
    networks: tuple[str, ...]

    @classmethod
    def of(cls, name: str, found: Any) -> NetworkSet:
        """Read what a file says.

        :raises ValueError: for a network that is none.
        """
        networks = tuple(str(ipaddress.ip_network(network)) for network in found["networks"])
        return cls(name, tuple(found["sources"]), date.fromisoformat(str(found["date"])), networks)


@functools.cache
def known(folder: Path = FOLDER) -> tuple[str, ...]:
    """Return the names of the sets that the role has."""
    return tuple(sorted(path.stem for path in folder.glob("*.yml")))


@functools.cache
def network_set(name: str, folder: Path = FOLDER) -> NetworkSet:
    """Return a set by its name.

    :raises OSError: if there is none.
    """
    return NetworkSet.of(name, yaml_load((folder / f"{name}.yml").read_text(encoding="utf-8")))


def networks(trusted: Iterable[str]) -> list[str]:
    """Return networks, with those of a set in the place of its name; each once, as nginx warns of a second one.

    :raises ValueError: for what is neither a network nor a set.
    """
    found: dict[str, None] = {}
    for one in map(str, trusted):
        expanded = network_set(one).networks if one in known() else (str(ipaddress.ip_network(one)),)
        found |= dict.fromkeys(expanded)
    return list(found)


def warnings(trusted: Iterable[str], today: date) -> Iterator[str]:
    """Yield a warning for each set in use whose list is old."""
    for name in dict.fromkeys(map(str, trusted)):
        if name in known() and (age := (today - network_set(name).date).days) > MAX_AGE:
            yield (
                f"flask_blog_trusted_proxies: {name!r}: the list of its networks is of {network_set(name).date}, {age}"
                f" days ago. Visitors who come through a network that {name} has added since count as one client, or"
                " are refused (flask_blog_only_through_proxies). Install a newer version of the collection, or name"
                f" the networks yourself; they are published at {' and '.join(network_set(name).sources)}."
            )
