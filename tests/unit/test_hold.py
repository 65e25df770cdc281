"""Reserving the addresses of a socket unit before it listens there."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import cage, hold, host
from ansible_collections.flaskblog.hosting.plugins.module_utils import hold_program as program
from listeners import AS_ROOT, another_account, can_listen, is_free, listening

UNIT = "[Socket]\nListenStream={}\nBacklog=2048\n"


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
        free.append(is_free(*program.split(address)))
        return remember(command, **more)

    monkeypatch.setattr(subprocess, "run", look)
    hold.start("blog", str(tmp_path / "blog.socket"), UNIT.format(address))
    assert free == [False, False]
    assert is_free(*program.split(address)), "it is the unit's then"


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
