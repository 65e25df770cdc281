"""Remove a directory that a hostile account could write."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from pathlib import Path

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import beneath, tree_removal


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """What nothing may touch."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "kept.txt").write_text("kept")
    return folder


@pytest.mark.usefixtures("nothing_hangs", "descriptors")
def test_files_of_every_kind_go_and_what_links_lead_to_stays(tmp_path: Path, outside: Path) -> None:
    data = tmp_path / "data"
    (data / "static" / "uploads").mkdir(parents=True)
    (data / "static" / "uploads" / "a.txt").write_text("x")
    (data / "link").symlink_to(outside)
    (data / "static" / "to-a-file").symlink_to(outside / "kept.txt")
    (data / "dangling").symlink_to("/nowhere")
    os.mkfifo(data / "fifo")
    os.link(outside / "kept.txt", data / "hard")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(data / "static" / "sock"))
    (data / os.fsdecode(b"\xff\n")).write_text("x")
    tree_removal.remove_tree(str(data))
    assert not data.exists()
    assert (outside / "kept.txt").read_text() == "kept"


@pytest.mark.usefixtures("nothing_hangs", "descriptors")
def test_no_depth_is_too_much(tmp_path: Path) -> None:
    """Deeper than Python recurses, than a process has descriptors, and than a path is long."""
    data = tmp_path / "data"
    data.mkdir()
    descriptor = os.open(data, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d" * 40, dir_fd=descriptor)
        below = os.open("d" * 40, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)
    tree_removal.remove_tree(str(data))
    assert not data.exists()


@pytest.mark.usefixtures("descriptors")
def test_names_that_it_would_use_itself_are_no_trap(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for number in range(1, 5):
        (data / f".removed-{os.getpid()}-{number}" / "full").mkdir(parents=True)
    (data / "a" / "b").mkdir(parents=True)
    tree_removal.remove_tree(str(data))
    assert not data.exists()


@pytest.mark.parametrize("kind", ["link", "file"])
def test_a_link_or_a_file_in_its_place_is_refused(tmp_path: Path, outside: Path, kind: str) -> None:
    data = tmp_path / "data"
    data.symlink_to(outside) if kind == "link" else data.write_text("x")
    with pytest.raises(beneath.Blocked, match="should be a directory"):
        tree_removal.remove_tree(str(data))
    assert (outside / "kept.txt").exists()


def test_a_directory_that_is_not_there_is_no_error(tmp_path: Path) -> None:
    tree_removal.remove_tree(str(tmp_path / "data"))


@pytest.mark.usefixtures("nothing_hangs")
def test_an_app_that_exchanges_folders_for_links_meanwhile_reaches_nothing_outside(
    tmp_path: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree_removal, "TIMEOUT", 0.1)
    data = tmp_path / "data"
    end = threading.Event()

    def exchange() -> None:
        while not end.is_set():
            try:
                os.symlink(outside, data / "new")
                os.rename(data / "new", data / "link")
                os.makedirs(data / "folder" / "kept.txt")
                os.rename(data / "folder", data / "away")
                os.symlink(outside, data / "folder")
            except OSError:
                pass

    for number in range(200):
        (data / f"d{number}" / "e").mkdir(parents=True)
    thread = threading.Thread(target=exchange)
    thread.start()
    try:
        for _ in range(20):
            with contextlib.suppress(OSError, beneath.Blocked):  # not empty at the end, as the app still writes
                tree_removal.remove_tree(str(data))
            data.mkdir(exist_ok=True)
            (outside / "kept.txt").read_text()
    finally:
        end.set()
        thread.join()
    assert (outside / "kept.txt").read_text() == "kept"
