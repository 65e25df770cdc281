"""blogctl releases and blogctl status: what they print."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from blogctl import cli
from blogctl.commands import status as status_command
from blogctl.errors import OperationError
from blogctl.host import health, systemd
from blogctl.host.releases import point_link
from blogctl.release import history
from blogctl.release.history import read, recorded
from blogctl.site import Site


def test_releases_and_status_are_printed_for_a_person(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, add_release: Any
) -> None:
    add_release("one")
    add_release("two")
    monkeypatch.setattr(health, "served_release", lambda _: "one")
    monkeypatch.setattr(systemd, "state_of", lambda _: ("active", "running"))
    with recorded(site, "activate", None, "one") as entry:
        entry.details["waited"] = 2.0
    assert cli.main(["releases"]) == 0
    said = capsys.readouterr().out
    assert "one  live" in said
    assert "two  new" in said
    assert "requests waited 2.0 s" in said
    history.close(site, read(site)[-1], "one", "one serves on")
    assert cli.main(["releases"]) == 0
    said = capsys.readouterr().out
    assert "interrupted" in said
    assert said.endswith("; one serves on\n")
    assert cli.main(["status"]) == status_command.NOT_SERVING
    said = capsys.readouterr().out
    assert "release      one (the link says None)" in said
    assert "The site does not serve as it should" in said
    assert "health       /healthz: no answer" in said
    assert "maintenance  off" in said


def test_releases_say_which_is_which_and_where_it_came_from(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, add_release: Any
) -> None:
    for name in ("one", "two", "three", "bad"):
        folder = add_release(name)
    manifest = {"id": "bad", "digest": "0", "app_dir": "", "source_root": ""}
    manifest |= {"commit": "0123456789abcdef0123", "ref": "main"}
    (folder / ".release.json").write_text(json.dumps(manifest))
    for operation, origin, name in (
        ("activate", None, "one"),
        ("activate", "one", "two"),
        ("activate", "two", "three"),
        ("rollback", "three", "two"),
    ):
        with recorded(site, operation, origin, name):
            point_link(site, str(site.path("releases") / name))
    with contextlib.suppress(OperationError), recorded(site, "activate", None, "bad") as entry:
        entry.details["marks_failed"] = True
        raise OperationError("x" * 300)
    monkeypatch.setattr(health, "served_release", lambda _: "two")
    assert cli.main(["releases", "--json"]) == 0
    found = {one["id"]: one for one in json.loads(capsys.readouterr().out)["releases"]}
    assert {name: one["state"] for name, one in found.items()} == {
        "one": "previous",
        "two": "live",
        "three": "left",
        "bad": "failed",
    }
    assert found["bad"]["commit"] == "0123456789abcdef0123"
    assert found["bad"]["problem"] == "x" * 300
    assert cli.main(["releases"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()[:4]}
    assert "main 0123456789ab  x" in lines["bad"]
    assert len(lines["bad"]) < 150
    assert "previous" in lines["one"]


def test_status_names_the_cause_and_the_remedy_if_the_environment_is_of_another_python(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, add_release: Any
) -> None:
    folder = add_release("one")
    point_link(site, str(folder))
    monkeypatch.setattr(health, "served_release", lambda _: None)
    monkeypatch.setattr(systemd, "state_of", lambda _: ("activating", "auto-restart"))
    cli.main(["status"])
    assert "environment" not in capsys.readouterr().out
    (lib,) = (folder / "venv" / "lib").iterdir()
    lib.rename(lib.with_name("python3.9"))
    assert cli.main(["status"]) == status_command.NOT_SERVING
    said = capsys.readouterr().out
    assert "environment  the environment of one" in said
    assert "was built for Python 3.9" in said
    assert "'blogctl --site blog rebuild one'" in said
