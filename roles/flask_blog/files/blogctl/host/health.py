"""Ask the app itself, as nginx would, whether it serves the release that it should."""

from __future__ import annotations

import http.client
import os
import queue
import re
import socket
import stat
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..shared import bounded_http, contract, redirects
from ..shared.printable import printable
from ..site import Site
from .systemd import is_active, properties_of

#: Seconds between two requests.
POLL_INTERVAL = 0.05
#: Seconds between two requests to one of several instances: another one may answer instead.
INSTANCE_POLL_INTERVAL = 0.02
#: Seconds in which a socket of this host accepts a connection.
CONNECT_TIMEOUT = 5.0
#: Seconds that the first request to one of several instances may take.
FIRST_TIMEOUT = 2.0
#: Seconds between two looks at an instance while it owes an answer.
WATCH_INTERVAL = 0.2
#: Seconds between two checks whether a unit still runs.
STATE_INTERVAL = 0.5

#: What an instance logs if its own pages fail (gunicorn.conf.py).
REFUSAL = re.compile(r"takes no request: (.+)")

#: The line of nginx's configuration that holds the key (C(site.json): C(proxy_key)).
KEY_LINE = re.compile(f"^{contract.KEY_LINE.format(value='([0-9a-f]{64})')}$", re.MULTILINE)
#: Bytes of that file that are read at most.
KEY_FILE_LIMIT = 4096

#: Bytes of a page that are read at most. Only the status counts, so a longer page is an answer like any other.
PAGE_LIMIT = 1024 * 1024
#: Statuses of an app that is not ready yet, or busy (RFC 9110, RFC 6585).
PASSING = frozenset({429, 502, 503, 504})
#: Starts the address of a Unix socket, as gunicorn and nginx write it.
UNIX = "unix:"


@dataclass(frozen=True)
class Answer:
    """The app's answer: C(status) 0 if there was none, the C(reason) for people, and the C(instance) that answered."""

    status: int
    reason: str
    instance: str = ""
    #: whether it redirects in a circle, or to where no visitor gets, which shows nothing of the app
    leaves_site: bool = False

    @property
    def is_healthy(self) -> bool:
        """Whether it is a page or a redirect."""
        return contract.is_healthy(self.status) and not self.leaves_site


def proxy_key(site: Site) -> str:
    """Return the key that nginx and gunicorn share; an empty text if there is none yet."""
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


def request_headers(site: Site, scheme: str) -> dict[str, str]:
    """Return the headers of a request as nginx sends it to the app.

    :param scheme: by which the visitor came.
    """
    host = site.scheme.host
    return {
        "Host": host,
        "X-Forwarded-Host": host,
        "X-Forwarded-For": "127.0.0.1",
        "X-Forwarded-Proto": scheme,
        "Connection": "close",
        contract.PROBE_HEADER: "1",
        contract.KEY_HEADER: proxy_key(site),
    }


def _ask(site: Site, address: tuple[str, int] | str, path: str, seconds: float) -> Answer:
    """Request a page, and follow its redirects as long as the same instance answers."""
    scheme = site.scheme
    host = scheme.host
    deadline = time.monotonic() + seconds
    instances: list[str] = []

    def request(url: str, cookies: dict[str, str]) -> redirects.Response | None:
        headers = request_headers(site, url.partition(":")[0])
        if cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        left = deadline - time.monotonic() if instances else seconds
        answer = bounded_http.get(address, redirects.request_target(url), headers, seconds=left, limit=PAGE_LIMIT)
        instances.append(answer.headers.get(contract.INSTANCE_HEADER, ""))
        if instances[-1] != instances[0]:
            return None
        location, told = answer.headers.get("Location", ""), answer.headers.get_all("Set-Cookie", [])
        return redirects.Response(answer.status, str(location), tuple(map(str, told)))

    try:
        found = redirects.follow(request, f"{scheme.scheme}://{host}{path}", scheme.public_schemes)
    except (OSError, http.client.HTTPException) as error:
        return Answer(0, f"no answer: {printable(str(error))[:200] or type(error).__name__}")
    if found.problem:
        return Answer(found.status, printable(found.problem), instances[0], leaves_site=True)
    where = redirects.request_target(found.url)
    led = "" if where == path else f"redirects to {printable(where)}, which "
    return Answer(found.status, f"{led}answered {found.status}", instances[0])


def address_of(site: Site) -> tuple[str, int] | str:
    """Return the address of the app's socket: host and port, or the path of a Unix socket."""
    bind = str(site.settings["bind"])
    host, _, port = bind.rpartition(":")
    return bind.removeprefix(UNIX) if bind.startswith(UNIX) else (host.strip("[]"), int(port))


def is_reachable(site: Site) -> bool:
    """Say whether the site's socket accepts connections. That of a busy app does: they wait in its queue."""
    address = address_of(site)
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(CONNECT_TIMEOUT)
        try:
            client.connect(address)
        except OSError:
            return False
    return True


def ask(site: Site, timeout: float) -> Answer:
    """Ask for the health path once, as nginx would.

    :param timeout: seconds for the whole answer.
    """
    return _ask(site, address_of(site), site.settings["health_path"], timeout)


def visit_home_page(site: Site, timeout: float) -> None:
    """Request the home page once, whatever it answers: many apps open their database with the first page."""
    if path := site.settings.get("home_path", "/"):
        _ask(site, address_of(site), path, timeout)


def no_watch() -> str:
    """Find no reason not to wait any longer."""
    return ""


def wait_for_instance(
    site: Site, instance: str, release: str, seconds: float, unit: str = "", watch: Callable[[], str] = no_watch
) -> str | None:
    """Wait until one of the instances that share the site's socket has answered well.

    The kernel decides which of them gets a request, so it may take several requests to reach a certain one.

    :param instance: C(main) or C(next).
    :param unit: a unit that systemd does not restart; if it ends, so does the wait.
    :param watch: returns why the wait is useless; it is asked after each request that found no healthy answer.
    :returns: None when the instance is healthy, or else the last problem.
    """
    checked = time.monotonic()
    deadline = checked + seconds
    wanted, last = f"{instance} {release}", "it never answered"
    # A request may reach the other instance, which may take all the time: each one gets a share, the next one more.
    share = FIRST_TIMEOUT
    while True:
        # Asking systemd costs more than asking the app, and visitors need the processor now.
        if unit and time.monotonic() - checked > STATE_INTERVAL:
            if not is_active(unit):
                return f"{site.settings['health_path']}: it ended by itself"
            checked = time.monotonic()
        answer = ask(site, timeout=max(1.0, min(share, deadline - time.monotonic())))
        share *= 2
        if answer.instance == wanted:
            if answer.is_healthy:
                return None
            last = answer.reason
        elif not answer.instance:
            last = answer.reason
        if problem := watch():
            return f"{site.settings['health_path']}: {problem}"
        if time.monotonic() >= deadline:
            return f"{site.settings['health_path']}: {last}"
        time.sleep(INSTANCE_POLL_INTERVAL)


def served_release(site: Site) -> str | None:
    """Return the release that the running process reports; None if none runs, or none is reported.

    Gunicorn's master reports it to systemd (sd_notify(3), C(STATUS=)), which accepts it from no other process.
    """
    found = properties_of(site.settings["service_unit"], "MainPID", "StatusText")
    return contract.Served.of(found).release or None


def wait_until_served(site: Site, release: str, seconds: float, watch: Callable[[], str] | None = None) -> str | None:
    """Wait until a release is served and healthy.

    :param watch: returns why the wait is useless. With it, an answer of the release that is an error ends the wait.
    :returns: None when it is, or else the last problem.
    """
    deadline = time.monotonic() + seconds
    path = site.settings["health_path"]
    while True:
        left = max(1.0, deadline - time.monotonic())
        answer, problem = _ask_watched(site, left, watch) if watch else (ask(site, timeout=left), "")
        if problem:
            return f"{path}: {problem}"
        running = served_release(site)
        if answer.is_healthy and running == release:
            return None
        if watch and answer.instance == f"main {release}" and answer.status not in PASSING and not answer.is_healthy:
            return f"{path}: {answer.reason}"
        if time.monotonic() >= deadline:
            if not answer.is_healthy:
                return f"{path}: {answer.reason}"
            return f"the running process serves {running or 'no release'}, not {release}"
        time.sleep(POLL_INTERVAL)


def _ask_watched(site: Site, seconds: float, watch: Callable[[], str]) -> tuple[Answer, str]:
    """Ask for the health path once; return the answer, or why the wait for it is useless.

    A request to an app that cannot start waits in the socket's queue, so it is sent in a thread, which ends with this
    process or its time.
    """
    answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
    threading.Thread(target=lambda: answers.put(ask(site, timeout=seconds)), daemon=True).start()
    while True:
        try:
            return answers.get(timeout=WATCH_INTERVAL), ""
        except queue.Empty:
            if problem := watch():
                return Answer(0, problem), problem


def home_problem(site: Site, seconds: float) -> str | None:
    """Request the home page once, and return what is wrong with it; None without a home page, or if it works."""
    path = site.settings.get("home_path", "/")
    if not path:
        return None
    answer = _ask(site, address_of(site), path, seconds)
    if answer.status in PASSING or (contract.is_healthy(answer.status, allow_login=True) and not answer.leaves_site):
        return None
    return f"{path}: {answer.reason}"
