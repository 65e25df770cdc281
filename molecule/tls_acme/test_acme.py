"""A site gets its certificate by itself, and changes to HTTPS. The tests belong together, in their order."""

from __future__ import annotations

import json
import ssl
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from https import Browser, Visits, connect, served_certificate

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "unit"))

from certificates import chain, intermediate, site

NAME, OTHER, THIRD = "blog.example.com", "www.example.com", "new.example.com"
FOLDER = "/etc/flask-blog/certificate"
UNIT = "flask-blog-certificate.service"

Dns = Callable[..., None]


@pytest.fixture
def browser(operator: Any) -> Browser:
    """A new visitor."""
    return Browser(operator.address())


@pytest.fixture
def dns(operator: Any, host: Any) -> Dns:
    """Let names lead to the machine, or to another address."""

    def lead(*names: str, address: str = "") -> None:
        for name in names:
            host.check_output(f"authority dns {name} {address or operator.address()}")

    return lead


def play(operator: Any, **variables: Any) -> int:
    """Run the playbook, and return how many tasks changed something."""
    return int(operator.play("--extra-vars", json.dumps(variables)).changed)


def served(operator: Any) -> x509.Certificate:
    return x509.load_pem_x509_certificate(served_certificate(operator.address(), NAME).encode())


def names_of(certificate: x509.Certificate) -> list[str]:
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return sorted(found.get_values_for_type(x509.DNSName))


def status(host: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(host.check_output("blogctl status --json"))
    return found


def operations(host: Any) -> list[tuple[str, str]]:
    lines = host.file("/opt/flask-blog/operations.jsonl").content_string.splitlines()
    return [(entry["operation"], entry["result"]) for entry in map(json.loads, lines)]


# -- before DNS leads to the host -----------------------------------------------------------------------------------


def test_without_a_certificate_the_site_is_served_by_http_as_ever(operator: Any, browser: Browser) -> None:
    reply = browser.ask(f"http://{NAME}/")
    assert (reply.status, json.loads(reply.text)["scheme"]) == (200, "http")
    assert browser.ask(f"http://{OTHER}/").headers["Location"] == f"http://{NAME}/"
    with pytest.raises(ssl.SSLError):
        connect(operator.address(), NAME)


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


# -- renewal, and what goes wrong -----------------------------------------------------------------------------------


def test_a_renewal_serves_the_new_certificate_without_a_failed_request(operator: Any, host: Any) -> None:
    before = served(operator).serial_number
    with Visits(operator.address(), f"{NAME}/", visitors=2) as visits:
        host.check_output("blogctl certificate --renew")
    assert (visits.failures, set(visits.answers)) == ([], {"https"})
    assert served(operator).serial_number != before
    assert f"{served(operator).serial_number:X}" == status(host)["certificate"]["serial"].lstrip("0")
    assert len(host.file("/etc/flask-blog/certificates").listdir()) == 1
    assert host.file(f"{FOLDER}/privkey.pem").mode == 0o600


@pytest.mark.machine(13)
def test_maintenance_and_redirects_do_not_eat_the_challenge(host: Any, operator: Any) -> None:
    before = served(operator).serial_number
    host.check_output("blogctl maintenance on")
    try:
        host.check_output("blogctl certificate --renew")
    finally:
        host.check_output("blogctl maintenance off")
    assert served(operator).serial_number != before


def test_an_authority_that_is_down_changes_nothing_and_is_no_failure_yet(operator: Any, host: Any) -> None:
    before = served(operator).serial_number
    host.check_output("systemctl stop pebble")
    try:
        assert host.run("blogctl certificate --renew").rc == 8
        host.check_output(f"systemctl start {UNIT}")
    finally:
        host.check_output("systemctl start pebble")
    assert served(operator).serial_number == before
    # It has forgotten all accounts.
    host.check_output("blogctl certificate --renew")
    assert served(operator).serial_number != before


def test_a_key_that_was_replaced_by_hand_is_replaced_with_its_certificate(operator: Any, host: Any) -> None:
    before = served(operator).serial_number
    host.check_output(f"openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out {FOLDER}/privkey.pem")
    assert host.run("nginx -t").rc != 0
    host.check_output(f"systemctl start {UNIT}")
    assert host.run("nginx -t").rc == 0
    assert served(operator).serial_number != before


def test_a_certificate_that_nginx_cannot_load_is_put_back_and_the_unit_fails(operator: Any, host: Any) -> None:
    before = served(operator).serial_number
    host.check_output("echo 'broken' > /etc/nginx/conf.d/broken.conf")
    try:
        done = host.run("blogctl certificate --renew")
        assert done.rc == 1
        assert "The one of before was put back." in done.stderr
        assert served(operator).serial_number == before
    finally:
        host.check_output("rm /etc/nginx/conf.d/broken.conf")
    host.check_output("blogctl certificate")
    assert ("certificate", "failed") in operations(host)


@pytest.mark.machine(13)
def test_a_certificate_that_is_not_the_one_on_the_disk_fails_the_unit(host: Any, operator: Any) -> None:
    """Somebody changed it, and nginx cannot load its configuration."""
    host.check_output("echo 'broken' > /etc/nginx/conf.d/broken.conf")
    folder = host.check_output(f"readlink {FOLDER}").strip()
    try:
        host.check_output(f"cp -a {folder} {folder}x && ln -sfn {folder}x {FOLDER}")
        host.check_output(
            f"cd {folder}x && openssl req -x509 -key privkey.pem -subj /CN=other -days 90 -out fullchain.pem"
            f" -addext subjectAltName=DNS:{NAME},DNS:{OTHER}"
            " && python3 -c \"import json, hashlib; n = json.load(open('issued.json'));"
            " n['digests']['fullchain.pem'] = hashlib.sha256(open('fullchain.pem', 'rb').read()).hexdigest();"
            " json.dump(n, open('issued.json', 'w'))\""
        )
        assert host.run(f"systemctl start {UNIT}").rc != 0
        log = host.check_output(f"journalctl -u {UNIT} --no-pager -n 20")
        assert "visitors do not get the site with its certificate" in log
    finally:
        host.check_output("rm /etc/nginx/conf.d/broken.conf")
    host.check_output(f"ln -sfn {folder} {FOLDER} && rm -r {folder}x && systemctl start {UNIT}")


def test_the_site_is_there_by_https_after_a_reboot(operator: Any, host: Any, eventually: Any, dns: Dns) -> None:
    operator.reboot()
    eventually(lambda: host.run("systemctl is-active multi-user.target pebble-dns").rc == 0, 60)
    dns(NAME, OTHER)  # the address of a container may be another one

    def serves() -> bool:
        try:
            return Browser(operator.address()).ask(f"https://{NAME}/").status == 200
        except OSError:
            return False

    eventually(serves, 60)


# -- from and to other values ---------------------------------------------------------------------------------------


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
