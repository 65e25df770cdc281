# Managed by Ansible (flaskblog.hosting). The file is the same for every site; systemd sets what differs.
"""Gunicorn's settings, and what only the serving process can do (docs/architecture.md).

It reports what it serves, keeps serving its release after the symlink changes, trusts forwarding headers of nginx
alone, applies one hop of ProxyFix, holds SQLite's locks, and an instance that joins others on their socket first tests
its pages. It needs the standard library only; tests compare what it repeats with module_utils/contract.py.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib.util
import json
import os
import re
import socket
import sys
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import unquote_to_bytes
from wsgiref.util import setup_testing_defaults

# -- settings (https://docs.gunicorn.org/en/stable/settings.html) --

worker_class = "gthread"
# A worker touches a file here to show that it is alive. On a slow disk it might be killed for being late.
worker_tmp_dir = "/dev/shm"
# Requests in flight get nearly all of the unit's TimeoutStopSec=.
graceful_timeout = 30
# Only systemd controls gunicorn. Versions before 25 do not know this setting and ignore it.
control_socket_disable = True
# nginx writes the access log.
accesslog = None
errorlog = "-"
loglevel = "info"
# Gunicorn itself trusts no proxy: ProxyAuthentication below decides. As it always trusts the peers of a Unix socket
# (versions 20 to 27), there must also be no header that it would take from them.
forwarded_allow_ips = ""
secure_scheme_headers: dict[str, str] = {}
forwarder_headers = ""  # unknown to, and ignored by, versions before 22
proxy_protocol = False

# -- the release that this process serves --

#: In each release; says what it is.
MANIFEST = ".release.json"

# The real directory, not the symlink: a worker that starts next week still loads this release.
chdir = os.path.realpath(os.getcwd())


def find_release(folder: str) -> tuple[str, dict[str, Any]]:
    """Return the id and the manifest of the release that a directory belongs to; empty ones if it belongs to none."""
    for candidate in (Path(folder), *Path(folder).parents):
        try:
            manifest = json.loads((candidate / MANIFEST).read_text(encoding="utf-8"))
        except OSError:
            continue
        return candidate.name, manifest
    return "", {}


release, manifest = find_release(chdir)
# A "src" layout is imported from there, before installed packages.
pythonpath = os.path.join(chdir, manifest.get("source_root", ""))
os.environ["FLASK_BLOG_RELEASE"] = release
# What a program of the app finds, as a command does (blogctl: host/run_as_app.py): the release's own programs first.
os.environ.setdefault("PYTHONPATH", os.path.normpath(pythonpath))
#: The unit's; another one is from flask_blog_environment.
SYSTEM_PATH = "/usr/bin:/bin"
if os.environ.get("PATH") == SYSTEM_PATH:
    os.environ["PATH"] = f"{chdir}/venv/bin:{SYSTEM_PATH}"


def settings_revision(paths: list[str]) -> str:
    """Return the sha256 over the files that this process was started with."""
    total = hashlib.sha256()
    for path in paths:
        try:
            content = Path(path).read_bytes()
        except OSError:
            content = b"missing"
        total.update(f"{path}\0{len(content)}\0".encode())
        total.update(content)
    return total.hexdigest()


revision = settings_revision(os.environ.get("FLASK_BLOG_SETTINGS", "").split(":"))


def when_ready(server: Any) -> None:
    """Tell systemd what is served; blogctl and the role read the unit's StatusText.

    systemd accepts it from the master only (NotifyAccess=main), and forgets it when the unit restarts.
    """
    note = {
        "pid": os.getpid(),
        "release": release,
        "venv": os.path.realpath(sys.prefix),
        "revision": revision,
    }
    notify(f"STATUS={json.dumps(note)}")


def notify(message: str) -> None:
    """Send a message to systemd if it started this process (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.sendto(message.encode(), f"\0{address[1:]}" if address.startswith("@") else address)


# -- SQLite's locks --


def load_beside(name: str) -> ModuleType:
    """Load a Python file beside this one. Their directory is not on the app's import path."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    if spec is None or spec.loader is None:
        raise ImportError(name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


databases = load_beside("gunicorn_databases")
redirects = load_beside("gunicorn_redirects")
streams = load_beside("gunicorn_streams")
uploads = load_beside("gunicorn_uploads")

# -- the order in which workers start --

workers_in_turn = load_beside("gunicorn_workers")
workers_in_turn.ignore_own_server()
pre_fork = workers_in_turn.pre_fork
post_fork = workers_in_turn.post_fork


def on_starting(server: Any) -> None:
    """Prepare the master before it starts workers."""
    databases.on_starting(server)
    workers_in_turn.on_starting(server)


# -- the app, behind the proxy --

#: With this header nginx proves that a request came through it.
KEY_HEADER = "X-Flask-Blog-Key"
#: Asked for with the first header, an instance answers with the second one: its name and its release.
PROBE_HEADER, INSTANCE_HEADER = "X-Flask-Blog-Probe", "X-Flask-Blog-Instance"
#: The two headers of a request as WSGI spells them (PEP 3333).
KEY_VARIABLE, PROBE_VARIABLE = (f"HTTP_{name.upper().replace('-', '_')}" for name in (KEY_HEADER, PROBE_HEADER))
#: The line of nginx's configuration that holds the key.
KEY_LINE = re.compile(rf'^proxy_set_header {KEY_HEADER} "([0-9a-f]{{64}})";$', re.MULTILINE)

#: Headers that tell apps and libraries the client, scheme, host, path or user of a request. nginx removes the same ones
#: (vars/main/headers.yml: __flask_blog_forwarding_headers); a test compares the two.
FORWARDING = re.compile(
    r"HTTP_(FORWARDED|X_FORWARDED|X_ORIGINAL|X_REWRITE|X_REAL|X_REMOTE|REMOTE|X_AUTH_REQUEST|X_AZURE|FASTLY|CF)(_.*)?"
    r"|HTTP_(\w+_)?CLIENT_?IP|HTTP_(FRONT_END_HTTPS|PROXY|SCRIPT_NAME|PATH_INFO|X_APPENGINE_USER_IP|X_HOST)"
    r"|HTTP_X_(FLASK_BLOG_(KEY|LOGIN|PROBE|SITE)|HTTP_HOST_OVERRIDE|SCHEME|SCRIPT_NAME|URL_SCHEME|WEBAUTH_USER)"
)


def read_key(path: str) -> str:
    """Return the key that nginx and gunicorn share. An empty text stands for none: no request is trusted then."""
    try:
        found = KEY_LINE.search(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if found is None:
        sys.stderr.write(f"There is no key in {path!r}, so the forwarded headers of no request are believed.\n")
        return ""
    return found[1]


#: The scheme of the site, and those by which visitors reach it: a trusted proxy may take HTTPS from them.
scheme = os.environ.get("FLASK_BLOG_SCHEME", "http")
public_schemes = os.environ.get("FLASK_BLOG_PUBLIC_SCHEMES", scheme).split(",")
DEFAULT_PORTS = {"http": "80", "https": "443"}

# Read once, so that a later change of the file has no effect on a running process.
proxy_key = read_key(os.environ.get("FLASK_BLOG_PROXY_KEY", ""))


class ProxyAuthentication:
    """Trust the forwarding headers of nginx alone: every account of this host can reach gunicorn's port.

    The key is removed from a request of nginx. From any other request the forwarding headers are removed, and its
    host and scheme are set to the site's own.
    """

    def __init__(self, app: Any, key: str, host: str) -> None:
        self.app = app
        self.key = key.encode()
        self.host = host

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Serve a request (PEP 3333)."""
        # The peer of a Unix socket has no address; it is on this host.
        environ["REMOTE_ADDR"] = environ.get("REMOTE_ADDR") or "127.0.0.1"
        shown = str(environ.pop(KEY_VARIABLE, "")).encode()
        if not self.key or not hmac.compare_digest(shown, self.key):
            self.distrust(environ)
        return self.app(environ, start_response)

    def distrust(self, environ: dict[str, Any]) -> None:
        """Remove what a request says about its client, host and scheme."""
        if "HTTP_SCRIPT_NAME" in environ:
            # Gunicorn before 22 takes SCRIPT_NAME from a header of any client.
            environ["PATH_INFO"] = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
            environ["SCRIPT_NAME"] = os.environ.get("SCRIPT_NAME", "")
        for name in [name for name in environ if FORWARDING.fullmatch(name)]:
            del environ[name]
        environ["wsgi.url_scheme"] = scheme
        if self.host:
            name, _, port = self.host.partition(":")
            environ |= {"HTTP_HOST": self.host, "SERVER_NAME": name, "SERVER_PORT": port or DEFAULT_PORTS[scheme]}


class Probe:
    """Tell a client of this host which instance and release answers; nginx removes the header that asks for it."""

    def __init__(self, app: Any, instance: str) -> None:
        self.app = app
        self.instance = instance

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Serve a request, and add a header to the answer if the request has the probe's (PEP 3333)."""
        if PROBE_VARIABLE not in environ:
            return self.app(environ, start_response)

        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            return start_response(status, [*headers, (INSTANCE_HEADER, self.instance)], *error)

        return self.app(environ, start)


def ask(app: Any, host: str, url: str, cookies: dict[str, str]) -> Any:
    """Request a page from the app as nginx does, in this process (PEP 3333); return a C(redirects.Response)."""
    target = redirects.request_target(url)
    path, _, query = target.partition("?")
    environ: dict[str, Any] = {
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "RAW_URI": target,
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": host,
        "HTTP_X_FORWARDED_HOST": host,
        "HTTP_X_FORWARDED_FOR": "127.0.0.1",
        "HTTP_X_FORWARDED_PROTO": url.partition(":")[0],
        "HTTP_CONNECTION": "close",
        KEY_VARIABLE: proxy_key,
        "SERVER_NAME": host,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
    }
    if cookies:
        environ["HTTP_COOKIE"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
    setup_testing_defaults(environ)
    answers = [redirects.Response(0)]

    def start(status: str, headers: list[tuple[str, str]], *_: Any) -> Any:
        location = next((value for name, value in headers if name.lower() == "location"), "")
        told = tuple(value for name, value in headers if name.lower() == "set-cookie")
        answers.append(redirects.Response(int(status.split(" ", 1)[0]), location, told))
        return lambda _: None

    pages = app(environ, start)
    try:
        for _ in pages:
            pass
    finally:
        if hasattr(pages, "close"):
            pages.close()
    return answers[-1]


#: A page or a redirect. A home page may also ask for a login.
HEALTHY = frozenset(range(200, 400))
HEALTHY_OR_LOGIN = HEALTHY | {401, 403}


def page_problem(worker: Any, host: str, health_path: str) -> str:
    """Request the health path and the home page, if there is one; return the first problem, or an empty text."""
    others = [os.environ.get("FLASK_BLOG_HOME_PATH", "/"), *os.environ.get("FLASK_BLOG_PROOF_PATHS", "").split()]
    for path, healthy in ((health_path, HEALTHY), *((path, HEALTHY_OR_LOGIN) for path in others if path)):
        worker.log.info("tries %s before it takes a request", path)
        try:
            found = redirects.follow(partial(ask, worker.wsgi, host), f"{scheme}://{host}{path}", public_schemes)
        except Exception as error:  # an app can raise anything
            return f"{path}: {type(error).__name__}: {error}"
        if found.problem:
            return f"{path}: {found.problem}"
        if found.status not in healthy:
            where = redirects.request_target(found.url)
            return f"{path}: {'' if where == path else f'redirects to {where}, which '}answered {found.status}"
    return ""


def post_worker_init(worker: Any) -> None:
    """Apply exactly one hop of ProxyFix, and test the pages if FLASK_BLOG_TRY_AS is set.

    The hop is outside the app. nginx sends one value in each header: an app with a ProxyFix of its own reads the same
    values again, and one that expects more hops finds no further value and keeps these.
    """
    workers_in_turn.refuse_without_threads(worker)
    workers_in_turn.compare_key(worker, worker.wsgi)
    workers_in_turn.warn_of_lasting_connections(worker)
    if folders := uploads.parse(os.environ.get("FLASK_BLOG_WRITTEN", "")):
        worker.wsgi = uploads.NoLinks(worker.wsgi, folders)
    worker.wsgi = streams.Unbuffered(worker.wsgi)
    try:
        from werkzeug.middleware.proxy_fix import ProxyFix
    except ImportError:
        worker.log.warning("werkzeug is not installed, so the app sees the proxy's address instead of the client's")
    else:
        worker.wsgi = ProxyFix(worker.wsgi, x_for=1, x_proto=1, x_host=1, x_port=0, x_prefix=0)
    worker.wsgi = Probe(worker.wsgi, f"{os.environ.get('FLASK_BLOG_INSTANCE', 'main')} {release}")
    worker.wsgi = ProxyAuthentication(worker.wsgi, proxy_key, os.environ.get("FLASK_BLOG_HOST", ""))
    databases.keep_open(worker)
    if name := os.environ.get("FLASK_BLOG_TRY_AS", ""):
        # The name with the port of the site's scheme.
        try_pages(worker, os.environ.get("FLASK_BLOG_HOST", "") or name)
    workers_in_turn.loaded()


def try_pages(worker: Any, host: str) -> None:
    """Request the pages before the first request of a visitor, and end if one of them fails."""
    trial = partial(page_problem, worker, host, os.environ["FLASK_BLOG_HEALTH_PATH"])
    # In a thread that serves requests later, as an app may keep objects for each thread. GUNICORN_CMD_ARGS may choose
    # workers without threads.
    threads = getattr(worker, "tpool", None)
    if problem := threads.submit(trial).result() if threads else trial():
        # blogctl searches the journal for this text; it must be one line.
        worker.log.error("takes no request: %s", problem.replace("\n", " "))
        sys.exit(3)  # "worker failed to boot": gunicorn does not try again
    # blogctl waits for this text of an instance that it rehearses.
    worker.log.info("is ready: %s answered", os.environ["FLASK_BLOG_HEALTH_PATH"])
