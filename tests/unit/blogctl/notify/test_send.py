"""Mail through the host's sendmail, and a command that gets the message as an account without rights."""

from __future__ import annotations

import email
import email.policy
import json
import os
import pwd
import time
from pathlib import Path
from typing import Any

import pytest
from blogctl.notify import send
from blogctl.notify.settings import Settings

MESSAGE = {"title": "blog on host: the backup failed", "text": "Füllstand\n.\nno space left\n", "event": "failed"}
ME = pwd.getpwuid(os.geteuid()).pw_name
OTHER = "nobody" if os.geteuid() == 0 else ME


def program(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_a_mail_has_its_receivers_its_title_and_its_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        send, "SENDMAIL", program(tmp_path / "sendmail", f'echo "$@" >{tmp_path}/words; cat >{tmp_path}/mail')
    )
    send.by_mail(Settings(mail=("ada@example.com", "root")), MESSAGE)
    assert (tmp_path / "words").read_text() == "-i -t\n"
    raw = (tmp_path / "mail").read_bytes()
    assert b"\r" not in raw
    mail: Any = email.message_from_bytes(raw, policy=email.policy.default)
    assert mail["To"] == "ada@example.com, root"
    assert mail["Subject"] == MESSAGE["title"]
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail.get_content() == MESSAGE["text"]


def test_a_title_with_a_line_break_adds_no_header() -> None:
    raw = send.mail_of(["ada@example.com"], {**MESSAGE, "title": "blog\r\nBcc: eve@example.com"})
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    assert "Bcc" not in mail
    assert mail["Subject"] == "blog Bcc: eve@example.com"


def test_a_sendmail_that_refuses_or_hangs_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(send, "SENDMAIL", program(tmp_path / "refuses", "exit 75"))
    with pytest.raises(send.Undelivered, match="ended with status 75"):
        send.by_mail(Settings(mail=("ada@example.com",)), MESSAGE)
    monkeypatch.setattr(send, "TIMEOUT", 0.3)
    monkeypatch.setattr(send, "SENDMAIL", program(tmp_path / "hangs", f"sleep 60 & echo $! >{tmp_path}/pid; wait"))
    began = time.monotonic()
    with pytest.raises(send.Undelivered, match="took longer than"):
        send.by_mail(Settings(mail=("ada@example.com",)), MESSAGE)
    assert time.monotonic() - began < 5
    time.sleep(0.1)
    state = Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}/stat")
    assert not state.exists() or " Z " in state.read_text(), "nothing of it is left"


def test_a_command_gets_json_as_its_account_and_none_of_root_s_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_ROOT", "x")
    folder = Path("/var/tmp") / f"notify-test-{os.getpid()}"
    folder.mkdir(mode=0o755)
    try:
        folder.chmod(0o777)  # the other account writes here
        words = program(folder / "tell", f"cat >{folder}/got; id -un >{folder}/who; env >{folder}/environment")
        send.by_command(Settings(command=(words, "x"), command_user=OTHER), MESSAGE)
        assert json.loads((folder / "got").read_text()) == MESSAGE
        assert (folder / "who").read_text().strip() == OTHER
        assert "SECRET_OF_ROOT" not in (folder / "environment").read_text()
    finally:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


@pytest.mark.skipif(os.geteuid() != 0, reason="another account can be tried by root alone")
def test_a_command_has_none_of_root_s_rights_and_groups(tmp_path: Path) -> None:
    with pytest.raises(send.Undelivered, match="ended with status 1"):
        send.by_command(Settings(command=("/usr/bin/test", "-r", "/etc/shadow"), command_user="nobody"), MESSAGE)


def test_root_runs_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    root = pwd.getpwuid(0)
    monkeypatch.setattr(pwd, "getpwnam", lambda _: root)
    with pytest.raises(send.Undelivered, match="is root, who runs no such command"):
        send.by_command(Settings(command=("/bin/true",), command_user="toor"), MESSAGE)


def test_a_missing_account_or_program_is_named() -> None:
    with pytest.raises(send.Undelivered, match="no account 'no-such-account'"):
        send.by_command(Settings(command=("/bin/true",), command_user="no-such-account"), MESSAGE)
    with pytest.raises(send.Undelivered, match="/no/such/program cannot run"):
        send.by_command(Settings(command=("/no/such/program",), command_user=OTHER), MESSAGE)


def test_a_command_that_reads_nothing_is_no_error() -> None:
    send.by_command(Settings(command=("/bin/true",), command_user=OTHER), {**MESSAGE, "text": "x" * 1_000_000})
