# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The managed state of a host as data: what is wanted, how the host differs, how it is changed.

An object is a mapping with a C(kind), as the role declares it in C(vars/main/resources/):

=========== ========================================== ==============================================
kind        keys                                       meaning
=========== ========================================== ==============================================
directory   path, owner, group, mode[, beneath]        the directory exists with these attributes
tree        path, owner, group[, served, served_group] everything in it belongs to the app's account
attributes  path, owner, group, mode, create           the file has these attributes, and any content
file        path, owner, group, mode, content[, ...]   the file holds exactly this text
setting     path, changes                              lines of another program's file
certificate path, folder, names                        a self-signed certificate for these names
link        path, target[, replaces_file, others]      a symbolic link with exactly this target, or one of others
absent      path                                       neither a file nor a link is there
contents    path, names                                the directory holds these files and no others
versions    path, names, program                       the directory holds these entries and no other versions
program     path, note                                 the host has this program; else a run says so
=========== ========================================== ==============================================

Each has a C(scope), C(site) or C(host), and may have a C(reload) (reloads.py). A kind is a module with P(compare),
P(apply) and P(remove); a new one is an entry in C(KINDS). Units are compared and applied together (unit.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import (
    absent,
    attributes,
    certificate,
    contents,
    directory,
    file,
    link,
    program,
    setting,
    tree,
    versions,
)
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources.difference import Difference, Undo


class Kind(Protocol):
    """One kind of objects."""

    def compare(self, wanted: Mapping[str, Any], notes: list[str]) -> Difference | None:
        """Compare an object with the host.

        :param notes: takes a sentence about each thing that is left as it is, and why.
        :raises Conflict: if applying it would replace something that is not ours.
        """

    def apply(self, wanted: Mapping[str, Any]) -> Undo:
        """Make the host as wanted, each file and link in one atomic step; return what restores the state before.

        :raises KeyError: if the owner or group does not exist.
        """

    def remove(self, wanted: Mapping[str, Any]) -> bool:
        """Remove exactly what P(apply) made, if nobody changed it since; return whether something was removed."""


#: In the order in which objects are applied: a file needs its directory, a link is worth its target.
KINDS: dict[str, Kind] = {
    "directory": directory,
    "tree": tree,
    "attributes": attributes,
    "file": file,
    "setting": setting,
    "certificate": certificate,
    "link": link,
    "absent": absent,
    "contents": contents,
    "versions": versions,
    "program": program,
}


def compare(wanted: Mapping[str, Any], notes: list[str] | None = None) -> Difference | None:
    """Compare one object with the host; None if it is as wanted (P(Kind.compare))."""
    return KINDS[wanted["kind"]].compare(wanted, [] if notes is None else notes)


def apply(wanted: Mapping[str, Any]) -> Undo:
    """Apply one object (P(Kind.apply))."""
    return KINDS[wanted["kind"]].apply(wanted)


def remove(wanted: Mapping[str, Any]) -> bool:
    """Remove one object (P(Kind.remove))."""
    return KINDS[wanted["kind"]].remove(wanted)


def ordered(objects: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return objects in the order in which they are applied."""
    order = list(KINDS)
    return sorted(map(dict, objects), key=lambda item: order.index(item["kind"]))


def removal_order(objects: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return objects in the order in which they are removed: what lies in a directory before the directory."""
    return ordered(objects)[::-1]


def for_platform(objects: Iterable[Mapping[str, Any]], platform: str) -> list[dict[str, Any]]:
    """Return files as a platform needs them: C(platforms) has the texts that replace certain words, by platform."""
    found = []
    for item in map(dict, objects):
        for word, text in item.pop("platforms", {}).get(platform, {}).items():
            item["content"] = str(item["content"]).replace(word, text)
        found.append(item)
    return found


def with_secrets(objects: Iterable[Mapping[str, Any]], texts: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return objects with the texts of their secret files, which travel in an argument of their own."""
    return [{**item, "content": texts[item["path"]]} if item["path"] in texts else dict(item) for item in objects]
