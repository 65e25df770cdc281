"""Tell a monitor that a job starts, and how it ended, so that it notices silence (https://healthchecks.io/docs/)."""

from __future__ import annotations

import time

from ..errors import OperationError
from ..site import Site
from . import settings, web

START, SUCCESS, FAIL = "start", "success", "fail"

#: Attempts, and seconds between two. Each has web.TIMEOUT seconds, in a unit of its own: the job waits for none.
ATTEMPTS, PAUSE = 3, 5.0


def ping(site: Site, name: str, event: str) -> bool:
    """Send one ping: C(URL/start), C(URL) or C(URL/fail).

    :param event: C(start), C(success) or C(fail).
    :returns: whether a URL is configured for the job.
    :raises OperationError: if the monitor does not take it.
    """
    url = settings.load(site).ping.get(name)
    if not url:
        return False
    wanted = url if event == SUCCESS else web.below(url, event)
    # A late start would follow the end of the job.
    attempts = 1 if event == START else ATTEMPTS
    for attempt in range(1, attempts + 1):
        try:
            web.send(wanted)
            break
        except web.Undelivered as error:
            if attempt == attempts:
                raise OperationError(f"the ping '{event}' of {name} was not taken: {error}") from error
        time.sleep(PAUSE)
    return True
