"""A release travels as a dictionary, and on disk it is compared with what is wanted."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils.contract import MANIFEST
from ansible_collections.flaskblog.hosting.plugins.module_utils.source import release as releases
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.entry import is_below, read_tree, tree_digest
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.release import Release
from releases import make_release


@pytest.mark.parametrize(
    ("kind", "served", "mode"),
    [
        ("directory", False, 0o751),
        ("directory", True, 0o755),
        ("file", False, 0o640),
        ("file", True, 0o644),
        ("program", False, 0o750),
        ("program", True, 0o755),
    ],
)
def test_modes_let_the_app_read_and_never_write(kind: str, served: bool, mode: int) -> None:
    assert releases.release_mode(kind, served) == mode
    assert not mode & 0o022


@pytest.fixture
def release(tmp_path: Path, me: Any) -> tuple[Path, Release]:
    """A whole release on disk, and what is wanted of it."""
    folder = tmp_path / "abc"
    (folder / "static").mkdir(parents=True)
    (folder / "app.py").write_text("app\n")
    (folder / "run").write_text("#!/bin/sh\n")
    (folder / "static" / "blog.css").write_text("body {}\n")
    (folder / "run").chmod(0o750)
    (folder / "app.py").chmod(0o640)
    entries = list(read_tree(str(folder)))
    wanted = make_release(
        path=str(folder),
        app_path=str(folder),
        digest=tree_digest(entries),
        links={"database.db": "/var/lib/blog/database.db"},
    )
    (folder / MANIFEST).write_text(json.dumps(releases.manifest(wanted, entries).to_dict()))
    (folder / "database.db").symlink_to("/var/lib/blog/database.db")
    for full, relative, kind in releases.walk_attributes(str(folder)):
        os.chmod(full, releases.release_mode(kind, is_below(relative, ["static"])))
    return folder, wanted


def check(release: tuple[Path, Release], me: Any) -> list[str]:
    folder, wanted = release
    return list(releases.check_release(str(folder), wanted, me.uid, me.gid))


def test_a_whole_release_has_no_differences(release: tuple[Path, Release], me: Any) -> None:
    assert check(release, me) == []


def test_a_release_that_is_not_there_is_not_unpacked(tmp_path: Path, me: Any) -> None:
    assert releases.check_release(str(tmp_path / "none"), make_release(), 0, 0) == ["not unpacked yet"]


def test_a_changed_file_is_named(release: tuple[Path, Release], me: Any) -> None:
    (release[0] / "app.py").write_text("hacked\n")
    assert check(release, me) == ["app.py: changed"]


def test_an_added_file_is_named(release: tuple[Path, Release], me: Any) -> None:
    (release[0] / "static" / "shell.php").write_text("x")
    (release[0] / "static" / "shell.php").chmod(0o644)
    assert check(release, me) == ["static/shell.php: added"]


def test_a_missing_file_is_named(release: tuple[Path, Release], me: Any) -> None:
    (release[0] / "static" / "blog.css").unlink()
    assert check(release, me) == ["static/blog.css: missing"]


def test_a_file_that_became_a_link_is_named(release: tuple[Path, Release], me: Any) -> None:
    (release[0] / "app.py").unlink()
    (release[0] / "app.py").symlink_to("/tmp/evil.py")
    assert check(release, me) == ["app.py: changed"]


def test_a_file_that_may_suddenly_be_executed_is_named(release: tuple[Path, Release], me: Any) -> None:
    (release[0] / "app.py").chmod(0o750)
    assert "app.py: changed" in check(release, me)


@pytest.mark.parametrize("how", ["turned", "gone", "a file"])
def test_a_link_that_does_not_lead_to_the_data_is_named(release: tuple[Path, Release], me: Any, how: str) -> None:
    link = release[0] / "database.db"
    link.unlink()
    if how == "turned":
        link.symlink_to("/elsewhere")
    elif how == "a file":
        link.write_text("x")
        link.chmod(0o640)
    assert check(release, me) == ["database.db: not a link to /var/lib/blog/database.db"]


def test_a_mode_that_a_hand_changed_is_named(release: tuple[Path, Release], me: Any) -> None:
    (release[0] / "static" / "blog.css").chmod(0o666)
    assert check(release, me) == ["static/blog.css: owner, group or mode 0666 -> 0644"]


def test_another_owner_is_named(release: tuple[Path, Release], me: Any) -> None:
    folder, wanted = release
    reasons = releases.check_release(str(folder), wanted, me.uid + 1, me.gid)
    assert len(reasons) == 6, "the folder, static, and four files"


def test_a_manifest_that_a_hand_emptied_is_noticed_where_the_content_differs(
    release: tuple[Path, Release], me: Any
) -> None:
    (release[0] / "app.py").write_text("hacked\n")
    (release[0] / MANIFEST).write_text("not JSON")
    assert "app.py: added" in check(release, me)


def test_a_manifest_that_agrees_with_a_change_does_not_hide_it(release: tuple[Path, Release], me: Any) -> None:
    folder, _ = release
    (folder / "app.py").write_text("hacked\n")
    entries = read_tree(str(folder), leave_out=["database.db", MANIFEST])
    files = {entry.path: f"{entry.kind} {entry.identity}" for entry in entries}
    (folder / MANIFEST).write_text(json.dumps({"files": files}))
    assert check(release, me) == [".release.json: missing or changed"]


def test_a_manifest_that_is_gone_is_noticed(release: tuple[Path, Release], me: Any) -> None:
    (release[0] / MANIFEST).unlink()
    assert check(release, me) == [".release.json: missing or changed"]


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"dependencies": ["flask"], "venv_path": "/opt/blog/venvs/def"},
        {"commit": "1" * 40, "ref": "refs/heads/main", "repository": "https://git.test/blog", "left_out": ["x.db"]},
    ],
)
def test_a_release_travels_as_json_and_stays_the_same(values: dict[str, Any]) -> None:
    wanted = make_release(**values)
    sent = json.loads(json.dumps(wanted.to_dict()))
    assert Release.from_dict({**sent, "live": None, "databases": []}) == wanted
    assert sent["live_path"] == wanted.app_path
    assert ("commit" in sent) == ("commit" in values)


def test_half_a_release_is_refused_with_what_it_lacks() -> None:
    sent = make_release().to_dict()
    del sent["digest"], sent["links"]
    with pytest.raises(ValueError, match="the release lacks digest, links"):
        Release.from_dict(sent)


def test_a_release_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        make_release().id = "other"
