# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The IPv4 addresses at which others reach a host, from the kernel's routing table."""

from __future__ import annotations

import ipaddress
import re

ROUTES = "/proc/net/fib_trie"
#: An address of the host itself. Networks and broadcast addresses have another type or prefix.
LOCAL = re.compile(r"\|-- (\d+\.\d+\.\d+\.\d+)\n\s+/32 host LOCAL$", re.MULTILINE)


def of_host() -> set[str]:
    """Return the host's IPv4 addresses without loopback; empty if the kernel does not show them."""
    try:
        with open(ROUTES, encoding="ascii") as handle:
            found = LOCAL.findall(handle.read())
    except OSError:
        return set()
    return {address for address in found if not ipaddress.ip_address(address).is_loopback}
