# Managed by Ansible (flaskblog.hosting). The same file for every site: what differs comes from systemd.
"""Gunicorn's settings that are not numbers, and five things that only the serving process can do.

It says what it serves (release, virtual environment, settings), it stays on its release when the link moves on, it
gives the app exactly one hop of ProxyFix, it keeps SQLite from losing its locks, and an instance that joins others on
their socket tries its pages first.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
from collections.abc import Iterator
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
# Only nginx, on this machine, may speak for a client.
forwarded_allow_ips = "127.0.0.1,::1"

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

    The role's modules compute the same (module_utils/site.py); a test compares the two.
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
    """Say what is served, for blogctl and the role. systemd removes the note when the process ends."""
    folder = os.environ.get("RUNTIME_DIRECTORY")
    if not folder:
        return
    note = {
        "pid": os.getpid(),
        "release": release,
        "venv": os.path.realpath(sys.prefix),
        "revision": revision,
    }
    temporary = Path(folder, "served.json.new")
    temporary.write_text(json.dumps(note), encoding="utf-8")
    temporary.replace(Path(folder, "served.json"))


# -- locks that a process must not lose --

#: Starts an SQLite database; a page of one is 512 bytes or a multiple of that (https://www.sqlite.org/fileformat.html).
SQLITE_MAGIC = b"SQLite format 3\0"
PAGE = 512
#: A worker's idle connections, one for each database, for as long as it lives.
held: list[Any] = []


def find_databases(folder: str) -> Iterator[str]:
    """Yield the SQLite databases below a folder, the blog's data, whatever they are called.

    This reads files as files, and closing them would drop the locks that SQLite has on them: so it is only for a
    process in which nobody uses SQLite, the master before it has workers.
    """
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            try:
                found = os.lstat(path)
                # Few pictures are a multiple of a page long: nearly none of many uploads has to be opened.
                if stat.S_ISREG(found.st_mode) and found.st_size and found.st_size % PAGE == 0:
                    with open(path, "rb") as handle:
                        if handle.read(len(SQLITE_MAGIC)) == SQLITE_MAGIC:
                            yield path
            except OSError:
                continue  # gone meanwhile, or not for the app


databases = list(find_databases(os.environ.get("FLASK_BLOG_DATA", "")))


def hold(path: str) -> None:
    """Keep a connection to a database open, which has a lock on it where it has a write-ahead log.

    POSIX drops all locks that a process has on a file when it closes any descriptor of it. SQLite puts off closing
    while the process has a lock; but it looks before it closes (unixClose in its os_unix.c, as in 3.40 and 3.46), and
    a thread that takes the first lock in that moment loses it. The next process that closes the database then removes
    the log that this one writes to: "disk I/O error" for its visitors, and entries that were acknowledged are gone.
    Apps that open a connection for each request, as Flask's own tutorial does, get there under load. A process that
    always has a lock never closes a descriptor.
    """
    import sqlite3

    connection = sqlite3.connect(f"file:{quote(path)}?mode=rw", uri=True)
    held.append(connection)
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()


def hold_databases(worker: Any) -> None:
    """Hold all databases of the blog; one that cannot be read is the app's to complain about."""
    for path in databases:
        try:
            hold(path)
        except Exception as error:  # without a module sqlite3, with a damaged file: the app is served all the same
            worker.log.warning("the database %s is not held open: %s", path, error)


# -- the app, behind the proxy --


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
    path, _, query = url.partition("?")
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


def what_is_wrong(app: Any, host: str, health_path: str) -> str:
    """Ask the app for its health path and its home page; return what is wrong with them, empty where nothing is."""
    for path, good in ((health_path, HEALTHY), ("/", ANSWERED)):
        try:
            status = ask(app, host, path)
        except Exception as error:  # whatever the app raises is an answer
            return f"{path}: {type(error).__name__}: {error}"
        if status not in good:
            return f"{path}: answered {status}"
    return ""


def post_worker_init(worker: Any) -> None:
    """Give the app one hop of ProxyFix, hold its databases, and try its pages where that is wanted, before any request.

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
    hold_databases(worker)
    host = os.environ.get("FLASK_BLOG_TRY_AS", "")
    if host and (problem := what_is_wrong(worker.wsgi, host, os.environ["FLASK_BLOG_HEALTH_PATH"])):
        # In these words, on one line: blogctl looks for them in the journal.
        worker.log.error("takes no request: %s", problem.replace("\n", " "))
        sys.exit(3)  # "worker failed to boot": gunicorn does not try again
