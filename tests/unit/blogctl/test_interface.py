"""A site of another version of the collection is not changed, and keeps serving."""

from __future__ import annotations

import json
from typing import Any

import pytest
from blogctl import cli, commands
from blogctl import site as site_module
from blogctl.errors import OperationError
from blogctl.host import health, run_as_app, systemd
from blogctl.release import recovery
from blogctl.shared import contract
from blogctl.site import Site

#: They change the site, or rely on what the role has written.
REFUSED = (
    ["activate", "abc"],
    ["rollback"],
    ["backup"],
    ["restore"],
    ["prove"],
    ["certificate"],
    ["maintenance", "on"],
    ["maintenance"],
    ["rebuild"],
    ["run", "--", "flask", "shell"],
)


@pytest.fixture(autouse=True)
def configured(site: Site) -> Site:
    site.settings["interface"] = contract.INTERFACE + 1
    write(site)
    return site


def write(site: Site) -> None:
    (site.path("config") / "site.json").write_text(json.dumps(site.settings))


@pytest.mark.parametrize("arguments", REFUSED, ids=" ".join)
def test_what_changes_a_site_of_another_interface_is_refused_with_one_line(
    site: Site, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(site.path("root").rglob("*"))
    assert cli.main(arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        f"blogctl: blog was deployed with interface {contract.INTERFACE + 1} and this blogctl supports"
    )
    assert "nothing was changed. Run playbooks/site.yml" in line
    assert sorted(site.path("root").rglob("*")) == before


def test_what_keeps_a_site_up_and_what_only_reads_goes_on(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(recovery, "recover", lambda _: "")
    monkeypatch.setattr(health, "properties_of", lambda *_: {})
    monkeypatch.setattr(systemd, "state_of", lambda _: ("active", "running"))
    monkeypatch.setattr("os.execvp", lambda *_: (_ for _ in ()).throw(SystemExit(0)))
    for name in ("prepare-start", "recover", "releases"):
        assert cli.main([name]) == 0
    assert cli.main(["status"]) == 6
    with pytest.raises(SystemExit):
        cli.main(["logs"])
    assert "interface" not in capsys.readouterr().err


def test_the_commands_that_need_an_interface_are_those_that_change_something() -> None:
    found = {name for name in (*commands.NAMES, *commands.HIDDEN) if commands.load(name).requires_interface}
    expected = {"activate", "rollback", "rebuild", "backup", "restore", "prove", "certificate", "maintenance", "run"}
    assert found == expected == {words[0] for words in REFUSED}


def test_the_present_interface_is_supported_and_a_site_without_one_has_the_first(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for found in (contract.INTERFACE, 1):
        site.settings["interface"] = found
        site.require_interface()
    del site.settings["interface"]
    site.require_interface()
    monkeypatch.setattr(site_module.contract, "OLDEST_INTERFACE", 2)
    monkeypatch.setattr(site_module.contract, "INTERFACE", 3)
    with pytest.raises(OperationError, match=r"interface 1 and this blogctl supports 2 to 3;"):
        site.require_interface()
    for found in (2, 3):
        site.settings["interface"] = found
        site.require_interface()
    site.settings["interface"] = 4
    with pytest.raises(OperationError, match=r"interface 4 and this blogctl supports 2 to 3;"):
        site.require_interface()


@pytest.mark.parametrize("found", ["1", None, True, 1.0, [1], 0, -1])
def test_an_interface_that_is_no_number_is_refused(site: Site, found: Any) -> None:
    site.settings["interface"] = found
    with pytest.raises(OperationError, match="was deployed with interface"):
        site.require_interface()


def test_a_refused_command_starts_no_program(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_as_app, "attach", lambda *_: pytest.fail("it ran"))
    assert cli.main(["run", "--", "flask", "shell"]) == 1
