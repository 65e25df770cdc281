"""A source on the controller: archives are opened or refused, and the host unpacks the same files."""

from __future__ import annotations

import contextlib
import hashlib
import io
import sqlite3
import stat
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils.source import read
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.entry import read_tree, tree_digest
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.limits import Limits
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import SourceError
from ansible_collections.flaskblog.hosting.plugins.modules import unpack as unpack_module
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.source import local_source
from laid_out import BLOG, make


def unpack(archive: Path | str, checksum: str = "") -> None:
    """Open a source and close it."""
    with local_source.opened(str(archive), checksum):
        pass


@pytest.fixture
def blog(tmp_path: Path) -> Path:
    return make(tmp_path / "blog", BLOG)


# -- archives -------------------------------------------------------------------------------------------------------


def tar_of(path: Path, members: Mapping[str, str | tuple[str, str]], mode: str = "w:gz") -> Path:
    """Write a tar archive; a tuple is a link's type and target."""
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            if isinstance(content, tuple):
                member.type = tarfile.SYMTYPE if content[0] == "symlink" else tarfile.LNKTYPE
                member.linkname = content[1]
                tar.addfile(member)
            else:
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content.encode()))
    return path


def zip_of(path: Path, members: Mapping[str, str]) -> Path:
    with zipfile.ZipFile(path, "w") as zipped:
        for name, content in members.items():
            zipped.writestr(name, content)
    return path


def zip_with_modes(path: Path, members: Mapping[str, tuple[int, str]]) -> Path:
    """Write a zip archive as Unix does, with each member's kind and mode."""
    with zipfile.ZipFile(path, "w") as zipped:
        for name, (mode, content) in members.items():
            member = zipfile.ZipInfo(name)
            member.external_attr = mode << 16
            zipped.writestr(member, content)
    return path


@pytest.mark.parametrize(
    ("suffix", "mode"), [(".tar", "w"), (".tar.gz", "w:gz"), (".tgz", "w:gz"), (".tar.xz", "w:xz")]
)
def test_an_archive_has_the_name_of_the_folder_it_was_made_from(
    blog: Path, tmp_path: Path, suffix: str, mode: str
) -> None:
    archive = tar_of(tmp_path / f"blog{suffix}", BLOG, mode)
    with local_source.opened(str(archive)) as folder:
        assert tree_digest(read.read(folder)) == tree_digest(read.read(blog))


def test_the_one_folder_at_the_top_of_a_repositorys_archive_is_stepped_into(blog: Path, tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "blog.zip", {f"blog-main/{name}": text for name, text in BLOG.items()})
    with local_source.opened(str(archive)) as folder:
        assert tree_digest(read.read(folder)) == tree_digest(read.read(blog))


def test_an_unpacked_archive_is_gone_afterwards(tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "blog.tar.gz", BLOG)
    with local_source.opened(str(archive)) as folder:
        assert (folder / "app.py").is_file()
    assert not folder.exists()


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/tmp/evil"])
def test_a_zip_that_writes_outside_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    archive = zip_of(tmp_path / "blog.zip", {**BLOG, name: "x"})
    with pytest.raises(SourceError, match="would write outside its folder"), local_source.opened(str(archive)):
        pass


@pytest.mark.parametrize(
    "members",
    [
        {"../evil": "x"},
        {"a/../../evil": "x"},
        {"evil": ("symlink", "/etc")},
        {"evil": ("symlink", "../../etc")},
        {"evil": ("hard link", "../../etc/passwd")},
        {"/etc/cron.d/evil": "x"},
        {"evil": ("hard link", "/etc/passwd")},
        {"static/evil": ("symlink", "../../x")},
    ],
)
def test_a_tar_that_reaches_outside_its_folder_is_refused(
    tmp_path: Path, members: dict[str, str | tuple[str, str]]
) -> None:
    archive = tar_of(tmp_path / "blog.tar.gz", {**BLOG, **members})
    with pytest.raises(SourceError, match=r"outside its folder|link that leaves the source"):
        unpack(archive)
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("kind", [tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE])
def test_a_device_or_a_pipe_in_a_tar_is_refused(tmp_path: Path, kind: bytes) -> None:
    archive = tar_of(tmp_path / "blog.tar", BLOG, "w")
    with tarfile.open(archive, "a") as tar:
        member = tarfile.TarInfo("static/evil")
        member.type = kind
        tar.addfile(member)
    with pytest.raises(SourceError, match="static/evil, which is neither a file"):
        unpack(archive)


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "static/../../outside"])
def test_a_link_that_leaves_a_zip_is_refused(tmp_path: Path, target: str) -> None:
    archive = zip_with_modes(tmp_path / "blog.zip", {"evil": (stat.S_IFLNK | 0o777, target)})
    with pytest.raises(SourceError, match="evil is a link that leaves the source"):
        unpack(archive)


def test_a_pipe_in_a_zip_is_refused(tmp_path: Path) -> None:
    archive = zip_with_modes(tmp_path / "blog.zip", {"pipe": (stat.S_IFIFO | 0o644, "")})
    with pytest.raises(SourceError, match="pipe, which is neither a file"):
        unpack(archive)


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "blog.zip", BLOG)
    content = bytearray(archive.read_bytes())
    central = content.index(b"PK\x01\x02")
    content[central + 8] |= 1
    archive.write_bytes(content)
    with pytest.raises(SourceError, match="which is encrypted"), local_source.opened(str(archive)):
        pass


def test_links_and_programs_come_out_of_a_zip_as_they_went_in(tmp_path: Path) -> None:
    members = {
        "manage": (stat.S_IFREG | 0o755, "#!/bin/sh"),
        "main.py": (stat.S_IFLNK | 0o777, "app.py"),
        "app.py": (stat.S_IFREG | 0o600, ""),
    }
    with local_source.opened(str(zip_with_modes(tmp_path / "blog.zip", members))) as folder:
        assert {entry.path: entry.kind for entry in read.read(folder)} == {
            "app.py": "file",
            "main.py": "link",
            "manage": "program",
        }


@pytest.mark.parametrize("name", ["blog.tar.gz", "blog.zip"])
def test_a_checksum_must_be_the_archives(tmp_path: Path, name: str) -> None:
    archive = (tar_of if name.endswith("gz") else zip_of)(tmp_path / name, BLOG)
    right = f"sha256:{hashlib.sha256(archive.read_bytes()).hexdigest()}"
    for checksum in (right, right.replace(right[7:], right[7:].upper())):
        with local_source.opened(str(archive), checksum) as folder:
            assert (folder / "app.py").is_file()
    wrong = f"sha256:{'0' * 64}"
    with pytest.raises(SourceError, match=f"its checksum is {right}, and flask_blog_source_checksum wants {wrong}"):
        unpack(archive, wrong)


@pytest.mark.parametrize(
    ("name", "content", "rule"),
    [
        (None, None, "no such folder or archive"),
        ("blog.rar", "x", "a file must be an archive"),
        ("blog.tar.gz", "no archive", "cannot be unpacked"),
        ("blog.zip", "no archive", "cannot be unpacked"),
    ],
)
def test_what_is_no_source_is_refused_with_the_reason(
    tmp_path: Path, name: str | None, content: str | None, rule: str
) -> None:
    path = tmp_path / (name or "missing")
    if content:
        path.write_text(content)
    with pytest.raises(SourceError, match=rule), local_source.opened(str(path)):
        pass


@pytest.mark.parametrize(("suffix", "mode"), [(".tar.gz", "w:gz"), (".tar.xz", "w:xz"), (".tar.bz2", "w:bz2")])
def test_an_archive_that_was_cut_off_is_refused_with_the_reason(tmp_path: Path, suffix: str, mode: str) -> None:
    archive = tar_of(tmp_path / f"blog{suffix}", {f"{number}.txt": str(number) * 500 for number in range(200)}, mode)
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    with pytest.raises(SourceError, match="cannot be unpacked"), local_source.opened(str(archive)):
        pass


# -- packing --------------------------------------------------------------------------------------------------------


def test_what_is_packed_here_is_what_the_host_unpacks(blog: Path, tmp_path: Path) -> None:
    make(blog, {"manage": "#!/bin/sh\n", "name with spaces é.txt": "x", "empty.txt": ""})
    (blog / "manage").chmod(0o755)
    (blog / "main.py").symlink_to("app.py")
    entries = read.read(blog)
    local_source.pack(blog, entries, str(tmp_path / "release.tar.gz"))
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    unpack_module.unpack(str(tmp_path / "release.tar.gz"), str(unpacked), Limits())
    assert tree_digest(read_tree(str(unpacked))) == tree_digest(entries)
    assert (unpacked / "name with spaces é.txt").read_text() == "x"


def test_unpacked_files_are_private_until_the_release_is_complete(blog: Path, tmp_path: Path) -> None:
    local_source.pack(blog, read.read(blog), str(tmp_path / "release.tar.gz"))
    (tmp_path / "unpacked").mkdir()
    unpack_module.unpack(str(tmp_path / "release.tar.gz"), str(tmp_path / "unpacked"), Limits())
    assert stat.S_IMODE((tmp_path / "unpacked" / "app.py").stat().st_mode) == 0o600


def test_a_pipe_in_an_archive_is_not_unpacked(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "release.tar.gz", "w:gz") as tar:
        member = tarfile.TarInfo("pipe")
        member.type = tarfile.FIFOTYPE
        tar.addfile(member)
    with pytest.raises(ValueError, match="pipe is neither a file nor a link"):
        unpack_module.unpack(str(tmp_path / "release.tar.gz"), str(tmp_path), Limits())


def test_the_data_of_a_blog_brings_its_write_ahead_log_along(blog: Path, tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(blog / "database.db")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE post (title TEXT)")
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("INSERT INTO post VALUES ('only in the log')")
        connection.commit()
        assert (blog / "database.db-wal").stat().st_size > 0
        taken = local_source.pack_data(blog, {".": ".", "database.db": "database.db"}, str(tmp_path / "data.tar.gz"))
    assert "database.db" in taken
    assert not any(path.endswith(("-wal", "-shm")) for path in taken)
    with tarfile.open(tmp_path / "data.tar.gz") as tar:
        tar.extract("database.db", tmp_path, filter="data")
    with contextlib.closing(sqlite3.connect(tmp_path / "database.db")) as copy:
        assert copy.execute("SELECT title FROM post").fetchall() == [("only in the log",)]


def test_the_data_of_a_blog_is_its_databases_and_writable_folders_and_no_code(blog: Path, tmp_path: Path) -> None:
    make(blog, {"static/uploads/a/cat.jpg": "cat", "instance/config.py": "x", "other/x": "x"})
    (blog / "static" / "uploads" / "link").symlink_to("/etc/passwd")
    places = {"blog/static/uploads": "static/uploads", "instance": "instance", "database.db": "database.db"}
    (blog / "blog").mkdir()
    (blog / "static").rename(blog / "blog" / "static")
    assert local_source.holds_data(blog, places)
    taken = local_source.pack_data(blog, places, str(tmp_path / "data.tar.gz"))
    assert taken == ["static/uploads/a/cat.jpg", "instance/config.py"]


def test_a_folder_without_databases_and_uploads_holds_no_data(blog: Path) -> None:
    (blog / "empty").mkdir()
    assert not local_source.holds_data(blog, {"empty": "static/uploads", "none.db": "none.db"})


def test_a_database_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "blog.db").write_bytes(b"SQLite format 3\0" + b"damage" * 100)
    with pytest.raises(SourceError, match=r"the database blog\.db cannot be read"):
        local_source.pack_data(tmp_path, {"blog.db": "blog.db"}, str(tmp_path / "data.tar.gz"))


def test_a_database_is_taken_from_a_folder_of_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "blog #1? 100%25"
    folder.mkdir()
    with contextlib.closing(sqlite3.connect(folder / "blog.db")) as connection:
        connection.execute("CREATE TABLE post (title)")
    assert local_source.pack_data(folder, {"blog.db": "blog.db"}, str(tmp_path / "data.tar.gz")) == ["blog.db"]
    assert read.databases(folder, read.read(folder)) == ["blog.db"]


def test_what_a_mac_adds_to_an_archive_is_left_out(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "blog.zip", "w") as zipped:
        zipped.writestr("blog/app.py", "app = None\n")
        zipped.writestr("__MACOSX/blog/._app.py", "")
    with local_source.opened(str(tmp_path / "blog.zip")) as folder:
        assert [entry.path for entry in read.read(folder)] == ["app.py"]


def test_the_attributes_that_a_macs_tar_puts_beside_each_file_are_left_out(tmp_path: Path) -> None:
    blog = make(tmp_path / "work" / "blog", {"app.py": "app\n", "requirements.txt": "flask\n", "static/a.css": "x"})
    make(blog, {"._app.py": "x", "static/._a.css": "x", "migrations/versions/._1.py": "\0", "...py": "kept"})
    (blog.parent / "._blog").write_text("x")
    with tarfile.open(tmp_path / "blog.tar.gz", "w:gz") as tar:
        tar.add(blog.parent / "._blog", arcname="._blog")
        tar.add(blog, arcname="blog")
    with local_source.opened(str(tmp_path / "blog.tar.gz")) as folder:
        names = [entry.path for entry in read.read(folder)]
    assert names == ["...py", "app.py", "requirements.txt", "static/a.css"]
    assert read.belonging(["a.py", "._a.py", "b/._c/d"]) == ["a.py"]
