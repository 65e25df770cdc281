"""A tar archive that is read once, from its first member to its last."""

from __future__ import annotations

import io
import lzma
import tarfile

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils.source import tar as tar_module
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.limits import Limits
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import LimitError
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.tar import LARGEST_HEADER, Tar


def packed(**files: bytes) -> io.BytesIO:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    archive.seek(0)
    return archive


def test_members_come_in_their_order_with_their_content() -> None:
    with Tar(packed(one=b"1" * 3000, two=b"", three=b"3"), Limits()) as tar:
        found = [(member.name, b"".join(tar.content(member))) for member in tar]
    assert found == [("one", b"1" * 3000), ("two", b""), ("three", b"3")]


def test_an_archive_is_closed_at_the_end_of_its_context() -> None:
    with Tar(packed(one=b"1"), Limits()) as tar:
        pass
    with pytest.raises(OSError, match="closed"):
        next(iter(tar))


def test_a_member_that_nobody_reads_counts_against_the_size_as_well() -> None:
    """It is decompressed to get at the next one, which may take an hour of the processor."""
    archive = packed(skipped=bytes(LARGEST_HEADER), last=b"1")  # two headers of 512 bytes
    with Tar(archive, Limits(size="1024")) as tar:
        members = iter(tar)
        assert [next(members).name, next(members).name] == ["skipped", "last"]
    archive.seek(0)
    with Tar(archive, Limits(size="1023")) as tar:
        members = iter(tar)
        assert next(members).name == "skipped"
        with pytest.raises(LimitError, match=r"the source unpacks to more \(flask_blog_source_max_size: '1023'\)"):
            next(members)


@pytest.mark.parametrize("padding", [b"", bytes(4)])
def test_an_archive_of_several_xz_streams_is_read_to_its_end(padding: bytes) -> None:
    plain = packed(one=b"1" * 3000, two=b"2").getvalue()
    streams = lzma.compress(plain[:1000]) + padding + lzma.compress(plain[1000:]) + padding
    with Tar(io.BytesIO(streams), Limits()) as tar:
        found = [(member.name, b"".join(tar.content(member))) for member in tar]
    assert found == [("one", b"1" * 3000), ("two", b"2")]
    with tar_module._decompressed(io.BytesIO(streams)) as whole:
        assert whole.read() == plain
