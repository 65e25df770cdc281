"""blogctl doctor: one line on a healthy host; else each finding with its reason and its fix."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from blogctl import cli
from blogctl.commands import doctor
from blogctl.doctor.check import ERROR, WARNING, Check, Finding
from blogctl.site import Site

BROKEN = Finding(ERROR, "nginx does not run", "visitors reach no site", "Start it.", "systemctl start nginx.service")
LATER = Finding(WARNING, "a.conf: changed", "it is lost", "Change the inventory.", "", ("-a", "+b"))

Find = Callable[..., None]


@pytest.fixture
def find(site: Site, monkeypatch: pytest.MonkeyPatch) -> Find:
    def set_findings(*findings: Finding) -> None:
        monkeypatch.setattr(doctor, "CHECKS", (Check("a", "it", lambda _: findings),))

    return set_findings


def test_a_healthy_site_is_one_line(find: Find, capsys: pytest.CaptureFixture[str]) -> None:
    find()
    assert cli.main(["doctor"]) == 0
    assert capsys.readouterr().out == "blog is healthy (1 checks)\n"


def test_each_finding_says_what_is_wrong_why_it_matters_and_the_command(
    find: Find, capsys: pytest.CaptureFixture[str]
) -> None:
    find(LATER, BROKEN)
    assert cli.main(["doctor"]) == doctor.BROKEN
    assert capsys.readouterr().out.splitlines() == [
        "ERROR    a: nginx does not run",
        "         Why: visitors reach no site.",
        "         Fix: Start it.",
        "              systemctl start nginx.service",
        "WARNING  a: a.conf: changed",
        "         Why: it is lost.",
        "         Fix: Change the inventory.",
        "         | -a",
        "         | +b",
    ]


def test_nothing_but_warnings_has_a_status_of_its_own(find: Find) -> None:
    find(LATER)
    assert cli.main(["doctor"]) == doctor.WARNED


def test_programs_get_the_findings_as_json(find: Find, capsys: pytest.CaptureFixture[str]) -> None:
    find(LATER, BROKEN)
    assert cli.main(["--json", "doctor"]) == doctor.BROKEN
    found = json.loads(capsys.readouterr().out)
    assert (found["healthy"], found["counts"]) == (False, {"error": 1, "warning": 1})
    assert found["findings"][1] == {
        "check": "a",
        "level": "error",
        "what": "nginx does not run",
        "why": "visitors reach no site",
        "fix": "Start it.",
        "command": "systemctl start nginx.service",
        "diff": [],
    }


def test_secrets_of_the_site_are_masked(find: Find, site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.path("environment").write_text('API_KEY="hunter2hunter2"\n')
    find(Finding(ERROR, "KeyError: hunter2hunter2", "", "", "", ("+hunter2hunter2",)))
    assert cli.main(["doctor"]) == doctor.BROKEN
    assert "hunter2" not in capsys.readouterr().out
