"""A site gets its first certificate by itself, and changes to HTTPS. The tests belong together, in their order.

The site then has the certificate for the files that follow: test_renewal.py and test_settings.py.
"""

from __future__ import annotations

import json
import ssl
from typing import Any

import pytest
from authority import NAME, OTHER, THIRD, UNIT, Dns, names_of, operations, play, served, status
from https import Browser, Visits, connect

# -- before DNS leads to the host -----------------------------------------------------------------------------------


def test_without_a_certificate_the_site_is_served_by_http_as_ever(operator: Any, browser: Browser) -> None:
    reply = browser.ask(f"http://{NAME}/")
    assert (reply.status, json.loads(reply.text)["scheme"]) == (200, "http")
    assert browser.ask(f"http://{OTHER}/").headers["Location"] == f"http://{NAME}/"
    with pytest.raises(ssl.SSLError):
        connect(operator.address(), NAME)


@pytest.mark.machine(12)
def test_the_last_lines_of_a_run_say_what_is_missing_and_nothing_is_changed(operator: Any) -> None:
    run = operator.play()
    assert run.changed == 0
    end = " ".join(run.output.partition("serves at http://blog.example.com/")[2].split())
    for name in (NAME, OTHER):
        assert f"{name}: no certificate: it does not resolve" in end
    assert f"This host has {operator.address()}" in end
    assert "tries again every 10 minutes by itself" in end
    assert operator.play("--check").changed == 0


@pytest.mark.machine(13)
def test_the_host_tries_again_by_itself(host: Any) -> None:
    host.check_output(f"systemctl start {UNIT}")
    assert host.service("flask-blog-certificate.timer").is_enabled
    assert host.run("systemctl is-active flask-blog-certificate-retry.timer").stdout.strip() == "active"
    assert status(host)["certificate"]["missing"][NAME].startswith("it does not resolve")


@pytest.mark.machine(13)
def test_a_challenge_is_regular_and_roots(host: Any, browser: Browser) -> None:
    folder = "/var/lib/flask-blog-hosting/challenges/.well-known/acme-challenge"
    host.check_output(f"echo found > {folder}/file && ln -s /etc/passwd {folder}/link && mkdir {folder}/folder")
    try:
        urls = (f"http://{NAME}", f"http://{OTHER}", "http://unknown.example.com")
        for url in urls:
            reply = browser.ask(f"{url}/.well-known/acme-challenge/file")
            assert (reply.status, reply.text) == (200, "found\n")
        for name in ("link", "folder/", "none", "../../../../../etc/passwd"):
            assert browser.ask(f"{urls[0]}/.well-known/acme-challenge/{name}").status in (400, 403, 404)
        assert host.run(f"runuser -u www-data -- touch {folder}/mine").rc != 0
        assert host.run(f"runuser -u flask-blog -- touch {folder}/mine").rc != 0
    finally:
        host.check_output(f"rm -r {folder}/file {folder}/link {folder}/folder")


# -- DNS becomes right, without the controller ----------------------------------------------------------------------


def test_once_dns_is_right_the_host_changes_to_https_without_a_failed_request(
    operator: Any, host: Any, dns: Dns, browser: Browser
) -> None:
    """The other name leads to another host, which does not keep this one waiting."""
    dns(NAME)
    dns(OTHER, address="172.17.0.1")
    with Visits(operator.address(), f"{NAME}/", visitors=2) as visits:
        host.check_output(f"systemctl start {UNIT}")
    assert visits.failures == []
    assert set(visits.answers) == {"http", "https"}
    assert names_of(served(operator)) == [NAME]
    assert ("promote", "done") in operations(host)
    seen = json.loads(browser.ask(f"https://{NAME}/").text)
    assert (seen["scheme"], seen["preferred"], seen["external"]) == ("https", "https", f"https://{NAME}/")
    assert browser.ask(f"http://{NAME}/").headers["Location"] == f"https://{NAME}/"
    assert "Strict-Transport-Security" in browser.ask(f"https://{NAME}/").headers
    assert "could not validate it" in status(host)["certificate"]["missing"][OTHER]


def test_the_next_run_changes_nothing_and_says_where_the_site_is(operator: Any) -> None:
    run = operator.play()
    assert run.changed == 0
    assert "serves at https://blog.example.com/" in run.output


def test_a_name_follows_as_soon_as_it_leads_to_the_host(operator: Any, host: Any, dns: Dns) -> None:
    dns(OTHER)
    host.check_output("blogctl certificate --now")
    assert names_of(served(operator)) == [NAME, OTHER]
    assert host.run("systemctl is-active flask-blog-certificate-retry.timer").stdout.strip() != "active"
    run = operator.play()
    assert run.changed == 0
    assert "no certificate" not in run.output
    assert operator.play("--check", "--diff").changed == 0


@pytest.mark.machine(12)
def test_names_that_are_added_and_removed_change_the_certificate(operator: Any, dns: Dns, browser: Browser) -> None:
    dns(THIRD)
    assert play(operator, names=[NAME, OTHER, THIRD]) > 0
    assert names_of(served(operator)) == sorted([NAME, OTHER, THIRD])
    assert browser.ask(f"https://{THIRD}/a?b=c").headers["Location"] == f"https://{NAME}/a?b=c"
    assert play(operator, names=[NAME, OTHER, THIRD]) == 0
    assert play(operator) > 0
    assert names_of(served(operator)) == [NAME, OTHER]
