"""A path at which nothing is wanted."""

from __future__ import annotations

from pathlib import Path

import pytest
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
