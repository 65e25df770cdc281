#!/usr/bin/env python3
"""Read the networks of CDNs where these publish them, and write plugins/plugin_utils/cdn_networks/.

docs/tools/proxy_networks.py                   reads and writes all of them
docs/tools/proxy_networks.py cloudflare ...    reads and writes these
"""

from __future__ import annotations

import argparse
import datetime
import ipaddress
import json
import sys
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

FOLDER = Path(__file__).resolve().parents[2] / "plugins" / "plugin_utils" / "cdn_networks"

#: Seconds for one answer, and the most bytes of it; Amazon's list of all its networks has 2 MB.
TIMEOUT = 30
LIMIT = 16 * 1024 * 1024
#: The shortest prefix that a CDN can have: one that is shorter trusts a large part of the Internet.
SHORTEST = {4: 8, 6: 20}
#: A list with less than this share of the networks before is taken for a mistake.
SMALLEST_SHARE = 0.5

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def of_lines(text: str) -> list[str]:
    """Return the networks of a list with one on each line, as Cloudflare has it."""
    return text.split()


def of_fastly(text: str) -> list[str]:
    """Return the networks of Fastly's public IP list."""
    found = json.loads(text)
    return [*found["addresses"], *found["ipv6_addresses"]]


def of_cloudfront(text: str) -> list[str]:
    """Return the networks from which CloudFront asks origins, of all networks of Amazon."""
    found = json.loads(text)
    entries = [(one["service"], one["ip_prefix"]) for one in found["prefixes"]]
    entries += [(one["service"], one["ipv6_prefix"]) for one in found["ipv6_prefixes"]]
    return [network for service, network in entries if service == "CLOUDFRONT_ORIGIN_FACING"]


class Cdn(NamedTuple):
    """Where a CDN publishes its networks, and how they are read."""

    title: str
    sources: tuple[str, ...]
    parse: Callable[[str], list[str]]


CDNS = {
    "cloudflare": Cdn(
        "Cloudflare", ("https://www.cloudflare.com/ips-v4", "https://www.cloudflare.com/ips-v6"), of_lines
    ),
    "cloudfront": Cdn("CloudFront", ("https://ip-ranges.amazonaws.com/ip-ranges.json",), of_cloudfront),
    "fastly": Cdn("Fastly", ("https://api.fastly.com/public-ip-list",), of_fastly),
}


def order(network: Network) -> tuple[int, int, int]:
    """Return by what networks are sorted."""
    return network.version, int(network.network_address), network.prefixlen


def checked(found: Iterable[str], before: Sequence[str]) -> list[str]:
    """Return networks in their order, each once.

    :param before: those of the present file.
    :raises ValueError: for what is no network, a network that is too large to be a CDN's, and a list that is too short.
    """
    networks = sorted({ipaddress.ip_network(one) for one in found}, key=order)
    if large := [str(one) for one in networks if one.prefixlen < SHORTEST[one.version]]:
        raise ValueError(f"{', '.join(large)}: too large for a CDN")
    if not networks or len(networks) < len(before) * SMALLEST_SHARE:
        raise ValueError(f"{len(networks)} networks, and {len(before)} before")
    return [str(one) for one in networks]


def text_of(cdn: Cdn, networks: Iterable[str], day: datetime.date) -> str:
    """Return the text of a CDN's file."""
    title = f"# Networks from which {cdn.title} connects to a site."
    lines = ["---", title, "# docs/tools/proxy_networks.py writes this file.", "sources:"]
    lines += [f"  - {source}" for source in cdn.sources]
    lines += [f'date: "{day}"', "networks:", *(f"  - {network}" for network in networks)]
    return "\n".join(lines) + "\n"


def read(url: str) -> str:
    """Return what a provider publishes.

    :raises OSError: if that cannot be read.
    """
    with urllib.request.urlopen(url, timeout=TIMEOUT) as response:  # noqa: S310
        text: bytes = response.read(LIMIT)
    return text.decode()


def refresh(name: str, folder: Path, day: datetime.date, reader: Callable[[str], str] = read) -> str:
    """Write the file of a CDN, and return what has changed.

    :raises OSError: if a source cannot be read; the file is left as it is.
    :raises ValueError: if it does not hold what it should; the file is left as it is.
    """
    cdn, path = CDNS[name], folder / f"{name}.yml"
    before = yaml.safe_load(path.read_text(encoding="utf-8"))["networks"] if path.exists() else []
    try:
        found = checked((one for source in cdn.sources for one in cdn.parse(reader(source))), before)
    except (KeyError, TypeError) as error:
        raise ValueError(f"another form than expected ({error!r})") from error
    path.write_text(text_of(cdn, found, day), encoding="utf-8")
    changes = [f"+{one}" for one in found if one not in before] + [f"-{one}" for one in before if one not in found]
    return f"{name}: {len(found)} networks {' '.join(changes)}".rstrip()


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*CDNS, []], default=[], metavar="NAME", help=", ".join(CDNS))
    status, today = 0, datetime.datetime.now(datetime.UTC).date()
    for name in parser.parse_args().names or CDNS:
        try:
            print(refresh(name, FOLDER, today))
        except (OSError, ValueError) as error:
            print(f"{name}: {error}. The file is as before.", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
