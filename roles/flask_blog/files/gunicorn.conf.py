# Managed by Ansible (flaskblog.hosting). The same file for every site: what differs comes from systemd.
"""Gunicorn's settings that are not numbers, and six things that only the serving process can do.

It says what it serves (release, virtual environment, settings), it stays on its release when the link moves on, it
believes nobody but nginx, it gives the app exactly one hop of ProxyFix, it keeps SQLite from losing its locks, and an
instance that joins others on their socket tries its pages first.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import re
import socket
import stat
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote_to_bytes
from wsgiref.util import setup_testing_defaults

# -- settings (https://docs.gunicorn.org/en/stable/settings.html) --

worker_class = "gthread"
# A worker proves that it lives by touching a file; on a slow disk that would be a reason to kill it.
worker_tmp_dir = "/dev/shm"
# systemd decides how long a stop may take; requests in flight get nearly all of it.
graceful_timeout = 30
# Nothing may ask gunicorn to do something, but systemd. Unknown to, and ignored by, versions before 25.
control_socket_disable = True
# nginx writes the access log.
accesslog = None
errorlog = "-"
loglevel = "info"
# Gunicorn itself believes nobody. It always trusts the peers of a Unix socket (versions 20 to 27), so the headers that
# it would take from them are none as well. ProxyAuthentication below decides who may speak for a client.
forwarded_allow_ips = ""
secure_scheme_headers: dict[str, str] = {}
forwarder_headers = ""  # unknown to, and ignored by, versions before 22
proxy_protocol = False

# -- the release that this process serves, whatever the link says later --

#: Carried by each release (the role's module "release" writes it).
MANIFEST = ".release.json"

# The real folder, not the link: a worker that is started anew next week still loads this release.
chdir = os.path.realpath(os.getcwd())


def find_release(folder: str) -> tuple[str, dict[str, Any]]:
    """Return the id and the manifest of the release that a folder belongs to; empty ones outside any."""
    for candidate in (Path(folder), *Path(folder).parents):
        try:
            manifest = json.loads((candidate / MANIFEST).read_text(encoding="utf-8"))
        except OSError:
            continue
        return candidate.name, manifest
    return "", {}


release, manifest = find_release(chdir)
# A "src" layout is imported from there, and before anything that was installed.
pythonpath = os.path.join(chdir, manifest.get("source_root", ""))
os.environ["FLASK_BLOG_RELEASE"] = release


def settings_revision(paths: list[str]) -> str:
    """Return the sha256 over the files that this process was started with.

    The role's modules compute the same (module_utils/contract.py); a test compares the two.
    """
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
    """Tell systemd what is served, for blogctl and the role: they read the unit's StatusText.

    systemd takes that from the master alone (NotifyAccess=main), and forgets it when the unit starts anew.
    """
    note = {
        "pid": os.getpid(),
        "release": release,
        "venv": os.path.realpath(sys.prefix),
        "revision": revision,
    }
    notify(f"STATUS={json.dumps(note)}")


def notify(message: str) -> None:
    """Send a message to systemd, if it has started this process (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.sendto(message.encode(), f"\0{address[1:]}" if address.startswith("@") else address)


# -- the locks of SQLite, which its process may lose --

#: Starts an SQLite database; a page of one is 512 bytes or a multiple of that. With a write-ahead log, the versions
#: that follow the page's size are 2 (https://www.sqlite.org/fileformat.html).
SQLITE_MAGIC = b"SQLite format 3\0"
PAGE, HEADER = 512, 20
WITH_LOG = b"\2\2"
#: Where SQLite has its shared locks, first byte and length (os.h: PENDING_BYTE + 2, SHARED_SIZE).
SHARED = (0x40000002, 510)
#: Databases that are held at the most: each takes a few descriptors in each process. Folders in folders to look into.
MOST_HELD, DEEPEST = 64, 64
#: The databases that the master holds, and a worker's idle connections to them.
held: list[str] = []
idle: list[Any] = []


def on_starting(server: Any) -> None:
    """Hold the blog's databases with a write-ahead log for as long as the master lives.

    POSIX drops all locks that a process has on a file when it closes any descriptor of that file. SQLite puts off
    closing while its process has a lock; but it looks before it closes (unixClose in its os_unix.c, as in 3.40 and
    3.46), and a thread that takes the first lock in that moment loses it. Apps that open a connection for each request,
    as Flask's own tutorial does, get there under load; one that reads its database as a file gets there at once. The
    next process that closes the database then takes itself for the last, and removes the log that this one writes to:
    "disk I/O error" for its visitors, and entries that were acknowledged are gone.

    While anybody has a shared lock, nobody removes the log. The master uses no SQLite and runs no code of the app, so
    it cannot lose its own.
    """
    for path in find_databases(os.environ.get("FLASK_BLOG_DATA", "")):
        if len(held) == MOST_HELD:
            server.log.warning("more than %d databases have a write-ahead log; the rest is not held", MOST_HELD)
            break
        try:
            if hold(path):
                held.append(path)
        except OSError as error:
            server.log.warning("the database %s is not held: %s", path, error)


def hold(path: str) -> bool:
    """Take the shared lock of an idle connection where a file is a database with a write-ahead log.

    Without one, a shared lock would keep everybody from writing.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    for _ in range(20):
        if not has_log(handle):
            break
        try:
            fcntl.lockf(handle, fcntl.LOCK_SH | fcntl.LOCK_NB, SHARED[1], SHARED[0])
        except BlockingIOError:
            time.sleep(0.05)  # somebody is just removing the log, or making it
            continue
        if has_log(handle):
            return True  # never closed: in a worker, which inherits the descriptor, that would drop the worker's locks
        break
    os.close(handle)
    return False


def has_log(handle: int) -> bool:
    """Say whether a file is an SQLite database with a write-ahead log."""
    header = os.pread(handle, HEADER, 0)
    return header.startswith(SQLITE_MAGIC) and header[18:20] == WITH_LOG


def find_databases(folder: str) -> Iterator[str]:
    """Yield the files below a folder, the blog's data, that may be SQLite databases, whatever they are called."""
    # Not os.walk(), which calls itself for each level up to Python 3.11: deep folders would keep the app from starting.
    left = [(folder, 0)]
    while left:
        place, depth = left.pop()
        try:
            names = sorted(os.listdir(place))
        except OSError:
            continue  # gone meanwhile, or closed
        for name in names:
            path = os.path.join(place, name)
            try:
                found = os.lstat(path)
            except OSError:
                continue
            if stat.S_ISDIR(found.st_mode) and depth < DEEPEST:
                left.append((path, depth + 1))
            # Few pictures are a multiple of a page long: nearly none of many uploads has to be opened.
            if stat.S_ISREG(found.st_mode) and found.st_size and found.st_size % PAGE == 0:
                yield path


def is_file_or_missing(path: str) -> bool:
    """Say whether SQLite may open a path: it waits without an end for somebody who writes to a FIFO."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return True


def keep_open(worker: Any) -> None:
    """Keep an idle connection to each database that is held.

    Without one, each connection that is alone builds the log's index anew, and each that was alone takes it down.
    """
    for path in held:
        if not all(map(is_file_or_missing, (f"{path}-wal", f"{path}-shm", f"{path}-journal"))):
            worker.log.warning("the database %s is not kept open: what lies beside it is no file", path)
            continue
        try:
            import sqlite3

            connection = sqlite3.connect(f"file:{quote(path)}?mode=rw", uri=True)
            idle.append(connection)
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        except Exception as error:  # such as a damaged file: the app is served all the same
            worker.log.warning("the database %s is not kept open: %s", path, error)


# -- the app, behind the proxy --


#: The header with which nginx proves that a request came through it, as WSGI spells it.
KEY_HEADER = "HTTP_X_FLASK_BLOG_KEY"
#: The line of nginx's configuration that holds the key.
KEY_LINE = re.compile(r'^proxy_set_header X-Flask-Blog-Key "([0-9a-f]{64})";$', re.MULTILINE)

#: By these, apps and their libraries learn who asks, over what, for which host or path, as which user. The role has the
#: same headers for nginx (vars/main/headers.yml: __flask_blog_forwarding_headers); a test compares the two.
FORWARDING = re.compile(
    r"HTTP_(FORWARDED|X_FORWARDED|X_ORIGINAL|X_REWRITE|X_REAL|X_REMOTE|REMOTE|X_AUTH_REQUEST|X_AZURE|FASTLY|CF)(_.*)?"
    r"|HTTP_(\w+_)?CLIENT_?IP|HTTP_(FRONT_END_HTTPS|PROXY|SCRIPT_NAME|PATH_INFO|X_APPENGINE_USER_IP|X_HOST)"
    r"|HTTP_X_(FLASK_BLOG_KEY|FLASK_BLOG_PROBE|HTTP_HOST_OVERRIDE|SCHEME|SCRIPT_NAME|URL_SCHEME|WEBAUTH_USER)"
)


def read_key(path: str) -> str:
    """Return the key that nginx and gunicorn share; an empty text where there is none, so that nobody is believed."""
    try:
        found = KEY_LINE.search(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if found is None:
        sys.stderr.write(f"There is no key in {path!r}, so the forwarded headers of no request are believed.\n")
        return ""
    return found[1]


# Once: the app is not to find another one that somebody wrote meanwhile.
proxy_key = read_key(os.environ.get("FLASK_BLOG_PROXY_KEY", ""))


class ProxyAuthentication:
    """Let only nginx speak for a client: every account of this host reaches gunicorn's port and can send any header.

    A request with the key goes on without it. Any other one loses all that it says about its client, and is for the
    site's own host, over plain HTTP, from the address that it really came from.
    """

    def __init__(self, app: Any, key: str, host: str) -> None:
        self.app = app
        self.key = key.encode()
        self.host = host

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Serve a request (PEP 3333)."""
        # A Unix socket's peer has no address; it is on this host.
        environ["REMOTE_ADDR"] = environ.get("REMOTE_ADDR") or "127.0.0.1"
        shown = str(environ.pop(KEY_HEADER, "")).encode()
        if not self.key or not hmac.compare_digest(shown, self.key):
            self.distrust(environ)
        return self.app(environ, start_response)

    def distrust(self, environ: dict[str, Any]) -> None:
        """Take from a request what it says about itself."""
        if "HTTP_SCRIPT_NAME" in environ:
            # Gunicorn before 22 takes the app's own place in the URL from anybody's header.
            environ["PATH_INFO"] = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
            environ["SCRIPT_NAME"] = os.environ.get("SCRIPT_NAME", "")
        for name in [name for name in environ if FORWARDING.fullmatch(name)]:
            del environ[name]
        environ["wsgi.url_scheme"] = "http"
        if self.host:
            name, _, port = self.host.partition(":")
            environ |= {"HTTP_HOST": self.host, "SERVER_NAME": name, "SERVER_PORT": port or "80"}


class Probe:
    """Tell who asks from this machine which instance and release answers; nginx lets nobody else ask."""

    def __init__(self, app: Any, instance: str) -> None:
        self.app = app
        self.instance = instance

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Serve a request; one with the probe's header gets one header more (PEP 3333)."""
        if "HTTP_X_FLASK_BLOG_PROBE" not in environ:
            return self.app(environ, start_response)

        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            return start_response(status, [*headers, ("X-Flask-Blog-Instance", self.instance)], *error)

        return self.app(environ, start)


def ask(app: Any, host: str, url: str) -> int:
    """Ask the app for a page the way nginx does, in this process (PEP 3333), and return the status."""
    path, _, query = url.partition("#")[0].partition("?")
    environ: dict[str, Any] = {
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "RAW_URI": url,
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": host,
        "HTTP_X_FORWARDED_HOST": host,
        "HTTP_X_FORWARDED_FOR": "127.0.0.1",
        "HTTP_X_FORWARDED_PROTO": "http",
        "HTTP_CONNECTION": "close",
        KEY_HEADER: proxy_key,
        "SERVER_NAME": host,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
    }
    setup_testing_defaults(environ)
    statuses = [0]

    def start(status: str, *_: Any) -> Any:
        statuses.append(int(status.split(" ", 1)[0]))
        return lambda _: None

    pages = app(environ, start)
    try:
        for _ in pages:
            pass
    finally:
        if hasattr(pages, "close"):
            pages.close()
    return statuses[-1]


#: A page or a redirect; and a home page may want to know who asks (blogctl's health.py has the same).
HEALTHY = frozenset(range(200, 400))
ANSWERED = HEALTHY | {401, 403}


def what_is_wrong(worker: Any, host: str, health_path: str) -> str:
    """Ask the app for its health path and its home page; return what is wrong with them, empty where nothing is."""
    for path, good in ((health_path, HEALTHY), ("/", ANSWERED)):
        worker.log.info("tries %s before it takes a request", path)
        try:
            status = ask(worker.wsgi, host, path)
        except Exception as error:  # whatever the app raises is an answer
            return f"{path}: {type(error).__name__}: {error}"
        if status not in good:
            return f"{path}: answered {status}"
    return ""


def post_worker_init(worker: Any) -> None:
    """Give the app exactly one hop of ProxyFix, and try its pages where that was asked for, before it takes a request.

    The hop is outside whatever the app does by itself. nginx sends one value in each header, so an app that has a
    ProxyFix reads the same values once more and comes to the same result; one that counts more hops than there are
    finds nothing to read and keeps ours.

    An instance that joins on a socket gets visitors from its first moment. So it takes none until its pages are there.
    """
    try:
        from werkzeug.middleware.proxy_fix import ProxyFix
    except ImportError:
        worker.log.warning("werkzeug is not installed, so the app sees the proxy's address instead of the client's")
    else:
        worker.wsgi = ProxyFix(worker.wsgi, x_for=1, x_proto=1, x_host=1, x_port=0, x_prefix=0)
    worker.wsgi = Probe(worker.wsgi, f"{os.environ.get('FLASK_BLOG_INSTANCE', 'main')} {release}")
    worker.wsgi = ProxyAuthentication(worker.wsgi, proxy_key, os.environ.get("FLASK_BLOG_HOST", ""))
    keep_open(worker)
    host = os.environ.get("FLASK_BLOG_TRY_AS", "")
    if not host:
        return
    trial = partial(what_is_wrong, worker, host, os.environ["FLASK_BLOG_HEALTH_PATH"])
    # In a thread that serves requests later: what an app makes for its thread is then made for the right one. Somebody
    # may have chosen workers without threads (GUNICORN_CMD_ARGS).
    threads = getattr(worker, "tpool", None)
    if problem := threads.submit(trial).result() if threads else trial():
        # In these words, on one line: blogctl looks for them in the journal.
        worker.log.error("takes no request: %s", problem.replace("\n", " "))
        sys.exit(3)  # "worker failed to boot": gunicorn does not try again
    # blogctl waits for these words from an instance that it tries.
    worker.log.info("is ready: %s answered", os.environ["FLASK_BLOG_HEALTH_PATH"])
