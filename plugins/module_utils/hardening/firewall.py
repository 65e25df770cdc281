# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The firewall's own table of nftables."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Iterable

from ansible_collections.flaskblog.hosting.plugins.module_utils import host
from ansible_collections.flaskblog.hosting.plugins.module_utils.hardening.guard import TABLE

NFT = "/usr/sbin/nft"
UNIT = "flask-blog-host-firewall.service"

#: Of a listener that the network does not reach (/proc/net/tcp): 127.0.0.0/8, and ::1.
LOCAL_4, LOCAL_6 = re.compile("[0-9A-F]{6}7F"), "00000000000000000000000001000000"


def listing() -> str | None:
    """Return the rules of the table as nft lists them; None if there is no such table."""
    if not os.access(NFT, os.X_OK):
        return None
    done = subprocess.run(
        [NFT, "--stateless", "--numeric", "list", "table", *TABLE.split()], capture_output=True, text=True, check=False
    )
    return done.stdout if done.returncode == 0 else None


def digest(rules: str | None) -> str:
    """Return what tells two listings apart; "" for no table."""
    return hashlib.sha256(rules.encode()).hexdigest() if rules is not None else ""


def load(text: str, check: bool = False) -> str:
    """Load rules in one transaction, or check them alone; return the error, or ""."""
    command = [NFT, *(["--check"] if check else []), "-f", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    return done.stderr.strip() or f"nft ended with status {done.returncode}" if done.returncode else ""


def delete() -> None:
    """Delete the table, if it is there."""
    if listing() is not None:
        load(f"delete table {TABLE}\n")


def public_ports() -> set[int]:
    """Return the TCP ports that listen on more than the loopback."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table, encoding="ascii") as handle:
                rows = [line.split() for line in handle.readlines()[1:]]
        except FileNotFoundError:
            continue  # a kernel without IPv6
        for row in rows:
            address, _, port = row[1].partition(":")
            if row[3] == host.TCP_LISTEN and not LOCAL_4.fullmatch(address) and address != LOCAL_6:
                found.add(int(port, 16))
    return found


def closed(open_ports: Iterable[str], ssh_ports: Iterable[int]) -> list[str]:
    """Return the listeners that the firewall closes to the network, each with its command."""
    allowed = set(ssh_ports)
    for text in open_ports:
        if not text.endswith("/udp"):
            first, _, last = text.removesuffix("/tcp").partition("-")
            allowed |= set(range(int(first), int(last or first) + 1))
    names = {port: sorted({command for _, command, _ in host.listeners(port)}) for port in public_ports() - allowed}
    return [f"{port} ({', '.join(commands) or 'unknown'})" for port, commands in sorted(names.items())]
