# Managed by Ansible (flaskblog.hosting). The same file for every site: what differs comes from systemd.
"""Gunicorn's settings that are not numbers, and three things that only the serving process can do.

It says what it serves (release, virtual environment, settings), it stays on its release when the link moves on, and it
gives the app exactly one hop of ProxyFix.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

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


def post_worker_init(worker: Any) -> None:
    """Give the app exactly one hop of ProxyFix, outside whatever it does by itself.

    nginx sends one value in each header, so an app that has a ProxyFix reads the same values once more and comes to
    the same result; one that counts more hops than there are finds nothing to read and keeps ours.
    """
    try:
        from werkzeug.middleware.proxy_fix import ProxyFix
    except ImportError:
        worker.log.warning("werkzeug is not installed, so the app sees the proxy's address instead of the client's")
    else:
        worker.wsgi = ProxyFix(worker.wsgi, x_for=1, x_proto=1, x_host=1, x_port=0, x_prefix=0)
    worker.wsgi = Probe(worker.wsgi, f"{os.environ.get('FLASK_BLOG_INSTANCE', 'main')} {release}")
