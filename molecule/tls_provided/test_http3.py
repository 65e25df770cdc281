"""HTTP/3, asked with Debian's curl: on Debian 13, and refused on 12. The site is left as it was."""

from __future__ import annotations

import json
from typing import Any

import pytest
from https import Browser

NAME, OTHER = "blog.example.com", "www.example.com"
HSTS = "max-age=63072000"
ALT_SVC = 'h3=":443"; ma=86400'


@pytest.fixture(scope="module")
def is_offered(host: Any, operator: Any) -> bool:
    """Turn it on, and say whether the platform has it."""
    before = host.check_output("cat /etc/nginx/sites-available/flask-blog.conf")
    run = operator.play("--extra-vars", json.dumps({"http3": True}))
    if host.system_info.release.startswith("12"):
        assert run.returncode != 0
        assert "flask_blog_http3: nginx 1.22 has no HTTP/3. Leave it out, or use Debian 13." in run.output
        assert host.check_output("cat /etc/nginx/sites-available/flask-blog.conf") == before
        return False
    assert run.changed > 0
    assert operator.play("--extra-vars", json.dumps({"http3": True})).changed == 0
    host.check_output("apt-get -q update && apt-get -q --yes --no-install-recommends install curl")
    return True


@pytest.fixture
def ask(host: Any, is_offered: bool) -> Any:
    """Ask over HTTP/3 alone: ask(name, path, options of curl...) returns what curl prints, headers first."""
    if not is_offered:
        pytest.skip("Debian 12 has no HTTP/3, and the run said so")

    def over_http3(name: str, path: str, *options: str) -> Any:
        fixed = f"curl -sS -i -k --max-time 10 --http3-only --resolve {name}:443:127.0.0.1"
        return host.run(" ".join([fixed, *options, f"'https://{name}{path}'"]))

    return over_http3


def test_a_page_a_file_and_a_form_come_over_http3(ask: Any) -> None:
    page = ask(NAME, "/")
    assert page.stdout.startswith("HTTP/3 200"), page
    headers, _, body = page.stdout.replace("\r", "").partition("\n\n")
    seen = json.loads(body)
    assert (seen["scheme"], seen["url"], seen["client"]) == ("https", f"https://{NAME}/", "127.0.0.1")
    assert f"strict-transport-security: {HSTS}" in headers
    assert ask(NAME, "/static/site.css").stdout.startswith("HTTP/3 200")
    assert ask(NAME, "/uploads/http3.txt", "-X POST --data-binary stored").stdout.endswith("stored")
    assert f"location: https://{NAME}/a?b=c" in ask(OTHER, "/a?b=c").stdout


@pytest.mark.parametrize("path", ["/", "/static/site.css", "/broken", "/static/none.css"])
def test_each_answer_over_https_says_where_http3_is(ask: Any, operator: Any, path: str) -> None:
    del ask
    browser = Browser(operator.address())
    assert browser.ask(f"https://{NAME}{path}").headers.get_all("Alt-Svc") == [ALT_SVC]
    assert "Alt-Svc" not in browser.ask(f"http://{NAME}{path}").headers


def test_a_name_of_no_site_is_refused_and_another_host_is_misdirected(ask: Any) -> None:
    assert ask("other.example.com", "/").rc != 0
    assert ask(NAME, "/", "-H 'Host: other.example.com'").stdout.startswith("HTTP/3 421")


def test_a_forged_header_does_not_reach_the_app(ask: Any) -> None:
    page = ask(NAME, "/", "-H 'X-Forwarded-For: 198.51.100.1' -H 'X-Forwarded-Proto: http'").stdout
    assert '"client":"127.0.0.1"' in page.replace(" ", "")
    assert '"scheme":"https"' in page.replace(" ", "")


def test_nothing_of_it_is_left_once_it_is_turned_off(ask: Any, operator: Any) -> None:
    assert operator.play().changed > 0
    assert operator.play().changed == 0
    assert "Alt-Svc" not in Browser(operator.address()).ask(f"https://{NAME}/").headers
    assert ask(NAME, "/").rc != 0
