"""What the running app has written to the journal, and what that says about the variables to set."""

from __future__ import annotations

from collections.abc import Mapping

from ..host import journal
from ..host.undeclared_paths import database_in_memory, undeclared_write
from ..site import Site

#: What a worker logs (gunicorn_workers.py).
OTHER_KEY = "the app has another secret key in each worker"
SOCKET_IO = "Flask-SocketIO needs one worker for all requests of a visitor"
WEBSOCKETS = "Flask-Sock needs WebSocket connections, and flask_blog_websockets names no path"


def hints(site: Site, shown: Mapping[str, str]) -> list[str]:
    """Return a sentence for each known problem in the lines that the app has written since it was started.

    :param shown: C(InvocationID) of the service.
    """
    invocation = shown.get("InvocationID", "")
    if not invocation:
        return []
    try:
        lines = journal.lines_of_run(invocation)
    except OSError:  # without a journal
        return []
    found = (undeclared_write(lines, site), database_in_memory(lines), other_keys(lines), lasting_connections(lines))
    return [sentence for sentence in found if sentence]


def other_keys(output: str) -> str | None:
    """Return a sentence if a worker has logged that it has another secret key (gunicorn_workers.py: OTHER_KEY)."""
    if OTHER_KEY not in output:
        return None
    return (
        "The app makes a new secret key in each worker, so sessions, logins and forms fail at random, and all end with"
        ' a restart. Read the key from the environment in the app: app.secret_key = os.environ["SECRET_KEY"];'
        " flask_blog_generated_secrets creates it there."
    )


def lasting_connections(output: str) -> str | None:
    """Return a sentence if a worker has logged that the app's connections fail (gunicorn_workers.py)."""
    if SOCKET_IO in output:
        return (
            "The app uses Flask-SocketIO, whose connections fail at random with several workers, as each knows its own"
            " clients alone. Set flask_blog_workers: 1, and flask_blog_threads to more than the clients that are"
            " connected at once. With flask_blog_websockets: [/socket.io] they use a WebSocket, else polling."
        )
    if WEBSOCKETS in output:
        return (
            "The app uses Flask-Sock, and nginx passes no WebSocket on, so what depends on one does not work. Name the"
            " paths in flask_blog_websockets, with flask_blog_workers: 1, and set flask_blog_threads to more than the"
            " clients that are connected at once."
        )
    return None
