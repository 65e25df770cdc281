# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Probe the running site through its proxy, as a visitor would."""

from __future__ import annotations

import hashlib
import http.client
import re
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.flaskblog.hosting.plugins.module_utils import bounded_http, contract, redirects, site_key
from ansible_collections.flaskblog.hosting.plugins.module_utils.printable import printable

#: Bytes that are read of an answer. A longer one is not compared with a file; its status counts.
LIMIT = 64 * 1024 * 1024

#: Seconds that one answer may take if the caller waits for less.
MIN_TIMEOUT = 5.0

#: The proxy's address on this host. Not 127.0.0.1: monitoring often has a server of nginx with that very address, and
#: nginx then asks it for every name, while visitors reach the site. All of 127.0.0.0/8 is this host (RFC 1122).
ADDRESS = "127.0.0.2"

HOME = "/"
OK = 200

#: Seconds between two attempts.
POLL_INTERVAL = 0.2

#: The most bytes of the file with the site's certificate that are read.
CERTIFICATE_LIMIT = 1024 * 1024

#: Bytes of a page that are kept, to find what it refers to.
PAGE_LIMIT = 512 * 1024

#: Characters of the journal in a message: an app's lines may be long.
JOURNAL_LIMIT = 16 * 1024


@dataclass(frozen=True)
class Answer:
    """What the site answered.

    C(status) is 0 if there was no answer, and C(reason) says why. C(sha256) is that of a body that was read completely.
    """

    status: int
    reason: str = ""
    sha256: str | None = None
    location: str = ""
    cookies: tuple[str, ...] = ()
    kind: str = ""
    encoding: str = ""
    body: bytes = b""


@dataclass
class Findings:
    """What was found out about a site."""

    problems: list[str] = field(default_factory=list)
    #: what is not wrong, and a person should know
    notes: list[str] = field(default_factory=list)
    #: the home page, and the absolute URL at which it was found
    home: Answer | None = None
    home_url: str = ""


def wanted(site: Mapping[str, Any], probes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what P(ask) needs to know of a site; what depends on HTTP or HTTPS, the link on the host says."""
    scheme = contract.Scheme.of(site)
    return {
        **{key: site[key] for key in ("name", "names", "site_key")},
        "scheme": scheme.scheme,
        "host": scheme.host,
        "port": scheme.port,
        "redirect_port": scheme.redirect_port,
        "schemes": scheme.public_schemes,
        "proxy_protocol": scheme.proxy_protocol,
        "certificate": f"{site['certificate']}/fullchain.pem" if scheme.scheme == "https" else "",
        "login": site_key.login(site["site_key"]),
        "probes": probes,
    }


def get(
    host: str,
    port: int,
    path: str,
    timeout: float,
    more: Mapping[str, str] | None = None,
    limit: int = 0,
    certificate: str = "",
    proxy_protocol: bool = False,
) -> Answer:
    """Send one GET to the proxy on this host, for a site's name. Redirects are not followed.

    :param timeout: seconds for the whole answer.
    :param more: headers besides C(Host).
    :param limit: bytes to read instead of C(LIMIT).
    :param certificate: speak TLS; the proxy must have the first certificate in this file.
    :param proxy_protocol: whether the proxy expects the PROXY protocol. It takes no address from this host's own
        connections, so no other account can claim one by it.
    """
    headers = {"Host": host, "User-Agent": "flaskblog.hosting", **(more or {})}
    try:
        tls = bounded_http.Tls(urlsplit(f"//{host}").hostname or "", _certificate(certificate)) if certificate else None
        answer = bounded_http.get(
            (ADDRESS, port),
            path,
            headers,
            seconds=timeout,
            limit=limit or LIMIT,
            keep=PAGE_LIMIT,
            tls=tls,
            proxy_protocol=proxy_protocol,
        )
    # The app may name a host that no header can hold.
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Answer(0, printable(str(error))[:200] or type(error).__name__)
    return Answer(
        answer.status,
        sha256=answer.sha256 if answer.is_whole else None,
        location=str(answer.headers.get("Location", "")),
        cookies=tuple(map(str, answer.headers.get_all("Set-Cookie", []))),
        kind=answer.headers.get_content_type(),
        encoding=str(answer.headers.get("Content-Encoding", "")),
        body=answer.body,
    )


def _certificate(path: str) -> bytes:
    """Return the first certificate in a file of root's, as DER.

    :raises OSError: if there is none.
    """
    with open(path, encoding="ascii", errors="replace") as handle:
        text = handle.read(CERTIFICATE_LIMIT)
    found = re.search("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", text, re.DOTALL)
    if not found:
        raise OSError(f"{path} holds no certificate")
    return ssl.PEM_cert_to_DER_cert(found[0])


def visit(site: Mapping[str, Any], path: str, timeout: float) -> tuple[redirects.Followed, Answer]:
    """Request a page, and follow its redirects on the site; return how it ended, and the last answer."""
    answers: list[Answer] = []

    def ask_for(url: str, cookies: dict[str, str]) -> redirects.Response | None:
        if not url.startswith(f"{site['scheme']}:"):
            return None  # a trusted proxy serves it, and nginx takes no other client's word for the scheme
        more = site_key.headers(site, cookies)
        host = urlsplit(url).netloc.rpartition("@")[2]
        target = redirects.request_target(url)
        spoken = {"certificate": site["certificate"], "proxy_protocol": site.get("proxy_protocol", False)}
        answer = get(host, site["port"], target, timeout, more, **spoken)
        answers.append(answer)
        return redirects.Response(answer.status, answer.location, answer.cookies)

    found = redirects.follow(ask_for, f"{site['scheme']}://{site['host']}{path}", site["schemes"], site["names"])
    return found, answers[-1]


def problem_with(wanted: Mapping[str, Any], found: redirects.Followed, answer: Answer) -> str | None:
    """Return what is wrong with an answer, or None.

    :param wanted: C(what) for people, C(path), and C(sha256) of the expected body, or C(allow_login) if 401 and 403
        are good answers, too.
    :param found: where its redirects ended.
    :param answer: the last one.
    """
    asked = f"{wanted['what']} ({wanted['path']})"
    where = redirects.request_target(found.url)
    if where != wanted["path"]:
        asked += f": redirects to {printable(where)}"
    if answer.status == 0:
        return f"{asked}: no answer: {answer.reason}"
    if found.problem:
        return f"{asked}: {printable(found.problem)}"
    if not contract.is_healthy(answer.status, allow_login=bool(wanted.get("allow_login"))):
        return f"{asked}: answered {answer.status}"
    if wanted.get("sha256") and answer.sha256 not in (None, wanted["sha256"]):
        return f"{asked}: answered with something other than the release's file"
    return None


def other_site(site: Mapping[str, Any], timeout: float) -> str | None:
    """Return the problem if nginx answers for a name of the site with another site; None if all is well.

    Without a key there is nothing to ask for: the site is older than the key, and a run writes it.
    """
    if not (key := site_key.read(site["site_key"])):
        return None
    right = hashlib.sha256(site["name"].encode()).hexdigest()
    ports = [(site["port"], site["host"][len(site["names"][0]) :], site["certificate"])]
    if site["redirect_port"]:
        ports.append((site["redirect_port"], f":{site['redirect_port']}", ""))
    for name in site["names"]:
        for port, suffix, certificate in ports:
            host = f"{redirects.host_for(name)}{suffix}"
            spoken = {"certificate": certificate, "proxy_protocol": site.get("proxy_protocol", False)}
            answer = get(host, port, "/", timeout, {contract.SITE_HEADER: key}, **spoken)
            if answer.status == 0:
                return f"{host}: no answer: {answer.reason}"
            if answer.sha256 != right:
                return (
                    f"{host}: another site of this host answers on port {port} (status {answer.status}), not the blog"
                    f" {site['name']}. Look for the name in what 'nginx -T' prints, and remove it from the other site,"
                    " or choose other flask_blog_server_names"
                )
    return None


def no_login(site: Mapping[str, Any], timeout: float) -> str | None:
    """Return the problem if the site has a login for all pages, and nginx asks for none; None if all is well."""
    if not site.get("login"):
        return None
    spoken = {"certificate": site["certificate"], "proxy_protocol": site.get("proxy_protocol", False)}
    answer = get(site["host"], site["port"], site_key.LOGIN_PATH, timeout, **spoken)
    found = f"answered {answer.status or answer.reason}, not 401, to a request without a password of"
    return None if answer.status == site_key.LOGIN_STATUS else f"{site['host']}: {found} flask_blog_basic_auth"


def ask(site: Mapping[str, Any], timeout: float = 0.0) -> list[str]:
    """Probe a site, and return the problems (P(examine))."""
    return examine(site, timeout).problems


def examine(site: Mapping[str, Any], timeout: float = 0.0) -> Findings:
    """Probe a site.

    :param site: as P(wanted) returns it.
    :param timeout: seconds in which each probe is retried until its answer is good.
    """
    deadline = time.monotonic() + timeout
    limit = max(MIN_TIMEOUT, timeout)
    findings = Findings()
    if problem := _retried(lambda: other_site(site, limit) or no_login(site, limit), deadline):
        findings.problems.append(problem)
        return findings

    noted: list[str] = []
    for one in site["probes"]:
        last: list[tuple[redirects.Followed, Answer]] = []

        def problem_of(one: Mapping[str, Any] = one, last: list[Any] = last) -> str | None:
            last[:] = [visit(site, one["path"], limit)]
            return problem_with(one, *last[0])

        if problem := _retried(problem_of, deadline):
            findings.problems.append(problem)
            continue
        found, answer = last[0]
        if lost := [name for name in _lost_cookies(site, answer) if name not in noted]:
            noted += lost
            findings.notes.append(
                f"{one['what']} ({one['path']}) sets the cookie {', '.join(lost)} for HTTPS alone (Secure), and the"
                " site is served by HTTP. Browsers do not store it, so forms and logins that need it fail. Turn this"
                " off in the app's settings (SESSION_COOKIE_SECURE, REMEMBER_COOKIE_SECURE) until the site is served by"
                " HTTPS."
            )
        for name, reason in _misplaced_cookies(answer, found.url):
            if f"{name} {reason}" not in noted:
                noted.append(f"{name} {reason}")
                findings.notes.append(f"{one['what']} ({one['path']}) sets the cookie {name} {reason}")
        if found.elsewhere:
            target = urlsplit(found.elsewhere)
            findings.notes.append(
                f"{one['what']} ({one['path']}) redirects to {printable(f'{target.scheme}://{target.netloc}')}. That is"
                " another site, so it is not known whether visitors get a page there."
            )
        elif findings.home is None and _is_home(one) and answer.status == OK:
            findings.home, findings.home_url = answer, found.url
    return findings


def _cookies(answer: Answer) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the name of each cookie that a response sets, to be shown, and its attributes by lower-case names."""
    for header in answer.cookies[: redirects.MAX_COOKIES]:
        pair, *attributes = header[: redirects.COOKIE_LIMIT].split(";")
        split = (one.partition("=") for one in attributes)
        yield (
            printable(pair.partition("=")[0].strip())[:100],
            {key.strip().lower(): value.strip() for key, _, value in split},
        )


def _lost_cookies(site: Mapping[str, Any], answer: Answer) -> list[str]:
    """Return the names of cookies that no browser stores, as they are for HTTPS alone and the site is not."""
    if "https" in site["schemes"]:
        return []
    return list(dict.fromkeys(name for name, attributes in _cookies(answer) if attributes.get("secure") == ""))


def _misplaced_cookies(answer: Answer, url: str) -> list[tuple[str, str]]:
    """Return the names of cookies that no browser sends back to the page that sets them, and why (RFC 6265, 5.1)."""
    host, path = urlsplit(url).hostname or "", urlsplit(url).path or "/"
    found = []
    for name, attributes in _cookies(answer):
        domain, below = attributes.get("domain", "").lower().removeprefix("."), attributes.get("path", "")
        if domain and host != domain and not host.endswith(f".{domain}"):
            found.append(
                (
                    name,
                    f"for {printable(domain)[:100]}, and the site is {host}. Browsers do not store it, so forms and"
                    " logins that need it fail. Remove this domain from the app's settings (SESSION_COOKIE_DOMAIN,"
                    " REMEMBER_COOKIE_DOMAIN, SERVER_NAME).",
                )
            )
        elif below.startswith("/") and not f"{path}/".startswith(f"{below.rstrip('/')}/"):
            found.append(
                (
                    name,
                    f"for addresses below {printable(below)[:100]} alone. Browsers do not send it to other pages, so"
                    " forms and logins there fail. Remove this path from the app's settings (APPLICATION_ROOT,"
                    " SESSION_COOKIE_PATH), as the blog lies at the top of the site.",
                )
            )
    return found


def _is_home(wanted: Mapping[str, Any]) -> bool:
    """Say whether a probe is the home page's: only this one may ask for a login (vars/main/app.yml)."""
    return bool(wanted.get("allow_login")) or wanted["path"] == HOME


def _retried(attempt: Callable[[], str | None], deadline: float) -> str | None:
    """Repeat an attempt until it finds no problem or the time is over; return the last problem."""
    while problem := attempt():
        if time.monotonic() >= deadline:
            return problem
        time.sleep(POLL_INTERVAL)
    return None


def journal(units: Sequence[str], lines: int = 30) -> str:
    """Return the last lines that some units wrote to the journal, printable, and of a long output its end."""
    command = ["journalctl", "--no-pager", "--quiet", "--output=short-iso", f"--lines={lines}"]
    command += [f"--unit={unit}" for unit in units]
    result = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    return printable(result.stdout[-JOURNAL_LIMIT:].strip()) or "(the journal holds nothing)"
