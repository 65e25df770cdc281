# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The version of this collection, as Galaxy knows it."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]


@functools.cache
def version(root: Path = ROOT) -> str:
    """Return the version of an installed collection, or of a checkout.

    :param root: the collection's folder; an installed one has C(MANIFEST.json), a checkout C(galaxy.yml).
    :raises ValueError: if neither says it.
    """
    manifest, galaxy = root / "MANIFEST.json", root / "galaxy.yml"
    try:
        if manifest.is_file():
            return str(json.loads(manifest.read_text(encoding="utf-8"))["collection_info"]["version"])
        return str(yaml.safe_load(galaxy.read_text(encoding="utf-8"))["version"])
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise ValueError(
            f"{root} has no version: it has neither a good MANIFEST.json nor a good galaxy.yml. Install the collection"
            " again."
        ) from error
