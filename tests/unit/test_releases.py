"""How releases are named, and how a release on disk is checked against what it should be."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import releases
from ansible_collections.flaskblog.hosting.plugins.module_utils.releases import Entry

ENTRIES = [
    Entry("app.py", "file", "a" * 64),
    Entry("bin/run", "program", "b" * 64),
    Entry("link", "link", "app.py"),
    Entry("static/blog.css", "file", "c" * 64),
]


def test_the_order_in_which_a_tree_was_read_does_not_change_its_digest() -> None:
    shuffled = ENTRIES[:]
    random.Random(1).shuffle(shuffled)  # noqa: S311
    assert shuffled != ENTRIES
    assert releases.tree_digest(shuffled) == releases.tree_digest(ENTRIES)


@pytest.mark.parametrize(
    "other",
    [
        Entry("app.py", "file", "d" * 64),
        Entry("app2.py", "file", "a" * 64),
        Entry("app.py", "program", "a" * 64),
        Entry("app.py", "link", "a" * 64),
    ],
)
def test_content_name_and_kind_each_change_the_digest(other: Entry) -> None:
    assert releases.tree_digest([other, *ENTRIES[1:]]) != releases.tree_digest(ENTRIES)


def test_a_name_that_is_not_utf8_has_a_digest() -> None:
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    assert releases.tree_digest([Entry(name, "file", "a")]) != releases.tree_digest([Entry("caf", "file", "a")])


def test_an_identifier_follows_its_parts_and_nothing_else() -> None:
    assert releases.digest("a", {"x": 1, "y": 2}) == releases.digest("a", {"y": 2, "x": 1})
    assert releases.digest("a", "b") != releases.digest("ab")
    assert releases.digest(["a"], "b") != releases.digest("a", ["b"])
    assert len(releases.digest("a")) == releases.ID_LENGTH


def test_another_python_or_other_requirements_are_another_environment() -> None:
    names = {releases.venv_id(needs, python) for needs in ("a", "b") for python in ("3.11", "3.13")}
    assert len(names) == 4


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


@pytest.mark.parametrize(
    ("path", "expected"),
    [("static", True), ("static/a", True), ("static2/a", False), ("stat", False), ("a/static", False)],
)
def test_below_is_meant_by_folders_not_by_letters(path: str, expected: bool) -> None:
    assert releases.is_below(path, ["static"]) is expected


def test_a_tree_is_read_without_following_links_and_without_what_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("x")
    (tmp_path / "run").write_text("x")
    (tmp_path / "run").chmod(0o755)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inner").write_text("x")
    (tmp_path / "venv").symlink_to("folder")
    (tmp_path / "uploads").mkdir()
    (tmp_path / "uploads" / "cat").write_text("x")
    found = {entry.path: entry.kind for entry in releases.read_tree(str(tmp_path), leave_out=["uploads"])}
    assert found == {"app.py": "file", "run": "program", "folder/inner": "file", "venv": "link"}


@pytest.fixture
def release(tmp_path: Path, me: Any) -> tuple[Path, dict[str, Any]]:
    """A whole release on disk, and what is wanted of it."""
    folder = tmp_path / "abc"
    (folder / "static").mkdir(parents=True)
    (folder / "app.py").write_text("app\n")
    (folder / "run").write_text("#!/bin/sh\n")
    (folder / "static" / "blog.css").write_text("body {}\n")
    (folder / "run").chmod(0o750)
    (folder / "app.py").chmod(0o640)
    entries = list(releases.read_tree(str(folder)))
    wanted = {
        "id": "abc",
        "path": str(folder),
        "app_path": str(folder),
        "source_root": "",
        "digest": releases.tree_digest(entries),
        "links": {"database.db": "/var/lib/blog/database.db"},
        "served": ["static"],
    }
    (folder / releases.MANIFEST).write_text(json.dumps(releases.manifest(wanted, entries)))
    (folder / "database.db").symlink_to("/var/lib/blog/database.db")
    for full, relative, kind in releases.walk_attributes(str(folder)):
        os.chmod(full, releases.release_mode(kind, releases.is_below(relative, ["static"])))
    return folder, wanted


def check(release: tuple[Path, dict[str, Any]], me: Any) -> list[str]:
    folder, wanted = release
    return list(releases.check_release(str(folder), wanted, me.uid, me.gid))


def test_a_whole_release_has_no_differences(release: tuple[Path, dict[str, Any]], me: Any) -> None:
    assert check(release, me) == []


def test_a_release_that_is_not_there_is_not_unpacked(tmp_path: Path, me: Any) -> None:
    assert releases.check_release(str(tmp_path / "none"), {}, 0, 0) == ["not unpacked yet"]


def test_a_changed_file_is_named(release: tuple[Path, dict[str, Any]], me: Any) -> None:
    (release[0] / "app.py").write_text("hacked\n")
    assert check(release, me) == ["app.py: changed"]


def test_an_added_file_is_named(release: tuple[Path, dict[str, Any]], me: Any) -> None:
    (release[0] / "static" / "shell.php").write_text("x")
    (release[0] / "static" / "shell.php").chmod(0o644)
    assert check(release, me) == ["static/shell.php: added"]


def test_a_missing_file_is_named(release: tuple[Path, dict[str, Any]], me: Any) -> None:
    (release[0] / "static" / "blog.css").unlink()
    assert check(release, me) == ["static/blog.css: missing"]


def test_a_file_that_became_a_link_is_named(release: tuple[Path, dict[str, Any]], me: Any) -> None:
    (release[0] / "app.py").unlink()
    (release[0] / "app.py").symlink_to("/tmp/evil.py")
    assert check(release, me) == ["app.py: changed"]


def test_a_file_that_may_suddenly_be_executed_is_named(release: tuple[Path, dict[str, Any]], me: Any) -> None:
    (release[0] / "app.py").chmod(0o750)
    assert "app.py: changed" in check(release, me)


@pytest.mark.parametrize("how", ["turned", "gone", "a file"])
def test_a_link_that_does_not_lead_to_the_data_is_named(
    release: tuple[Path, dict[str, Any]], me: Any, how: str
) -> None:
    link = release[0] / "database.db"
    link.unlink()
    if how == "turned":
        link.symlink_to("/elsewhere")
    elif how == "a file":
        link.write_text("x")
        link.chmod(0o640)
    assert check(release, me) == ["database.db: not a link to /var/lib/blog/database.db"]


def test_a_mode_that_a_hand_changed_is_named(release: tuple[Path, dict[str, Any]], me: Any) -> None:
    (release[0] / "static" / "blog.css").chmod(0o666)
    assert check(release, me) == ["static/blog.css: owner, group or mode 0666 -> 0644"]


def test_another_owner_is_named(release: tuple[Path, dict[str, Any]], me: Any) -> None:
    folder, wanted = release
    words = releases.check_release(str(folder), wanted, me.uid + 1, me.gid)
    assert len(words) == 6, "the folder, static, and four files"


def test_a_manifest_that_a_hand_emptied_is_noticed_where_the_content_differs(
    release: tuple[Path, dict[str, Any]], me: Any
) -> None:
    (release[0] / "app.py").write_text("hacked\n")
    (release[0] / releases.MANIFEST).write_text("not JSON")
    assert "app.py: added" in check(release, me)


def test_a_manifest_that_agrees_with_a_change_does_not_hide_it(release: tuple[Path, dict[str, Any]], me: Any) -> None:
    folder, _ = release
    (folder / "app.py").write_text("hacked\n")
    entries = releases.read_tree(str(folder), leave_out=["database.db", releases.MANIFEST])
    files = {entry.path: f"{entry.kind} {entry.identity}" for entry in entries}
    (folder / releases.MANIFEST).write_text(json.dumps({"files": files}))
    assert check(release, me) == [".release.json: missing or changed"]


def test_a_manifest_that_is_gone_is_noticed(release: tuple[Path, dict[str, Any]], me: Any) -> None:
    (release[0] / releases.MANIFEST).unlink()
    assert check(release, me) == [".release.json: missing or changed"]


@pytest.fixture
def venv(tmp_path: Path, me: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A complete environment; the account that runs the tests stands for root."""
    monkeypatch.setattr(releases, "ROOT", (me.uid, me.gid))
    folder = tmp_path / "venv"
    folder.mkdir()
    folder.chmod(0o755)
    (folder / releases.COMPLETE).touch()
    return folder


def test_a_complete_environment_is_whole(venv: Path) -> None:
    assert releases.check_venv(str(venv)) == []


@pytest.mark.parametrize(
    "damage", ["missing", "no mark", "a link for a mark", "a folder for a mark", "a link", "a file"]
)
def test_an_environment_without_roots_mark_has_to_be_built(venv: Path, tmp_path: Path, damage: str) -> None:
    mark = venv / releases.COMPLETE
    mark.rename(tmp_path / "mark")
    if damage == "a link for a mark":
        mark.symlink_to(tmp_path / "mark")
    elif damage == "a folder for a mark":
        mark.mkdir()
    elif damage != "no mark":
        (tmp_path / "mark").rename(mark)
        venv.rename(tmp_path / "elsewhere")
        if damage == "a link":
            venv.symlink_to(tmp_path / "elsewhere")
        elif damage == "a file":
            venv.touch()
    assert releases.check_venv(str(venv)) == [releases.NOT_BUILT]


def test_an_environment_of_another_account_has_to_be_built(
    venv: Path, me: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(releases, "ROOT", (me.uid + 1, me.gid))
    assert releases.check_venv(str(venv)) == [releases.NOT_BUILT]


def test_wrong_attributes_of_an_environment_are_named(venv: Path, me: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    venv.chmod(0o2770)
    assert releases.check_venv(str(venv)) == ["mode 2770 -> 0755"]
    venv.chmod(0o755)
    monkeypatch.setattr(releases, "ROOT", (me.uid, me.gid + 1))
    assert releases.check_venv(str(venv)) == [f"group {me.gid} -> {me.gid + 1}"]
