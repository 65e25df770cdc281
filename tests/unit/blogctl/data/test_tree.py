"""Copying a file's bytes, block by block."""

from __future__ import annotations

from pathlib import Path

import pytest
from blogctl.data import tree


def test_a_copy_says_after_each_block_that_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root ends a process that is silent for too long."""
    monkeypatch.setattr(tree, "BLOCK_SIZE", 1000)
    content = bytes(range(250)) * 10
    (tmp_path / "source").write_bytes(content)
    beats: list[int] = []
    with open(tmp_path / "source", "rb") as source, open(tmp_path / "target", "wb") as target:
        tree.copy_content(source.fileno(), target.fileno(), lambda: beats.append((tmp_path / "target").stat().st_size))
    assert (tmp_path / "target").read_bytes() == content
    assert beats == [1000, 2000, 2500]
