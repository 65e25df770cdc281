"""Limits are exact, and the disk's reserve is kept to the byte."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils.source import limits, tree
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.limits import Limits, Meter
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import LimitError, SourceError
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.tree import Tree


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("17", 17),
        ("1k", 1024),
        ("2K", 2048),
        ("3m", 3 * 1024**2),
        ("1M", 1024**2),
        ("1g", 1024**3),
        ("2G", 2 * 1024**3),
    ],
)
def test_a_size_is_read_as_nginx_reads_it(text: str, size: int) -> None:
    assert limits.size_in_bytes(text) == size


def test_as_many_entries_as_allowed_are_taken_and_not_one_more() -> None:
    meter = Meter(Limits(files=2))
    meter.add_entry("a")
    meter.add_entry("b")
    with pytest.raises(LimitError, match="the source holds more entries, c is the next one") as caught:
        meter.add_entry("c")
    assert (caught.value.variable, caught.value.value) == ("flask_blog_source_max_files", 2)


def test_a_file_as_large_as_allowed_is_taken_and_not_one_byte_more() -> None:
    meter = Meter(Limits(file_size="1k"))
    meter.check_file("a", 1024)
    with pytest.raises(LimitError, match="a in the source is larger") as caught:
        meter.check_file("a", 1025)
    assert (caught.value.variable, caught.value.value) == ("flask_blog_source_max_file_size", "1k")


def test_as_many_bytes_as_allowed_are_taken_in_all_and_not_one_more() -> None:
    meter = Meter(Limits(size="1k"))
    meter.add_bytes(1000)
    meter.add_bytes(24)
    with pytest.raises(LimitError, match="the source unpacks to more") as caught:
        meter.add_bytes(1)
    assert (caught.value.variable, caught.value.value) == ("flask_blog_source_max_size", "1k")


class Disk:
    """A file system with this many free bytes; it counts its calls."""

    def __init__(self, free: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free = free
        self.asked = 0
        monkeypatch.setattr(os, "fstatvfs", self._answer)

    def _answer(self, descriptor: int) -> SimpleNamespace:
        assert descriptor == 7
        self.asked += 1
        return SimpleNamespace(f_bavail=self.free // 512, f_frsize=512, f_bfree=1 << 60, f_bsize=1 << 20)


def test_a_disk_keeps_its_reserve_to_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(limits.RESERVE + 4096, monkeypatch)
    meter = Meter(Limits(), descriptor=7)
    meter.check_space(4096)
    with pytest.raises(SourceError, match="No space left on device: 64 MiB are free, and 64 MiB are needed"):
        meter.check_space(4097)
    disk.free -= 512
    with pytest.raises(SourceError, match="No space left on device"):
        meter.check_space(4096)


def test_a_disk_is_asked_at_the_first_byte_and_after_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(1 << 40, monkeypatch)
    meter = Meter(Limits(size="4g"), descriptor=7)
    meter.add_bytes(1)
    assert disk.asked == 1
    meter.add_bytes(limits.STEP - 1)
    assert disk.asked == 1
    meter.add_bytes(1)
    assert disk.asked == 2
    disk.free = limits.RESERVE + limits.STEP - 512
    meter.add_bytes(limits.STEP - 1)
    with pytest.raises(SourceError, match="No space left on device"):
        meter.add_bytes(1)


def test_a_source_that_is_not_written_needs_no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(0, monkeypatch)
    meter = Meter(Limits())
    meter.add_bytes(1)
    meter.check_space(1)
    assert disk.asked == 0


def test_limits_that_are_not_given_have_their_defaults() -> None:
    assert Limits.of({}) == Limits("2g", "512m", 100_000)
    assert Limits.of({"size": "1m", "files": "3", "other": 1}) == Limits("1m", "512m", 3)
    assert Limits("3k").most_bytes == 3072


def test_a_limit_names_its_variable_value_rule_and_remedy() -> None:
    error = LimitError("flask_blog_source_max_files", 2, "the source holds more entries")
    assert str(error) == "the source holds more entries (flask_blog_source_max_files: 2)"
    assert error.explain("blog.tar") == (
        "flask_blog_source_max_files: 2: the source holds more entries. Leave out of the source what a release does not"
        " need, or raise the limit if you trust the source."
    )
    assert SourceError("it is bad.").explain("blog.tar") == "flask_blog_source: 'blog.tar': it is bad."


# -- paths and links ------------------------------------------------------------------------------------------------

#: A path and a link's target as long as allowed, of names that are not.
LONGEST = "/".join(["d" * 227] * 8 + ["d" * 224])


@pytest.mark.parametrize("path", ["/".join(["d"] * tree.DEEPEST), "x" * tree.LONGEST_NAME, LONGEST])
def test_a_path_as_deep_and_as_long_as_allowed_is_taken(path: str) -> None:
    assert tree.check_path(path) == path.split("/")


def test_a_path_one_byte_longer_is_refused() -> None:
    assert len(LONGEST) == tree.LONGEST_PATH
    with pytest.raises(SourceError, match="too long a name"):
        tree.check_path(f"{LONGEST}d")


def test_a_link_may_lead_as_far_as_a_path_and_not_one_byte_farther() -> None:
    found = Tree()
    found.add_link("link", LONGEST)
    assert found.links == {"link": LONGEST}
    for target in (f"{LONGEST}d", "", "a\0b"):
        with pytest.raises(SourceError, match=r"other is a link that leads to no path\. Put a copy in its place"):
            found.add_link("other", target)


def test_forty_links_are_followed_and_not_one_more() -> None:
    links = {"l0": "file"} | {f"l{number}": f"l{number - 1}" for number in range(1, 50)}
    assert tree.resolve(links, "link", "l39") == "file"
    with pytest.raises(SourceError, match="from link to link without an end"):
        tree.resolve(links, "link", "l40")


def test_a_message_shows_a_path_whole_or_its_end() -> None:
    assert tree.shown("x" * 160) == "x" * 160
    assert tree.shown(f"begin{'x' * 156}") == f"…gin{'x' * 156}"


def test_what_is_not_written_may_link_anywhere() -> None:
    found = Tree()
    found.add_link("venv", "/usr/lib/venv")
    with pytest.raises(SourceError, match="leaves the source"):
        found.check_links()
    found.check_links(without=["venv"])


def test_a_folder_is_one_that_was_added_or_has_something_in_it() -> None:
    found = Tree()
    found.add_folder("empty")
    found.add_folder("empty")
    found.add_file("a/b/file")
    assert [found.is_folder(path) for path in ("", "empty", "a", "a/b", "a/b/file", "c")] == [True] * 4 + [False] * 2
    assert [found.is_file(path) for path in ("a/b/file", "a/b", "c")] == [True, False, False]
    for path in ("a/b/file", "a/b/file/deeper"):
        with pytest.raises(SourceError, match="it holds a/b/file as a file and as a folder"):
            found.add_folder(path)
