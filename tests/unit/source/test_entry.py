"""Files and links of a tree, and the identifiers that are made from them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils.source import entry
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.entry import Entry

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
    assert entry.tree_digest(shuffled) == entry.tree_digest(ENTRIES)


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
    assert entry.tree_digest([other, *ENTRIES[1:]]) != entry.tree_digest(ENTRIES)


def test_a_name_that_is_not_utf8_has_a_digest() -> None:
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    assert entry.tree_digest([Entry(name, "file", "a")]) != entry.tree_digest([Entry("caf", "file", "a")])


def test_an_identifier_follows_its_parts_and_nothing_else() -> None:
    assert entry.digest("a", {"x": 1, "y": 2}) == entry.digest("a", {"y": 2, "x": 1})
    assert entry.digest("a", "b") != entry.digest("ab")
    assert entry.digest(["a"], "b") != entry.digest("a", ["b"])
    assert len(entry.digest("a")) == entry.ID_LENGTH


@pytest.mark.parametrize(
    ("path", "expected"),
    [("static", True), ("static/a", True), ("static2/a", False), ("stat", False), ("a/static", False)],
)
def test_below_is_meant_by_folders_not_by_letters(path: str, expected: bool) -> None:
    assert entry.is_below(path, ["static"]) is expected


def test_a_tree_is_read_without_following_links_and_without_what_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("x")
    (tmp_path / "run").write_text("x")
    (tmp_path / "run").chmod(0o755)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inner").write_text("x")
    (tmp_path / "venv").symlink_to("folder")
    (tmp_path / "uploads").mkdir()
    (tmp_path / "uploads" / "cat").write_text("x")
    found = {found.path: found.kind for found in entry.read_tree(str(tmp_path), leave_out=["uploads"])}
    assert found == {"app.py": "file", "run": "program", "folder/inner": "file", "venv": "link"}
