# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Derive a blog's links, static locations and data folder from the role's variables."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils.contract import (
    SQLITE_COMPANIONS,
    is_writable_file,
)
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.description import INSTANCE
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.entry import clean, is_below


def layout(
    databases: Sequence[str],
    writable_paths: Sequence[str],
    static: Mapping[str, str],
    app_dir: str,
    data: str,
    live: str,
    user: str,
    group: str,
    proxy_group: str,
) -> dict[str, Any]:
    """Derive links, static locations and the data folder from the app's paths.

    :param databases: SQLite files, relative to the app's folder.
    :param writable_paths: folders and files that the app writes to, relative to the app's folder.
    :param static: URL prefix to folder, relative to the app's folder.
    :param app_dir: the app's folder, relative to the source.
    :param data: absolute path of the data folder; it repeats the relative paths of the app's folder.
    :param live: absolute path of the link to the live release's app folder.
    :returns: C(links) from release to data, C(left_out) of a release, C(seeded) folders and files, whose files in a
        source are copied to the data once, C(served) folders of a release,
        C(locations) for nginx, C(objects) that make up the data folder.
    """
    folders = sorted({INSTANCE, *(clean(path) for path in writable_paths if not is_writable_file(path))})
    folders = [path for path in folders if not is_below(path, [other for other in folders if other != path])]
    databases = sorted({clean(path) for path in databases if not is_below(clean(path), folders)})
    single = {clean(path) for path in writable_paths if is_writable_file(path)}
    single = {path for path in single if not is_below(path, [*folders, *databases])}
    files = sorted({*databases, *single})
    targets = {prefix: clean(target) for prefix, target in static.items()}
    served_data = [path for path in folders if is_below(path, targets.values())]
    return {
        "links": {posixpath.join(app_dir, path): f"{data}/{path}" for path in [*folders, *files]},
        "left_out": [
            posixpath.join(app_dir, path)
            for path in [
                *folders,
                *files,
                *(f"{database}{companion}" for database in databases for companion in SQLITE_COMPANIONS),
            ]
        ],
        "seeded": sorted(posixpath.join(app_dir, path) for path in {*folders, *single} - {INSTANCE}),
        "served": sorted(posixpath.join(app_dir, target) for target in targets.values()),
        "locations": _locations(targets, served_data, data, live),
        "objects": _data_objects(folders, files, served_data, data, user, group, proxy_group),
    }


def _locations(
    targets: Mapping[str, str], served_data: Sequence[str], data: str, live: str
) -> list[dict[str, str | bool]]:
    """Return nginx's static locations; what the app writes is served from the data folder itself, as it is not code."""
    locations: list[dict[str, str | bool]] = []
    for prefix, target in targets.items():
        locations.append(
            {"prefix": prefix, "alias": f"{live}/{target}/", "folder": target, "written": target in served_data}
        )
        for path in served_data:
            if path != target and is_below(path, [target]):
                relative = posixpath.relpath(path, target)
                locations.append(
                    {"prefix": f"{prefix}{relative}/", "alias": f"{data}/{path}/", "folder": path, "written": True}
                )
    for location in locations:
        if location["written"]:
            location["alias"] = str(location["alias"]).replace(f"{live}/", f"{data}/", 1)
    return sorted(locations, key=lambda location: str(location["prefix"]))


def _data_objects(
    folders: Sequence[str],
    files: Sequence[str],
    served: Sequence[str],
    data: str,
    user: str,
    group: str,
    proxy_group: str,
) -> list[dict[str, Any]]:
    """Declare the data folder: private to the app, but for the way to what nginx serves.

    A file that the app creates takes its process's group. Below a served folder the set-group-id bit hands it to
    nginx's group instead, so nginx reads uploads and never a database.
    """
    needed = sorted({"", *folders, *(posixpath.dirname(file) for file in files)} | _parents([*folders, *files]))
    objects: list[dict[str, Any]] = []
    for path in needed:
        below_served = is_below(path, served)
        on_the_way = any(is_below(target, [path]) or path == "" for target in served)
        shared = below_served or on_the_way
        objects.append(
            {
                "scope": "site",
                "kind": "directory",
                "path": f"{data}/{path}" if path else data,
                # The app can replace a directory in its data folder with a link at any time.
                "beneath": data,
                "owner": user,
                "group": proxy_group if shared else group,
                "mode": "2750" if below_served else "0710" if on_the_way else "0750",
            }
        )
    objects.append(
        {
            "scope": "site",
            "kind": "tree",
            "path": data,
            "owner": user,
            "group": group,
            "served": list(served),
            "served_group": proxy_group,
        }
    )
    return objects


def _parents(paths: Sequence[str]) -> set[str]:
    parents = set()
    for path in paths:
        while path := posixpath.dirname(path):
            parents.add(path)
    return parents
