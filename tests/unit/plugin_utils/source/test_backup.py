"""A copy of a backup is packed as the first data of a blog, if it is whole."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import SourceError
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.source import backup, local_source
from backups import numbered_database, rows

PLACES = {"database.db": "database.db"}


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A backup of another site."""
    folder = tmp_path / "20260101T030000Z"
    database = numbered_database(folder / "data" / "instance" / "blog.db", mode="delete")
    upload = folder / "data" / "static" / "uploads" / "a.jpg"
    upload.parent.mkdir(parents=True)
    upload.write_bytes(b"a")
    files = {
        str(path.relative_to(folder / "data")): {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for path in (database, upload)
    }
    (folder / "manifest.json").write_text(json.dumps({"site": "other", "name": folder.name, "files": files}))
    return folder


def test_a_backup_is_packed_as_it_lies_in_the_data_folder(copied: Path, tmp_path: Path) -> None:
    archive = tmp_path / "data.tar.gz"
    taken = local_source.pack_data(*backup.data_in(copied, PLACES), str(archive))
    assert taken == ["instance/blog.db", "static/uploads/a.jpg"]
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path / "new", filter="data")
    assert rows(tmp_path / "new" / "instance" / "blog.db") == 3
    assert (tmp_path / "new" / "static" / "uploads" / "a.jpg").read_bytes() == b"a"


def test_a_folder_that_is_no_backup_is_taken_as_before(copied: Path) -> None:
    (copied / "manifest.json").write_text('{"name": "a web app"}')
    assert backup.data_in(copied, PLACES) == (copied, PLACES)
    (copied / "manifest.json").unlink()
    assert backup.data_in(copied, PLACES) == (copied, PLACES)


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


@pytest.mark.parametrize("damage", [Path.unlink, fifo, link, lambda path: path.write_bytes(b"")])
def test_a_copy_that_is_not_whole_is_refused(
    copied: Path, damage: Callable[[Path], object], nothing_hangs: None
) -> None:
    damage(copied / "data" / "static" / "uploads" / "a.jpg")
    with pytest.raises(SourceError, match=r"'static/uploads/a\.jpg' is missing in it or reads differently"):
        backup.data_in(copied, PLACES)


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a//b"])
def test_a_manifest_that_leads_out_of_the_backup_is_refused(copied: Path, path: str) -> None:
    manifest = json.loads((copied / "manifest.json").read_text())
    manifest["files"][path] = {"sha256": hashlib.sha256(b"").hexdigest()}
    (copied / "manifest.json").write_text(json.dumps(manifest))
    (copied / "x").write_bytes(b"")
    with pytest.raises(SourceError):
        backup.data_in(copied, PLACES)
