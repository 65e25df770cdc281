"""Ask the app itself, behind the proxy, whether it serves the release that it should."""

from __future__ import annotations

import http.client
import json
import re
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from .services import is_active, properties_of
from .site import Site

#: Seconds between two questions.
PAUSE = 0.05
#: Seconds between two questions where another instance may answer instead of the one that is meant.
IN_TURN = 0.02
#: Seconds between two looks at whether a unit still runs.
LOOK = 0.5

#: What an instance says that does not like its own pages (gunicorn.conf.py).
REFUSAL = re.compile(r"takes no request: (.+)")

#: Asked for with this header, an instance says who it is (gunicorn.conf.py). nginx lets it through from nobody.
PROBE = "X-Flask-Blog-Probe"
INSTANCE = "X-Flask-Blog-Instance"


@dataclass(frozen=True)
class Answer:
    """What the app said: C(status) 0 where it said nothing, C(reason) in words, C(instance) that answered."""

    status: int
    reason: str
    instance: str = ""

    @property
    def is_healthy(self) -> bool:
        """A page or a redirect; everything else is a failure."""
        return 200 <= self.status < 400


class _SocketConnection(http.client.HTTPConnection):
    """HTTP over a socket in the file system."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket instead of to a host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def _ask(site: Site, connection: http.client.HTTPConnection, path: str) -> Answer:
    host = site.settings["host"]
    headers = {
        "Host": host,
        "X-Forwarded-Host": host,
        "X-Forwarded-For": "127.0.0.1",
        "X-Forwarded-Proto": "http",
        "Connection": "close",
        PROBE: "1",
    }
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException) as error:
        return Answer(0, f"no answer: {error or type(error).__name__}")
    finally:
        connection.close()
    return Answer(response.status, f"answered {response.status}", response.headers.get(INSTANCE, ""))


def ask(site: Site, timeout: float) -> Answer:
    """Ask for the health path once, as nginx would.

    :param timeout: seconds for each read and write.
    """
    address, _, port = site.settings["bind"].rpartition(":")
    connection = http.client.HTTPConnection(address.strip("[]"), int(port), timeout=timeout)
    return _ask(site, connection, site.settings["health_path"])


def wait_for_instance(site: Site, instance: str, release: str, seconds: float, unit: str = "") -> str | None:
    """Wait until one of the instances that share the site's socket has answered well.

    They take turns as the kernel likes, so it may need several questions to hear from a certain one.

    :param instance: C(main) or C(next).
    :param unit: given up on as soon as it does not run; for one that systemd does not start again by itself.
    :returns: None when it has, or else what was wrong last, in words.
    """
    looked = time.monotonic()
    deadline = looked + seconds
    wanted, last = f"{instance} {release}", "it never answered"
    while True:
        # Asking systemd costs more than asking the app: visitors want the processor now.
        if unit and time.monotonic() - looked > LOOK:
            if not is_active(unit):
                return f"{site.settings['health_path']}: it ended by itself"
            looked = time.monotonic()
        answer = ask(site, timeout=max(1.0, deadline - time.monotonic()))
        if answer.instance == wanted:
            if answer.is_healthy:
                return None
            last = answer.reason
        elif not answer.instance:
            last = answer.reason
        if time.monotonic() >= deadline:
            return f"{site.settings['health_path']}: {last}"
        time.sleep(IN_TURN)


def served_release(site: Site) -> str | None:
    """Return the release that the running process says it serves; None if none runs, or says nothing that is one.

    Gunicorn's master says it to systemd (sd_notify(3), C(STATUS=)). systemd takes it from no other process.
    """
    found = properties_of(site.settings["service_unit"], "MainPID", "StatusText")
    try:
        note = json.loads(found.get("StatusText", ""))
    except (ValueError, RecursionError):
        return None
    if not isinstance(note, dict) or not isinstance(release := note.get("release"), str):
        return None
    return release if found.get("MainPID") == str(note.get("pid")) != "0" else None


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
