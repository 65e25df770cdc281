"""Where the site's names lead, and its certificate."""

from __future__ import annotations

import ipaddress
import os
import queue
import socket
import threading
import time
from collections.abc import Iterator, Sequence

from ..certificate import describe, material, preflight
from ..errors import OperationError
from ..shared import addresses, issued
from ..site import Site
from .check import ERROR, ON_CONTROLLER, PLAYBOOK, WARNING, Check, Finding, command, text_of

#: Seconds in which DNS answers for all names.
TIMEOUT = 5.0
#: Names that nobody finds in DNS on purpose (RFC 6761, RFC 8375, RFC 6762).
PRIVATE = (".localhost", ".test", ".invalid", ".local", ".internal", ".home.arpa", ".lan")
#: A certificate that nobody renews is replaced by a person, who needs time for it.
DAYS = 14
NO_SERVER = frozenset({socket.EAI_AGAIN})


def names_lead_here(site: Site) -> Iterator[Finding]:
    """Compare what each name of the site resolves to with the addresses of this host."""
    names = [str(name).removeprefix("*.") for name in site.settings.get("names", [])]
    names = [name for name in names if not addresses.is_address(name) and "." in name and not name.endswith(PRIVATE)]
    own = addresses.of_host() | addresses.of_host_v6()
    is_behind = _is_behind_proxy(site)
    unanswered = list[str]()
    for name, found in _resolved(list(dict.fromkeys(names))).items():
        if found is None:
            unanswered.append(name)
        elif not found:
            yield Finding(
                WARNING,
                f"{name} has no address in DNS",
                "visitors do not find the site by this name",
                f"Let the name lead to this host ({preflight.described_host()}) where your DNS is managed, or take it"
                " out of flask_blog_server_names.",
            )
        elif not is_behind and (astray := [one for one in found if _leads_away(one, own)]):
            yield Finding(
                WARNING,
                f"{name} leads to {', '.join(astray)}, and this host has {preflight.described_host()}",
                "some visitors, or all, reach another host",
                "Correct the name where your DNS is managed. If a proxy or CDN is in front, name it in"
                " flask_blog_trusted_proxies.",
            )
    if unanswered:
        yield Finding(
            WARNING,
            f"DNS does not answer this host about {', '.join(unanswered)}",
            "upgrades, certificates, notifications and the app's own requests need names",
            "See which servers the host asks, and whether it reaches them.",
            "cat /etc/resolv.conf",
        )


def _is_behind_proxy(site: Site) -> bool:
    """Say whether the site trusts a proxy in front of it: its names lead there."""
    text = text_of(os.path.realpath(f"/etc/nginx/sites-enabled/{site.name}.conf")) or ""
    return "set_real_ip_from" in text or site.scheme.proxy_protocol


def _leads_away(address: str, own: set[str]) -> bool:
    """Say whether an address is another host's for sure: behind a router, a host does not know its public address."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if found.is_loopback or str(found) in own:
        return False
    return (
        any(one.version == found.version and one.is_global for one in map(ipaddress.ip_address, own))
        or not found.is_global
    )


def _resolved(names: Sequence[str]) -> dict[str, list[str] | None]:
    """Resolve all names at once: each has its addresses, none if there is no such name, and None without an answer."""
    answers: queue.SimpleQueue[tuple[str, list[str] | None]] = queue.SimpleQueue()

    def ask(name: str) -> None:
        try:
            answers.put((name, preflight.resolve(name)))
        except (OSError, UnicodeError) as error:
            answers.put((name, None if getattr(error, "errno", 0) in NO_SERVER else []))

    for name in names:
        threading.Thread(target=ask, args=(name,), daemon=True).start()
    found: dict[str, list[str] | None] = dict.fromkeys(names)
    deadline = time.monotonic() + TIMEOUT
    for _ in names:
        try:
            name, answer = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        found[name] = answer
    return found


def certificate_is_good(site: Site, now: float | None = None) -> Iterator[Finding]:
    """Look at the certificate on the disk: for how long it is good, for which names, and what its renewal said."""
    now = time.time() if now is None else now
    kind = site.settings.get("tls", "none")
    if kind == issued.ACME:
        yield from _issued(site, now)
    elif site.scheme.scheme == "https":
        yield from _own(site, now, is_made=kind == "self_signed")


def _issued(site: Site, now: float) -> Iterator[Finding]:
    facts = describe.status(site)
    found, _ = issued.read(site.path("certificate"))
    for name, reason in facts["missing"].items():
        yield Finding(
            WARNING,
            f"the certificate lacks {name}: {reason}",
            "browsers warn visitors who use this name",
            "Correct the reason; the host tries again by itself, and so does the command.",
            command(site, "certificate"),
        )
    if problem := facts["problem"]:
        level = ERROR if found is None or found.left(now) < issued.LATE else WARNING
        yield Finding(
            level,
            f"no new certificate: {problem}",
            "without a certificate the site is served over HTTP; with one that ended, browsers warn every visitor",
            "Correct the reason; the host tries again by itself, and so does the command.",
            command(site, "certificate"),
        )
    elif found and found.left(now) < issued.LATE:
        yield Finding(
            ERROR,
            f"the certificate is good until {issued.date(found.ends)}, and should have been renewed by now",
            "after that browsers warn every visitor",
            "Renew it; the command says why it fails.",
            command(site, "certificate"),
        )


def _own(site: Site, now: float, *, is_made: bool) -> Iterator[Finding]:
    try:
        found = material.inspect(site.path("certificate"), "")
    except OperationError as error:
        yield Finding(
            ERROR,
            f"the certificate cannot be used: {error}",
            "nginx does not load it: after a restart no site of this host is served",
            ON_CONTROLLER,
            PLAYBOOK,
        )
        return
    left = (found.ends - now) / 86400
    if left >= DAYS:
        return
    new = "The playbook makes a new one." if is_made else "Set flask_blog_tls_certificate and flask_blog_tls_key."
    yield Finding(
        ERROR if left < DAYS / 2 else WARNING,
        f"the certificate is good until {issued.date(found.ends)}"
        if left > 0
        else f"the certificate has ended ({issued.date(found.ends)})",
        "after that browsers warn every visitor",
        f"{new} {ON_CONTROLLER}",
        PLAYBOOK,
    )


CHECKS = (
    Check("certificate", "the certificate", certificate_is_good),
    Check("names", "where the names of the site lead", names_lead_here),
)
