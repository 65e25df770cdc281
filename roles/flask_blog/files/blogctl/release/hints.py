"""What the running app has written to the journal, and what that says about the variables to set."""

from __future__ import annotations

from collections.abc import Mapping

from ..host import journal
from ..host.undeclared_paths import database_in_memory, undeclared_write
from ..site import Site

#: What a worker logs (gunicorn_workers.py).
OTHER_KEY = "the app has another secret key in each worker"


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
    return [found for found in (undeclared_write(lines, site), database_in_memory(lines), other_keys(lines)) if found]


def other_keys(output: str) -> str | None:
    """Return a sentence if a worker has logged that it has another secret key (gunicorn_workers.py: OTHER_KEY)."""
    if OTHER_KEY not in output:
        return None
    return (
        "The app makes a new secret key in each worker, so sessions, logins and forms fail at random, and all end with"
        ' a restart. Read the key from the environment in the app: app.secret_key = os.environ["SECRET_KEY"];'
        " flask_blog_generated_secrets creates it there."
    )
