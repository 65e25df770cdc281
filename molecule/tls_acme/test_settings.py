"""A change of the settings changes the certificate, and a promotion can be killed. The tests belong together."""

from __future__ import annotations

import json
import ssl
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from authority import NAME, OTHER, Dns, names_of, operations, play, served, status
from https import Browser, Visits, connect, served_certificate

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "unit"))

from certificates import chain, intermediate, site

# -- from and to other values ---------------------------------------------------------------------------------------


@pytest.mark.machine(12)
def test_from_none_to_https_in_one_run_without_a_failed_request(operator: Any, host: Any, browser: Browser) -> None:
    assert play(operator, tls="none") > 0
    assert browser.ask(f"http://{NAME}/").status == 200
    left = host.check_output("ls /etc/flask-blog /etc/flask-blog/schemes /opt/flask-blog/state").split()
    assert not {"acme", "certificate", "certificates", "https", "certificate.json"} & set(left)
    assert not host.service("flask-blog-certificate.timer").is_enabled
    with Visits(operator.address(), f"{NAME}/", visitors=2) as visits:
        assert play(operator) > 0
    assert (visits.failures, set(visits.answers)) == ([], {"http", "https"})
    assert names_of(served(operator)) == [NAME, OTHER]
    assert play(operator) == 0


@pytest.mark.machine(12)
def test_from_a_certificate_of_ones_own_and_back(operator: Any, host: Any) -> None:
    issued = site(NAME, OTHER)
    own = {"tls": "provided", "certificate": chain(issued, intermediate()), "key": issued.key_pem()}
    with Visits(operator.address(), f"{NAME}/", visitors=2) as visits:
        assert play(operator, **own) > 0
        assert served_certificate(operator.address(), NAME) in own["certificate"]
        assert not host.file("/etc/flask-blog/acme").exists
        assert len(host.file("/etc/flask-blog/certificates").listdir()) == 1
        assert play(operator) > 0
        assert served_certificate(operator.address(), NAME) not in own["certificate"]
        assert len(host.file("/etc/flask-blog/certificates").listdir()) == 1
        assert play(operator) == 0
    assert (visits.failures, set(visits.answers)) == ([], {"https"})


# -- challenges by DNS ----------------------------------------------------------------------------------------------


@pytest.mark.machine(13)
def test_a_site_behind_a_firewall_gets_a_wildcard_by_an_entry_in_dns(
    operator: Any, host: Any, dns: Dns, browser: Browser
) -> None:
    """No name leads to the host, and its port 80 is closed to the authority."""
    for name in (NAME, OTHER):
        host.check_output(f"authority dns {name} -")
    host.check_output("authority named")
    key = host.check_output('grep -o \'"[^"]*="\' /etc/pebble/blog.key').strip('"\n')
    named = {"provider": "rfc2136", "server": "127.0.0.1", "port": 8056, "key_name": "blog", "propagation_seconds": 1}
    chosen: dict[str, Any] = {"names": [NAME, "*.example.com", "other.test"], "by_dns": {**named, "key": key}}
    try:
        run = operator.play("--extra-vars", json.dumps(chosen), "-vv", "--diff")
        assert run.changed > 0
        assert key not in run.output
        assert names_of(served(operator)) == ["*.example.com"]
        assert "other.test: no certificate: no entry in DNS can be written for it" in " ".join(run.output.split())
        assert browser.ask("https://any.example.com/a").headers["Location"] == f"https://{NAME}/a"
        with pytest.raises(ssl.SSLError):
            connect(operator.address(), "a.b.example.com")
        credentials = host.file("/etc/flask-blog/acme/dns-credentials")
        assert (credentials.user, credentials.mode) == ("root", 0o600)
        # A key that the name server does not know, as somebody changed it; the next run corrects that.
        host.check_output(
            "sed -i 's|_secret = .*|_secret = c2VjcmV0LXNlY3JldA==|' /etc/flask-blog/acme/dns-credentials"
        )
        refused = host.run("blogctl certificate --renew")
        assert refused.rc == 8
        assert "c2VjcmV0" not in refused.stdout + refused.stderr
        assert names_of(served(operator)) == ["*.example.com"]
        assert play(operator, **{**chosen, "names": chosen["names"][:2]}) > 0
        host.check_output("blogctl certificate --renew")
    finally:
        dns(NAME, OTHER)
        host.check_output("systemctl stop pebble-named; authority asks 8053")
    assert play(operator) > 0
    assert names_of(served(operator)) == [NAME, OTHER]
    assert not host.file("/etc/flask-blog/acme/dns-credentials").exists


# -- a kill ---------------------------------------------------------------------------------------------------------


@pytest.mark.machine(13)
@pytest.mark.parametrize("seconds", [0.0, 0.3, 0.7, 1.1, 1.6, 2.2])
def test_a_promotion_that_is_killed_leaves_a_site_that_works(
    operator: Any, host: Any, eventually: Any, seconds: float
) -> None:
    # As a certificate is there, and HTTPS is not chosen yet.
    host.check_output("ln -sfn /etc/flask-blog/schemes/http /etc/flask-blog/scheme")
    host.check_output("systemctl reload nginx && systemctl restart flask-blog")
    assert status(host)["address"] == f"http://{NAME}"
    code = """
import os, signal, subprocess, time
process = subprocess.Popen(["blogctl", "certificate", "--now"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
while not os.path.exists("/run/flask-blog-hosting/flask-blog.no-redirect"):
    assert process.poll() is None
    time.sleep(0.01)
time.sleep(args[0])
process.kill()
print(json.dumps(process.wait()))
"""
    with Visits(operator.address(), f"{NAME}/", visitors=2) as visits:
        operator.python(code, seconds)
        eventually(lambda: not host.file("/run/flask-blog-hosting/flask-blog.no-redirect").exists, 60)
        eventually(lambda: operations(host)[-1][1] != "begun", 60)
        time.sleep(2)
    assert visits.failures == []
    assert not host.file("/run/flask-blog-hosting/flask-blog.previous").exists
    host.check_output("blogctl certificate")
    assert status(host)["address"] == f"https://{NAME}"


@pytest.mark.machine(13)
def test_after_all_this_the_next_run_changes_nothing(operator: Any) -> None:
    assert play(operator) == 0
