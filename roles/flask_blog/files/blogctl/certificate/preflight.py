"""Find out, without asking the authority, for which names it would find this host.

It connects to port 80 of what a name resolves to, and requests a file there (RFC 8555, 8.3). A failed attempt counts
against its limits, so each name is asked for such a file first.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import os
import queue
import secrets
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..shared import addresses, bounded_http
from ..site import Site

#: Below the directory of the challenges, as RFC 8555 names it.
WELL_KNOWN = ".well-known/acme-challenge"
#: The port that an authority connects to.
PORT = 80
#: Seconds for the resolution of all names, and for one answer.
RESOLVE_TIMEOUT, ANSWER_TIMEOUT = 10.0, 5.0
#: Addresses of one name that are asked.
MOST_ADDRESSES = 6

#: Returns the addresses of a name.
Resolver = Callable[[str], Sequence[str]]

REDIRECTS = frozenset({301, 302, 303, 307, 308})

READY, UNPROVEN, WRONG = "ready", "unproven", "wrong"


@dataclass(frozen=True)
class Finding:
    """Whether an authority would find this host by a name: C(READY), C(UNPROVEN) or C(WRONG), and why not."""

    state: str
    reason: str = ""


def examine(site: Site, names: Sequence[str], resolver: Resolver | None = None) -> dict[str, Finding]:
    """Examine names. What a name resolves to may be a proxy, or a router that forwards to this host.

    Challenges by DNS do not need the names to lead to this host, nor its port 80.
    """
    if site.settings.get("acme_dns"):
        return dict.fromkeys(names, Finding(READY))
    resolved = _resolved(names, resolver or resolve)
    with _token(site) as (path, text):
        return {name: _finding(name, resolved[name], path, text) for name in names}


def resolve(name: str) -> list[str]:
    """Return the addresses of a name, IPv4 and IPv6.

    :raises OSError: if there are none.
    """
    found = socket.getaddrinfo(name, PORT, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _resolved(names: Sequence[str], resolver: Resolver) -> dict[str, Sequence[str] | str]:
    """Resolve all names at once; each has its addresses, or a reason why it has none."""
    answers: queue.SimpleQueue[tuple[str, Sequence[str] | str]] = queue.SimpleQueue()

    def ask(name: str) -> None:
        try:
            answers.put((name, list(resolver(name))[:MOST_ADDRESSES] or "it has no address in DNS"))
        except (OSError, UnicodeError) as error:
            problem = error.strerror if isinstance(error, OSError) else str(error)
            answers.put((name, f"it does not resolve ({problem or type(error).__name__})"))

    for name in names:
        # The resolver has no time limit of its own; the thread ends with this process.
        threading.Thread(target=ask, args=(name,), daemon=True).start()
    found: dict[str, Sequence[str] | str] = dict.fromkeys(names, f"DNS did not answer within {RESOLVE_TIMEOUT:.0f} s")
    with contextlib.suppress(queue.Empty):
        for _ in names:
            name, answer = answers.get(timeout=RESOLVE_TIMEOUT)
            found[name] = answer
    return found


@contextlib.contextmanager
def _token(site: Site) -> Iterator[tuple[str, str]]:
    """Put a file where nginx serves those of the challenges; yield its path in a URL, and its text."""
    name, text = f"preflight-{secrets.token_urlsafe(24)}", secrets.token_urlsafe(24)
    file = Path(site.settings["challenges"], WELL_KNOWN, name)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as handle:
            os.fchmod(descriptor, 0o644)
            handle.write(text)
        yield f"/{WELL_KNOWN}/{name}", text
    finally:
        file.unlink(missing_ok=True)


def _finding(name: str, resolved: Sequence[str] | str, path: str, text: str) -> Finding:
    if isinstance(resolved, str):
        return Finding(WRONG, f"{resolved}. This host has {described_host()}")
    own = addresses.of_host() | addresses.of_host_v6()
    unproven = []
    for address in resolved:
        shown, parsed = f"it resolves to {address}", ipaddress.ip_address(address.partition("%")[0])
        is_own = address in own or parsed.is_loopback
        try:
            answer = bounded_http.get(
                (address, PORT), path, {"Host": name}, seconds=ANSWER_TIMEOUT, limit=4096, keep=len(text) + 1
            )
        except (OSError, http.client.HTTPException) as error:
            problem = f"{shown}, and port {PORT} there does not answer ({_reason(error)})"
            if is_own:
                return Finding(WRONG, f"{problem}. nginx of this host must be reached there")
            # Behind a router that translates addresses, a host often cannot reach its own public address.
            unproven.append(problem)
            continue
        if answer.status in REDIRECTS and not is_own:
            # An authority follows it, such as to HTTPS of a content delivery network.
            unproven.append(f"{shown}, which redirects")
        elif answer.body != text.encode() or answer.status != http.HTTPStatus.OK:
            said = f"answers {answer.status} to http://{name}/{WELL_KNOWN}/..., and not with the file of this host"
            if not is_own and _is_behind_a_router(own, parsed):
                unproven.append(f"{shown}, which {said}: from inside, that may be the router itself")
                continue
            return Finding(WRONG, f"{shown}, which {said}. This host has {described_host()}")
        elif parsed.is_loopback:
            unproven.append(f"{shown} on this host, such as by /etc/hosts, which does not show where DNS leads others")
    return Finding(UNPROVEN, "; ".join(unproven)) if unproven else Finding(READY)


def _is_behind_a_router(own: set[str], address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Say whether a public address may be that of the router of this host, which has private ones alone."""
    mine = [found for found in map(ipaddress.ip_address, own) if found.version == address.version]
    return address.is_global and bool(mine) and not any(found.is_global for found in mine)


def _reason(error: BaseException) -> str:
    found = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return found or type(error).__name__


def described_host() -> str:
    """Return this host's addresses for people."""
    found = [*sorted(addresses.of_host()), *sorted(addresses.of_host_v6())]
    return ", ".join(found) or "no address but loopback"
