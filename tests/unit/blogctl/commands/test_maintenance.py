"""blogctl maintenance: the page is shown while its file is there."""

from __future__ import annotations

import json
import os

import pytest
from blogctl import cli
from blogctl.commands import maintenance as maintenance_command
from blogctl.host import locks
from blogctl.site import Site


def test_maintenance_is_on_while_its_file_is_there(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    file = site.path("maintenance")
    for word, there in (("on", True), ("off", False)):
        assert cli.main(["maintenance", word]) == 0
        assert file.exists() == there
        assert capsys.readouterr().out == f"the maintenance page is {word}\n"
        assert cli.main(["maintenance", word]) == 0
        assert capsys.readouterr().out == f"the maintenance page is {word} already\n"


def test_another_operation_under_way_is_status_3(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance_command, "locked", lambda one, what: locks.locked(one, what, wait=0.1))
    with locks.locked(site, "backup"):
        assert cli.main(["maintenance", "on"]) == 3
    assert not site.path("maintenance").exists()
    assert f"is under way (backup, process {os.getpid()}, since " in capsys.readouterr().err


def test_a_dry_run_of_maintenance_changes_nothing(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["maintenance", "on", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "maintenance": True,
        "changed": True,
        "dry_run": True,
        "message": "the maintenance page would be on",
    }
    assert not site.path("maintenance").exists()
    assert cli.main(["maintenance"]) == 0
    assert capsys.readouterr().out == "the maintenance page is off\n"
