"""Read a backup back: a backup counts only once every file of it has its checksum."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..data import tree
from ..errors import OperationError

#: In each backup, written last: its files with their checksums. A directory without it is no backup.
MANIFEST = "manifest.json"
#: The version of the manifest's form. Version 1, which names none, has no settings, release, schemas and rows.
FORMAT = 2


def verify(backup: Path, manifest: Mapping[str, Any]) -> None:
    """Read every file of a backup. The structure of a database was checked before root stored the same bytes.

    :raises OperationError: for the first file that is wrong.
    """
    for folder, entries in (("data", manifest["files"]), ("settings", manifest.get("settings", {}))):
        for relative, entry in entries.items():
            if identity(backup / folder / relative)["sha256"] != entry["sha256"]:
                raise OperationError(
                    f"The backup is not whole, earlier ones are untouched: {relative} reads differently"
                )


def identity(path: Path) -> dict[str, Any]:
    """Return a file's size in bytes and its sha256."""
    with path.open("rb") as handle:
        return {"size": path.stat().st_size, "sha256": hashlib.file_digest(handle, "sha256").hexdigest()}


def sha256_of(handle: int) -> str:
    """Return the sha256 of an open file, up to its present size."""
    total, position = hashlib.sha256(), 0
    size = os.fstat(handle).st_size
    while position < size and (block := os.pread(handle, min(tree.BLOCK_SIZE, size - position), position)):
        total.update(block)
        position += len(block)
    return total.hexdigest()


def read_manifest(backup: Path) -> dict[str, Any]:
    """Return a backup's manifest."""
    return dict(json.loads((backup / MANIFEST).read_text(encoding="utf-8")))
