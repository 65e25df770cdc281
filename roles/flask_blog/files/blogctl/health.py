"""Ask the app itself, behind the proxy, whether it serves the release that it should."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import stat
import time
from dataclasses import dataclass

from . import bounded_http
from .printable import printable
from .services import is_active, properties_of
from .site import Site

#: Seconds between two questions.
PAUSE = 0.05
#: Seconds between two questions where another instance may answer instead of the one that is meant.
IN_TURN = 0.02
#: Seconds in which a socket of this host takes a connection.
REACHED = 5.0
#: Seconds that the first question for one of several instances may take.
FIRST_QUESTION = 2.0
#: Seconds between two looks at whether a unit still runs.
LOOK = 0.5

#: What an instance says that does not like its own pages (gunicorn.conf.py).
REFUSAL = re.compile(r"takes no request: (.+)")

#: Asked for with this header, an instance says who it is (gunicorn.conf.py). nginx lets it through from nobody.
PROBE = "X-Flask-Blog-Probe"
INSTANCE = "X-Flask-Blog-Instance"

#: Gunicorn believes no other header of a request without this one (gunicorn.conf.py).
KEY = "X-Flask-Blog-Key"
#: The line of nginx's configuration that holds the key (C(site.json): C(proxy_key)).
KEY_LINE = re.compile(rf'^proxy_set_header {KEY} "([0-9a-f]{{64}})";$', re.MULTILINE)
#: Bytes of that file that are read at most.
KEY_FILE_LIMIT = 4096

#: Bytes of a page that are read at most. Only the status counts, so a longer page is an answer like any other.
PAGE_LIMIT = 1024 * 1024
#: Starts the address of a Unix socket, as gunicorn and nginx write it.
UNIX = "unix:"


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


def proxy_key(site: Site) -> str:
    """Return the key that nginx and gunicorn share; an empty text where there is none yet."""
    try:
        # Not blocking: a FIFO in its place must not keep an operation waiting.
        handle = os.open(site.path("proxy_key"), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return ""
        found = KEY_LINE.search(file.read(KEY_FILE_LIMIT).decode("ascii", "replace"))
    return found[1] if found else ""


def _ask(site: Site, address: tuple[str, int] | str, path: str, seconds: float) -> Answer:
    host = site.settings["host"]
    headers = {
        "Host": host,
        "X-Forwarded-Host": host,
        "X-Forwarded-For": "127.0.0.1",
        "X-Forwarded-Proto": "http",
        "Connection": "close",
        PROBE: "1",
        KEY: proxy_key(site),
    }
    try:
        answer = bounded_http.get(address, path, headers, seconds=seconds, limit=PAGE_LIMIT)
    except (OSError, http.client.HTTPException) as error:
        return Answer(0, f"no answer: {printable(str(error))[:200] or type(error).__name__}")
    return Answer(answer.status, f"answered {answer.status}", answer.headers.get(INSTANCE, ""))


def _address(site: Site) -> tuple[str, int] | str:
    bind = str(site.settings["bind"])
    host, _, port = bind.rpartition(":")
    return bind.removeprefix(UNIX) if bind.startswith(UNIX) else (host.strip("[]"), int(port))


def is_reachable(site: Site) -> bool:
    """Say whether the site's socket takes connections, which a busy app does, too: they wait in its queue."""
    address = _address(site)
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(REACHED)
        try:
            client.connect(address)
        except OSError:
            return False
    return True


def ask(site: Site, timeout: float) -> Answer:
    """Ask for the health path once, as nginx would.

    :param timeout: seconds for the whole answer.
    """
    return _ask(site, _address(site), site.settings["health_path"], timeout)


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
    # A question may meet the other instance, which may take all the time there is: it gets a share, the next one more.
    share = FIRST_QUESTION
    while True:
        # Asking systemd costs more than asking the app: visitors want the processor now.
        if unit and time.monotonic() - looked > LOOK:
            if not is_active(unit):
                return f"{site.settings['health_path']}: it ended by itself"
            looked = time.monotonic()
        answer = ask(site, timeout=max(1.0, min(share, deadline - time.monotonic())))
        share *= 2
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
