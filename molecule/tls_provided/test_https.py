"""HTTPS as visitors and strangers see it, asked from outside."""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from https import SECURITY_HEADERS, Browser, Visits, connect, context, served_certificate

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "unit"))

from certificates import chain, intermediate, site

NAME, OTHER = "blog.example.com", "www.example.com"
HSTS = "max-age=63072000"
#: Files of the machine.
CERTIFICATE = "/etc/flask-blog/certificate/fullchain.pem"


@pytest.fixture
def browser(operator: Any) -> Browser:
    """A new visitor."""
    return Browser(operator.address())


def play(operator: Any, **variables: Any) -> int:
    """Run the playbook, and return how many tasks changed something."""
    return int(operator.play("--extra-vars", json.dumps(variables)).changed)


def provided(*names: str, **more: Any) -> dict[str, str]:
    """The variables of a certificate that is issued for some names."""
    issued = site(*(names or (NAME, OTHER)), **more)
    return {"tls": "provided", "certificate": chain(issued, intermediate()), "key": issued.key_pem()}


#: Made once: a key that changes would be a change.
FIRST, SECOND = provided(), provided()


def test_the_page_comes_over_https_and_the_app_knows_it(browser: Browser) -> None:
    reply = browser.ask(f"https://{NAME}/")
    seen = json.loads(reply.text)
    assert (seen["scheme"], seen["url"], seen["external"]) == ("https", f"https://{NAME}/", f"https://{NAME}/")
    assert seen["preferred"] == "https"
    assert browser.ask(f"https://{NAME}/login").headers["Location"] == f"https://{NAME}/"


@pytest.mark.parametrize("url", [f"http://{NAME}/a?b=c", f"http://{OTHER}/a?b=c", f"https://{OTHER}/a?b=c"])
def test_every_other_address_leads_to_the_canonical_one_in_one_hop(browser: Browser, url: str) -> None:
    reply = browser.ask(url)
    assert (reply.status, reply.headers["Location"]) == (301, f"https://{NAME}/a?b=c")


def test_a_session_is_kept_over_https_alone(browser: Browser) -> None:
    cookie = browser.ask(f"https://{NAME}/").headers["Set-Cookie"]
    assert "secure" in {part.strip().lower() for part in cookie.split(";")}
    assert json.loads(browser.ask(f"https://{NAME}/").text)["visits"] == 2


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200),
        ("/static/site.css", 200),
        ("/static/none.css", 404),
        ("/static/.hidden", 404),
        ("/static/uploads/none.png", 404),
        ("/nothing", 404),
        ("/broken", 500),
        ("/own-hsts", 200),
        ("/login", 302),
    ],
)
def test_hsts_is_on_every_response_and_once(browser: Browser, path: str, status: int) -> None:
    reply = browser.ask(f"https://{NAME}{path}")
    assert reply.status == status
    assert reply.headers.get_all("Strict-Transport-Security") == [HSTS]


def test_hsts_is_on_what_nginx_itself_refuses(browser: Browser) -> None:
    replies = [
        browser.ask(f"https://{NAME}/", {"Content-Length": str(2**40)}),
        browser.ask(f"https://{OTHER}/"),
        browser.ask(f"https://{NAME}/", {"X": "y" * 40000}),
    ]
    assert [reply.status for reply in replies] == [413, 301, 400]
    assert [reply.headers.get_all("Strict-Transport-Security") for reply in replies] == [[HSTS]] * 3
    assert "Strict-Transport-Security" not in browser.ask(f"http://{NAME}/").headers


@pytest.mark.parametrize(
    ("version", "accepted"), [("TLSv1", False), ("TLSv1_1", False), ("TLSv1_2", True), ("TLSv1_3", True)]
)
def test_only_protocols_that_are_good_are_spoken(operator: Any, version: str, accepted: bool) -> None:
    wanted = context(getattr(ssl.TLSVersion, version))
    if not accepted:
        with pytest.raises(OSError, match=r"(?i)protocol|version|alert|EOF|reset"):
            connect(operator.address(), NAME, wanted)
        return
    with connect(operator.address(), NAME, wanted) as connection:
        assert connection.version() == version.replace("_", ".")


def test_http_2_is_offered(operator: Any) -> None:
    wanted = context()
    wanted.set_alpn_protocols(["h2", "http/1.1"])
    with connect(operator.address(), NAME, wanted) as connection:
        assert connection.selected_alpn_protocol() == "h2"


@pytest.mark.parametrize("name", [None, "other.example.com", "example.com"])
def test_a_name_of_no_site_is_refused_without_a_certificate(operator: Any, name: str | None) -> None:
    with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
        connect(operator.address(), name)


@pytest.mark.parametrize("asked", ["other.example.com", "blog.example.com.evil.example", "127.0.0.1"])
def test_a_request_for_another_host_than_the_connections_is_misdirected(browser: Browser, asked: str) -> None:
    assert browser.ask(f"https://{asked}/", name=NAME).status == 421


def test_a_visitor_cannot_forge_the_scheme(browser: Browser) -> None:
    headers = {"X-Forwarded-Proto": "http", "X-Forwarded-Ssl": "off", "Forwarded": "proto=http"}
    assert json.loads(browser.ask(f"https://{NAME}/", headers).text)["scheme"] == "https"
    assert browser.ask(f"http://{NAME}/", {"X-Forwarded-Proto": "https"}).status == 301


HEADERS = ("Strict-Transport-Security", *SECURITY_HEADERS)
PATHS = ("/", "/login", "/broken", "/no-such-page", "/static/site.css", "/static/missing.css", "/static/.hidden")


@pytest.mark.parametrize("url", [*(f"https://{NAME}{path}" for path in PATHS), f"https://{OTHER}/"])
def test_every_answer_has_each_security_header_once(browser: Browser, url: str) -> None:
    reply = browser.ask(url)
    assert {name: len(reply.headers.get_all(name, [])) for name in HEADERS} == dict.fromkeys(HEADERS, 1)


def test_a_header_of_the_app_takes_precedence(browser: Browser) -> None:
    headers = browser.ask(f"https://{NAME}/framed").headers
    assert headers.get_all("X-Frame-Options") == ["DENY"]
    assert headers.get_all("Referrer-Policy") == ["no-referrer"]
    assert headers.get_all("Content-Security-Policy") == ["base-uri 'self'; object-src 'self'"]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_error_of_nginx_has_a_page_and_keeps_its_status(browser: Browser, method: str) -> None:
    reply = browser.ask(f"https://{NAME}/static/.hidden", method=method, body=b"a=b" if method == "POST" else None)
    assert (reply.status, reply.headers["Cache-Control"]) == (404, "no-store")
    assert "<h1>Not found</h1>" in reply.text
    reply = browser.ask(f"https://{NAME}/", method="POST", body=b"0" * (9 * 1024 * 1024))
    assert reply.status == 413
    assert "<h1>Too large</h1>" in reply.text


def test_an_upload_is_served_and_is_no_page_of_the_site(browser: Browser) -> None:
    content = b"<script>alert(1)</script>"
    assert browser.ask(f"https://{NAME}/uploads/a.html", method="POST", body=content).text == "stored"
    reply = browser.ask(f"https://{NAME}/static/uploads/a.html")
    assert (reply.status, reply.text) == (200, content.decode())
    assert "sandbox" in reply.headers["Content-Security-Policy"]
    assert reply.headers.get_all("Strict-Transport-Security") == [HSTS]


def test_maintenance_is_announced_over_https(host: Any, browser: Browser) -> None:
    host.check_output("blogctl maintenance on")
    try:
        reply = browser.ask(f"https://{NAME}/static/site.css")
        assert (reply.status, reply.headers["Retry-After"]) == (503, "300")
        assert reply.headers.get_all("Strict-Transport-Security") == [HSTS]
        assert browser.ask(f"http://{NAME}/").status == 301
    finally:
        host.check_output("blogctl maintenance off")


def test_blogctl_says_where_the_site_is(host: Any) -> None:
    assert json.loads(host.check_output("blogctl status --json"))["address"] == f"https://{NAME}"


def test_the_key_is_roots_alone(host: Any) -> None:
    key = "/etc/flask-blog/certificate/privkey.pem"
    assert (host.file(key).user, host.file(key).mode) == ("root", 0o600)
    assert host.run(f"runuser -u flask-blog -- cat {key}").rc != 0
    assert host.run("runuser -u www-data -- cat %s", key).rc != 0


# -- from one certificate to another one, and back to HTTP: the tests below belong together -------------------------


def test_a_self_signed_certificate_is_the_hosts_own(host: Any, operator: Any) -> None:
    assert served_certificate(operator.address(), NAME).split() == host.file(CERTIFICATE).content_string.split()


@pytest.mark.parametrize("variables", [FIRST, SECOND], ids=["the first one", "the next one"])
def test_a_certificate_is_exchanged_without_a_failed_request(operator: Any, host: Any, variables: Any) -> None:
    assert play(operator, **variables) > 0
    assert served_certificate(operator.address(), NAME) in variables["certificate"]
    assert len(host.file("/etc/flask-blog/certificates").listdir()) == 1, "the one before is removed"
    assert play(operator, **variables) == 0


def test_a_certificate_is_exchanged_under_load(operator: Any) -> None:
    with Visits(operator.address(), f"{NAME}/") as visits:
        assert play(operator, **FIRST) > 0
    assert (visits.failures, set(visits.answers)) == ([], {"https"})
    assert served_certificate(operator.address(), NAME) in FIRST["certificate"]


def test_the_key_is_in_no_output(operator: Any) -> None:
    run = operator.play("--extra-vars", json.dumps(SECOND), "--check", "--diff", "-vvv")
    assert run.returncode == 0, run.output
    assert "/etc/flask-blog/certificates/" in run.output
    # The command line itself is shown with -vvv.
    shown = "\n".join(line for line in run.output.splitlines() if "extra-vars" not in line)
    assert not [line for line in SECOND["key"].splitlines()[1:-1] if line in shown]


def test_a_certificate_that_is_not_for_the_site_is_refused_before_the_host_is_touched(operator: Any) -> None:
    run = operator.play("--extra-vars", json.dumps(provided(NAME)))
    assert run.returncode != 0
    assert f"and not {OTHER} of flask_blog_server_names" in run.output
    assert served_certificate(operator.address(), NAME) in FIRST["certificate"]


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


def test_https_is_turned_off_and_no_key_is_left(operator: Any, host: Any, browser: Browser) -> None:
    with Visits(operator.address(), f"{NAME}/") as visits:
        assert play(operator, tls="none") > 0
    assert (visits.failures, set(visits.answers)) == ([], {"http", "https"})
    assert json.loads(browser.ask(f"http://{NAME}/").text)["scheme"] == "http"
    assert "secure" not in str(browser.ask(f"http://{NAME}/").headers["Set-Cookie"]).lower()
    assert not host.file("/etc/flask-blog/certificates").exists
    assert host.file("/etc/flask-blog/schemes").listdir() == ["http"]
    assert play(operator, tls="none") == 0


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
