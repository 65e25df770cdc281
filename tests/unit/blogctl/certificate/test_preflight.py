"""What is found out about a name before an authority is asked for it."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from blogctl.certificate import preflight
from blogctl.certificate.preflight import READY, UNPROVEN, WELL_KNOWN, WRONG, examine
from blogctl.shared import addresses
from blogctl.site import Site

NAME = "blog.example.com"
#: Reserved for documentation (RFC 5737).
FOREIGN = "192.0.2.9"


@pytest.fixture
def host(server: Any, acme: Site, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A web server on this computer that answers on the authority's port as the site would."""
    monkeypatch.setattr(preflight, "PORT", server.port)
    monkeypatch.setattr(addresses, "of_host", lambda: {"198.51.100.7"})
    monkeypatch.setattr(addresses, "of_host_v6", set)

    class Files(dict[str, tuple[int, bytes]]):
        def get(self, path: str, default: Any = None) -> Any:
            file = Path(acme.settings["challenges"]) / path.lstrip("/")
            return (200, file.read_bytes()) if file.is_file() else (404, b"no such page")

    server.answers = Files()
    return server


def found(acme: Site, addresses: Sequence[str] | Exception) -> preflight.Finding:
    def resolver(name: str) -> Sequence[str]:
        if isinstance(addresses, Exception):
            raise addresses
        return addresses

    return examine(acme, [NAME], resolver)[NAME]


@pytest.fixture
def own(host: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """This host's own address, at which its web server answers."""
    get = preflight.bounded_http.get
    monkeypatch.setattr(
        preflight.bounded_http,
        "get",
        lambda address, *more, **options: get(("127.0.0.1", address[1]), *more, **options),
    )
    return "198.51.100.7"


def test_a_name_that_leads_to_this_host_is_ready(acme: Site, host: Any, own: str) -> None:
    assert found(acme, [own]) == preflight.Finding(READY)
    ((path, headers),) = host.asked
    assert path.startswith(f"/{WELL_KNOWN}/preflight-")
    assert headers["Host"] == NAME
    assert list(Path(acme.settings["challenges"], WELL_KNOWN).iterdir()) == [], "nothing is left"


@pytest.mark.parametrize("address", ["127.0.1.1", "127.0.0.1"])
def test_a_name_that_the_hosts_own_file_leads_here_proves_nothing(
    acme: Site, host: Any, own: str, address: str
) -> None:
    """Debian's installer writes the host's name with 127.0.1.1 into /etc/hosts."""
    finding = found(acme, [address])
    assert finding.state == UNPROVEN
    assert f"it resolves to {address} on this host, such as by /etc/hosts" in finding.reason


def test_the_page_of_a_router_is_for_the_authority_to_judge(
    acme: Site, host: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = preflight.bounded_http.Answer(200, {}, "", True, b"the router's page")
    monkeypatch.setattr(preflight.bounded_http, "get", lambda *_, **__: page)
    monkeypatch.setattr(preflight.addresses, "of_host", lambda: {"192.168.1.5"})
    monkeypatch.setattr(preflight.addresses, "of_host_v6", set)
    finding = found(acme, ["9.9.9.9"])
    assert finding.state == UNPROVEN
    assert "from inside, that may be the router itself" in finding.reason
    assert found(acme, ["192.168.1.6"]).state == WRONG, "another machine of the same network"
    monkeypatch.setattr(preflight.addresses, "of_host", lambda: {"192.168.1.5", "8.8.8.8"})
    assert found(acme, ["9.9.9.9"]).state == WRONG, "this host has a public address, and it is another one"


def test_the_file_is_readable_for_nginx_whatever_the_umask(acme: Site, host: Any) -> None:
    modes = []

    class Files(dict[str, tuple[int, bytes]]):
        def get(self, path: str, default: Any = None) -> Any:
            file = Path(acme.settings["challenges"]) / path.lstrip("/")
            modes.append(file.stat().st_mode & 0o777)
            return 200, file.read_bytes()

    host.answers = Files()
    mask = preflight.os.umask(0o077)
    try:
        found(acme, ["127.0.0.1"])
    finally:
        preflight.os.umask(mask)
    assert modes == [0o644]


def test_a_host_that_answers_with_something_else_is_the_wrong_one(acme: Site, host: Any) -> None:
    host.answers = {}
    finding = found(acme, ["127.0.0.1"])
    assert finding.state == WRONG
    assert "it resolves to 127.0.0.1, which answers 404 to http://blog.example.com/" in finding.reason
    assert "This host has 198.51.100.7" in finding.reason


def test_one_wrong_address_of_two_is_wrong(acme: Site, host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    get = preflight.bounded_http.get

    def answer(address: Any, path: str, headers: Any, **more: Any) -> Any:
        asked.append(address[0])
        if address[0] == FOREIGN:
            return preflight.bounded_http.Answer(200, {}, "", True, b"parked")
        return get(address, path, headers, **more)

    monkeypatch.setattr(preflight.bounded_http, "get", answer)
    assert found(acme, ["127.0.0.1", FOREIGN]).state == WRONG
    assert asked == ["127.0.0.1", FOREIGN]


def test_an_address_that_is_not_this_hosts_and_cannot_be_reached_is_for_the_authority_to_judge(
    acme: Site, host: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a router that translates addresses, a host does not reach its own public address."""
    monkeypatch.setattr(preflight, "ANSWER_TIMEOUT", 0.2)

    def unreachable(*_: Any, **__: Any) -> Any:
        raise TimeoutError("the answer takes too long")

    monkeypatch.setattr(preflight.bounded_http, "get", unreachable)
    finding = found(acme, [FOREIGN])
    assert finding.state == UNPROVEN
    assert f"it resolves to {FOREIGN}, and port {preflight.PORT} there does not answer" in finding.reason
    assert found(acme, ["198.51.100.7"]).state == WRONG, "its own address answers, or nothing does"


def test_a_redirect_of_another_host_is_for_the_authority_to_follow(
    acme: Site, host: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A content delivery network may redirect everything to HTTPS."""
    moved = preflight.bounded_http.Answer(301, {}, "", True)
    monkeypatch.setattr(preflight.bounded_http, "get", lambda *_, **__: moved)
    assert found(acme, [FOREIGN]) == preflight.Finding(UNPROVEN, f"it resolves to {FOREIGN}, which redirects")
    assert found(acme, ["127.0.0.1"]).state == WRONG


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (socket.gaierror(-2, "Name or service not known"), "it does not resolve (Name or service not known)"),
        (UnicodeError("label too long"), "it does not resolve (label too long)"),
    ],
)
def test_a_name_without_an_address_is_wrong(acme: Site, host: Any, problem: Exception, words: str) -> None:
    finding = found(acme, problem)
    assert finding.state == WRONG
    assert finding.reason.startswith(words)
    assert found(acme, []).reason.startswith("it has no address in DNS")


def test_dns_that_hangs_keeps_nobody_waiting(acme: Site, host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "RESOLVE_TIMEOUT", 0.2)
    began = time.monotonic()

    def hangs(name: str) -> list[str]:
        if name == NAME:
            time.sleep(30)
        return ["127.0.0.1"]

    findings = examine(acme, [NAME, "www.example.com"], hangs)
    assert findings[NAME].reason.startswith("DNS did not answer")
    assert findings["www.example.com"].state == UNPROVEN
    assert time.monotonic() - began < 5
