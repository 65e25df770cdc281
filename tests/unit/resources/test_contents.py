"""A directory that holds certain files and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import contents


@pytest.fixture
def wanted(tmp_path: Path) -> dict[str, Any]:
    for name in ("tool/__init__.py", "tool/data/store/one.py", "tool/data/store/__pycache__/one.cpython-313.pyc"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return {"scope": "host", "path": str(tmp_path / "tool"), "names": ["__init__.py", "data/store/one.py"]}


def test_a_directory_with_its_files_and_their_compiled_forms_is_as_wanted(wanted: dict[str, Any]) -> None:
    assert contents.compare(wanted, []) is None


def test_what_does_not_belong_there_is_named_and_removed(wanted: dict[str, Any], tmp_path: Path) -> None:
    tool, outside = tmp_path / "tool", tmp_path / "outside"
    outside.mkdir()
    (outside / "kept.txt").touch()
    (tool / "old.py").touch()
    (tool / "old" / "__pycache__").mkdir(parents=True)
    (tool / "data" / "link").symlink_to(outside)
    (tool / "data" / "store" / "__pycache__" / "two.cpython-311.pyc").touch()
    (tool / "data" / "__pycache__").symlink_to(outside)
    difference = contents.compare(wanted, [])
    assert difference is not None
    assert difference.reasons == [
        f"{path}: does not belong here"
        for path in ("data/__pycache__", "data/link", "data/store/__pycache__/two.cpython-311.pyc", "old", "old.py")
    ]
    contents.apply(wanted)
    assert contents.compare(wanted, []) is None
    assert (outside / "kept.txt").exists()
    assert (tool / "data" / "store" / "one.py").exists()
    assert (tool / "data" / "store" / "__pycache__" / "one.cpython-313.pyc").exists()


def test_compiled_forms_are_removed_and_the_files_are_left_to_their_own_objects(
    wanted: dict[str, Any], tmp_path: Path
) -> None:
    assert contents.remove(wanted) is True
    assert list((tmp_path / "tool").rglob("__pycache__")) == []
    assert (tmp_path / "tool" / "data" / "store" / "one.py").exists()
    assert contents.remove(wanted) is False


def test_a_directory_that_is_missing_holds_nothing_that_does_not_belong_there(wanted: dict[str, Any]) -> None:
    assert contents.compare({**wanted, "path": f"{wanted['path']}/missing"}, []) is None


def test_a_link_in_the_place_of_a_folder_is_removed(wanted: dict[str, Any], tmp_path: Path) -> None:
    wanted["names"] = [*wanted["names"], "more/two.py"]
    (tmp_path / "tool" / "more").symlink_to(tmp_path)
    difference = contents.compare(wanted, [])
    assert difference is not None
    assert difference.reasons == ["more: does not belong here"]
