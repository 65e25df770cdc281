"""Fixtures of the unit tests: an account that every computer has, a module's run, a site in a temporary folder."""

from __future__ import annotations

import contextlib
import gc
import grp
import http.server
import json
import os
import pwd
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.flaskblog.hosting.plugins.module_utils import hold_program
from blogctl import site as blogctl_site
from blogctl.data import process
from blogctl.shared import contract
from blogctl.site import Site


@dataclass(frozen=True)
class Account:
    """An account and its group."""

    user: str
    group: str
    uid: int
    gid: int


@pytest.fixture
def me() -> Account:
    """The account that runs the tests: the only one that files can be given to without root."""
    uid, gid = os.getuid(), os.getgid()
    return Account(pwd.getpwuid(uid).pw_name, grp.getgrgid(gid).gr_name, uid, gid)


@dataclass
class Outcome:
    """How a module ended: what it said, and whether that was a failure."""

    failed: bool
    said: dict[str, Any]


RunModule = Callable[..., Outcome]


@pytest.fixture
def run_module(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> RunModule:
    """Run a module's main() with arguments, as Ansible does on the host."""
    monkeypatch.setattr(os, "nice", lambda _: 0)  # the tests go on after the module

    def run(module: ModuleType, *, check_mode: bool = False, **arguments: Any) -> Outcome:
        with patch_module_args({**arguments, "_ansible_check_mode": check_mode}), pytest.raises(SystemExit):
            module.main()
        said = json.loads(capsys.readouterr().out)
        return Outcome(bool(said.get("failed")), said)

    return run


@pytest.fixture
def ownerless(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
    """Record who would own what, for code that gives files to root: the tests need not be root."""
    given: list[tuple[str, int, int]] = []

    def chown(path: Any, uid: int, gid: int, **_: Any) -> None:
        given.append((str(path), uid, gid))

    monkeypatch.setattr(os, "chown", chown)
    return given


@dataclass
class Server:
    """A web server for one test: what it answers by path, and what it was asked."""

    port: int
    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    #: where it redirects, by path
    locations: dict[str, str] = field(default_factory=dict)
    #: the type of what it answers, by path
    kinds: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    #: where a redirect leads
    location: str = ""


@pytest.fixture
def server() -> Iterator[Server]:
    """A web server on a free port of this computer; a path that it does not know is 404."""
    held: list[Server] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            held[0].asked.append((self.path, dict(self.headers)))
            status, body = held[0].answers.get(self.path, (404, b"no such page"))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if kind := held[0].kinds.get(self.path):
                self.send_header("Content-Type", kind)
            if location := held[0].locations.get(self.path):
                self.send_header("Location", location)
            if held[0].location:
                self.send_header("Location", held[0].location)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("", 0), Handler) as running:
        held.append(Server(running.server_port))
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield held[0]
        running.shutdown()
        thread.join()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, me: Account) -> Site:
    """A site of blogctl whose every path lies in a temporary folder, with an empty data folder."""
    monkeypatch.setattr(contract, "RUNTIME", str(tmp_path / "runtime"))
    monkeypatch.setattr(blogctl_site, "CONFIGURATION", tmp_path / "etc")
    # The process that works on the data runs without a unit.
    monkeypatch.setenv(process.CONFINED, "yes")
    settings: dict[str, Any] = {
        "name": "blog",
        "user": me.user,
        "group": me.group,
        "host": "blog.test",
        "link": str(tmp_path / "www" / "blog"),
        "root": str(tmp_path / "opt"),
        "state": str(tmp_path / "opt" / "state"),
        "releases": str(tmp_path / "opt" / "releases"),
        "venvs": str(tmp_path / "opt" / "venvs"),
        "initial_data": str(tmp_path / "opt" / "initial-data.tar.gz"),
        "data": str(tmp_path / "data"),
        "config": str(tmp_path / "etc" / "blog"),
        "proxy_key": str(tmp_path / "etc" / "blog" / "proxy-key.conf"),
        "backups": str(tmp_path / "backups"),
        "run_directory": str(tmp_path / "run"),
        "socket_unit": "blog.socket",
        "service_unit": "blog.service",
        "environment": str(tmp_path / "etc" / "blog" / "environment"),
        "settings_files": [str(tmp_path / "etc" / "blog" / "environment")],
        "bind": "127.0.0.1:1",
        "health_path": "/healthz",
        "public_schemes": ["http"],
        "wsgi": "app:app",
        "static": {"/static/": "static/"},
        "rehearse": True,
        "keep_releases": 3,
        "init_commands": [],
        "release_commands": [],
        "after_release_commands": [],
        "command_timeout": 5,
        "activation_timeout": 0,
        "backup_keep": {"daily": 7, "weekly": 4, "monthly": 6},
        "sandbox": {"ProtectSystem": "strict", "RestrictAddressFamilies": "AF_INET AF_UNIX"},
    }
    for key in ("data", "config", "backups", "run_directory", "releases", "venvs"):
        Path(settings[key]).mkdir(parents=True)
    (tmp_path / "runtime").mkdir()
    return Site(settings)


@pytest.fixture
def add_release(site: Site) -> Callable[[str], Path]:
    """Put a release with a gunicorn for this Python on the host."""

    def add(name: str) -> Path:
        folder = site.path("releases") / name
        program = folder / "venv" / "bin" / "gunicorn"
        program.parent.mkdir(parents=True)
        (program.parent / "python").symlink_to(sys.executable)
        minor = f"python{sys.version_info.major}.{sys.version_info.minor}"
        (folder / "venv" / "lib" / minor / "site-packages" / "gunicorn").mkdir(parents=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        (folder / ".release.json").write_text(
            json.dumps({"id": name, "digest": "0", "app_dir": ".", "source_root": ""})
        )
        return folder

    return add


@pytest.fixture
def nothing_hangs() -> Iterator[None]:
    """End a test that waits for the other end of a FIFO."""
    signal.alarm(20)
    yield
    signal.alarm(0)


def _open_descriptors() -> set[tuple[str, str]]:
    """Return the open descriptors of this process, each with what it leads to."""
    found = set[tuple[str, str]]()
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # that of this list
            found.add((number, os.readlink(f"/proc/self/fd/{number}")))
    return found


@pytest.fixture
def descriptors() -> Iterator[None]:
    """No test leaves a descriptor open."""
    # What an earlier test has left to the garbage collector would be closed in the middle of this one.
    gc.collect()
    before = _open_descriptors()
    yield
    # A thread that an earlier test has left, such as that of a server, may have one open for a moment.
    deadline = time.monotonic() + 2
    while (left := _open_descriptors() - before) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not left


@pytest.fixture(params=["127.0.0.1:{}", "[::1]:{}"], ids=["IPv4", "IPv6"])
def address(request: pytest.FixtureRequest) -> str:
    """A free address."""
    text = str(request.param)
    place = hold_program.split(text.format(0))[0]
    try:
        with socket.socket(socket.AF_INET6 if ":" in place else socket.AF_INET) as one:
            one.bind((place, 0))
            return text.format(one.getsockname()[1])
    except OSError:
        pytest.skip("this machine has no IPv6")
