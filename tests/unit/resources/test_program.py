"""A program that somebody else installs."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import registry


def test_a_missing_program_is_a_note_and_no_difference(tmp_path: Path) -> None:
    path = tmp_path / "sendmail"
    wanted = {"kind": "program", "path": str(path), "note": "install it"}
    notes: list[str] = []
    assert registry.compare(wanted, notes) is None
    assert notes == ["install it"]
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    assert registry.compare(wanted, notes) is None
    assert notes == ["install it"]
    assert registry.remove(wanted) is False
    assert path.exists(), "it is the host's own"
