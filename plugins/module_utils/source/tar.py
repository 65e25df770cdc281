# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Read a tar archive as a stream, with limits on what it unpacks to and on its headers.

The controller uses it for the user's archives, the host for the packed release.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import sys
import tarfile
import zlib
from collections.abc import Iterator
from typing import IO, Any

from ansible_collections.flaskblog.hosting.plugins.module_utils.source.limits import Limits
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import SourceError, too_much

#: What Python raises for an archive that is damaged, cut off or malicious.
UNREADABLE = (
    *(tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, struct.error, RecursionError, MemoryError),
    *(ValueError, ArithmeticError, LookupError),
)

#: Bytes that the headers of one member may have. tarfile reads each into memory, and one may follow another.
LARGEST_HEADER = 1 << 20
#: Bytes of memory for a xz archive: C(xz -9) needs 65 MiB to unpack (xz(1)).
XZ_MEMORY = 256 << 20

BLOCK = 1 << 18


class Tar:
    """A tar archive that is read once, from its first member to its last."""

    def __init__(self, handle: IO[bytes], limits: Limits) -> None:
        """Open an archive, compressed or not.

        :raises SourceError: if its headers are too large.
        :raises tarfile.TarError: if it is none.
        """
        self._stream = _Stream(_decompressed(handle), limits)
        self._tar = tarfile.open(fileobj=self._stream, mode="r:")  # type: ignore[call-overload]  # noqa: SIM115

    def __enter__(self) -> Tar:
        """Return the archive itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self._tar.close()

    def __iter__(self) -> Iterator[tarfile.TarInfo]:
        """Yield the members in their order. Python would keep all of them."""
        while True:
            self._stream.begin_header()
            member = self._tar.next()
            self._tar.members.clear()
            self._stream.end_header()
            if member is None:
                return
            yield member

    def content(self, member: tarfile.TarInfo) -> Iterator[bytes]:
        """Yield the content of the member that was yielded last; of a sparse file, its holes as well."""
        content = self._tar.extractfile(member)
        if content is None:
            raise SourceError(f"{member.name} cannot be read from the archive")
        with content:
            while block := content.read(BLOCK):
                yield block


class _Stream:
    """What tarfile reads from: it only goes forward, and counts bytes."""

    def __init__(self, raw: IO[bytes], limits: Limits) -> None:
        self._raw = raw
        self._limits = limits
        self._position = 0
        self._header_left: int | None = LARGEST_HEADER

    def begin_header(self) -> None:
        self._header_left = LARGEST_HEADER

    def end_header(self) -> None:
        self._header_left = None

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> int:
        """Skip the bytes between, such as the padding of a block."""
        if position < self._position:
            raise tarfile.ReadError("the archive wants to be read backwards")
        while self._position < position and self._take(min(BLOCK, position - self._position)):
            pass
        return self._position

    def read(self, size: int) -> bytes:
        if self._header_left is not None:
            self._header_left -= size
            if self._header_left < 0:
                raise SourceError(f"the archive has a header of more than {LARGEST_HEADER >> 20} MiB. Pack it anew")
        return self._take(size)

    def _take(self, size: int) -> bytes:
        parts = []
        while size and (part := self._raw.read(size)):
            parts.append(part)
            size -= len(part)
            self._position += len(part)
            # Headers and the rest of each block count as well, and never amount to much in an honest archive.
            if self._position > self._limits.most_bytes + LARGEST_HEADER:
                raise too_much(self._limits.size)
        return b"".join(parts)


def _decompressed(handle: IO[bytes]) -> Any:
    """Return an archive's content by its first bytes (file formats: gzip, bzip2, xz, Zstandard)."""
    start = handle.read(6)
    handle.seek(0)
    if start.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=handle)
    if start.startswith(b"BZh"):
        return bz2.BZ2File(handle)
    if start == b"\xfd7zXZ\x00":
        return io.BufferedReader(_Xz(handle), BLOCK)
    if start.startswith(b"\x28\xb5\x2f\xfd") and sys.version_info >= (3, 14):
        from compression import zstd  # not before Python 3.14

        return zstd.ZstdFile(handle)
    return handle


class _Xz(io.RawIOBase):
    """A xz file with a limit on memory, which lzma.LZMAFile does not have."""

    def __init__(self, handle: IO[bytes]) -> None:
        self._handle = handle
        self._rest = b""
        self._decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, XZ_MEMORY)

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        """Fill a buffer, as far as there is anything left."""
        while True:
            if self._decompressor.eof and not self._begin_next_stream():
                return 0
            block = self._next_block()
            if found := self._decompressor.decompress(block, len(target)):
                target[: len(found)] = found
                return len(found)

    def _next_block(self) -> bytes:
        if not self._decompressor.needs_input:
            return b""
        block, self._rest = self._rest or self._handle.read(BLOCK), b""
        if not block:
            raise EOFError("the archive is cut off")
        return block

    def _begin_next_stream(self) -> bool:
        """Continue with the next stream, after the padding of the last one (xz-file-format 2.2)."""
        rest = self._decompressor.unused_data.lstrip(b"\0")
        while not rest:
            block = self._handle.read(BLOCK)
            if not block:
                return False
            rest = block.lstrip(b"\0")
        self._rest = rest
        self._decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, XZ_MEMORY)
        return True
