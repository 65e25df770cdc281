"""nginx in front of the app: its configuration, static files, forwarded headers, cookies; and development servers."""

from __future__ import annotations

import http.client
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..host import health, systemd, visitors
from ..host.releases import live_target
from ..shared import bounded_http, host, mask
from ..site import Site
from .check import ERROR, ON_CONTROLLER, PLAYBOOK, WARNING, Check, Finding, output_of, text_of

NGINX = "nginx.service"
#: What nginx of the role sends to the app: each header with what depends on it.
FORWARDED = {
    "Host": "links and redirects of the app lead to the wrong host",
    "X-Forwarded-For": "the app takes nginx for every visitor: its logs and limits by address are wrong",
    "X-Forwarded-Proto": "the app takes HTTPS for HTTP: its redirects lead to HTTP, and secure cookies fail",
    "X-Forwarded-Host": "links and redirects of the app lead to the wrong host",
}
#: A static folder in the configuration of the role.
LOCATION = re.compile(r"^\s*location \^~ (\S+) \{\s*alias ([^;]+);", re.MULTILINE)
#: Seconds in which a page, and a program that listens, answers.
PAGE_TIMEOUT, LISTENER_TIMEOUT = 10.0, 1.0
#: Bytes of a page that are read to find out who answers.
PAGE_LIMIT = 1024
#: The address ::1 in /proc/net/tcp6.
LOOPBACK_6 = "00000000000000000000000001000000"
#: Listeners that are asked.
LISTENERS_LIMIT = 20
TRUE = frozenset({"1", "true", "yes", "on", "t"})


def nginx_accepts(site: Site) -> Iterator[Finding]:
    """Test nginx's configuration, and whether nginx answers for the site."""
    status, output = output_of("nginx", "-t", "-q")
    if status:
        yield Finding(
            ERROR,
            f"nginx refuses its configuration: {output.strip()}",
            "what it has loaded still serves; after a reboot or restart, no site of this host is served",
            "Correct the file that it names. For one of this site's, run the playbook on the controller.",
            "nginx -t",
        )
    if not systemd.is_active(NGINX):
        yield Finding(
            ERROR,
            "nginx does not run",
            "visitors reach no site of this host",
            "Start it; its journal says why it ended.",
            f"systemctl start {NGINX}",
        )
    elif problem := visitors.problem(site, 1.0):
        yield Finding(
            ERROR,
            f"nginx does not serve the site: {problem}",
            "visitors get another site, a wrong certificate or nothing",
            "Let nginx load its files. If that changes nothing, run the playbook on the controller.",
            "" if status else "systemctl reload nginx",
        )


def headers_are_forwarded(site: Site) -> Iterator[Finding]:
    """Look for what nginx must tell the app in the site's configuration, as nginx finds it."""
    path = f"/etc/nginx/sites-enabled/{site.name}.conf"
    text = text_of(os.path.realpath(path))
    if text is None:
        yield Finding(
            ERROR,
            f"nginx has no configuration of the site: {path} is missing",
            "after nginx loads its files again, visitors do not reach the site",
            ON_CONTROLLER,
            PLAYBOOK,
        )
        return
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for name, why in FORWARDED.items():
        if not re.search(rf'^\s*proxy_set_header {name} (?!"")', lines, re.MULTILINE):
            yield Finding(ERROR, f"nginx does not send {name} to the app ({path})", why, ON_CONTROLLER, PLAYBOOK)
    if str(site.settings.get("proxy_key", "")) not in lines:
        yield Finding(
            ERROR,
            f"nginx does not send its key to the app ({path} does not include {site.settings.get('proxy_key')})",
            "the app trusts no forwarded header, and takes nginx for every visitor",
            ON_CONTROLLER,
            PLAYBOOK,
        )
    yield from _aliases(site, path, lines)


def _aliases(site: Site, path: str, lines: str) -> Iterator[Finding]:
    """Compare the folders of the static files with those that the role declares."""
    found = dict(LOCATION.findall(lines))
    for prefix, folder in site.settings.get("static", {}).items():
        wanted = {f"{site.path(root)}/{os.path.normpath(folder)}/" for root in ("link", "data")}
        alias = found.get(prefix)
        if alias not in wanted:
            shown = f"leads to {alias}" if alias else "has no location"
            yield Finding(
                ERROR,
                f"{prefix} {shown} in {path}, not to {site.path('link')}/{os.path.normpath(folder)}/",
                "pages have no style and no pictures, or visitors read files that are none of theirs",
                ON_CONTROLLER,
                PLAYBOOK,
            )
        elif not os.path.isdir(os.path.realpath(alias)) and os.path.isdir(str(live_target(site))):
            yield Finding(
                WARNING,
                f"{prefix} leads to {alias}, and there is no such folder",
                "nginx serves no static file; the app has to serve each, which is slow",
                "Name the app's folder of static files in flask_blog_static, and run the playbook.",
                PLAYBOOK,
            )


# -- cookies --


def cookies_fit(site: Site) -> Iterator[Finding]:
    """Compare the app's secure cookies with the scheme by which visitors come."""
    settings: dict[str, str] = {}
    for path in site.environments:
        settings |= mask.parsed(text_of(path) or "")
    # A proxy in front may take HTTPS from visitors.
    by_https = "https" in site.scheme.public_schemes
    by_http = site.scheme.scheme == "http" and "http" in site.scheme.public_schemes
    for name in ("SESSION_COOKIE_SECURE", "REMEMBER_COOKIE_SECURE"):
        if name not in settings:
            continue
        is_secure = settings[name].lower() in TRUE
        if is_secure and not by_https:
            yield _secure_without_https(site, f"{name} is {settings[name]}")
        elif not is_secure and not by_http:
            yield _insecure_with_https(f"{name} is {settings[name]}")
    for cookie in _cookies(site):
        name, words = cookie.partition("=")[0].strip(), [word.strip().lower() for word in cookie.split(";")[1:]]
        if "secure" in words and not by_https:
            yield _secure_without_https(site, f"the home page sets the cookie {name} with Secure")
        elif "secure" not in words and not by_http and "httponly" in words:
            yield _insecure_with_https(f"the home page sets the cookie {name} without Secure")


def _secure_without_https(site: Site, what: str) -> Finding:
    return Finding(
        ERROR,
        f"{what}, and the site is served over HTTP",
        "browsers do not send the cookie back, so nobody can log in",
        "Serve the site over HTTPS (flask_blog_tls), or take the setting out of flask_blog_environment, as the role"
        " sets it by the scheme; then run the playbook.",
        PLAYBOOK,
    )


def _insecure_with_https(what: str) -> Finding:
    return Finding(
        WARNING,
        f"{what}, and the site is served over HTTPS",
        "browsers send the cookie over HTTP as well, where others can read it and take over the session",
        "Take the setting out of flask_blog_environment or of the app's own settings, as the role sets it by the"
        " scheme; then run the playbook.",
        PLAYBOOK,
    )


def _cookies(site: Site) -> list[str]:
    """Return the cookies that the home page sets; none if it does not answer."""
    path = str(site.settings.get("home_path", "/"))
    if not path:
        return []
    try:
        headers = health.request_headers(site, site.scheme.scheme)
        answer = bounded_http.get(health.address_of(site), path, headers, seconds=PAGE_TIMEOUT, limit=1 << 20)
    except (OSError, http.client.HTTPException):
        return []
    return [str(value)[:300] for value in answer.headers.get_all("Set-Cookie", [])]


# -- development servers --


@dataclass(frozen=True)
class Listener:
    """Processes that listen on a TCP port; a development server that reloads has two."""

    port: int
    is_local: bool
    #: the command line of the first one
    words: list[str]
    pids: list[int]


def no_development_server(site: Site) -> Iterator[Finding]:
    """Look for Flask's development server on any port."""
    for one in _python_listeners()[:LISTENERS_LIMIT]:
        name = " ".join(one.words)[:200]
        if "gunicorn" in map(os.path.basename, one.words) or not (
            _is_flask(one.words) or _answers_as_werkzeug(one.port)
        ):
            continue
        unit, pids = host.unit_of(one.pids[0]), " ".join(map(str, one.pids))
        if unit.startswith("user@"):
            unit = ""  # all that a person runs
        reach = "on this host" if one.is_local else "from outside"
        yield Finding(
            WARNING if one.is_local else ERROR,
            f"a development server listens on port {one.port}, reachable {reach}: {unit or f'process {pids}'} ({name})",
            "it is made for one developer: it has no limits, and its debugger runs any code for whoever reaches it",
            "Stop it; the role serves the app with Gunicorn.",
            f"systemctl disable --now {shlex.quote(unit)}" if unit else f"kill {pids}",
        )


def _is_flask(words: list[str]) -> bool:
    """Say whether a command line starts Flask's development server."""
    names = [os.path.basename(word) for word in words]
    return "run" in names and any(name in ("flask", "flask.exe") for name in names)


def _answers_as_werkzeug(port: int) -> bool:
    for address in ("127.0.0.1", "::1"):
        try:
            answer = bounded_http.get(
                (address, port), "/", {"Host": "localhost"}, seconds=LISTENER_TIMEOUT, limit=PAGE_LIMIT
            )
        except (OSError, http.client.HTTPException):
            continue
        return str(answer.headers.get("Server", "")).startswith("Werkzeug/")
    return False


def _python_listeners() -> list[Listener]:
    """Return the programs in Python that listen on TCP."""
    sockets: dict[str, tuple[int, bool]] = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue  # a kernel without IPv6
        for line in lines:
            columns = line.split()
            if columns[3] == host.TCP_LISTEN:
                address, _, port = columns[1].rpartition(":")
                sockets[f"socket:[{columns[9]}]"] = int(port, 16), address.endswith("0100007F") or address == LOOPBACK_6
    found: dict[int, Listener] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        if "python" not in os.path.basename(host.readlink(f"/proc/{name}/exe")):
            continue
        try:
            opened = os.listdir(f"/proc/{name}/fd")
            words = Path(f"/proc/{name}/cmdline").read_bytes()[:4096].decode(errors="replace").split("\0")
        except OSError:
            continue  # it has ended
        targets = {host.readlink(f"/proc/{name}/fd/{one}") for one in opened}
        for number, is_local in {sockets[target] for target in targets & {*sockets}}:
            found.setdefault(number, Listener(number, is_local, words, [])).pids.append(int(name))
    return sorted(found.values(), key=lambda one: one.port)


CHECKS = (
    Check("nginx", "whether nginx serves the site", nginx_accepts, 15.0),
    Check("headers", "what nginx sends to the app", headers_are_forwarded),
    Check("cookies", "the app's cookies", cookies_fit, 15.0),
    Check("development", "for development servers", no_development_server, 25.0),
)
