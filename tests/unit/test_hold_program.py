"""The program that holds addresses for a socket unit: nobody but systemd can listen there."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import cage
from ansible_collections.flaskblog.hosting.plugins.module_utils import hold_program as program
from listeners import AS_ROOT, another_account, can_listen, is_free, listening, open_socket


@pytest.fixture
def held(address: str) -> Generator[list[socket.socket], None, None]:
    found = program.bind(address)
    yield found
    program.close(found)


@AS_ROOT
@pytest.mark.usefixtures("held")
def test_no_other_account_listens_at_an_address_that_is_kept(address: str) -> None:
    place, port = program.split(address)
    with another_account():
        assert not can_listen(place, port)
        assert not can_listen("::" if ":" in place else "0.0.0.0", port)  # noqa: S104


@pytest.mark.usefixtures("held")
def test_systemd_listens_at_an_address_that_is_kept_and_gets_every_connection(address: str) -> None:
    place, port = program.split(address)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((place, port))
    with listening(place, port) as systemd:
        systemd.settimeout(5)
        for _ in range(20):
            with socket.create_connection((place, port), timeout=5):
                systemd.accept()[0].close()


@AS_ROOT
def test_an_account_that_has_bound_the_address_before_can_not_listen_later(address: str) -> None:
    place, port = program.split(address)
    with another_account():
        early = open_socket(place, port, reuse=True, reuse_port=True)
        early.bind((place, port))
    held = program.bind(address)
    with another_account(), pytest.raises(OSError, match="in use"):
        early.listen(5)
    listening(place, port).close()
    early.close()
    program.close(held)


@AS_ROOT
def test_an_account_that_listens_before_the_address_is_kept_for_good_is_noticed(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, port = program.split(address)
    taken: list[socket.socket] = []
    bound = program._bound

    def overtaken(*where: Any) -> socket.socket:
        if taken:
            return bound(*where)
        one = open_socket(place, port, reuse=True, reuse_port=True)
        one.bind((place, port))
        with another_account():
            taken.append(listening(place, port))
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        return one

    monkeypatch.setattr(program, "_bound", overtaken)
    with pytest.raises(OSError, match="in use"):
        program.bind(address)
    taken[0].close()


@AS_ROOT
def test_an_address_with_connections_of_the_app_is_kept_once_its_socket_is_closed(address: str) -> None:
    place, port = program.split(address)
    with listening(place, port) as systemd:
        visitor = socket.create_connection((place, port))
        with another_account():
            connection = systemd.accept()[0]
        held = program.bind(address)
    with another_account():
        assert not can_listen(place, port)
        connection.close()
        assert not can_listen(place, port)
    visitor.close()
    listening(place, port).close()
    program.close(held)


def test_an_address_of_somebody_else_is_not_kept(address: str) -> None:
    place, port = program.split(address)
    with listening(place, port, reuse_port=False), pytest.raises(OSError, match="in use") as caught:
        program.bind(address)
    assert caught.value.errno == errno.EADDRINUSE
    program.close(program.bind(address))


def test_the_program_is_ready_at_once_and_takes_what_is_free_later(address: str, tmp_path: Path) -> None:
    place, port = program.split(address)
    text = cage.source_of(program)
    assert "$" not in text, "systemd would replace what follows"
    taken = listening(place, port, reuse_port=False)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(tmp_path / "notify"))
        notify.settimeout(20)
        environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")}
        with subprocess.Popen([sys.executable, "-I", "-c", text, address], env=environment) as process:
            try:
                assert notify.recv(100) == b"READY=1"
                taken.close()
                over = threading.Event()
                for _ in range(200):
                    if not is_free(place, port):
                        break
                    over.wait(0.05)
                assert not is_free(place, port)
                listening(place, port).close()
            finally:
                process.send_signal(signal.SIGTERM)
    assert process.returncode == -signal.SIGTERM
