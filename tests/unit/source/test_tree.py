"""A source as a described tree: names, conflicts, and links that are followed as the kernel follows them."""

from __future__ import annotations

import itertools
import os
import random
from pathlib import Path

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import SourceError
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.tree import (
    DEEPEST,
    Tree,
    check_path,
    resolve,
)


def tree_of(*files: str, **links: str) -> Tree:
    tree = Tree()
    for path in files:
        tree.add_file(path)
    for path, target in links.items():
        tree.add_link(path, target)
    return tree


@pytest.mark.parametrize("path", ["", "/etc/passwd", "a//b", "a/", "./a", "a/../b", "..", "a/.", "a\0b"])
def test_a_path_that_is_not_plainly_inside_is_refused(path: str) -> None:
    with pytest.raises(SourceError, match="outside its folder"):
        check_path(path)


@pytest.mark.parametrize("path", ["/".join(["d"] * 1100), "/".join(["d"] * (DEEPEST + 1))])
def test_folders_inside_each_other_without_end_are_refused(path: str) -> None:
    with pytest.raises(SourceError, match=f"more than {DEEPEST} folders inside each other"):
        Tree().add_file(path)


@pytest.mark.parametrize("path", ["x" * 256, "/".join(["x" * 250] * 9), "é" * 128])
def test_a_name_that_no_file_system_takes_is_refused(path: str) -> None:
    with pytest.raises(SourceError, match="too long a name"):
        check_path(path)


@pytest.mark.parametrize("path", [".release.json", "web/.release.json", ".release.json/x"])
@pytest.mark.parametrize("kind", ["file", "link", "folder"])
def test_the_manifest_is_the_roles_own_at_every_depth(path: str, kind: str) -> None:
    tree = Tree()
    add = {"file": tree.add_file, "link": lambda path: tree.add_link(path, "x"), "folder": tree.add_folder}[kind]
    with pytest.raises(SourceError, match="is a release's own manifest"):
        add(path)


def test_a_name_that_is_there_twice_is_refused_in_every_order_and_kind() -> None:
    def file(tree: Tree) -> None:
        tree.add_file("a/b")

    def link(tree: Tree) -> None:
        tree.add_link("a/b", "x")

    def below(tree: Tree) -> None:
        tree.add_file("a/b/c")

    for one, other in itertools.permutations((file, link, below), 2):
        tree = Tree()
        one(tree)
        with pytest.raises(SourceError, match="it holds a/b"):
            other(tree)
    for again in (file, link):
        tree = Tree()
        again(tree)
        with pytest.raises(SourceError, match="it holds a/b twice"):
            again(tree)


@pytest.mark.parametrize(
    ("links", "path", "reached"),
    [
        ({}, "../b/./c//d", "b/c/d"),
        ({"a/D": ".."}, "D/x", "x"),
        ({"a/D": "../b/c", "b/c": "d"}, "D/e", "b/d/e"),
        ({}, "missing/deeper", "a/missing/deeper"),
    ],
)
def test_a_link_is_followed_component_by_component(links: dict[str, str], path: str, reached: str) -> None:
    assert resolve(links, "a/link", path) == reached


@pytest.mark.parametrize(
    "links",
    [
        {"a/b/D": "../..", "a/link": "b/D/../x"},  # lexically it stays inside
        {"D": ".", "link": "D/.."},
        {"a/D": "..", "a/E": "D/..", "link": "a/E"},
        {"link": "/etc/passwd"},
        {"D": "/etc", "link": "D/passwd"},
        {"link": "../x"},
    ],
)
def test_a_link_that_leaves_on_its_way_is_refused(links: dict[str, str]) -> None:
    with pytest.raises(SourceError, match=r"is a link that leaves the source \(to "):
        tree_of("app.py", "a/b/x", **links).check_links()


@pytest.mark.parametrize("links", [{"a": "a"}, {"a": "b", "b": "a"}, {"a": "b/x", "b": "a"}])
def test_links_in_a_circle_are_refused(links: dict[str, str]) -> None:
    with pytest.raises(SourceError, match="without an end"):
        tree_of("app.py", **links).check_links()


def test_links_that_multiply_end_after_forty() -> None:
    """Each link names the one before it twice: following all of them would take 2^60 steps."""
    links = {"l0": "."} | {f"l{number}": f"l{number - 1}/l{number - 1}" for number in range(1, 60)}
    with pytest.raises(SourceError, match="without an end"):
        tree_of("app.py", **links).check_links()


@pytest.mark.parametrize("target", [".release.json", "web/../.release.json", "web/.release.json"])
def test_a_link_to_the_manifest_is_refused(target: str) -> None:
    with pytest.raises(SourceError, match="a release's own manifest"):
        tree_of("web/app.py", leak=target).check_links()


@pytest.mark.parametrize("target", ["database.db", "static/uploads/cat.jpg", "venv/bin/python", "static/up/x"])
def test_a_link_through_a_managed_one_is_refused(target: str) -> None:
    tree = tree_of("static/a.css", leak=target, **{"static/up": "uploads"})
    with pytest.raises(SourceError, match="leads to the blog's data or environment"):
        tree.check_links(managed=["database.db", "static/uploads", "venv"])


def test_a_managed_link_below_a_link_or_a_file_of_the_source_is_refused() -> None:
    tree = tree_of("media", "real/a.css", static="real")
    for path, kind in (("static/uploads", "link"), ("media/uploads", "file"), ("static/deep/er", "link")):
        with pytest.raises(SourceError, match=f"above it is a {kind}"):
            tree.check_managed(path)
    tree.check_managed("real/uploads")
    tree.check_managed("new/uploads")


def test_links_inside_the_tree_stay_allowed_missing_targets_too() -> None:
    tree_of("static/css/a.css", main="app.py", styles="static/css", **{"static/up": "../styles/a.css"}).check_links()


@pytest.mark.parametrize("seed", range(30))
def test_the_kernel_reaches_the_same_place(tmp_path: Path, seed: int) -> None:
    """Trees of links at random: what is accepted stays below the folder when the kernel follows it."""
    chance = random.Random(seed)  # noqa: S311
    folders = ["", "a", "a/b", "c"]
    top = tmp_path / "top"
    for folder in folders:
        (top / folder).mkdir(exist_ok=True, parents=True)
    links: dict[str, str] = {}
    for number in range(8):
        path = os.path.join(chance.choice(folders), f"l{number}")
        names = [chance.choice(["..", "a", "b", "c", ".", *(f"l{one}" for one in range(8))]) for _ in range(4)]
        links[path] = "/".join(names[: chance.randint(1, 4)])
        (top / path).symlink_to(links[path])
    for path, target in links.items():
        try:
            reached = resolve(links, path, target)
        except SourceError:
            continue
        real = os.path.realpath(top / path)
        assert real == str(top / reached) if os.path.exists(top / path) else real.startswith(str(top))


def test_a_path_in_a_message_moves_no_cursor_and_hides_no_line() -> None:
    with pytest.raises(SourceError) as refused:
        check_path("a\x1b[2J\n/../b")
    assert "\\x1b[2J\\n" in str(refused.value)
    assert str(refused.value).isprintable()
