# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Read the files of a commit from Git's output, check all of them, and write them into a folder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.flaskblog.hosting.plugins.module_utils.source.git_account import Git
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.git_unit import (
    LOCAL_TIMEOUT,
    Reach,
    Running,
    running,
)
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.limits import Limits, Meter
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.read import belonging
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import (
    GitError,
    damaged_copy,
    link_without_path,
    shown,
    too_long,
)
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.tree import LONGEST_PATH, Tree
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.tree_writer import writer

#: Git's modes of what a tree holds (git-fast-import(1)).
FILE, LINK, PROGRAM, SUBMODULE = "100644", "120000", "100755", "160000"
#: What git-lfs commits instead of a file (https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md).
LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\n"
LFS_LARGEST = 1024

#: The listing ends with an empty name; then objects are requested on standard input.
SCRIPT = """
"$GIT" -C "$1" rev-parse --quiet --verify "$2^{tree}" >/dev/null 2>&1 || exit 3
"$GIT" -C "$1" ls-tree -r -z -l --full-tree "$2"
printf '\\0'
exec "$GIT" -C "$1" cat-file --batch
"""
#: Exit status of the script if the repository does not hold the commit.
MISSING = 3
#: Objects that are requested before the first is read: their names fit into a pipe (pipe(7): 64 KiB).
ASKED = 1000
#: Bytes of one line of the listing beside its path.
LONGEST_LINE = LONGEST_PATH + 4096
BLOCK = 1 << 20


@dataclass(frozen=True)
class Listed:
    """One file, program or link of a commit."""

    path: str
    mode: str
    identity: str
    size: int


def export(git: Git, repository: Path, commit: str, folder: str, left_out: Sequence[str] = ()) -> bool:
    """Write the files and links of a commit that belong in a release, byte by byte as they were committed.

    All paths and links are checked before anything is written.

    :param left_out: relative paths that do not belong in the release.
    :returns: false if the repository does not hold the commit.
    :raises SourceError: for a commit that would write outside its folder or contradicts itself, a limit that is
        exceeded, a submodule or a file of Git LFS, which are not in the repository; for a full disk.
    """
    command = git.command(SCRIPT, [str(repository), commit], Reach(readable=[str(repository)]), LOCAL_TIMEOUT)
    complete = False
    try:
        with running(command, LOCAL_TIMEOUT) as process:
            listed = _listing(process, Meter(git.limits))
            if listed is not None:
                _write_all(git, process, _belonging(listed, left_out, git.limits), folder)
                complete = True
    except BrokenPipeError as error:
        raise damaged_copy("Git ended before the commit was read") from error
    except OSError as error:
        raise GitError(f"the commit cannot be written on the host: {error}") from error
    if not complete and process.status != MISSING:
        said = process.errors.strip().splitlines()
        raise GitError(f"Git cannot read the commit {commit} in {repository}: {said[-1] if said else process.status}")
    return complete


def _listing(process: Running, meter: Meter) -> list[Listed] | None:
    """Read the listing of a commit; None if Git ends before it is complete.

    :raises SourceError: if it is longer than the limits allow.
    """
    found, rest = list[Listed](), b""
    while block := os.read(process.output.fileno(), BLOCK):
        lines = (rest + block).split(b"\0")
        rest = lines.pop()
        for line in lines:
            if not line:
                return found
            entry = _parsed(line)
            meter.add_entry(entry.path)
            found.append(entry)
        if len(rest) > LONGEST_LINE:
            raise too_long(f"{os.fsdecode(rest[:200])}…")
    return None


def _parsed(line: bytes) -> Listed:
    """Read a line of C(git ls-tree -l)."""
    attributes, _, path = line.partition(b"\t")
    fields = attributes.decode("ascii", "replace").split()
    if len(fields) != 4 or not (fields[3].isdecimal() or fields[3] == "-"):
        raise GitError("Git lists the commit in a way that is not known")
    return Listed(os.fsdecode(path), fields[0], fields[2], int(fields[3]) if fields[3] != "-" else 0)


def _belonging(listed: Sequence[Listed], left_out: Sequence[str], limits: Limits) -> list[Listed]:
    """Return what belongs in the release, if the limits allow it.

    :raises LimitError: if it is too large.
    """
    kept = set(belonging((entry.path for entry in listed), left_out))
    found = [entry for entry in listed if entry.path in kept]
    meter = Meter(limits)
    for entry in found:
        meter.check_file(entry.path, entry.size)
        meter.add_bytes(entry.size)
    return found


def _write_all(git: Git, process: Running, listed: Sequence[Listed], folder: str) -> None:
    """Read the links, check the whole tree, and write it."""
    for entry in listed:
        if entry.mode == SUBMODULE:
            raise GitError(
                f"{shown(entry.path)} is a submodule, which is not fetched, and the app would lack it. Commit its files"
                " instead, or deploy a folder in which it is checked out"
            )
    links = [entry for entry in listed if entry.mode == LINK]
    files = [entry for entry in listed if entry.mode != LINK]
    tree = Tree()
    for entry in links:
        if entry.size > LONGEST_PATH:
            raise link_without_path(entry.path)
    for entry, blocks in zip(links, _objects(process, links), strict=True):
        tree.add_link(entry.path, os.fsdecode(b"".join(blocks)))
    for entry in files:
        tree.add_file(entry.path)
    tree.check_links()
    with writer(folder, git.limits) as target:
        if target.meter:
            target.meter.check_space(sum(entry.size for entry in files))
        for entry, blocks in zip(files, _objects(process, files), strict=True):
            target.write(entry.path, _without_lfs(entry, blocks), program=entry.mode == PROGRAM)
        for path, link in tree.links.items():
            target.add_link(path, link)
        target.lay_links()


def _objects(process: Running, listed: Sequence[Listed]) -> Iterator[Iterator[bytes]]:
    """Yield the content of each object in turn; it must be read before the next one is."""
    asked = 0
    for position, entry in enumerate(listed):
        if asked - position <= ASKED // 2 and asked < len(listed):
            more = listed[asked : position + ASKED]
            process.input.write("".join(f"{one.identity}\n" for one in more).encode())
            process.input.flush()
            asked += len(more)
        header = process.output.readline(200).split()
        if header != [entry.identity.encode(), b"blob", str(entry.size).encode()]:
            raise damaged_copy(f"the repository lacks {shown(entry.path)}")
        yield _content(process, entry)
        process.output.read(1)  # a newline follows each object


def _content(process: Running, entry: Listed) -> Iterator[bytes]:
    """Yield an object block by block; its name proves that it is what was committed."""
    total = hashlib.sha1(f"blob {entry.size}\0".encode(), usedforsecurity=False)
    left = entry.size
    while left:
        block = process.output.read(min(left, BLOCK))
        if not block:
            raise damaged_copy(f"the repository ends in the middle of {shown(entry.path)}")
        left -= len(block)
        total.update(block)
        yield block
    if total.hexdigest() != entry.identity:
        raise damaged_copy(f"{shown(entry.path)} is damaged in the repository")


def _without_lfs(entry: Listed, blocks: Iterator[bytes]) -> Iterator[bytes]:
    for block in blocks:
        if entry.size <= LFS_LARGEST and block.startswith(LFS_POINTER):
            raise GitError(
                f"{shown(entry.path)} lies in Git LFS, which is not fetched, and its visitors would get a few lines of"
                " text. Commit the file itself, or deploy a folder or an archive that holds it"
            )
        yield block
