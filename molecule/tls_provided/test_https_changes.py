"""From one certificate to another one, to HTTP and back. The tests belong together, in their order.

They come after test_https.py, which asks the site as the scenario has deployed it.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from https import Browser, Visits, served_certificate

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "unit"))

from certificates import chain, intermediate, site

NAME, OTHER = "blog.example.com", "www.example.com"
#: Files of the machine.
CERTIFICATE = "/etc/flask-blog/certificate/fullchain.pem"


def play(operator: Any, **variables: Any) -> int:
    """Run the playbook, and return how many tasks changed something."""
    return int(operator.play("--extra-vars", json.dumps(variables)).changed)


def provided(*names: str, **more: Any) -> dict[str, str]:
    """The variables of a certificate that is issued for some names."""
    issued = site(*(names or (NAME, OTHER)), **more)
    return {"tls": "provided", "certificate": chain(issued, intermediate()), "key": issued.key_pem()}


#: Made once: a key that changes would be a change.
FIRST, SECOND = provided(), provided()


def test_a_self_signed_certificate_is_the_hosts_own(host: Any, operator: Any) -> None:
    assert served_certificate(operator.address(), NAME).split() == host.file(CERTIFICATE).content_string.split()


@pytest.mark.parametrize(
    "variables",
    [FIRST, pytest.param(SECOND, marks=pytest.mark.machine(13))],
    ids=["the first one", "the next one"],
)
def test_a_certificate_is_exchanged_without_a_failed_request(operator: Any, host: Any, variables: Any) -> None:
    assert play(operator, **variables) > 0
    assert served_certificate(operator.address(), NAME) in variables["certificate"]
    assert len(host.file("/etc/flask-blog/certificates").listdir()) == 1, "the one before is removed"
    assert play(operator, **variables) == 0


@pytest.mark.machine(13)
def test_a_certificate_is_exchanged_under_load(operator: Any) -> None:
    with Visits(operator.address(), f"{NAME}/") as visits:
        assert play(operator, **FIRST) > 0
    assert (visits.failures, set(visits.answers)) == ([], {"https"})
    assert served_certificate(operator.address(), NAME) in FIRST["certificate"]


@pytest.mark.machine(12)
def test_the_key_is_in_no_output(operator: Any) -> None:
    run = operator.play("--extra-vars", json.dumps(SECOND), "--check", "--diff", "-vvv")
    assert run.returncode == 0, run.output
    assert "/etc/flask-blog/certificates/" in run.output
    # The command line itself is shown with -vvv.
    shown = "\n".join(line for line in run.output.splitlines() if "extra-vars" not in line)
    assert not [line for line in SECOND["key"].splitlines()[1:-1] if line in shown]


@pytest.mark.machine(12)
def test_a_certificate_that_is_not_for_the_site_is_refused_before_the_host_is_touched(operator: Any) -> None:
    run = operator.play("--extra-vars", json.dumps(provided(NAME)))
    assert run.returncode != 0
    assert f"and not {OTHER} of flask_blog_server_names" in run.output
    assert served_certificate(operator.address(), NAME) in FIRST["certificate"]


@pytest.mark.machine(12)
def test_a_port_that_another_program_has_changes_nothing(operator: Any, host: Any, browser: Browser) -> None:
    assert play(operator, tls="none") > 0
    taken = "systemd-run --unit=taken --collect python3 -m http.server --bind :: 443"
    # The unit of the port's former default server is nginx's, which lets the port go.
    host.check_output("rm /etc/nginx/conf.d/unknown-hosts-443.conf && systemctl reload nginx && sleep 2")
    host.check_output(taken)
    try:
        run = operator.play("--extra-vars", json.dumps(FIRST))
        assert run.returncode != 0
        assert "flask_blog_https_port" in run.output
        assert browser.ask(f"http://{NAME}/").status == 200
    finally:
        host.check_output("systemctl stop taken")


@pytest.mark.machine(12)
def test_a_release_that_does_not_start_takes_the_site_back_to_http(operator: Any, host: Any, browser: Browser) -> None:
    """The change of the scheme and that of the app belong together."""
    run = operator.play(
        "--extra-vars", json.dumps({**FIRST, "environment_of_app": {"PYTHONPATH": "/nowhere", "SECRET_KEY": ""}})
    )
    assert run.returncode != 0, run.output
    assert browser.ask(f"http://{NAME}/").status == 200
    assert host.check_output("readlink /etc/flask-blog/scheme") == "/etc/flask-blog/schemes/http"
    assert json.loads(host.check_output("blogctl status --json"))["address"] == f"http://{NAME}"


def test_https_is_turned_on_under_load(operator: Any) -> None:
    """With nginx on port 443 before, which refuses the name there, as on a host with another site."""
    play(operator, tls="none")
    with Visits(operator.address(), f"{NAME}/") as visits:
        assert play(operator, **FIRST) > 0
    assert (visits.failures, set(visits.answers)) == ([], {"http", "https"})


@pytest.mark.machine(12)
def test_behind_a_trusted_proxy_the_visitors_scheme_counts(operator: Any, browser: Browser) -> None:
    template = "{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}"
    command = ["docker", "inspect", "--format", template, operator.machine]
    me = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert play(operator, **FIRST, proxies=[me]) > 0
    forwarded = {"X-Forwarded-For": "198.51.100.7", "X-Forwarded-Proto": "https"}
    for scheme in ("http", "https"):
        seen = json.loads(browser.ask(f"{scheme}://{NAME}/", forwarded).text)
        assert (seen["scheme"], seen["client"]) == ("https", "198.51.100.7")
        reply = browser.ask(f"{scheme}://{NAME}/", {**forwarded, "X-Forwarded-Proto": "http"})
        assert (reply.status, reply.headers["Location"]) == (301, f"https://{NAME}/")
    assert browser.ask(f"http://{NAME}/").status == 301
    assert play(operator, **FIRST, proxies=[me]) == 0


USERS = {"ada": "a long password $1"}
LOGIN = {"Authorization": f"Basic {base64.b64encode(b'ada:a long password $1').decode()}"}
STAGING = {**FIRST, "users": USERS, "snippets": {"server": "location = /snippet { return 200 here; }"}}
PASSWORDS = "/etc/nginx/flask-blog-hosting.flask-blog.htpasswd"
SNIPPET = "/etc/nginx/snippets/flask-blog-hosting.flask-blog.server.conf"


def test_a_staging_site_asks_for_a_password_and_is_verified_all_the_same(
    operator: Any, host: Any, browser: Browser
) -> None:
    assert play(operator, **STAGING) > 0
    assert play(operator, **STAGING) == 0
    for path in ("/", "/static/site.css", "/no-such-page"):
        reply = browser.ask(f"https://{NAME}{path}")
        assert (reply.status, reply.headers["X-Robots-Tag"]) == (401, "noindex, nofollow")
        assert "<h1>Login needed</h1>" in reply.text
        assert browser.ask(f"https://{NAME}{path}", {"X-Flask-Blog-Login": "0" * 64}).status == 401
    reply = browser.ask(f"https://{NAME}/", LOGIN)
    assert (reply.status, reply.headers["X-Robots-Tag"]) == (200, "noindex, nofollow")
    assert browser.ask(f"https://{NAME}/snippet", LOGIN).text == "here"
    assert json.loads(browser.ask(f"https://{NAME}/authorization", LOGIN).text) == {}
    assert (host.file(PASSWORDS).group, host.file(PASSWORDS).mode) == ("www-data", 0o640)
    ask = f"curl -sk -o /dev/null -w '%{{http_code}}' --resolve {NAME}:443:127.0.0.1 https://{NAME}"
    if host.exists("curl"):
        assert [host.check_output(f"{ask}{path}") for path in ("/", "/login")] == ["200", "401"]


@pytest.mark.machine(13)
def test_a_snippet_that_nginx_refuses_is_named_and_the_site_stays(operator: Any, host: Any, browser: Browser) -> None:
    broken = {**STAGING, "snippets": {"server": "location = /snippet { retrun 200; }"}}
    run = operator.play("--extra-vars", json.dumps(broken))
    assert run.returncode != 0
    assert f"{SNIPPET} holds flask_blog_nginx_snippets.server" in run.output
    assert browser.ask(f"https://{NAME}/snippet", LOGIN).text == "here"
    host.check_output("nginx -t")


def test_nothing_of_a_staging_site_is_left(operator: Any, host: Any, browser: Browser) -> None:
    assert play(operator, **FIRST) > 0
    assert browser.ask(f"https://{NAME}/").status == 200
    assert browser.ask(f"https://{NAME}/snippet").status == 404
    assert not [path for path in (PASSWORDS, SNIPPET) if host.file(path).exists]


@pytest.mark.machine(12)
def test_https_is_turned_off_and_no_key_is_left(operator: Any, host: Any, browser: Browser) -> None:
    with Visits(operator.address(), f"{NAME}/") as visits:
        assert play(operator, tls="none") > 0
    assert (visits.failures, set(visits.answers)) == ([], {"http", "https"})
    assert json.loads(browser.ask(f"http://{NAME}/").text)["scheme"] == "http"
    assert "secure" not in str(browser.ask(f"http://{NAME}/").headers["Set-Cookie"]).lower()
    assert not host.file("/etc/flask-blog/certificates").exists
    assert host.file("/etc/flask-blog/schemes").listdir() == ["http"]
    assert play(operator, tls="none") == 0


@pytest.mark.machine(13)
def test_the_certificate_is_made_anew_in_its_last_month(operator: Any, host: Any) -> None:
    assert play(operator) > 0
    before = served_certificate(operator.address(), NAME)
    note = "/etc/flask-blog/certificate/made.json"
    operator.python(
        "found = json.load(open(args[0])); found['expires'] -= 370 * 86400; json.dump(found, open(args[0], 'w'))", note
    )
    assert play(operator) == 1
    assert served_certificate(operator.address(), NAME) != before
    assert play(operator) == 0
