"""blogctl masks the secrets of its site in what it prints, in the journal and in its record of operations."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from blogctl import cli
from blogctl.backup import create
from blogctl.errors import OperationError
from blogctl.host import journal, secrets
from blogctl.release import history
from blogctl.site import Site


@pytest.fixture(autouse=True)
def secret(site: Site) -> Iterator[str]:
    """Give the site a secret."""
    (site.path("config") / "environment").write_text('SECRET_KEY="the generated key"\nSITE_NAME="A blog"\n')
    (site.path("config") / "site.json").write_text(json.dumps(site.settings))
    secrets._met.clear()
    yield "the generated key"
    secrets._met.clear()


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_an_error_is_printed_without_secrets(
    secret: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    def fail(_: Site) -> dict[str, Any]:
        raise OperationError(f"A blog: {secret!r}", tables=[f"of {secret}"])

    monkeypatch.setattr(create, "back_up", fail)
    assert cli.main([*options, "backup"]) == 1
    said = capsys.readouterr().err
    assert secret not in said
    assert "A blog: ********" in said


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_result_is_printed_without_secrets(
    secret: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    done = {"name": "b", "files": 1, "bytes": 1, "skipped": {"uploads": f"of {secret}"}, "skipped_more": 0}
    monkeypatch.setattr(create, "back_up", lambda _: done)
    cli.main([*options, "backup"])
    said = capsys.readouterr().out
    assert secret not in said
    assert "of ********" in said


def test_secrets_are_shown_if_they_need_not_be_hidden(
    site: Site, secret: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Site) -> dict[str, Any]:
        raise OperationError(secret)

    (site.path("config") / "site.json").write_text(json.dumps({**site.settings, "hide_secrets": False}))
    monkeypatch.setattr(create, "back_up", fail)
    cli.main(["backup"])
    assert capsys.readouterr().err == f"blogctl: {secret}\n"


def test_the_secret_of_settings_that_were_restored_is_masked_too(
    site: Site, secret: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Site) -> dict[str, Any]:
        (site.path("config") / "environment").write_text('SECRET_KEY="the earlier key"\n')
        raise OperationError(f"{secret}, the earlier key")

    monkeypatch.setattr(create, "back_up", fail)
    cli.main(["backup"])
    assert capsys.readouterr().err == "blogctl: ********, ********\n"


def test_a_line_for_the_journal_holds_no_secret(
    site: Site, secret: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    address = str(tmp_path / "journal")
    monkeypatch.setattr(journal, "SOCKET", address)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journald:
        journald.bind(address)
        journald.settimeout(5)
        journal.log(site, f"the command failed: echo {secret}")
        entry = journald.recv(65536).decode()
    assert "MESSAGE=the command failed: echo ********\n" in entry


@pytest.mark.parametrize("kind", [OperationError, ValueError])
def test_the_record_of_operations_holds_no_secret(site: Site, secret: str, kind: type[Exception]) -> None:
    with pytest.raises(kind), history.recorded(site, "activate", None, "r1"):
        raise kind(f"it printed {secret}")
    text = history.journal_path(site).read_text()
    assert secret not in text
    assert "it printed ********" in text
