# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Paths of the app for which nginx has settings of their own: another body size, or WebSockets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def app_paths(sizes: Mapping[str, str], websockets: Iterable[str]) -> list[dict[str, Any]]:
    """Return the paths, the longest first: nginx takes the first regular expression that matches.

    A path stands for what lies below it as well, so a longer one takes over what a shorter one says.

    :param sizes: largest body by path.
    :returns: C(path) without a slash at its end, C(size) or "", and whether it is a C(websocket).
    """
    limits = {path.rstrip("/"): str(size) for path, size in sizes.items()}
    upgraded = {path.rstrip("/") for path in websockets}
    paths = sorted({*limits, *upgraded}, key=lambda path: (-len(path), path))
    return [
        {
            "path": path,
            "size": next((limits[above] for above in _upwards(path) if above in limits), ""),
            "websocket": any(above in upgraded for above in _upwards(path)),
        }
        for path in paths
    ]


def _upwards(path: str) -> list[str]:
    """Return a path and those above it."""
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(len(parts), 0, -1)]
