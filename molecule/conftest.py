"""Fixtures of all scenarios.

Tests use a machine from outside: a `Visitor` sends HTTP requests to its address, an `Operator` runs playbooks against
it and commands on it.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import secrets
import socket
import subprocess
import time
import urllib.parse
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest
import yaml
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# Added to the report of a failed test: titles, and commands that run on its machine.
EVIDENCE = {
    "the last lines of the blog's journal": "journalctl --unit 'flask-blog*' --lines 40 --no-pager",
    "the errors in it": "journalctl --unit 'flask-blog*' --grep '[A-Z][a-z]+Error|Exception' --lines 40 --no-pager",
    # nginx writes what it cannot read, such as TLS without the PROXY protocol, as it is.
    "the last lines of nginx's errors": "tail -qn 40 /var/log/nginx/*error.log | LC_ALL=C tr -cd '[:print:]\\n'",
    "failed units": "systemctl --failed --no-legend --plain",
}
CSRF_FIELD = re.compile(r'name="csrf_token"[^>]* value="([^"]+)"')


def pytest_configure(config: pytest.Config) -> None:
    """Reach all machines by `docker exec`, which is fast, also those that Ansible reaches over SSH."""
    config.addinivalue_line("markers", "machine(number, ...): run on the machines with these versions of Debian alone")
    inventory_file = os.environ.get("MOLECULE_INVENTORY_FILE")
    if inventory_file and not config.option.hosts:
        inventory = yaml.safe_load(Path(inventory_file).read_text())
        # A scenario may have machines that host no blogs.
        machines = inventory.get("flask_blogs", inventory["all"])["hosts"]
        config.option.hosts = ",".join(f"docker://{name}" for name in machines)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests that run on the other machine."""
    others = [
        item
        for item in items
        for mark in item.iter_markers("machine")
        if not re.search(rf"(debian|ssh)({'|'.join(map(str, mark.args))})\b", item.name)
    ]
    items[:] = [item for item in items if item not in others]
    config.hook.pytest_deselected(items=others)


class ByMachine(LoadScopeScheduling):
    """Run the tests of each machine in one process, in their order, and the machines in parallel."""

    def _split_scope(self, nodeid: str) -> str:
        """Return the machine of a test. Tests without one share a process."""
        machines: list[str] = self.config.option.hosts.split(",")
        return next((machine for machine in machines if f"[{machine}" in nodeid), "")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Replace the scheduler of pytest-xdist."""
    return ByMachine(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the output of EVIDENCE to the report of a failed test."""
    report = yield
    host = getattr(item, "funcargs", {}).get("host")
    if report.failed and host is not None:
        for title, command in EVIDENCE.items():
            output = host.run(command).stdout.strip()
            report.sections.append((f"{title} ({host.backend.get_pytest_id()})", output or "(none)"))
    return report


# -- asking the site ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """The response to a request. Redirects are not followed."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


@dataclass
class Visitor:
    """A client of a site, with cookies; it sends any host name to the machine's address, without DNS."""

    address: str
    host: str | None
    port: int = 80
    cookies: dict[str, str] = field(default_factory=dict)

    def ask(
        self,
        path: str,
        headers: Mapping[str, str] | None = None,
        method: str = "GET",
        body: bytes | None = None,
        timeout: float = 20,
    ) -> Answer:
        """Send one request, its path exactly as given.

        :raises OSError: if nobody listens.
        :raises http.client.RemoteDisconnected: if the connection is closed without an answer.
        """
        connection = http.client.HTTPConnection(self.address, self.port, timeout=timeout)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            if self.host is not None:
                connection.putheader("Host", self.host)
            if self.cookies:
                connection.putheader("Cookie", "; ".join(f"{name}={value}" for name, value in self.cookies.items()))
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            for name, value in (headers or {}).items():
                connection.putheader(name, value)
            connection.endheaders(body)
            response = connection.getresponse()
            answer = Answer(response.status, response.headers, response.read())
        finally:
            connection.close()
        for header in answer.headers.get_all("Set-Cookie", []):
            # As a browser does on plain HTTP: a secure cookie is not sent back.
            found = SimpleCookie(header).items()
            self.cookies.update({name: morsel.value for name, morsel in found if not morsel["secure"]})
        return answer

    def submit(
        self, path: str, fields: Mapping[str, str], files: Mapping[str, tuple[str, bytes]] | None = None
    ) -> Answer:
        """Send a page's form with its CSRF token."""
        token = CSRF_FIELD.search(self.ask(path).text)
        assert token, f"{path} shows no form"
        fields = {**fields, "csrf_token": token[1]}
        if not files:
            body, kind = urllib.parse.urlencode(fields).encode(), "application/x-www-form-urlencoded"
        else:
            boundary = secrets.token_hex(16)
            parts = [(f'name="{name}"', value.encode()) for name, value in fields.items()]
            parts += [(f'name="{name}"; filename="{file}"', content) for name, (file, content) in files.items()]
            lines = (
                f"--{boundary}\r\nContent-Disposition: form-data; {what}\r\n\r\n".encode() + value + b"\r\n"
                for what, value in parts
            )
            body, kind = b"".join(lines) + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"
        return self.ask(path, {"Content-Type": kind}, method="POST", body=body)

    def can_connect(self, port: int) -> bool:
        """Return whether a port of this machine accepts connections from outside."""
        with socket.socket() as client:
            client.settimeout(5)
            return client.connect_ex((self.address, port)) == 0


# -- working on the machine ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """A finished run of Ansible."""

    output: str
    returncode: int

    @property
    def changed(self) -> int:
        """The number of tasks that changed something, or would.

        :raises AssertionError: if a task failed.
        """
        assert self.returncode == 0, self.output
        return sum(int(number) for number in re.findall(r"\bchanged=(\d+)", self.output))


@dataclass(frozen=True)
class Operator:
    """Root on one machine, with Ansible on the controller."""

    machine: str
    folder: Path

    def play(self, *arguments: str, playbook: str = "converge.yml") -> Run:
        """Run a playbook of the scenario against this machine alone."""
        command = ["ansible-playbook", "--inventory", os.environ["MOLECULE_EPHEMERAL_DIRECTORY"] + "/inventory"]
        command += ["--limit", f"{self.machine},localhost", *arguments, str(self.folder / playbook)]
        # Molecule asks for colours; their codes would be inside the text that tests look for.
        plain = {**os.environ, "ANSIBLE_FORCE_COLOR": "false", "ANSIBLE_NOCOLOR": "true"}
        result = subprocess.run(command, env=plain, capture_output=True, text=True, check=False)
        return Run(result.stdout + result.stderr, result.returncode)

    def python(self, code: str, *arguments: object, user: str = "root") -> Any:
        """Run Python on the machine as some account; `code` finds its arguments in `args` and prints JSON.

        :raises AssertionError: with the traceback, if it fails.
        """
        program = f"import json, sys\nargs = json.loads(sys.argv[1])\n{code}"
        command = ["docker", "exec", self.machine, "runuser", "-u", user, "--", "python3", "-c", program]
        result = subprocess.run([*command, json.dumps(arguments)], capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout or "null")

    def address(self) -> str:
        """Return the machine's address, which a reboot may change."""
        template = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        command = ["docker", "inspect", "--format", template, self.machine]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def reboot(self) -> None:
        """Shut the machine down and start it again."""
        subprocess.run(["docker", "restart", "--time", "60", self.machine], capture_output=True, check=True)


@pytest.fixture(scope="module")
def operator(host: Any, request: pytest.FixtureRequest) -> Operator:
    """The operator of the machine that is tested."""
    return Operator(host.backend.name, request.path.parent)


@pytest.fixture(scope="module")
def visit(operator: Operator) -> Callable[..., Visitor]:
    """Make visitors of a site of the machine that is tested: visit(host), visit(host, port)."""

    def new(host: str | None, port: int = 80) -> Visitor:
        return Visitor(operator.address(), host, port)

    return new


@pytest.fixture(scope="module")
def eventually() -> Callable[..., None]:
    """Wait until something is true: eventually(lambda: ..., seconds). While nobody listens there, it is not."""

    def is_so(happened: Callable[[], object]) -> bool:
        try:
            return bool(happened())
        except (ConnectionError, http.client.RemoteDisconnected):
            return False

    def wait(happened: Callable[[], object], seconds: float = 30) -> None:
        began = time.monotonic()
        while not is_so(happened):
            assert time.monotonic() < began + seconds, f"did not happen within {seconds} s"
            # Each look costs a process on the machine: one that has to wait for long looks less often.
            time.sleep(0.2 if time.monotonic() < began + 2 else 0.5)

    return wait
