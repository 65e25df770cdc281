"""The one writer of sources: it stays below its folder, regardless of existing files and requested paths."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils.source import limits as limits_module
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.limits import Limits, size_in_bytes
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import LimitError, SourceError
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.tree_writer import TreeWriter, writer


def test_files_folders_and_links_are_written(tmp_path: Path) -> None:
    with writer(str(tmp_path)) as target:
        target.write("a/b/c.txt", [b"one", b"two"])
        target.write("a/run", [b"x"], program=True)
        target.write("z.txt", [])
        target.make_folder("empty/deep")
        target.add_link("a/link", "b/c.txt")
        target.copy("copy", "a/run")
        assert not (tmp_path / "a" / "link").is_symlink(), "links come last"
        target.lay_links()
        target.lay("venv", "/opt/blog/venvs/abc")
    assert (tmp_path / "a" / "link").read_bytes() == b"onetwo"
    assert (tmp_path / "empty" / "deep").is_dir()
    assert os.readlink(tmp_path / "venv") == "/opt/blog/venvs/abc"
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "a" / "run", tmp_path / "copy")}
    assert modes == {"run": 0o700, "copy": 0o700}
    assert (tmp_path / "z.txt").stat().st_mode & 0o777 == 0o600
    assert len(os.listdir("/proc/self/fd")) < 60, "no descriptor is left open"


@pytest.mark.parametrize("place", ["evil", "folder/evil"])
def test_a_link_that_stands_there_already_is_never_followed(tmp_path: Path, place: str) -> None:
    """If another process writes there at the same time, neither a folder nor a file leads out."""
    top, outside = tmp_path / "top", tmp_path / "outside"
    (top / "folder").mkdir(parents=True)
    outside.mkdir()
    (top / place).symlink_to(outside)
    with writer(str(top)) as target, pytest.raises(OSError, match="evil"):
        target.write(f"{place}/file", [b"x"])
    with writer(str(top)) as target, pytest.raises(FileExistsError):
        target.write(place, [b"x"])
    with writer(str(top)) as target, pytest.raises(OSError, match="evil"):
        target.lay(f"{place}/link", "x")
    assert list(outside.iterdir()) == []


def test_the_folder_itself_must_be_no_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(OSError, match="link"), writer(str(tmp_path / "link")):
        pass


def test_a_hard_link_leads_to_a_file_that_was_written_before(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("not ours")
    with writer(str(tmp_path)) as target:
        target.add_link("link", "there")
        for original in ("there", "link", "later"):
            with pytest.raises(SourceError, match=f"a hard link to {original}"):
                target.copy("copy", original)


@pytest.mark.parametrize(
    ("limits", "variable"),
    [
        (Limits("10", "1k", 9), "flask_blog_source_max_size"),
        (Limits("1k", "10", 9), "flask_blog_source_max_file_size"),
        (Limits("1k", "1k", 3), "flask_blog_source_max_files"),
    ],
)
def test_what_is_written_is_limited(tmp_path: Path, limits: Limits, variable: str) -> None:
    def fill(target: TreeWriter) -> None:
        target.write("a/b", (b"123456" for _ in range(5)))
        target.write("c/d", [b"x"])

    with writer(str(tmp_path), limits) as target, pytest.raises(LimitError) as refused:
        fill(target)
    assert refused.value.explain("/x").startswith(f"{variable}: ")
    assert "raise the limit" in refused.value.explain("/x")
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) <= 31


def test_folders_count_as_entries(tmp_path: Path) -> None:
    with writer(str(tmp_path), Limits(files=20)) as target, pytest.raises(LimitError):
        target.write("/".join("abcdefghijklmnopqrstuvw"), [b""])


def test_a_disk_is_never_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits_module, "RESERVE", 1 << 62)
    with writer(str(tmp_path), Limits()) as target, pytest.raises(SourceError, match="No space left on device"):
        target.write("a", [b"x"])


@pytest.mark.parametrize(("text", "size"), [("10", 10), ("1k", 1024), ("8M", 8 << 20), ("2g", 2 << 30)])
def test_sizes_are_read_as_nginx_does(text: str, size: int) -> None:
    assert size_in_bytes(text) == size
