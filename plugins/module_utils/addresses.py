# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""IP addresses: whether a text is one, and those at which others reach a host, as the kernel shows them."""

from __future__ import annotations

import ipaddress
import re

ROUTES = "/proc/net/fib_trie"
INTERFACES_V6 = "/proc/net/if_inet6"
#: An address of the host itself. Networks and broadcast addresses have another type or prefix.
LOCAL = re.compile(r"\|-- (\d+\.\d+\.\d+\.\d+)\n\s+/32 host LOCAL$", re.MULTILINE)


def is_address(text: str) -> bool:
    """Say whether a text is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def of_host() -> set[str]:
    """Return the host's IPv4 addresses without loopback; empty if the kernel does not show them."""
    try:
        with open(ROUTES, encoding="ascii") as handle:
            found = LOCAL.findall(handle.read())
    except OSError:
        return set()
    return {address for address in found if not ipaddress.ip_address(address).is_loopback}


def of_host_v6() -> set[str]:
    """Return the host's IPv6 addresses without loopback and those of one link, as far as the kernel shows them."""
    try:
        with open(INTERFACES_V6, encoding="ascii") as handle:
            found = [ipaddress.IPv6Address(bytes.fromhex(line.split()[0])) for line in handle]
    except (OSError, ValueError, IndexError):
        return set()
    return {str(address) for address in found if not address.is_loopback and not address.is_link_local}
