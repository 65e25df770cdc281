"""Fixtures of the tests of messages about failures: a site, receivers, and what systemd and the journal say."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from blogctl.host import journal, systemd
from blogctl.site import Site


@dataclass
class Receiver:
    """A web server that takes messages: what it got, what it answers, and how slowly."""

    port: int
    status: int = 200
    delay: float = 0.0
    location: str = ""
    #: method, path, headers, body
    got: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks/T0K3N"

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, _, _, body in self.got if body]

    @property
    def paths(self) -> list[str]:
        return [path for _, path, _, _ in self.got]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    held: list[Receiver] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            held[0].got.append((self.command, self.path, dict(self.headers), body))
            time.sleep(held[0].delay)
            self.send_response(held[0].status)
            if held[0].location:
                self.send_header("Location", held[0].location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        running.block_on_close = False
        held.append(Receiver(running.server_port))
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield held[0]
        running.shutdown()
        thread.join()


@pytest.fixture
def site(site: Site, tmp_path: Path) -> Site:
    site.settings.update(
        check_unit="blog-notify-check.service",
        certificate_unit="blog-certificate.service",
        notify_config=str(tmp_path / "etc" / "blog" / "notify.json"),
        notify_state=str(tmp_path / "opt" / "state" / "notify"),
        notify_aside=str(tmp_path / "runtime" / "blog.notify"),
    )
    site.path("state").mkdir()
    (site.path("config") / "site.json").write_text(json.dumps(site.settings))
    return site


@pytest.fixture
def tell(site: Site) -> Callable[..., None]:
    """Write who is told."""

    def write(**settings: Any) -> None:
        site.path("notify_config").write_text(json.dumps(settings))

    return write


@dataclass
class Unit:
    """What systemd says about the unit of a job, and what its last run has written."""

    result: str = "exit-code"
    invocation: str = "1"
    lines: str = "blogctl: The backup of blog failed: no space left on device"

    def fails(self) -> None:
        self.result, self.invocation = "exit-code", str(int(self.invocation) + 1)


@pytest.fixture
def unit(monkeypatch: pytest.MonkeyPatch) -> Unit:
    found = Unit()

    def properties(_: str, *names: str) -> dict[str, str]:
        known = {"Result": found.result, "InvocationID": found.invocation, "ExecMainStatus": "1"}
        return {name: known[name] for name in names if name in known}

    monkeypatch.setattr(systemd, "properties_of", properties)
    monkeypatch.setattr(journal, "end_of_run", lambda *_: found.lines)
    monkeypatch.setattr(journal, "last_lines", lambda *_: found.lines)
    monkeypatch.setattr(journal, "log", lambda *_: None)
    monkeypatch.delenv("MONITOR_EXIT_STATUS", raising=False)
    return found
