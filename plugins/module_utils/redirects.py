# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Follow a page's redirects as a browser would, as far as they stay on the site.

The modules, blogctl and gunicorn's workers use this file (roles/flask_blog/files/blogctl/shared/redirects.py and
roles/flask_blog/files/gunicorn_redirects.py are links to it). It needs the standard library alone. The app may forge
everything that it returns: use C(printable) before it is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple
from urllib.parse import quote, urljoin, urlsplit

#: Statuses that send a visitor to the address in C(Location).
REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: Redirects that are followed. Browsers give up after 20.
MAX_REDIRECTS = 8
#: The visitor's own computer: an app's address during development.
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0"})  # noqa: S104
#: Cookies of the app that are sent back, and characters of each.
MAX_COOKIES = 30
COOKIE_LIMIT = 4096
#: What may stand in a URL as it is (RFC 3986).
URL_CHARACTERS = "/%:@!$&'()*+,;=~-._"


class Response(NamedTuple):
    """What a page answered: its status, and its headers C(Location) and C(Set-Cookie)."""

    status: int
    location: str = ""
    cookies: tuple[str, ...] = ()


class Followed(NamedTuple):
    """Where redirects ended: the last status, why that is wrong, or the address outside of the site."""

    status: int
    url: str
    problem: str = ""
    elsewhere: str = ""


#: Requests an absolute URL with cookies; None if that is not possible, and the redirect to it has to do.
Ask = Callable[[str, "dict[str, str]"], "Response | None"]


def request_target(url: str) -> str:
    """Return the path and query of a URL as a request line may hold them."""
    parts = urlsplit(url)
    query = f"?{quote(parts.query, safe=URL_CHARACTERS + '?')}" if parts.query else ""
    return (quote(parts.path, safe=URL_CHARACTERS) or "/") + query


def target_of(response: Response, url: str, schemes: Iterable[str]) -> tuple[str, str]:
    """Return the absolute URL that an answer leads to, and why a visitor does not get there; both empty for a page.

    An app that forces HTTPS redirects every request, whether it works or not.

    :param url: the absolute URL that was asked for.
    :param schemes: by which visitors reach the site.
    """
    if response.status not in REDIRECTS or not response.location.strip():
        return "", ""  # a browser shows the body
    try:
        target, own = urlsplit(urljoin(url, response.location)), urlsplit(url)
        host = target.hostname or ""
    except ValueError:
        return "", "redirects to an address that is none"
    served = sorted(schemes)
    if host == own.hostname and target.scheme not in served:
        said = f"redirects to {target.scheme}://{host}, but the site is served by {' and '.join(served)} alone. An app"
        if target.scheme == "http":
            return "", (
                f"{said} that builds whole addresses must take the scheme from the request (url_for with _external"
                " does), or from PREFERRED_URL_SCHEME in its environment"
            )
        return "", f"{said} that forces HTTPS needs flask_blog_tls; until then, turn this setting of the app off"
    if host in LOOPBACK and host != own.hostname:
        return "", f"redirects to {target.scheme}://{target.netloc}, which is the visitor's own computer"
    try:
        _ = target.port
    except ValueError:
        return "", "redirects to an address that is none"
    return target._replace(fragment="").geturl(), ""


def stays(target: str, url: str, names: Iterable[str]) -> bool:
    """Say whether a redirect leads to the same site: one of its names, and the same port unless the scheme changes."""
    there, here = urlsplit(target), urlsplit(url)
    known = {here.hostname, *names}
    below = f"*.{(there.hostname or '').partition('.')[2]}"
    if there.scheme not in ("http", "https") or not known & {there.hostname, below}:
        return False
    return there.scheme != here.scheme or (there.port or 0) == (here.port or 0)


def host_for(name: str) -> str:
    """Return a host name that one of a site's names stands for; of a wildcard, one that nobody else has."""
    return f"wildcard-check{name[1:]}" if name.startswith("*.") else name


def cookies_of(response: Response, url: str) -> dict[str, str]:
    """Return the cookies that a browser would send back, by name; paths and lifetimes are ignored."""
    found = {}
    for header in response.cookies[:MAX_COOKIES]:
        pair, _, attributes = header[:COOKIE_LIMIT].partition(";")
        name, sign, value = pair.strip().partition("=")
        secure = "secure" in (word.strip().lower() for word in attributes.split(";"))
        if sign and name and pair.isascii() and pair.isprintable() and not (secure and url.startswith("http:")):
            found[name] = value
    return found


def follow(ask: Ask, url: str, schemes: Iterable[str], names: Iterable[str] = ()) -> Followed:
    """Request a page and follow its redirects on the site; a few at most, and no loop.

    :param url: an absolute URL.
    :param names: other names of the site.
    """
    schemes, names = tuple(schemes), tuple(names)
    cookies: dict[str, str] = {}
    seen = [(url, dict(cookies))]
    status = 0
    while True:
        response = ask(url, dict(cookies))
        if response is None:
            return Followed(status, url)
        status = response.status
        target, problem = target_of(response, url, schemes)
        if problem or not target:
            return Followed(status, url, problem)
        if not stays(target, url, names):
            return Followed(status, url, elsewhere=target)
        cookies = dict([*cookies.items(), *cookies_of(response, url).items()][-MAX_COOKIES:])
        way = " -> ".join(request_target(one) for one, _ in seen)
        if (target, cookies) in seen:
            return Followed(status, url, f"redirects in a circle: {way} -> {request_target(target)}")
        if len(seen) > MAX_REDIRECTS:
            return Followed(status, url, f"redirects more than {MAX_REDIRECTS} times: {way}")
        seen.append((target, dict(cookies)))
        url = target
