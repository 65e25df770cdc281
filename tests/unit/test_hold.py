"""Reserving the addresses of a socket unit: no program but systemd can listen there."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import cage, hold, host
from ansible_collections.flaskblog.hosting.plugins.module_utils import hold_program as program

UNIT = "[Socket]\nListenStream={}\nBacklog=2048\n"
#: An account that is neither root nor this process's.
STRANGER = 65534
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="another account can be tried by root alone")


def open_socket(host: str, port: int, *, reuse: bool, reuse_port: bool) -> socket.socket:
    one = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, reuse_port)
    return one


def listening(host: str, port: int, *, reuse: bool = True, reuse_port: bool = True) -> socket.socket:
    """Listen as systemd does for a unit with C(ReusePort=yes)."""
    one = open_socket(host, port, reuse=reuse, reuse_port=reuse_port)
    try:
        one.bind((host, port))
        one.listen(5)
    except OSError:
        one.close()
        raise
    return one


@contextlib.contextmanager
def another_account() -> Iterator[None]:
    os.seteuid(STRANGER)
    try:
        yield
    finally:
        os.seteuid(0)


def can_listen(host: str, port: int) -> bool:
    """Return whether an account can bind an address in any way."""
    for reuse in (True, False):
        for reuse_port in (True, False):
            with contextlib.suppress(OSError):
                listening(host, port, reuse=reuse, reuse_port=reuse_port).close()
                return True
    return False


@pytest.fixture(params=["127.0.0.1:{}", "[::1]:{}"], ids=["IPv4", "IPv6"])
def address(request: pytest.FixtureRequest) -> str:
    """A free address."""
    text = str(request.param)
    place = program.split(text.format(0))[0]
    try:
        with socket.socket(socket.AF_INET6 if ":" in place else socket.AF_INET) as one:
            one.bind((place, 0))
            return text.format(one.getsockname()[1])
    except OSError:
        pytest.skip("this machine has no IPv6")


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
                    if not _is_free(place, port):
                        break
                    over.wait(0.05)
                assert not _is_free(place, port)
                listening(place, port).close()
            finally:
                process.send_signal(signal.SIGTERM)
    assert process.returncode == -signal.SIGTERM


def _is_free(place: str, port: int) -> bool:
    with contextlib.suppress(OSError):
        listening(place, port, reuse=False, reuse_port=False).close()
        return True
    return False


# -- starting it ----------------------------------------------------------------------------------------------------


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that were run."""
    commands: list[list[str]] = []

    def remember(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(command, 0, stdout="systemd 252", stderr="")

    monkeypatch.setattr(subprocess, "run", remember)
    monkeypatch.setattr(cage, "prepare", lambda: None)
    monkeypatch.setattr(cage, "systemd_version", lambda: 252)
    return commands


@pytest.mark.parametrize(
    ("unit", "found"),
    [
        (UNIT.format("127.0.0.1:8000"), ["127.0.0.1:8000"]),
        (UNIT.format("[::1]:8000"), ["[::1]:8000"]),
        (UNIT.format("/run/flask-blog-hosting/blog.sock"), []),
        ("", []),
    ],
)
def test_the_addresses_of_a_socket_unit(unit: str, found: list[str]) -> None:
    assert hold.addresses(unit) == found


def test_the_old_and_the_new_address_are_kept_by_one_unit(
    tmp_path: Path, run: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[str] = []

    def bind(address: str) -> list[socket.socket]:
        kept.append(address)
        return []

    monkeypatch.setattr(program, "bind", bind)
    (tmp_path / "blog.socket").write_text(UNIT.format("127.0.0.1:8000"))
    hold.start("blog", str(tmp_path / "blog.socket"), UNIT.format("[::1]:8010"))
    assert kept == ["[::1]:8010", "127.0.0.1:8000"]
    stop, start = run
    assert stop[-2:] == ["stop", "blog-hold.service"]
    assert start[-2:] == kept
    assert "--unit=blog-hold.service" in start


def test_while_an_earlier_holder_is_replaced_the_new_address_stays_taken(
    tmp_path: Path, address: str, run: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    remember = subprocess.run
    free: list[bool] = []

    def look(command: list[str], **more: Any) -> Any:
        free.append(_is_free(*program.split(address)))
        return remember(command, **more)

    monkeypatch.setattr(subprocess, "run", look)
    hold.start("blog", str(tmp_path / "blog.socket"), UNIT.format(address))
    assert free == [False, False]
    assert _is_free(*program.split(address)), "it is the unit's then"


def test_a_unix_socket_needs_no_holder(tmp_path: Path, run: list[list[str]]) -> None:
    hold.start("blog", str(tmp_path / "blog.socket"), UNIT.format("/run/flask-blog-hosting/blog.sock"))
    assert run == []


@pytest.mark.parametrize(
    ("listeners", "words"),
    [([(7, "nc", "")], "taken by nc (process 7)"), ([], "taken by a program that does not listen there")],
)
def test_a_new_address_of_somebody_else_ends_the_run_with_who_has_it(
    tmp_path: Path,
    address: str,
    run: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
    listeners: list[tuple[int, str, str]],
    words: str,
) -> None:
    monkeypatch.setattr(host, "listeners", lambda _: listeners)
    monkeypatch.setattr(host, "sockets_on", lambda _: [])
    with listening(*program.split(address), reuse_port=False), pytest.raises(hold.HoldError) as caught:
        hold.start("blog", str(tmp_path / "blog.socket"), UNIT.format(address))
    message = str(caught.value)
    assert message.startswith(f"flask_blog_bind: '{address}'")
    assert words in message
    assert message.endswith("the site's files were not changed.")
    assert run == []


def test_an_address_that_this_host_lacks_is_named(tmp_path: Path, run: list[list[str]]) -> None:
    # TEST-NET-1 (RFC 5737) stands for it.
    with pytest.raises(hold.HoldError, match=r"flask_blog_bind: '192.0.2.1:8000': it cannot be bound"):
        hold.start("blog", str(tmp_path / "blog.socket"), UNIT.format("192.0.2.1:8000"))
    assert run == []


@pytest.mark.parametrize("where", ["same", "old"])
def test_the_sites_own_socket_from_before_reuse_port_does_not_end_the_run(
    tmp_path: Path, address: str, run: list[list[str]], monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(host, "listeners", lambda _: [(1, "systemd", "")])
    monkeypatch.setattr(host, "sockets_on", lambda _: ["blog.socket"])
    monkeypatch.setattr(hold, "allow_beside", lambda _: None)  # as if the kernel does not permit it
    (tmp_path / "blog.socket").write_text(UNIT.format(address))
    with listening(*program.split(address), reuse_port=False):
        wanted = address if where == "same" else "/run/flask-blog-hosting/blog.sock"
        hold.start("blog", str(tmp_path / "blog.socket"), UNIT.format(wanted))
    assert run[-1][-1] == address


@AS_ROOT
def test_the_sites_own_socket_from_before_reuse_port_is_kept_beside(
    tmp_path: Path, address: str, run: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    place, port = program.split(address)
    monkeypatch.setattr(hold, "is_ours", lambda name, _: name == "blog")
    # In place of systemd, this process has the listening socket.
    monkeypatch.setattr(hold.allow_beside, "__defaults__", (os.getpid(),))
    before = listening(place, port, reuse_port=False)
    visitor = socket.create_connection((place, port))
    connection = before.accept()[0]
    kept: list[bool] = []

    def look(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        before.close()
        with another_account():
            kept.append(not can_listen(place, port))
        return subprocess.CompletedProcess(command, 0, stdout="", stderr="")

    monkeypatch.setattr(subprocess, "run", look)
    hold.start("blog", str(tmp_path / "blog.socket"), UNIT.format(address))
    assert kept == [True, True]
    connection.close()
    visitor.close()


def test_a_socket_of_somebody_else_is_never_changed(
    tmp_path: Path, address: str, run: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hold, "allow_beside", lambda *_: pytest.fail("it is not the site's"))
    monkeypatch.setattr(host, "listeners", lambda _: [(1, "systemd", "")])
    monkeypatch.setattr(host, "sockets_on", lambda _: ["other.socket"])
    with listening(*program.split(address), reuse_port=False), pytest.raises(hold.HoldError, match=r"other\.socket"):
        hold.start("blog", str(tmp_path / "blog.socket"), UNIT.format(address))


def test_a_holder_that_does_not_start_ends_the_run(
    tmp_path: Path, address: str, run: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, stdout="", stderr="no bus\n")

    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(hold.HoldError, match=r"blog-hold.service, .* does not start: no bus. The site's files were"):
        hold.start("blog", str(tmp_path / "blog.socket"), UNIT.format(address))


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize(("port", "powers"), [(8000, ""), (80, "CAP_NET_BIND_SERVICE")])
def test_the_holder_is_root_without_capabilities_in_the_hosts_network(port: int, powers: str) -> None:
    found = hold.properties([f"127.0.0.1:{port}"])
    assert found["CapabilityBoundingSet"] == powers
    assert "User" not in found, "the kernel lets in the same account alone, which is systemd's"
    assert "PrivateNetwork" not in found
    assert "BindPaths" not in found
