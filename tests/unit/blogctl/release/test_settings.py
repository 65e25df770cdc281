"""The settings from before a change, and the notes of changes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from blogctl.release import settings
from blogctl.shared import contract
from blogctl.site import Site


def test_settings_from_before_a_change_are_restored_with_their_owner_and_mode(
    site: Site, me: Any, ownerless: list[tuple[str, int, int]]
) -> None:
    (place,) = (Path(path) for path in site.settings["settings_files"])
    (copy,) = settings.previous_settings(site).values()
    copy.parent.mkdir()
    copy.write_text("before\n")
    copy.chmod(0o640)
    place.write_text("after\n")
    assert settings.restore_settings(site) is True
    assert place.read_text() == "before\n"
    assert place.stat().st_mode & 0o777 == 0o640
    assert ownerless == [(str(place.with_name(".environment.restored")), me.uid, me.gid)]
    assert [path.name for path in place.parent.iterdir()] == ["environment"]


def test_without_kept_settings_there_is_nothing_to_restore(site: Site) -> None:
    assert settings.restore_settings(site) is False


def test_notes_are_forgotten_for_this_site_alone(site: Site) -> None:
    for name in ("blog.activate", "blog.socket", "other.activate"):
        Path(contract.RUNTIME, name).touch()
    Path(contract.RUNTIME, "blog.previous").mkdir()
    settings.remove_pending(site)
    settings.remove_pending(site)
    assert os.listdir(contract.RUNTIME) == ["other.activate"]
