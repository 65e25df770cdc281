"""A file of a source lands in the folder of its own path, and a repository on the host is a directory."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.git_remote import local_repository
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import GitError
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.tree_writer import writer

pytestmark = pytest.mark.usefixtures("descriptors")


def test_folders_of_the_same_name_are_told_apart_by_their_paths(tmp_path: Path) -> None:
    """The writer keeps the folders of the last path open, and takes up only those that both paths begin with."""
    paths = ["a/same/one", "b/same/two", "b/c/same/three", "same/four", "a/same/five"]
    with writer(str(tmp_path)) as target:
        for path in paths:
            target.write(path, [path.encode()])
    found = {str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {path: path for path in paths}


@pytest.mark.parametrize("make", [Path.touch, os.mkfifo])
def test_a_repository_that_is_no_directory_is_refused_without_being_opened(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "repository")
    signal.alarm(10)  # a FIFO without a writer would keep whoever opens it waiting
    for path in ("repository", "repository/below"):
        with pytest.raises(GitError, match=r"repository is no directory, or is a symbolic link on the server"):
            local_repository(f"file://{tmp_path}/{path}")
    signal.alarm(0)


def test_a_repository_is_known_by_the_device_and_number_of_its_directory(tmp_path: Path) -> None:
    (tmp_path / "repository").mkdir()
    found = (tmp_path / "repository").stat()
    assert local_repository(f"file://{tmp_path}/repository") == (
        f"{tmp_path}/repository",
        f"{found.st_dev}:{found.st_ino}",
    )
