"""The status of a site that does not serve names the cause of its last start."""

from __future__ import annotations

import shutil

import pytest
from blogctl.host import health, journal, systemd
from blogctl.host.releases import live_target, point_link
from blogctl.release import status
from blogctl.site import Site
from fake_machine import Add, Machine, failed

START = "2026-11-27T03:27:41+00:00 h systemd[1]: Starting blog.service - blog, a Flask blog on Gunicorn...\n"
ERROR = """2026-11-27T03:27:42+00:00 h (gunicorn)[7]: Traceback (most recent call last):
2026-11-27T03:27:42+00:00 h (gunicorn)[7]:   File "/var/www/blog/venv/bin/gunicorn", line 5, in <module>
2026-11-27T03:27:42+00:00 h (gunicorn)[7]:     from gunicorn.app.wsgiapp import run
2026-11-27T03:27:42+00:00 h (gunicorn)[7]: ModuleNotFoundError: No module named '{}'
"""


@pytest.fixture
def down(site: Site, machine: Machine, add_release: Add, monkeypatch: pytest.MonkeyPatch) -> Site:
    point_link(site, str(add_release("old")))
    machine.running = None
    monkeypatch.setattr(health, "ask", lambda *_, **__: health.Answer(0, "no answer: refused"))
    monkeypatch.setattr(systemd, "state_of", lambda _: ("activating", "auto-restart"))
    return site


def test_a_site_that_is_down_names_the_cause_of_its_last_start_and_the_remedy(
    down: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = START + ERROR.format("yaml") + START + ERROR.format("gunicorn") + START
    monkeypatch.setattr(journal, "last_lines", lambda *_: lines)
    found = status.status(down)
    assert found["cause"].startswith("ModuleNotFoundError: No module named 'gunicorn'")
    described = status.describe_status(found).splitlines()
    assert described[-2].startswith("cause        ModuleNotFoundError: No module named 'gunicorn'")
    assert "'blogctl rebuild'" in described[-1]


def test_a_site_whose_journal_says_nothing_is_referred_to_its_log(down: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "last_lines", lambda *_: START)
    found = status.status(down)
    assert (found["cause"], found["remedy"]) == ("", "")
    assert status.describe_status(found).endswith("'blogctl logs' may show why.")


def test_a_site_that_serves_has_no_cause_whatever_its_app_logged(
    down: Site, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.running = "old"
    monkeypatch.setattr(health, "ask", lambda *_, **__: health.Answer(200, "answered 200", "main old"))
    monkeypatch.setattr(journal, "last_lines", lambda *_: START + ERROR.format("yaml"))
    found = status.status(down)
    assert found["serves"]
    assert "cause" not in found
    assert "cause" not in status.describe_status(found)


def test_a_release_whose_folder_is_gone_is_not_blamed_on_the_app(down: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "last_lines", lambda *_: START + ERROR.format("yaml"))
    shutil.rmtree(down.path("releases"))
    found = status.status(down)
    assert found["cause"] == f"The folder of the live release is missing: {live_target(down)}"
    assert found["remedy"].startswith("Run the playbook again")


def test_a_first_release_that_failed_is_the_cause_after_a_boot_too(down: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service finds no release to start then, and says so instead."""
    down.path("link").unlink()
    monkeypatch.setattr(journal, "last_lines", lambda *_: START)
    failed(down, "old")
    found = status.status(down)
    assert found["cause"] == "it answers 500"
    assert status.describe_status(found).endswith(
        "No release is live yet. Correct the cause, and run the playbook again."
    )
    monkeypatch.setattr(journal, "last_lines", lambda *_: START + ERROR.format("yaml"))
    assert status.status(down)["cause"].startswith("ModuleNotFoundError"), "the last start says more"
