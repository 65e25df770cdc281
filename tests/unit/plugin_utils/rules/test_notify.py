"""Rules for who is told about failures: refused on the controller, before the host is touched."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.rules import checks
from good_input import GOOD

HOOK = "https://hooks.example.com/services/T000/B000/s3cr3t"


def problems(notify: dict[str, Any] | None = None, ping: dict[str, Any] | None = None) -> list[str]:
    return checks.check({**GOOD, "notify": notify or {}, "notify_ping": ping or {}})


@pytest.mark.parametrize(
    "notify",
    [
        {},
        {"mail": ["ada@example.com", "root", "a.b+c@sub.example.co.uk"]},
        {"webhook": HOOK},
        {"webhook": "http://user:pw@[::1]:8080/topic?x=1"},
        {"command": ["/usr/local/bin/tell", "--to", "ünïcode 'words'"], "command_user": "teller"},
        {"mail": [], "webhook": "", "command": [], "command_user": "nobody"},
    ],
)
def test_what_can_be_reached_is_accepted(notify: dict[str, Any]) -> None:
    assert problems(notify, {"backup": HOOK, "certificate": "", "proof": f"{HOOK}?create=1"}) == []


@pytest.mark.parametrize(
    "address",
    ["", "-oQ/tmp", "ada example.com", "Ada <ada@example.com>", "a@b\nBcc: c@d", "a@b, c@d", "@b", "a@", "|cat"],
)
def test_an_address_that_a_header_cannot_hold_is_refused(address: str) -> None:
    (found,) = problems({"mail": ["ada@example.com", address]})
    assert found.startswith(f"flask_blog_notify.mail: {address!r}: it is no mail address. Write it as")


@pytest.mark.parametrize(
    "url",
    [
        "hooks.example.com/x/s3cr3t",
        "ftp://hooks.example.com/s3cr3t",
        "file:///etc/s3cr3t",
        "https:///s3cr3t",
        "https://hooks.example.com/s3cr3t with a space",
        "https://hooks.example.com/s3cr3t\r\nX-Evil: 1",
        "https://hooks.example.com:99999/s3cr3t",
        "https://hooks.example.com:0/s3cr3t",
        "https://[::1/s3cr3t",
        "https://hooks.example.com/s3cr3t#here",
        "https://hooks.example.com/s3cr3t/ä",
        f"https://hooks.example.com/s3cr3t{'x' * 2000}",
    ],
)
def test_a_url_that_cannot_be_asked_is_refused_and_not_shown(url: str) -> None:
    (found,) = problems({"webhook": url})
    assert found.startswith("flask_blog_notify.webhook: '(hidden)': ")
    (ping,) = problems(ping={"backup": url})
    assert ping.startswith("flask_blog_notify_ping.backup: '(hidden)': ")
    assert "s3cr3t" not in found + ping


@pytest.mark.parametrize(
    ("notify", "variable", "part"),
    [
        ({"command": ["tell"]}, "command", "absolute"),
        ({"command": ["/bin/tell", "a\nb"]}, "command", "control character"),
        ({"command": ["/bin/tell"], "command_user": "root"}, "command_user", "hole in the server"),
        ({"command": ["/bin/tell"], "command_user": "flask-blog"}, "command_user", "the app's account"),
        ({"command": ["/bin/tell"], "command_user": "0"}, "command_user", "no valid name"),
        ({"command_user": "teller"}, "command_user", "no command"),
    ],
)
def test_a_command_that_could_be_anybody_s_is_refused(notify: dict[str, Any], variable: str, part: str) -> None:
    (found,) = problems(notify)
    assert found.startswith(f"flask_blog_notify.{variable}: ")
    assert part in found
