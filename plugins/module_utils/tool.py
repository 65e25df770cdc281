# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which version of the tool a host has. All blogs of a host share it, and they may be deployed by different versions.

The newest version wins. A run with an older collection leaves everything that the blogs share as it is; if the newer
tool does not support the interface of the run, the host is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils import beneath, contract
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources.difference import Conflict, lstat

#: C(MAJOR.MINOR.PATCH[-PRERELEASE][+BUILD]) (https://semver.org).
SEMANTIC_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?")

#: The most bytes of a version file that are read.
READ_LIMIT = 4096


@dataclass(frozen=True)
class Tool:
    """A version of the tool."""

    #: of the collection
    version: str
    #: of the contract that its modules and its blogctl share
    interface: int
    #: the oldest one that its blogctl supports
    oldest_interface: int

    @classmethod
    def parse(cls, text: str | bytes) -> Tool | None:
        """Read a version file; None if it is damaged."""
        try:
            found = json.loads(text)
            interface = int(found["interface"])
            tool = cls(str(found["version"]), interface, int(found.get("oldest_interface", interface)))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None
        return tool if SEMANTIC_VERSION.fullmatch(tool.version) else None

    def is_newer_than(self, other: Tool) -> bool:
        """Compare the versions by their precedence (https://semver.org, section 11)."""
        return _precedence(self.version) > _precedence(other.version)

    def supports(self, interface: int) -> bool:
        """Return whether its blogctl can operate a site with this interface."""
        return self.oldest_interface <= interface <= self.interface


def _precedence(version: str) -> tuple[tuple[int, ...], bool, tuple[tuple[bool, int, str], ...]]:
    found = SEMANTIC_VERSION.fullmatch(version)
    if found is None:
        raise ValueError(f"{version!r} is no semantic version")
    parts = (found[4] or "").split(".")
    # A pre-release precedes its release; a number in it precedes a text.
    order = tuple((not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts)
    return (int(found[1]), int(found[2]), int(found[3])), found[4] is None, order


def installed() -> Tool | None:
    """Return the version that the host has; None if it has none, or one from before versions were written."""
    folder, _, name = contract.TOOL_VERSION.rpartition("/")
    try:
        return Tool.parse(beneath.read_small(folder, name, READ_LIMIT))
    except (OSError, beneath.Blocked):
        return None


def select(wanted: Iterable[Mapping[str, Any]], notes: list[str]) -> list[dict[str, Any]]:
    """Return the objects that this run manages: all of them, unless the host has a newer tool.

    Then the objects with C(scope: host) are left as they are, and only what is missing and C(required) is created.

    :param wanted: the managed objects; the version file among them says which version this run has.
    :param notes: takes a sentence about what is left as it is.
    :raises Conflict: if the host's newer tool does not support this run's interface.
    """
    objects = [dict(item) for item in wanted]
    mine = next((Tool.parse(item["content"]) for item in objects if item["path"] == contract.TOOL_VERSION), None)
    found = installed()
    if mine is None or found is None or not found.is_newer_than(mine):
        return objects
    if not found.supports(mine.interface):
        raise Conflict(
            f"This host has blogctl of flaskblog.hosting {found.version}, which does not support sites of version"
            f" {mine.version} (interface {mine.interface}), which this run has. Nothing was changed. Update the"
            f" collection on the controller to {found.version} or later."
        )
    notes.append(
        f"This host has blogctl of flaskblog.hosting {found.version}, and this run has {mine.version}: what the blogs"
        " of the host share is left as it is. Update the collection on the controller."
    )
    return [item for item in objects if item.get("scope") != "host" or _is_needed(item)]


def _is_needed(item: Mapping[str, Any]) -> bool:
    return bool(item.get("required")) and lstat(item["path"]) is None
