"""The registry of kinds: their order, and objects that are applied and removed together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import registry
from wanted_objects import absent_at, directory_at, file_at, link_at, log_at, tree_at


def declared(tmp_path: Path, me: Any) -> list[dict[str, Any]]:
    """One object of each kind but a setting, in no particular order."""
    return [
        link_at(tmp_path / "root" / "link", "/target"),
        file_at(tmp_path / "root" / "lib" / "one.py", me),
        directory_at(tmp_path / "root", me),
        {"scope": "host", "kind": "contents", "path": str(tmp_path / "root" / "lib"), "names": ["one.py"]},
        directory_at(tmp_path / "root" / "lib", me),
        log_at(tmp_path / "root" / "log", me),
        tree_at(tmp_path / "root" / "lib", me),
        absent_at(tmp_path / "root" / "default"),
    ]


def test_a_directory_is_applied_before_what_lies_in_it_and_removed_after_it(tmp_path: Path, me: Any) -> None:
    objects = declared(tmp_path, me)
    for item in registry.ordered(objects):
        if registry.compare(item):
            registry.apply(item)
    assert [registry.compare(item) for item in objects] == [None] * len(objects)
    (tmp_path / "root" / "lib" / "__pycache__").mkdir()
    for item in registry.removal_order(objects):
        registry.remove(item)
    assert list(tmp_path.iterdir()) == []


def test_what_somebody_added_survives_a_removal(tmp_path: Path, me: Any) -> None:
    objects = declared(tmp_path, me)
    for item in registry.ordered(objects):
        if registry.compare(item):
            registry.apply(item)
    (tmp_path / "root" / "letter.txt").write_text("mine\n")
    for item in registry.removal_order(objects):
        registry.remove(item)
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["root", "root/letter.txt"]


def test_secret_texts_come_back_to_their_objects(tmp_path: Path, me: Any) -> None:
    secret, other = file_at(tmp_path / "a", me), file_at(tmp_path / "b", me, content="b\n")
    del secret["content"]
    found = registry.with_secrets([secret, other], {secret["path"]: "hidden\n"})
    assert [item["content"] for item in found] == ["hidden\n", "b\n"]
