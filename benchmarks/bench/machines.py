"""The machines that the contenders deploy on: containers that are reached over SSH."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "benchmarks"
BLOG = ROOT / "examples" / "blog"
LEDGER = ROOT / "tests" / "blogs" / "ledger"
IMAGE = "flaskblog/bench:12-ssh"
#: What sends requests, beside the machines.
LOAD_IMAGE = "flaskblog/bench:load"
USER = "admin"
#: The blog's host name, the same for all contenders.
SITE_NAME = "blog.test"
#: Pages that a deployment must serve before its time is taken.
PAGES = ("/", "/healthz", "/static/css/blog.css")


class BenchmarkError(Exception):
    """A machine or a contender failed; the message names it and has the end of its output."""


def run(*command: str | Path, environment: dict[str, str] | None = None, log: Path | None = None) -> str:
    """Run a command in the checkout and return its output.

    :param environment: the whole environment of the command; None for that of this process.
    :param log: a file that gets the output as well.
    :raises BenchmarkError: if the command fails.
    """
    result = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if log:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(result.stdout, encoding="utf-8")
    if result.returncode:
        last = "\n".join(result.stdout.splitlines()[-40:])
        raise BenchmarkError(f"'{' '.join(str(part) for part in command[:3])} ...' failed:\n{last}")
    return result.stdout


def build_load_image() -> None:
    """Build the image of what sends requests, unless Docker has it already."""
    build_image(LOAD_IMAGE, "--target", "load")


def build_image(image: str = IMAGE, *options: str) -> None:
    """Build the image of all machines, or another one, unless Docker has it already."""
    with tempfile.TemporaryDirectory(prefix="flask-blog-bench-") as context:
        for path in (BENCHMARKS / "Dockerfile", BENCHMARKS / "pip.conf", BLOG / "requirements.txt"):
            shutil.copy(path, context)
        run("docker", "build", "--tag", image, *options, context)


@dataclass(frozen=True)
class Machine:
    """A running machine."""

    name: str
    address: str

    def get(self, path: str, timeout: float = 10) -> tuple[int, int]:
        """Request a page of the blog; return its status and its length in bytes."""
        connection = http.client.HTTPConnection(self.address, 80, timeout=timeout)
        try:
            connection.request("GET", path, headers={"Host": SITE_NAME})
            response = connection.getresponse()
            return response.status, len(response.read())
        finally:
            connection.close()

    def must_serve(self, pages: Sequence[str] = PAGES) -> None:
        """Request each of some pages.

        :raises BenchmarkError: if one of them is not served.
        """
        for path in pages:
            try:
                status, length = self.get(path)
            except (OSError, http.client.HTTPException) as error:
                raise BenchmarkError(f"{self.name} does not serve {path}: {error}") from error
            if status != 200 or not length:
                raise BenchmarkError(f"{self.name} answers {path} with status {status}, {length} bytes")

    def execute(self, *command: str) -> str:
        """Run a command on the machine as root, past SSH."""
        return run("docker", "exec", self.name, *command)


def remove(name: str) -> None:
    """Remove a machine, if it exists."""
    subprocess.run(["docker", "rm", "--force", "--volumes", name], capture_output=True, check=False)


@contextlib.contextmanager
def machine(purpose: str) -> Iterator[Machine]:
    """Start a machine, wait until SSH answers, and always remove it at the end."""
    name = f"{os.environ.get('FLASKBLOG_MACHINES', 'flaskblog')}-bench-{purpose}"
    remove(name)
    try:
        run(ROOT / "containers" / "run", name, IMAGE)
        address = run(
            "docker", "inspect", "--format", "{{ range .NetworkSettings.Networks }}{{ .IPAddress }}{{ end }}", name
        ).strip()
        _wait_for_ssh(address)
        yield Machine(name, address)
    finally:
        remove(name)


def ssh_key() -> Path:
    """Return the key that opens the machines."""
    return ROOT / ".dev" / "ssh" / "id_ed25519"


def ssh_options() -> dict[str, str]:
    """Return OpenSSH's options for a temporary machine."""
    return {"UserKnownHostsFile": "/dev/null", "StrictHostKeyChecking": "no", "LogLevel": "ERROR"}


def _wait_for_ssh(address: str) -> None:
    options = [f"-o{name}={value}" for name, value in ssh_options().items()]
    command = ["ssh", "-F", "none", *options, "-i", str(ssh_key()), f"{USER}@{address}", "sudo true"]
    deadline = time.monotonic() + 20
    while True:
        result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if result.returncode == 0:
            return
        if time.monotonic() > deadline:
            raise BenchmarkError(f"SSH to {address} does not work: {result.stderr.strip()}")
        time.sleep(0.2)
