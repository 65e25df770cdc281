"""A certificate is renewed, and what goes wrong changes nothing. The tests belong together, in their order."""

from __future__ import annotations

from typing import Any

import pytest
from authority import NAME, OTHER, UNIT, Dns, operations, served, status
from https import Browser, Visits

FOLDER = "/etc/flask-blog/certificate"


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


@pytest.mark.machine(12)
def test_a_key_that_was_replaced_by_hand_is_replaced_with_its_certificate(operator: Any, host: Any) -> None:
    before = served(operator).serial_number
    host.check_output(f"openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out {FOLDER}/privkey.pem")
    assert host.run("nginx -t").rc != 0
    host.check_output(f"systemctl start {UNIT}")
    assert host.run("nginx -t").rc == 0
    assert served(operator).serial_number != before


@pytest.mark.machine(12)
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
