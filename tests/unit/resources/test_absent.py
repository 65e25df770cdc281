"""A path at which nothing is wanted."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import host
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import registry
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources.difference import Conflict
from wanted_objects import absent_at


@pytest.mark.parametrize("what", ["file", "link"])
def test_what_should_not_be_there_is_removed_and_can_come_back(tmp_path: Path, what: str) -> None:
    place = tmp_path / "default"
    if what == "file":
        place.write_text("text\n")
    else:
        place.symlink_to("/etc/nginx/sites-available/default")
    wanted = absent_at(place)
    assert registry.compare(wanted).reasons == ["present"]
    undo = registry.apply(wanted)
    assert registry.compare(wanted) is None
    undo()
    assert place.is_symlink() if what == "link" else place.read_text() == "text\n"


def test_a_directory_that_should_not_be_there_is_a_conflict(tmp_path: Path) -> None:
    with pytest.raises(Conflict, match="should not be there, but is a directory"):
        registry.compare(absent_at(tmp_path))


def test_what_was_removed_does_not_come_back(tmp_path: Path) -> None:
    assert registry.remove(absent_at(tmp_path / "default")) is False
    assert not (tmp_path / "default").exists()


# -- a package's file -----------------------------------------------------------------------------------------------


@pytest.fixture
def default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Debian's default site, enabled as the package does it."""
    conffile = tmp_path / "available"
    conffile.write_bytes(b"server {}\n")
    checksum = hashlib.md5(conffile.read_bytes(), usedforsecurity=False).hexdigest()
    status = tmp_path / "status"
    status.write_text(f"Package: nginx-common\nConffiles:\n /etc/other 00\n {conffile} {checksum}\nVersion: 1\n")
    monkeypatch.setattr(host, "DPKG_STATUS", str(status))
    (tmp_path / "default").symlink_to(conffile)
    return {**absent_at(tmp_path / "default"), "conffile": str(conffile)}


def test_a_packages_unchanged_file_is_removed(default: dict[str, Any]) -> None:
    assert registry.compare(default).reasons == ["present"]
    registry.apply(default)
    assert not Path(default["path"]).is_symlink()
    assert Path(default["conffile"]).exists()


def test_a_link_to_a_packages_file_that_somebody_removed_is_removed(default: dict[str, Any]) -> None:
    """Otherwise nginx could not start."""
    Path(default["conffile"]).unlink()
    assert registry.compare(default).reasons == ["present"]


def test_a_packages_file_that_somebody_has_changed_stays(default: dict[str, Any]) -> None:
    Path(default["conffile"]).write_text("server { server_name precious.test; }\n")
    assert registry.compare(default) is None


def test_somebodys_own_file_and_link_in_its_place_stay(default: dict[str, Any], tmp_path: Path) -> None:
    place = Path(default["path"])
    place.unlink()
    place.write_bytes(b"server {}\n")
    assert registry.compare(default) is None, "a file that somebody put there"
    place.unlink()
    (tmp_path / "mine").write_bytes(b"server {}\n")
    place.symlink_to(tmp_path / "mine")
    assert registry.compare(default) is None, "a link to somebody's own"
    place.unlink()
    assert registry.compare(default) is None, "nothing"


def test_a_file_that_no_package_has_stays(default: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "status").write_text("Package: nginx-common\n")
    assert registry.compare(default) is None
    (tmp_path / "status").unlink()
    assert registry.compare(default) is None
