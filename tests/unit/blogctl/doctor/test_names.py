"""Where the names of the site lead, and its certificate."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from blogctl.certificate import material, preflight
from blogctl.doctor import names
from blogctl.doctor.check import ERROR, WARNING
from blogctl.errors import OperationError
from blogctl.shared import addresses, issued
from blogctl.site import Site
from doctor_host import Host, whats

DAY = 86400
NOW = 1_800_000_000.0


@pytest.fixture
def dns(live: Site, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What names resolve to, for a host with a public address."""
    found: dict[str, Any] = {"blog.example.org": ["198.51.100.7", "8.8.8.8"]}

    def resolve(name: str) -> list[str]:
        answer = found.get(name, socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
        if isinstance(answer, OSError):
            raise answer
        return list(answer)

    monkeypatch.setattr(preflight, "resolve", resolve)
    monkeypatch.setattr(addresses, "of_host", lambda: {"8.8.8.8"})
    monkeypatch.setattr(addresses, "of_host_v6", set)
    monkeypatch.setattr(names, "text_of", lambda _: "server { }")
    live.settings["names"] = ["blog.example.org"]
    found["blog.example.org"] = ["8.8.8.8"]
    return found


def test_names_that_lead_to_this_host_are_silent(live: Site, dns: dict[str, Any]) -> None:
    live.settings["names"] = ["blog.example.org", "*.example.org", "blog.localhost", "blog.test", "192.0.2.1"]
    dns["example.org"] = ["8.8.8.8"]
    assert list(names.names_lead_here(live)) == []


def test_a_name_that_leads_to_another_host_is_named(live: Site, dns: dict[str, Any]) -> None:
    dns["blog.example.org"] = ["8.8.8.8", "1.1.1.1"]
    (found,) = names.names_lead_here(live)
    assert found.what == "blog.example.org leads to 1.1.1.1, and this host has 8.8.8.8"


def test_a_host_behind_a_router_or_a_proxy_does_not_know_its_public_address(
    live: Site, dns: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    dns["blog.example.org"] = ["1.1.1.1"]
    monkeypatch.setattr(addresses, "of_host", lambda: {"10.0.0.4"})
    assert list(names.names_lead_here(live)) == []
    dns["blog.example.org"] = ["10.0.0.5"]
    assert len(list(names.names_lead_here(live))) == 1
    monkeypatch.setattr(names, "text_of", lambda _: "set_real_ip_from 10.0.0.0/8;")
    assert list(names.names_lead_here(live)) == []


def test_a_name_without_an_address_is_named(live: Site, dns: dict[str, Any]) -> None:
    del dns["blog.example.org"]
    assert whats(names.names_lead_here(live)) == ["blog.example.org has no address in DNS"]


def test_dns_that_does_not_answer_is_one_finding(
    live: Site, dns: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    live.settings["names"] = ["blog.example.org", "www.example.org"]
    dns.clear()
    dns |= dict.fromkeys(live.settings["names"], socket.gaierror(socket.EAI_AGAIN, "try again"))
    (found,) = names.names_lead_here(live)
    assert found.what == "DNS does not answer this host about blog.example.org, www.example.org"


# -- certificates --


def an_issued(left: float, lifetime: float = 90) -> issued.Issued:
    """Return a certificate with so many days left."""
    ends = int(NOW + left * DAY)
    return issued.Issued(["blog.test"], int(ends - lifetime * DAY), ends, "CA", "1", "https://ca.test")


@pytest.fixture
def acme(live: Site, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    found: dict[str, Any] = {"certificate": an_issued(60), "missing": {}, "problem": ""}
    live.settings.update({"tls": "acme", "certificate": "/nowhere"})
    monkeypatch.setattr(issued, "read", lambda _: (found["certificate"], ""))
    monkeypatch.setattr(names.describe, "status", lambda _: {key: found[key] for key in ("missing", "problem")})
    return found


def test_a_certificate_with_time_left_is_silent(live: Site, acme: dict[str, Any]) -> None:
    assert list(names.certificate_is_good(live, NOW)) == []


def test_a_certificate_that_was_not_renewed_is_named(live: Site, acme: dict[str, Any]) -> None:
    acme["certificate"] = an_issued(20)
    (found,) = names.certificate_is_good(live, NOW)
    assert "should have been renewed by now" in found.what
    assert (found.level, found.command) == (ERROR, "blogctl --site blog certificate")


def test_a_renewal_that_fails_is_a_warning_while_there_is_time(live: Site, acme: dict[str, Any]) -> None:
    acme["problem"] = "the authority has refused it"
    (found,) = names.certificate_is_good(live, NOW)
    assert (found.level, found.what) == (WARNING, "no new certificate: the authority has refused it")
    acme["certificate"] = an_issued(5)
    (found,) = names.certificate_is_good(live, NOW)
    assert found.level == ERROR


def test_a_name_that_the_certificate_lacks_is_named(live: Site, acme: dict[str, Any]) -> None:
    acme["missing"] = {"www.blog.test": "it does not resolve"}
    assert whats(names.certificate_is_good(live, NOW)) == ["the certificate lacks www.blog.test: it does not resolve"]


@pytest.mark.parametrize(("left", "level"), [(60, None), (10, WARNING), (3, ERROR), (-1, ERROR)])
def test_a_provided_certificate_that_ends_is_named_in_time(
    live: Site, monkeypatch: pytest.MonkeyPatch, left: float, level: str | None
) -> None:
    live.settings.update({"tls": "provided", "certificate": "/nowhere", "scheme": "https"})
    monkeypatch.setattr(material, "inspect", lambda *_: an_issued(left))
    found = list(names.certificate_is_good(live, NOW))
    assert [one.level for one in found] == ([level] if level else [])


def test_a_provided_certificate_that_cannot_be_read_is_named(
    live: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, host: Host
) -> None:
    live.settings.update({"tls": "provided", "certificate": str(tmp_path), "scheme": "https"})

    def refuse(*_: object) -> None:
        raise OperationError("the certificate and its key do not fit")

    monkeypatch.setattr(material, "inspect", refuse)
    assert whats(names.certificate_is_good(live, NOW)) == [
        "the certificate cannot be used: the certificate and its key do not fit"
    ]
