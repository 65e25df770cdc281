# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Request what a page needs from its own site: style sheets, scripts and images.

The page is the app's, so everything is limited: its size, the time to read it, the number of files, their bytes, and
the time that they take. Nothing is requested from another host.
"""

from __future__ import annotations

import contextlib
import re
import signal
import time
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin, urlsplit

from ansible_collections.flaskblog.hosting.plugins.module_utils import probe, redirects, site_key
from ansible_collections.flaskblog.hosting.plugins.module_utils.printable import printable

#: Files that are requested at most, the first ones of each kind.
MAX_FILES = 40
#: Bytes of a file that are read: its status is what counts.
FILE_LIMIT = 64 * 1024
#: Seconds for one file, for all of them, and to read the page.
FILE_TIMEOUT = 5.0
TOTAL_TIMEOUT = 20.0
PARSE_TIMEOUT = 5
#: Characters of an address: servers refuse longer ones.
ADDRESS_LIMIT = 8000
#: Files that are named in a message.
NAMED = 5

#: Of the links of a page, those that it needs; an icon may be missing.
LINKS = {"stylesheet": "style sheet", "modulepreload": "script"}
PRELOADED = {"style": "style sheet", "script": "script", "image": "image"}
#: Of what a page leads to, what the app writes by itself; a link in a text may well name the reader's computer.
LEADING = {"canonical": "link", "alternate": "link"}
#: These are not requested. They are wrong if they lie on the visitor's own computer.
LED_TO = ("form", "link")
KINDS = ("style sheet", "script", "image", *LED_TO)
HTML = ("text/html", "application/xhtml+xml")

#: Answers of a file that is missing. One behind a login may be for some visitors only.
MISSING = frozenset({403, 404, 410})
#: How a page begins that an app sends for each address that it does not know. Browsers use it as neither kind of file.
PAGE = re.compile(rb"\s*<(?:!doctype\s+html|html)\b", re.IGNORECASE)


class _Page(HTMLParser):
    """Collects the addresses in a page, as they are written there."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.base = ""
        #: kind and address
        self.found: list[tuple[str, str]] = []
        self._templates = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the addresses of a tag."""
        given = {name: (value or "").strip() for name, value in reversed(attrs)}
        if tag == "template":
            self._templates += 1
        elif tag == "base" and not self.base:
            self.base = given.get("href", "")
        elif not self._templates:
            self.found += [(kind, address) for kind, address in _addresses(tag, given) if address]

    def handle_endtag(self, tag: str) -> None:
        """Note the end of a template, which is no part of the page."""
        if tag == "template":
            self._templates = max(0, self._templates - 1)


def _addresses(tag: str, given: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    if tag == "link":
        relations = given.get("rel", "").lower().split()
        kinds = [LINKS[relation] for relation in relations if relation in LINKS]
        if "preload" in relations and given.get("as", "").lower() in PRELOADED:
            kinds.append(PRELOADED[given["as"].lower()])
        kinds += [LEADING[relation] for relation in relations if relation in LEADING]
        yield from ((kind, given.get("href", "")) for kind in kinds[:1])
    elif tag == "form":
        yield "form", given.get("action", "")
    elif tag == "script":
        yield "script", given.get("src", "")
    elif tag in ("img", "source", "input"):
        if tag == "img" or (tag == "input" and given.get("type", "").lower() == "image"):
            yield "image", given.get("src", "")
        if tag != "input":
            yield from (("image", address) for address in _candidates(given.get("srcset", "")))


def _candidates(srcset: str) -> list[str]:
    """Return the addresses in C(srcset): each may be followed by a width or density, and commas stand between them.

    An address may hold commas, but not at its end
    (https://html.spec.whatwg.org/multipage/images.html#parsing-a-srcset-attribute).
    """
    found = []
    words = iter(srcset.split())
    for word in words:
        # Without a space, the next address follows the width's comma.
        address = word.lstrip(",")
        while address:
            if not address.startswith("data:"):
                found.append(address.rstrip(","))
            if address.endswith(","):
                break
            address = next((after for after in map(_after_comma, words) if after is not None), "")
    return list(filter(None, found))


def _after_comma(word: str) -> str | None:
    """Return what follows the first comma of a width or density; None without a comma."""
    _, comma, rest = word.partition(",")
    return rest if comma else None


@contextlib.contextmanager
def _limited(seconds: int) -> Iterator[None]:
    """End what takes longer: some pages take html.parser hours.

    :raises TimeoutError: after that time.
    """

    def end(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def referenced(html: str, url: str) -> list[tuple[str, str]]:
    """Return what a page needs from its own site: kind and absolute URL, each once, style sheets first.

    An address of the visitor's own computer is one, too: the app's during development (SERVER_NAME = "localhost:5000").

    :param url: of the page.
    """
    page = _Page()
    found: dict[str, str] = {}
    with contextlib.suppress(TimeoutError), _limited(PARSE_TIMEOUT):
        page.feed(html)
        page.close()
    with contextlib.suppress(TimeoutError), _limited(PARSE_TIMEOUT):
        base = url
        with contextlib.suppress(ValueError):
            base = urljoin(url, page.base[:ADDRESS_LIMIT])
        for kind, address in page.found:
            if len(address) > ADDRESS_LIMIT or not (target := _own_address(base, address, url)):
                continue
            if kind not in LED_TO or _is_of_visitor(target, url):
                found.setdefault(target, kind)
    return sorted(((kind, address) for address, kind in found.items()), key=lambda one: KINDS.index(one[0]))


def _own_address(base: str, address: str, url: str) -> str:
    """Return the absolute URL of an address on the site or on the visitor's own computer; else an empty text."""
    own = urlsplit(url)
    try:
        target = urlsplit(urljoin(base, address))
        same_port = target.scheme != own.scheme or target.port == own.port
    except ValueError:
        return ""
    is_own = target.hostname == own.hostname and same_port
    is_needed = target.scheme in ("http", "https") and (is_own or _is_of_visitor(target.geturl(), url))
    return target._replace(fragment="").geturl() if is_needed else ""


def _is_of_visitor(address: str, url: str) -> bool:
    """Say whether an absolute URL lies on the visitor's own computer, and the page does not."""
    return urlsplit(address).hostname in redirects.LOOPBACK - {urlsplit(url).hostname}


def problems(site: Mapping[str, Any], home: probe.Answer, url: str) -> list[str]:
    """Return what is missing of the files that a page needs.

    :param site: as P(probe.wanted) returns it.
    :param home: the page.
    :param url: at which it was found.
    """
    if home.kind not in HTML or home.encoding not in ("", "identity"):
        return []
    reasons = []
    deadline = time.monotonic() + TOTAL_TIMEOUT
    for kind, address in referenced(home.body.decode("utf-8", "replace"), url)[:MAX_FILES]:
        left = deadline - time.monotonic()
        if left <= 0:
            break
        if problem := _problem_of(site, address, min(FILE_TIMEOUT, left)):
            shown = printable(redirects.request_target(address))[:200]
            reasons.append(f"{shown}, {'an' if kind == 'image' else 'a'} {kind} of the home page: {problem}")
    if len(reasons) > NAMED:
        reasons[NAMED:] = [f"and {len(reasons) - NAMED} more files of the home page"]
    return reasons


def _problem_of(site: Mapping[str, Any], address: str, seconds: float) -> str:
    """Return why a visitor does not get a file; an empty text if all is well."""
    parts = urlsplit(address)
    host = parts.netloc.rpartition("@")[2]
    if parts.hostname in redirects.LOOPBACK - {urlsplit(f"//{site['host']}").hostname}:
        return f"lies at {printable(f'{parts.scheme}://{host}')}, which is the visitor's own computer"
    if parts.scheme not in site["schemes"]:
        return f"is asked for by {parts.scheme}, and the site is served by {' and '.join(site['schemes'])} alone"
    deadline = time.monotonic() + seconds
    last = probe.Answer(0)

    def ask(url: str, cookies: dict[str, str]) -> redirects.Response | None:
        nonlocal last
        own = urlsplit(url)
        if own.scheme != site["scheme"] and url != address:
            return None
        name = own.netloc.rpartition("@")[2] if own.scheme == site["scheme"] else site["host"]
        more = site_key.headers(site, cookies)
        left = max(0.1, deadline - time.monotonic())
        target = redirects.request_target(url)
        spoken = site["certificate"], site.get("proxy_protocol", False)
        last = probe.get(name, site["port"], target, left, more, FILE_LIMIT, *spoken)
        return redirects.Response(last.status, last.location, last.cookies)

    found = redirects.follow(ask, address, site["schemes"], site["names"])
    problem = ""
    if last.status == 0:
        problem = f"no answer: {last.reason}"
    elif found.problem:
        return printable(found.problem)[:200]
    elif last.status in MISSING or last.status >= 500:
        problem = f"answered {last.status}"
    elif last.status == probe.OK and last.kind in HTML and PAGE.match(last.body):
        problem = "answered with a page (text/html) instead of the file"
    if problem and found.url != address:
        return f"redirects to {printable(redirects.request_target(found.url))[:200]}: {problem}"
    return problem
