# Managed by Ansible (flaskblog.hosting). The file is the same for every site.
"""Let one worker load the app before the others; gunicorn.conf.py loads this.

Many apps create their tables or folders when they are imported (Flask-SQLAlchemy's C(create_all())). Two workers that
do so at once can fail with "table already exists", and gunicorn then ends. The others load the app as soon as the first
one has, or has ended.

Apps that make a secret key when they are imported have another one in each worker, so a visitor who has logged in with
one worker is unknown to the next. A worker whose app has another key than the first one's logs this.

Some apps call C(app.run()) when they are imported, and would never be loaded. A worker ignores it, and logs this.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import mmap
import os
import select
import sys
import time
from importlib.abc import MetaPathFinder
from typing import Any

#: Seconds that a worker waits for the first one at most, and between two signs of life to the master.
TIMEOUT, INTERVAL = 60.0, 1.0
#: The ends of a pipe: the first worker writes to it, and the others wait until there is something to read.
pipe: list[int] = []
#: Memory that all workers share: the SHA-256 of the secret key of the first worker's app; zeros without one.
shared: list[mmap.mmap] = []
NO_KEY = bytes(hashlib.sha256().digest_size)
#: The module of the class Flask.
FLASK = "flask.app"
#: What a worker logs; blogctl searches the journal for most of these texts.
OTHER_KEY = "the app has another secret key in each worker"
SOCKET_IO = "Flask-SocketIO needs one worker for all requests of a visitor"
OWN_SERVER = "the app calls app.run() when it is imported, which is ignored"
WEBSOCKETS = "Flask-Sock needs WebSocket connections, and flask_blog_websockets names no path"


def on_starting(_: Any) -> None:
    """Make the pipe and the shared memory, in the master."""
    pipe[:] = os.pipe()
    shared[:] = [mmap.mmap(-1, len(NO_KEY))]


def pre_fork(_: Any, worker: Any) -> None:
    """Keep the writing end for the first worker alone: if that one ends, the pipe has no writer. Runs in the master."""
    if worker.age > 1 and len(pipe) > 1:
        os.close(pipe.pop())


class OwnServer(MetaPathFinder):
    """Replaces Flask's method C(run), which starts a server and does not end, as soon as the app imports Flask.

    Flask itself ignores a call of it with C(FLASK_RUN_FROM_CLI) in the environment. But an app can read that, too, and
    take a process that serves pages for a command.
    """

    is_done = False

    def find_spec(self, name: str, *_: Any) -> Any:
        """Find Flask's module for Python's import, once."""
        if name != FLASK or self.is_done:
            return None
        self.is_done = True
        found = importlib.util.find_spec(name)
        if found and found.loader:
            load = found.loader.exec_module

            def load_and_replace(module: Any) -> None:
                load(module)
                if module.__name__ == FLASK:  # a loader may load others, too
                    module.Flask.run = ignore_run

            found.loader.exec_module = load_and_replace  # type: ignore[method-assign]
        return found


def ignore_run(*_: Any, **__: Any) -> None:
    """Take the place of C(Flask.run)."""
    logging.getLogger("gunicorn.error").warning("%s; call it only below if __name__ == '__main__'", OWN_SERVER)


def ignore_own_server() -> None:
    """Ignore C(app.run()) in this process and in all workers, before the app is loaded."""
    if FLASK in sys.modules:
        sys.modules[FLASK].Flask.run = ignore_run
    else:
        sys.meta_path.insert(0, OwnServer())


def post_fork(_: Any, worker: Any) -> None:
    """Wait for the first worker, in any other one."""
    if len(pipe) != 1:
        return
    waiting = select.poll()
    waiting.register(pipe[0], select.POLLIN)
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline and not waiting.poll(INTERVAL * 1000):
        worker.notify()
    worker.notify()


def loaded() -> None:
    """Let the other workers go on. A byte stays in the pipe, so that those see it that are started later."""
    if len(pipe) > 1:
        os.write(pipe[1], b".")
        os.close(pipe.pop())


def compare_key(worker: Any, app: Any) -> None:
    """Log it if the app's secret key is not that of the first worker.

    :param app: Flask's, before anything was wrapped around it; another one has no such key.
    """
    try:
        key = app.secret_key
    except Exception:  # an app can raise anything
        return
    if not isinstance(key, str | bytes) or not key or not shared:
        return
    found = hashlib.sha256(key if isinstance(key, bytes) else key.encode(errors="surrogateescape")).digest()
    known = shared[0][: len(NO_KEY)]
    if known == NO_KEY:
        shared[0][: len(NO_KEY)] = found
    elif known != found:
        worker.log.warning("%s, so logins and forms fail with the next request", OTHER_KEY)


def warn_of_lasting_connections(worker: Any) -> None:
    """Log it if the app uses a package whose pages look well and whose connections fail.

    A client of Socket.IO has a session in the memory of one worker, and its next request reaches any of them.
    """
    if "flask_socketio" in sys.modules and worker.cfg.workers > 1:
        worker.log.warning("%s, and there are %d", SOCKET_IO, worker.cfg.workers)
    if "flask_sock" in sys.modules and not os.environ.get("FLASK_BLOG_WEBSOCKETS"):
        worker.log.warning("%s", WEBSOCKETS)


def without_threads() -> str:
    """Return the library with which the app has replaced threads; an empty text if they are Python's own.

    A worker that waits for its threads then answers some requests and hangs.
    """
    for library, module, question, name in (
        ("eventlet", "eventlet.patcher", "is_monkey_patched", "thread"),
        ("gevent", "gevent.monkey", "is_module_patched", "threading"),
    ):
        if module in sys.modules and getattr(sys.modules[module], question)(name):
            return library
    return ""


def refuse_without_threads(worker: Any) -> None:
    """End a worker that serves by threads if the app has replaced them."""
    if getattr(worker, "tpool", None) and (library := without_threads()):
        # blogctl searches the journal for this text.
        worker.log.error("%s has replaced Python's threads, with which Gunicorn serves the app", library)
        sys.exit(3)  # "worker failed to boot": gunicorn does not try again
