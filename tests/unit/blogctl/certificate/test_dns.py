"""Names that are proven by entries in DNS, and wildcards, which need that."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import pytest
from acme_site import Answer, Authority, used
from blogctl.certificate import authority as client
from blogctl.certificate import preflight, state
from blogctl.certificate.preflight import READY, UNPROVEN, Finding
from blogctl.commands import certificate as command
from blogctl.host import visitors
from blogctl.shared import bounded_http, issued
from blogctl.site import Site

BLOG, DOMAIN, WILDCARD = "blog.example.com", "example.com", "*.example.com"


@pytest.fixture
def by_dns(acme: Site) -> Site:
    acme.settings.update({"acme_dns": "rfc2136", "names": [BLOG, WILDCARD, DOMAIN]})
    return acme


@pytest.fixture
def examined(by_dns: Site, findings: dict[str, Finding], monkeypatch: pytest.MonkeyPatch) -> dict[str, Finding]:
    findings |= dict.fromkeys((WILDCARD, DOMAIN, BLOG), Finding(READY))
    return findings


@pytest.mark.parametrize(
    ("names", "needed"),
    [
        ([BLOG, "www.example.com"], [BLOG, "www.example.com"]),
        ([BLOG, WILDCARD], [WILDCARD]),
        ([DOMAIN, BLOG, WILDCARD], [DOMAIN, WILDCARD]),
        (["a.b.example.com", WILDCARD], ["a.b.example.com", WILDCARD]),
        (["Blog.Example.com"], [BLOG]),
        (["blog.example.org", WILDCARD, "www.example.com"], ["blog.example.org", WILDCARD]),
    ],
)
def test_a_name_that_a_wildcard_covers_is_not_requested_beside_it(names: list[str], needed: list[str]) -> None:
    assert issued.needed_names({"names": names}) == needed


def test_a_wildcard_is_requested_and_kept(run: Any, by_dns: Site, examined: Any, authority: Authority) -> None:
    assert run().promoted
    assert authority.asked == [[WILDCARD, DOMAIN]]
    assert used(by_dns).names == [WILDCARD, DOMAIN]
    assert issued.reasons(by_dns.settings, time.time()) == []
    assert run().issued is False


def test_a_wildcard_that_was_not_validated_is_told_by_the_name_that_it_stands_below(
    run: Any, by_dns: Site, examined: Any, authority: Authority
) -> None:
    by_dns.settings["names"] = ["blog.example.org", WILDCARD]
    examined["blog.example.org"] = Finding(READY)
    authority.refusal = Answer("Some challenges have failed.", {DOMAIN: "unauthorized no TXT record"}, refused=True)
    outcome = run()
    assert authority.asked == [["blog.example.org", WILDCARD], ["blog.example.org"]]
    assert "unauthorized no TXT record" in outcome.missing[WILDCARD]


def test_a_name_need_not_lead_to_this_host(by_dns: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def resolver(_: str) -> list[str]:
        raise AssertionError("DNS was asked")

    assert preflight.examine(by_dns, [BLOG], resolver) == {BLOG: Finding(READY)}
    by_dns.settings["acme_dns"] = ""
    monkeypatch.setattr(preflight, "_finding", lambda *_: Finding(UNPROVEN))
    assert preflight.examine(by_dns, [BLOG], lambda _: ["192.0.2.9"]) == {BLOG: Finding(UNPROVEN)}


def test_another_way_to_prove_names_begins_anew(by_dns: Site) -> None:
    known = state.read(by_dns)
    known.refused(time.time(), [BLOG])
    known.refused(time.time(), [])
    state.write(by_dns, known)
    assert state.read(by_dns).is_waiting(time.time(), BLOG)
    by_dns.settings["acme_dns"] = "route53"
    assert not state.read(by_dns).is_waiting(time.time(), BLOG)
    assert not state.read(by_dns).is_waiting(time.time())


def test_the_remedy_is_the_name_server_and_not_port_80(
    run: Any, by_dns: Site, examined: Any, authority: Authority
) -> None:
    authority.refusal = Answer("no", {DOMAIN: "no domain of it is there"})
    outcome = run()
    assert outcome.missing[WILDCARD] == "no entry in DNS can be written for it: no domain of it is there"
    assert "name server of flask_blog_acme_dns" in command.message(by_dns, outcome, {})
    assert "port 80" not in command.message(by_dns, outcome, {})
    assert state.read(by_dns).refusals == 0, "the authority was not asked"


def test_the_site_is_asked_for_a_wildcard_by_a_name_below_it(by_dns: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def get(_: Any, __: str, headers: dict[str, str], **___: Any) -> bounded_http.Answer:
        asked.append(headers["Host"])
        return bounded_http.Answer(200, {}, hashlib.sha256(by_dns.name.encode()).hexdigest(), True)

    monkeypatch.setattr(bounded_http, "get", get)
    assert visitors.problem(by_dns) == ""
    assert asked == [BLOG, "wildcard-check.example.com", DOMAIN]


# -- certbot ------------------------------------------------------------------------------------------------------


def test_certbot_writes_no_file_of_a_challenge(by_dns: Site, started: dict[str, Any]) -> None:
    by_dns.settings["acme_environment"] = ["AWS_SHARED_CREDENTIALS_FILE=/etc/blog/acme/dns-credentials"]
    started["install"]("echo $AWS_SHARED_CREDENTIALS_FILE; exit 1")
    client.ask(by_dns)
    assert int(started["properties"]["RuntimeMaxSec"]) == client.TIMEOUT
    (by_dns.path("acme") / "cli.ini").write_text("dns-rfc2136-propagation-seconds = 600\n")
    client.ask(by_dns)
    assert int(started["properties"]["RuntimeMaxSec"]) == client.TIMEOUT + 600, "it waits for DNS besides"
    assert not any("webroot" in word for word in started["arguments"])
    assert by_dns.settings["challenges"] not in started["properties"]["ReadWritePaths"].split()
    assert by_dns.settings["acme_environment"][0] in started["environment"]


@pytest.mark.parametrize(
    "said",
    [
        "Unable to determine base domain for _acme-challenge.example.com using names: ['example.com', 'com'].",
        "Unable to determine zone_id for example.com using zone names: ['example.com']. Please confirm that",
        "Unable to determine managed zone for Example.com using zone names: ['example.com', 'com'].",
        "Unable to find a Route53 hosted zone for example.com",
        "Unable to find a Route53 hosted zone for example.com.",
    ],
)
def test_a_domain_that_is_not_the_providers_is_told_apart_from_a_refusal(
    by_dns: Site, started: dict[str, Any], said: str
) -> None:
    started["install"](f'cat <<"EOF"\n{said}\nEOF\nexit 1')
    answer = client.ask(by_dns)
    assert {*answer.names} == {DOMAIN}
    assert not answer.refused


def test_neither_is_one_that_a_new_account_was_made_for(by_dns: Site, started: dict[str, Any], tmp_path: Path) -> None:
    first = tmp_path / "first"
    first.touch()
    started["install"](
        f"[ -e {first} ] && {{ rm {first}; echo accountDoesNotExist; exit 1; }}\n"
        "echo 'Unable to find a Route53 hosted zone for example.com'; exit 1"
    )
    answer = client.ask(by_dns)
    assert ({*answer.names}, answer.refused, started["runs"]) == ({DOMAIN}, False, 2)


@pytest.mark.parametrize(
    ("credentials", "secrets"),
    [
        ("dns_rfc2136_server = 192.0.2.53\ndns_rfc2136_secret = c2VjcmV0/LXNl==\n", ["c2VjcmV0/LXNl=="]),
        ("dns_cloudflare_api_token = 0123456789abcdef_-\n", ["0123456789abcdef_-"]),
        ("[default]\naws_access_key_id = AKIA\naws_secret_access_key = wJalr/XUtn+FEMI\n", ["wJalr/XUtn+FEMI"]),
        (
            '{\n  "private_key": "-----BEGIN KEY-----\\nMIIEvQ/x+y\\n-----END KEY-----\\n",\n  "type": "x"\n}',
            ["MIIEvQ/x+y"],
        ),
    ],
)
def test_what_the_plugin_prints_of_its_credentials_is_masked(
    by_dns: Site, started: dict[str, Any], credentials: str, secrets: list[str]
) -> None:
    (by_dns.path("acme") / "dns-credentials").write_text(credentials)
    lines = "\n".join(f"cannot use {secret} for 192.0.2.53" for secret in secrets)
    started["install"](f'cat <<"EOF"\n{lines}\nEOF\nexit 1')
    answer = client.ask(by_dns)
    assert not any(secret in "".join([answer.problem, *started["logged"]]) for secret in secrets)
    assert "192.0.2.53" in answer.problem
