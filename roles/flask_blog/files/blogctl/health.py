"""Ask the app itself, behind the proxy, whether it serves the release that it should."""

from __future__ import annotations

import http.client
import json
import time
from dataclasses import dataclass

from .services import main_pid
from .site import Site

#: Seconds between two questions.
PAUSE = 0.1


@dataclass(frozen=True)
class Answer:
    """What the app said: C(status) 0 where it said nothing, C(reason) in words."""

    status: int
    reason: str

    @property
    def is_healthy(self) -> bool:
        """A page or a redirect; everything else is a failure."""
        return 200 <= self.status < 400


def ask(site: Site, timeout: float) -> Answer:
    """Ask for the health path once, as nginx would.

    :param timeout: seconds for each read and write.
    """
    address, _, port = site.settings["bind"].rpartition(":")
    host = site.settings["host"]
    headers = {"Host": host, "X-Forwarded-Host": host, "X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http"}
    connection = http.client.HTTPConnection(address.strip("[]"), int(port), timeout=timeout)
    try:
        connection.request("GET", site.settings["health_path"], headers=headers)
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException) as error:
        return Answer(0, f"no answer: {error or type(error).__name__}")
    finally:
        connection.close()
    return Answer(response.status, f"answered {response.status}")


def served_release(site: Site) -> str | None:
    """Return the release that the running process says it serves, or None where none runs."""
    try:
        note = json.loads((site.path("run_directory") / "served.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return note["release"] if str(note["pid"]) == main_pid(site.settings["service_unit"]) else None


def wait_until_served(site: Site, release: str, seconds: float) -> str | None:
    """Wait until a release is served and healthy.

    :returns: None when it is, or else what was wrong last, in words.
    """
    deadline = time.monotonic() + seconds
    while True:
        left = max(1.0, deadline - time.monotonic())
        answer = ask(site, timeout=left)
        running = served_release(site)
        if answer.is_healthy and running == release:
            return None
        if time.monotonic() >= deadline:
            if not answer.is_healthy:
                return f"{site.settings['health_path']}: {answer.reason}"
            return f"the running process serves {running or 'no release'}, not {release}"
        time.sleep(PAUSE)
