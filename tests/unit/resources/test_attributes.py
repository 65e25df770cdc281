"""Owner, group and mode of a file that another program writes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import attributes, registry
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources.difference import Conflict
from wanted_objects import log_at, mode_of


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_a_missing_log_is_made_empty_with_its_mode_from_the_start(tmp_path: Path, me: Any, umask: int) -> None:
    wanted = log_at(tmp_path / "blog.access.log", me)
    difference = registry.compare(wanted)
    assert difference.reasons == ["missing"]
    assert difference.after == f"empty file {me.user}:{me.group} 0640\n"
    before = os.umask(umask)
    try:
        undo = registry.apply(wanted)
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "blog.access.log") == 0o640
    assert registry.compare(wanted) is None
    undo()
    assert (tmp_path / "blog.access.log").exists(), "nginx may have written to it"


def test_a_log_that_everybody_can_read_is_found_shown_and_closed_and_keeps_its_content(tmp_path: Path, me: Any) -> None:
    log = tmp_path / "blog.access.log"
    log.write_text("192.0.2.7 GET /\n")
    log.chmod(0o644)
    wanted = log_at(log, me)
    difference = registry.compare(wanted)
    assert (difference.reasons, difference.before, difference.after) == (
        ["mode 0644 -> 0640"],
        "mode 0644\n",
        "mode 0640\n",
    )
    registry.apply(wanted)
    assert registry.compare(wanted) is None
    assert log.read_text() == "192.0.2.7 GET /\n"


def test_a_journal_that_its_own_program_makes_is_no_difference_while_it_is_missing(tmp_path: Path, me: Any) -> None:
    wanted = log_at(tmp_path / "operations.jsonl", me, mode="0600", create=False)
    assert registry.compare(wanted) is None
    (tmp_path / "operations.jsonl").touch(mode=0o644)
    (tmp_path / "operations.jsonl").chmod(0o644)
    assert registry.compare(wanted).reasons == ["mode 0644 -> 0600"]
    registry.apply(wanted)
    assert mode_of(tmp_path / "operations.jsonl") == 0o600


@pytest.mark.parametrize("kind", ["symlink", "hard link", "directory", "FIFO"])
@pytest.mark.parametrize("step", ["compare", "apply"])
def test_what_is_no_plain_file_in_a_logs_place_is_refused_and_not_followed(
    tmp_path: Path, me: Any, kind: str, step: str
) -> None:
    precious, log = tmp_path / "precious", tmp_path / "blog.access.log"
    precious.touch()
    precious.chmod(0o604)
    if kind == "symlink":
        log.symlink_to(precious)
    elif kind == "hard link":
        log.hardlink_to(precious)
    elif kind == "directory":
        log.mkdir(mode=0o755)
    else:
        os.mkfifo(log)
    with pytest.raises((Conflict, OSError), match=r"Move it away and run again|symbolic links"):
        getattr(registry, step)(log_at(log, me))
    assert mode_of(precious) == 0o604


def test_a_link_that_takes_a_missing_logs_place_at_the_last_moment_is_not_written_through(
    tmp_path: Path, me: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "blog.access.log").symlink_to(tmp_path / "precious")
    monkeypatch.setattr(attributes, "lstat", lambda _: None)
    with pytest.raises(FileExistsError):
        registry.apply(log_at(tmp_path / "blog.access.log", me))
    assert not (tmp_path / "precious").exists()


def test_a_log_is_removed_while_it_is_as_empty_as_it_was_made(tmp_path: Path, me: Any) -> None:
    wanted = log_at(tmp_path / "blog.access.log", me)
    registry.apply(wanted)
    assert registry.remove({**wanted, "create": False}) is False
    (tmp_path / "blog.access.log").write_text("GET /\n")
    assert registry.remove(wanted) is False
    (tmp_path / "blog.access.log").write_text("")
    assert registry.remove(wanted) is True
    assert registry.remove(wanted) is False
