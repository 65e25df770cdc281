"""A backup's data is written to an empty directory of root's, and nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from backups import rows
from blogctl.data import tree
from blogctl.errors import OperationError
from blogctl.restore import operation
from blogctl.site import Site

pytestmark = pytest.mark.usefixtures("quiet", "descriptors")


def extract(site: Site, target: Path, *only: str) -> int:
    return operation.extract(site, "latest", list(only), target)[1]


def test_the_data_is_written_and_the_site_is_left_alone(live: Site, backup: Path, tmp_path: Path) -> None:
    before = sorted(os.listdir(live.path("data")))
    assert extract(live, tmp_path / "out") == 3
    assert rows(tmp_path / "out" / "database.db") == 3
    assert (tmp_path / "out" / "static" / "uploads" / "a.jpg").read_bytes() == b"a.jpg"
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "out" / "database.db").stat().st_mode & 0o777 == 0o640
    assert sorted(os.listdir(live.path("data"))) == before


def test_a_part_of_the_data_is_written(live: Site, backup: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir(mode=0o700)
    assert extract(live, tmp_path / "out", "static") == 2
    assert os.listdir(tmp_path / "out") == ["static"]


def test_a_directory_with_something_in_it_is_refused(live: Site, backup: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir(mode=0o700)
    (tmp_path / "out" / "mine").write_text("mine")
    with pytest.raises(OperationError, match=r"is not empty; nothing was written"):
        extract(live, tmp_path / "out")
    assert os.listdir(tmp_path / "out") == ["mine"]


def test_a_directory_that_others_can_change_is_refused(live: Site, backup: Path, tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(OperationError, match=r"nobody else may write to it; nothing was written"):
        extract(live, tmp_path / "open")
    with pytest.raises(OperationError, match=r"others than root can write to"):
        extract(live, tmp_path / "open" / "out")
    assert os.listdir(tmp_path / "open") == []


def test_a_link_is_not_followed(live: Site, backup: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for target in (tmp_path / "link", tmp_path / "link" / "out"):
        with pytest.raises(OperationError, match=r"cannot be written to"):
            extract(live, target)
    assert os.listdir(tmp_path / "real") == []


def test_a_full_disk_leaves_nothing(live: Site, backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tree.copy_content

    def full(source: int, target: int) -> None:
        copy(source, target)
        if os.fstat(source).st_size == len(b"b.jpg"):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(tree, "copy_content", full)
    with pytest.raises(OperationError, match=r"cannot be written to .*No space left on device"):
        extract(live, tmp_path / "out")
    assert not (tmp_path / "out").exists()
