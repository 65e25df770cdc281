"""An archive is unpacked once in a run, into a folder that only this user can change, and never used when outdated."""

from __future__ import annotations

import multiprocessing
import os
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.limits import Limits
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import LimitError, SourceError
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.source import archive, unpacked
from laid_out import BLOG, make


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """The temporary directory of a run of Ansible."""
    folder = tmp_path / "ansible-local"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders that archives were unpacked into."""
    found: list[str] = []
    unpack = archive.unpack

    def counting(handle: Any, is_zip: bool, folder: str, limits: Limits) -> None:
        found.append(folder)
        unpack(handle, is_zip, folder, limits)

    monkeypatch.setattr(archive, "unpack", counting)
    return found


def pack(path: Path, app: str = "app\n") -> Path:
    make(path.parent / "blog", {**BLOG, "app.py": app})
    with tarfile.open(path, "w:gz") as tar:
        tar.add(path.parent / "blog", arcname=".")
    return path


def app_of(path: Path, shared: Path | None, checksum: str = "", limits: Limits | None = None) -> str:
    with unpacked.unpacked(path, checksum, limits or Limits(), shared) as folder:
        return (folder / "app.py").read_text()


def folders(shared: Path) -> list[Path]:
    return [path for path in shared.iterdir() if path.is_dir()]


def test_an_archive_is_unpacked_once(tmp_path: Path, shared: Path, count: list[str]) -> None:
    path = pack(tmp_path / "blog.tar.gz")
    assert [app_of(path, shared) for _ in range(3)] == ["app\n"] * 3
    assert len(count) == 1
    assert len(folders(shared)) == 1
    assert folders(shared)[0].stat().st_mode & 0o777 == 0o700


def test_a_changed_archive_is_unpacked_again(tmp_path: Path, shared: Path, count: list[str]) -> None:
    path = pack(tmp_path / "blog.tar.gz")
    before = path.stat()
    app_of(path, shared)
    pack(path, "other\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert app_of(path, shared) == "other\n"
    assert len(count) == 2


def test_a_copy_of_an_archive_is_not_unpacked_again(tmp_path: Path, shared: Path, count: list[str]) -> None:
    path = pack(tmp_path / "blog.tar.gz")
    app_of(path, shared)
    (tmp_path / "copy.tar.gz").write_bytes(path.read_bytes())
    assert app_of(tmp_path / "copy.tar.gz", shared) == "app\n"
    assert len(count) == 1


def test_other_limits_and_checksums_hold_for_an_archive_that_was_unpacked(tmp_path: Path, shared: Path) -> None:
    path = pack(tmp_path / "blog.tar.gz")
    app_of(path, shared)
    with pytest.raises(LimitError):
        app_of(path, shared, limits=Limits(files=2))
    with pytest.raises(SourceError, match="its checksum is sha256:"):
        app_of(path, shared, f"sha256:{'0' * 64}")


def test_a_zip_and_a_tar_are_never_taken_for_each_other(tmp_path: Path, shared: Path) -> None:
    with zipfile.ZipFile(tmp_path / "blog.zip", "w") as zipped:
        zipped.writestr("app.py", "app\n")
    app_of(tmp_path / "blog.zip", shared)
    (tmp_path / "blog.tar").write_bytes((tmp_path / "blog.zip").read_bytes())
    with pytest.raises(SourceError, match="cannot be unpacked"):
        app_of(tmp_path / "blog.tar", shared)


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o702])
def test_a_folder_that_others_can_enter_or_change_is_not_used(
    tmp_path: Path, shared: Path, count: list[str], mode: int
) -> None:
    shared.chmod(mode)
    path = pack(tmp_path / "blog.tar.gz")
    assert [app_of(path, shared) for _ in range(2)] == ["app\n"] * 2
    assert len(count) == 2
    assert list(shared.iterdir()) == []
    assert not any(os.path.exists(folder) for folder in count)


def test_a_link_to_a_folder_and_a_folder_of_another_user_are_not_used(
    tmp_path: Path, shared: Path, count: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pack(tmp_path / "blog.tar.gz")
    (tmp_path / "link").symlink_to(shared)
    assert app_of(path, tmp_path / "link") == "app\n"
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert app_of(path, shared) == "app\n"
    assert list(shared.iterdir()) == []


def test_an_archive_that_is_refused_leaves_nothing(tmp_path: Path, shared: Path) -> None:
    (tmp_path / "blog.tar.gz").write_text("no archive")
    for _ in range(2):
        with pytest.raises(SourceError, match="cannot be unpacked"):
            app_of(tmp_path / "blog.tar.gz", shared)
    assert folders(shared) == []


@pytest.mark.parametrize("place", ["shared", "alone"])
def test_an_archive_that_is_written_to_meanwhile_is_refused(
    tmp_path: Path, shared: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pack(tmp_path / "blog.tar.gz")
    unpack = archive.unpack

    def slow(*arguments: Any) -> None:
        with path.open("ab") as handle:
            handle.write(b"more")
        unpack(*arguments)

    monkeypatch.setattr(archive, "unpack", slow)
    with pytest.raises(SourceError, match="changed while it was read"):
        app_of(path, shared if place == "shared" else None)
    assert folders(shared) == []


def test_tasks_for_many_hosts_that_start_at_once_unpack_it_once(tmp_path: Path, shared: Path) -> None:
    path = pack(tmp_path / "blog.tar.gz")
    context = multiprocessing.get_context("fork")  # as Ansible starts its workers
    counter, unpack = context.Value("i", 0), archive.unpack

    def work() -> None:
        def counting(*arguments: Any) -> None:
            with counter.get_lock():
                counter.value += 1
            unpack(*arguments)

        archive.unpack = counting
        assert app_of(path, shared) == "app\n"

    workers = [context.Process(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert counter.value == 1
