"""What a message may hold: bounded, without secrets, and with nothing in it that the app can use."""

from __future__ import annotations

import json
from typing import Any

from blogctl.notify import message
from blogctl.site import Site


def compose(site: Site, job: str = "backup", event: str = message.FAILED) -> dict[str, Any]:
    return message.compose(site, job, event, 1.0, 2.0)


def test_secrets_of_the_site_are_masked_in_every_field(site: Site, unit: Any) -> None:
    site.settings["secret_settings"] = ["API_THING"]
    site.path("environment").write_text('API_THING="hunter2hunter2"\n')
    unit.lines = "connecting to postgres://ada:letmein99@db with hunter2hunter2"
    text = json.dumps(compose(site))
    assert "hunter2" not in text
    assert "letmein" not in text
    assert "********" in text


def test_the_app_cannot_steer_a_terminal_or_call_people(site: Site, unit: Any) -> None:
    unit.lines = "\x1b]0;gotcha\x07 <!channel> <@U123> @everyone [your bank](https://evil.example)"
    found = json.loads(message.for_webhook(compose(site)))
    for field in (found["text"], found["content"], found["journal"][0]):
        assert "\x1b" not in field
        for call in ("<!channel", "<@U123", "@everyone", "](https"):
            assert call not in field
    assert "evil.example" in found["text"], "it is shown nevertheless"
    assert found["allowed_mentions"] == {"parse": []}


def test_an_app_that_fills_the_journal_fills_no_message(site: Site, unit: Any) -> None:
    unit.lines = "\n".join("x" * 10_000 for _ in range(1000))
    found = json.loads(message.for_webhook(compose(site)))
    assert len(found["journal"]) <= 2 * message.LINES
    assert all(len(line) <= message.LINE_LIMIT for line in found["journal"])
    assert len(found["content"]) <= 2000, "Discord refuses more"


def test_a_site_that_does_not_serve_shows_the_app_s_own_lines(site: Site, unit: Any) -> None:
    found = compose(site, "check")
    assert found["title"].endswith("the site does not serve")
    assert found["journal"] == [unit.lines, unit.lines]
    assert "sudo blogctl --site blog status" in found["text"]
