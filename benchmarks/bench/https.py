"""Compare HTTPS with plain HTTP: pages of the app, static files, and new connections."""

from __future__ import annotations

import os
import re
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

from certificates import chain, intermediate, rsa_key, site

from .contenders import Role, Workplace
from .machines import LOAD_IMAGE, SITE_NAME, BenchmarkError, Machine, build_load_image, machine, run
from .report import HTTPS, publish, verdict

#: Connections at a time, and requests of one round. nginx ends a connection after 1,000, and h2load opens no other.
CLIENTS, PAGES, FILES, HANDSHAKES = 8, 800, 7_200, 1_000
PAGE, FILE = "/", "/static/css/blog.css"
#: Requests per second over HTTPS, at least as a share of those over plain HTTP.
LEAST_PAGES, LEAST_FILES = 0.95, 0.75

#: h2load speaks HTTP/2 over TLS, unless told otherwise.
H1 = "--h1"


class RoleWithTls(Role):
    """The role with a value of flask_blog_tls."""

    key, pages = "tls", ()

    def __init__(self, place: Workplace, **tls: object) -> None:
        super().__init__(place)
        self.tls = tls

    def variables(self) -> dict[str, object]:
        return {**super().variables(), **{f"flask_blog_{name}": value for name, value in self.tls.items()}}


@dataclass
class Rates:
    """Requests per second, by what was asked, in each round."""

    found: dict[str, list[float]] = field(default_factory=dict)

    def add(self, what: str, rate: float) -> None:
        """Add a round."""
        self.found.setdefault(what, []).append(rate)

    def median(self, what: str) -> float:
        """Return the median of the rounds."""
        return statistics.median(self.found[what])

    def row(self, what: str) -> str:
        """Return a line of the table."""
        rounds = self.found[what]
        return f"| {what} | {self.median(what):.0f} | {min(rounds):.0f}–{max(rounds):.0f} |"


def https(place: Workplace, rounds: int) -> None:
    """Ask two machines in turn, one without and one with HTTPS, then the second one with an RSA certificate."""
    build_load_image()
    rates = Rates()
    with machine("plain") as plain, machine("secure") as secure:
        RoleWithTls(place, tls="none").deploy(plain)
        RoleWithTls(place, tls="self_signed").deploy(secure)
        http, tls = f"http://{SITE_NAME}", f"https://{SITE_NAME}"
        asked: dict[str, Callable[[], float]] = {
            "Page, HTTP/1.1": lambda: _rate(plain, f"{http}{PAGE}", PAGES, H1),
            "Page, HTTPS, HTTP/1.1": lambda: _rate(secure, f"{tls}{PAGE}", PAGES, H1),
            "Page, HTTPS, HTTP/2": lambda: _rate(secure, f"{tls}{PAGE}", PAGES),
            "Static file, HTTP/1.1": lambda: _rate(plain, f"{http}{FILE}", FILES, H1),
            "Static file, HTTPS, HTTP/2": lambda: _rate(secure, f"{tls}{FILE}", FILES),
        }
        for _ in range(rounds):
            for what, ask in asked.items():
                rates.add(what, ask())
        _handshakes(rates, "New connections, ECDSA P-256", secure, rounds)
        issued = site(SITE_NAME, key=rsa_key(2048))
        key = {"tls_certificate": chain(issued, intermediate()), "tls_key": issued.key_pem()}
        RoleWithTls(place, tls="provided", **key).deploy(secure)
        _handshakes(rates, "New connections, RSA 2048", secure, rounds)
    pages = rates.median("Page, HTTPS, HTTP/1.1") / rates.median("Page, HTTP/1.1")
    files = rates.median("Static file, HTTPS, HTTP/2") / rates.median("Static file, HTTP/1.1")
    lines = [
        f"| {CLIENTS} connections at a time | Median, 1/s | Slowest–fastest, 1/s |",
        "|---|---:|---:|",
        *map(rates.row, rates.found),
        "",
        f"Rounds: {rounds}. Cores, for the visitors and both containers together: {os.cpu_count()}."
        " Connections are kept, except for the last two lines.",
        "",
        f"**Target: pages over HTTPS at least {LEAST_PAGES} × and static files over HTTP/2 at least {LEAST_FILES} ×"
        f" plain HTTP. Measured: {pages:.2f} × and {files:.2f} ×."
        f" {verdict((pages < LEAST_PAGES) + (files < LEAST_FILES), 0)}.**",
    ]
    publish(HTTPS, "\n".join(lines))


def _handshakes(rates: Rates, what: str, target: Machine, rounds: int) -> None:
    for _ in range(rounds):
        output = _send(target, "ab", f"-n{HANDSHAKES}", f"-c{CLIENTS}", f"https://{SITE_NAME}{FILE}")
        found = re.search(r"Requests per second: +([0-9.]+)", output)
        if not found or f"Complete requests:      {HANDSHAKES}\n" not in output or "Non-2xx" in output:
            raise BenchmarkError(f"not every new connection was answered well:\n{output}")
        rates.add(what, float(found[1]))


def _rate(target: Machine, url: str, requests: int, *options: str) -> float:
    """Return the requests per second that a machine answers.

    :raises BenchmarkError: if one of them is not answered with 2xx.
    """
    output = _send(target, "h2load", *options, f"-n{requests}", f"-c{CLIENTS}", url)
    found = re.search(r"finished in [^,]+, ([0-9.]+) req/s", output)
    good = re.search(r"status codes: (\d+) 2xx", output)
    if not found or not good or int(good[1]) != requests:
        raise BenchmarkError(f"not every request for {url} was answered well:\n{output}")
    return float(found[1])


def _send(target: Machine, *command: str) -> str:
    return run("docker", "run", "--rm", f"--add-host={SITE_NAME}:{target.address}", LOAD_IMAGE, *command)
