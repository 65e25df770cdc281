"""Malicious archives on the controller: each is refused, and nothing is written outside its folder."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import struct
import subprocess
import tarfile
import tempfile
import time
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils.source import read
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.limits import Limits
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import LimitError, SourceError
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.source import local_source

LINK = stat.S_IFLNK | 0o777
FILE = stat.S_IFREG | 0o644
SMALL = Limits("20m", "10m", 2000)

Members = list[tuple[str, int, str]]


def zip_of(path: Path, members: Members, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", method) as zipped:
        warnings.simplefilter("ignore")  # one name twice
        for name, mode, content in members:
            member = zipfile.ZipInfo(name)
            member.external_attr, member.compress_type = mode << 16, method
            zipped.writestr(member, content)
    return path


def tar_of(path: Path, members: Members, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, kind, content in members:
            member = tarfile.TarInfo(name)
            if kind == FILE:
                member.size = len(content)
            else:
                member.type = tarfile.SYMTYPE if kind == LINK else tarfile.LNKTYPE
                member.linkname = content
            tar.addfile(member, io.BytesIO(content.encode()) if kind == FILE else None)
    return path


def refused(archive: Path, limits: Limits = SMALL) -> str:
    """Open an archive; return why it is refused."""
    with pytest.raises(SourceError) as refusal, local_source.opened(str(archive), "", limits):
        pass
    return str(refusal.value)


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder beside the one that archives are unpacked into; a test fails if anything appears in it."""
    (tmp_path / "beside").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "beside"))
    yield tmp_path / "beside"
    assert list((tmp_path / "beside").iterdir()) == []


#: Links through earlier links. Each leads outside only when it is followed step by step.
THROUGH_LINKS: dict[str, Members] = {
    "a link through a link": [("a/b/x", FILE, ""), ("a/b/D", LINK, "../.."), ("a/leak", LINK, "b/D/../leak")],
    "a file through a link through a link": [
        ("a/b/D", LINK, "../.."),
        ("a/E", LINK, "b/D/.."),
        ("a/E/planted", FILE, "x"),
    ],
    "a file through a link": [("D", LINK, "."), ("D/planted", FILE, "x")],
    "a link in the place of a folder": [("D/x", FILE, "x"), ("D", LINK, "..")],
    "the manifest as a link": [(".release.json", LINK, "static/x"), ("static/x", FILE, "")],
    "the manifest as a file": [("web/.release.json", FILE, "{}")],
    "a link to the manifest": [("static/x", LINK, "../.release.json")],
    "one name twice": [("app.py", FILE, "1"), ("app.py", FILE, "2")],
    "one name twice, written differently": [("app.py", FILE, "1"), ("./app.py", FILE, "2")],
}


@pytest.mark.parametrize("kind", ["tar", "zip"])
@pytest.mark.parametrize("members", THROUGH_LINKS)
def test_nothing_is_written_or_linked_through_a_link(tmp_path: Path, outside: Path, kind: str, members: str) -> None:
    archive = tmp_path / f"blog.{kind}"
    (zip_of if kind == "zip" else tar_of)(archive, THROUGH_LINKS[members])
    assert refused(archive)


def test_a_hard_link_through_a_link_is_refused(tmp_path: Path, outside: Path) -> None:
    members = [("D", LINK, "."), ("etc", tarfile.LNKTYPE[0], "D/../../etc/passwd")]
    assert "outside its folder" in refused(tar_of(tmp_path / "1.tar", members))
    members = [("D", LINK, "app.py"), ("copy", tarfile.LNKTYPE[0], "D"), ("app.py", FILE, "x")]
    assert "hard link to D, which is no file" in refused(tar_of(tmp_path / "2.tar", members))


def test_a_hard_link_to_a_file_of_the_archive_is_a_copy(tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "blog.tar", [("app.py", FILE, "x"), ("same.py", tarfile.LNKTYPE[0], "./app.py")])
    with local_source.opened(str(archive)) as folder:
        assert (folder / "same.py").read_text() == "x"
        assert (folder / "same.py").stat().st_nlink == 1


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_set_id_bits_are_dropped(tmp_path: Path, kind: str) -> None:
    archive = tmp_path / f"blog.{kind}"
    if kind == "zip":
        zip_of(archive, [("a/run", stat.S_IFREG | 0o6755, "x")])
    else:
        with tarfile.open(archive, "w") as tar:
            member = tarfile.TarInfo("a/run")
            member.mode, member.uid = 0o6755, 0
            tar.addfile(member)
    with local_source.opened(str(archive)) as folder:
        assert stat.S_IMODE((folder / "run").stat().st_mode) == 0o700


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_a_thousand_folders_inside_each_other_are_refused(tmp_path: Path, outside: Path, kind: str) -> None:
    members = [("/".join(["d"] * 1100) + "/x", FILE, "")]
    archive = (zip_of if kind == "zip" else tar_of)(tmp_path / f"blog.{kind}", members)
    assert "inside each other" in refused(archive)


# -- bombs ----------------------------------------------------------------------------------------------------------


def zeros(path: Path, opener: type[gzip.GzipFile] | type[bz2.BZ2File] | type[lzma.LZMAFile], size: int) -> Path:
    """Write a tar with one file of zeros, compressed."""
    member = tarfile.TarInfo("bomb")
    member.size = size
    with opener(path, "wb") as packed:
        packed.write(member.tobuf())
        for _ in range(size >> 20):
            packed.write(bytes(1 << 20))
    return path


@pytest.mark.parametrize(
    ("name", "opener"), [("b.tar.gz", gzip.GzipFile), ("b.tar.bz2", bz2.BZ2File), ("b.tar.xz", lzma.LZMAFile)]
)
def test_a_tar_that_unpacks_to_more_than_allowed_is_refused(
    tmp_path: Path, outside: Path, name: str, opener: type[gzip.GzipFile]
) -> None:
    archive = zeros(tmp_path / name, opener, 24 << 20)
    assert archive.stat().st_size < 1 << 18
    assert "flask_blog_source_max_file_size: '10m'" in refused(archive)
    assert "flask_blog_source_max_size: '20m'" in refused(archive, Limits("20m", "1g", 9))


def test_a_zip_that_unpacks_to_more_than_allowed_is_refused(tmp_path: Path, outside: Path) -> None:
    archive = zip_of(tmp_path / "1.zip", [("bomb", FILE, "\0" * (60 << 20))])
    assert "flask_blog_source_max_file_size: '10m'" in refused(archive)
    archive = zip_of(tmp_path / "2.zip", [(f"bomb{number}", FILE, "\0" * (9 << 20)) for number in range(4)])
    assert "flask_blog_source_max_size: '20m'" in refused(archive)


@pytest.mark.parametrize("announced", [5, 0xFFFFFFF0])
def test_a_zip_whose_header_lies_about_a_size_is_refused(tmp_path: Path, outside: Path, announced: int) -> None:
    archive = zip_of(tmp_path / "blog.zip", [("bomb", FILE, "\0" * (30 << 20))])
    content = bytearray(archive.read_bytes())
    central = content.index(b"PK\x01\x02")
    struct.pack_into("<I", content, central + 24, announced)
    archive.write_bytes(content)
    assert refused(archive)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_whose_blocks_python_unpacks_as_a_whole_is_refused(tmp_path: Path, outside: Path, method: int) -> None:
    archive = zip_of(tmp_path / "blog.zip", [("bomb", FILE, "\0" * (9 << 20))], method)
    assert "not compressed with deflate" in refused(archive)


def test_a_sparse_file_counts_with_its_holes(tmp_path: Path, outside: Path) -> None:
    member = tarfile.TarInfo("bomb")
    member.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(1 << 40)}
    content = f"1\n{(1 << 40) - 1}\n1\n".encode().ljust(512, b"\0") + b"x"
    member.size = len(content)
    with tarfile.open(tmp_path / "blog.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(member, io.BytesIO(content))
    assert "flask_blog_source_max_file_size" in refused(tmp_path / "blog.tar")


@pytest.mark.parametrize("kind", [tarfile.DIRTYPE, tarfile.REGTYPE, tarfile.SYMTYPE])
def test_an_archive_with_too_many_entries_is_refused(tmp_path: Path, outside: Path, kind: bytes) -> None:
    archive = tmp_path / "blog.tar.gz"
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        for number in range(3000):
            member = tarfile.TarInfo("same" if kind == tarfile.DIRTYPE else f"n{number}")
            member.type, member.linkname = kind, "x"
            tar.addfile(member)
    assert "flask_blog_source_max_files: 2000" in refused(archive)


def test_a_zip_with_too_many_entries_is_refused(tmp_path: Path, outside: Path) -> None:
    archive = zip_of(tmp_path / "1.zip", [(f"n{number}", FILE, "") for number in range(2001)])
    assert "flask_blog_source_max_files: 2000" in refused(archive)
    archive = zip_of(tmp_path / "2.zip", [(f"n{number}", FILE, "") for number in range(30_000)])
    assert "directory has more than 1024 KiB" in refused(archive)


def repeated(path: Path, first: bytes, block: bytes, number: int) -> Path:
    """Write a compressed file that ends with a block some times, which is compressed once."""
    path.write_bytes(gzip.compress(first) + gzip.compress(block) * number)
    return path


def pax_header(size: int, name: str = "x") -> bytes:
    header = tarfile.TarInfo(name)
    header.type, header.size = tarfile.XHDTYPE, size
    return header.tobuf()


def test_a_huge_header_is_not_read_into_memory(tmp_path: Path, outside: Path) -> None:
    archive = repeated(tmp_path / "blog.tar.gz", pax_header(600 << 20), bytes(4 << 20), 150)
    begun = time.process_time()
    assert "a header of more than 1 MiB" in refused(archive)
    assert time.process_time() - begun < 2


def test_headers_that_follow_each_other_without_end_are_refused(tmp_path: Path, outside: Path) -> None:
    block = pax_header(512) + b"20 comment=xxxxxxxxx\n".ljust(512, b"\0")
    assert refused(repeated(tmp_path / "blog.tar.gz", block, block * 1000, 100))


@pytest.mark.parametrize("kind", ["zeros", "xz for huge memory"])
def test_a_stream_without_an_end_and_one_without_measure_are_refused(tmp_path: Path, outside: Path, kind: str) -> None:
    if kind == "zeros":
        # A folder that announces content: it would be skipped, block by block.
        member = tarfile.TarInfo("x")
        member.type, member.size = b"Z", 8 << 30
        assert refused(repeated(tmp_path / "b.tar.gz", member.tobuf(), bytes(1 << 20), 60))
    else:
        filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 29}]
        with lzma.open(tmp_path / "b.tar.xz", "wb", filters=filters) as packed:
            packed.write(tarfile.TarInfo("x").tobuf() + bytes(1024))
        assert "emory" in refused(tmp_path / "b.tar.xz")


def test_an_xz_of_several_streams_is_read_to_its_end(tmp_path: Path) -> None:
    whole = tar_of(tmp_path / "blog.tar", [(f"n{number}.txt", FILE, str(number)) for number in range(50)]).read_bytes()
    (tmp_path / "blog.tar.xz").write_bytes(lzma.compress(whole[:9000]) + bytes(8) + lzma.compress(whole[9000:]))
    with local_source.opened(str(tmp_path / "blog.tar.xz")) as folder:
        assert len(list(folder.iterdir())) == 50


def test_an_environment_in_an_archive_brings_no_links_and_no_refusal(tmp_path: Path) -> None:
    members = [("blog/app.py", FILE, ""), ("blog/env/bin/python", LINK, "/usr/bin/python3")]
    archive = tar_of(tmp_path / "blog.tar", [*members, ("blog/env/pyvenv.cfg", FILE, "")])
    with local_source.opened(str(archive)) as folder:
        assert not os.path.lexists(folder / "env" / "bin" / "python")
        assert [entry.path for entry in read.read(folder)] == ["app.py"]


def test_a_folder_has_the_same_limits(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / name).write_bytes(bytes(600))
    for limits in (Limits("1k", "1k", 9), Limits("9k", "500", 9), Limits("9k", "1k", 2)):
        with pytest.raises(LimitError):
            read.read(tmp_path, limits=limits)
    assert len(read.read(tmp_path, limits=Limits("2k", "600", 3))) == 3


def test_a_folder_of_a_thousand_folders_is_refused_with_the_reason(tmp_path: Path) -> None:
    place = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1100):
        os.mkdir("d", dir_fd=place)
        below = os.open("d", os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = below
    os.close(os.open("x", os.O_CREAT | os.O_WRONLY, dir_fd=place))
    os.close(place)
    try:
        with pytest.raises(SourceError, match="inside each other"):
            read.read(tmp_path)
    finally:
        subprocess.run(["rm", "-rf", str(tmp_path / "d")], check=True)  # Python's own removal recurses as well
