# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Make a release on the host: unpack its source into a folder beside the others, complete it, and rename it.

The modules unpack and unpack_git differ in where the source comes from. They are two, as Ansible packs, sends and
compiles all imports of a module in each run, and a source from the controller has no use for those of Git.
"""

from __future__ import annotations

import grp
import json
import os
import shutil
import stat
from collections.abc import Callable
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.flaskblog.hosting.plugins.module_utils import live
from ansible_collections.flaskblog.hosting.plugins.module_utils.contract import INCOMPLETE, MANIFEST, pending_path
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import atomic
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources.difference import group_id, lstat
from ansible_collections.flaskblog.hosting.plugins.module_utils.source import read, seeds, tar
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.entry import (
    is_below,
    read_tree,
    tree_digest,
)
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.release import (
    NICENESS,
    Release,
    check_release,
    make_folders,
    manifest,
    release_mode,
    walk_attributes,
)
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.tree_writer import writer

#: Writes the files of a source into an empty folder.
Fill = Callable[[str], None]

#: The options of both modules.
OPTIONS: dict[str, dict[str, Any]] = {
    "site": {"type": "dict", "required": True},
    "release": {"type": "dict", "required": True},
    "source": {"type": "dict"},
    "archive": {"type": "path"},
    "limits": {"type": "dict", "default": {}},
    "initial_data": {"type": "str"},
}


def run(module: AnsibleModule, fill: Fill) -> dict[str, Any]:
    """Make the release whole, unless it is; take the initial data, if there is any. Return the module's result.

    Where the source cannot be unpacked, the module ends with the reason.
    """
    site, release = module.params["site"], Release.from_dict(module.params["release"])
    reasons = check_release(release.path, release, 0, group_id(site["group"]))
    repaired = reasons if os.path.isdir(release.path) else []
    if reasons and not module.check_mode:
        os.nice(NICENESS)
        try:
            put_release(site, release, fill)
        except tar.UNREADABLE as problem:
            shutil.rmtree(f"{release.path}{INCOMPLETE}", ignore_errors=True)
            module.fail_json(msg=f"The release {release.id} cannot be unpacked; the live one is untouched: {problem}")
    if module.params["initial_data"] and not module.check_mode:
        take_initial_data(module.params["initial_data"], site["initial_data"])
    diff = {"before_header": release.path, "after_header": release.path, "before": "", "after": "\n".join(reasons)}
    return {"changed": bool(reasons), "repaired": repaired, "diff": diff}


def take_initial_data(packed: str, path: str) -> None:
    """Keep the packed initial data for the activation."""
    make_folders(os.path.dirname(path))
    shutil.move(packed, path)
    os.chmod(path, 0o600)
    os.chown(path, 0, 0)


def put_release(site: dict[str, Any], release: Release, fill: Fill) -> None:
    """Unpack, complete and rename a release, unless another run has done so meanwhile."""
    with live.building(site["name"]):
        if check_release(release.path, release, 0, group_id(site["group"])):
            put_release_locked(site, release, fill)


def put_release_locked(site: dict[str, Any], release: Release, fill: Fill) -> None:
    """Unpack a release while holding the lock."""
    gid = grp.getgrnam(site["group"]).gr_gid
    aside = f"{release.path}{INCOMPLETE}"
    shutil.rmtree(aside, ignore_errors=True)
    make_folders(os.path.dirname(release.path))
    os.mkdir(aside, 0o700)
    fill(aside)
    complete(aside, release, gid)
    live.note(pending_path(site["name"], "activate"))
    if os.path.isdir(release.path):
        repair(release.path, aside)
    else:
        os.rename(aside, release.path)


def complete(folder: str, release: Release, gid: int) -> None:
    """Add the links and the manifest, and set owners and modes.

    :raises ValueError: if the folder does not hold the announced tree, or a link would lie below one of the source.
    """
    entries = list(read_tree(folder))
    if tree_digest(entries) != release.digest:
        raise ValueError("the archive does not hold the announced source; it may have changed meanwhile. Run again.")
    seeds.set_aside(folder, release.seeds)
    tree = read.tree_of(entry for entry in entries if entry.path not in release.seeds)
    for path in release.links:
        tree.check_managed(path)
    inside = {path: target for path, target in release.links.items() if not target.startswith("/")}
    tree.links |= inside
    tree.check_links(managed=release.links.keys() - inside.keys())
    with writer(folder) as target:
        for path, place in release.links.items():
            target.lay(path, place)
        text = json.dumps(manifest(release, entries).to_dict(), indent=1, sort_keys=True)
        target.write_private(MANIFEST, text.encode())
    for full, relative, kind in walk_attributes(folder):
        os.chown(full, 0, gid)
        os.chmod(full, release_mode(kind, is_below(relative, release.served)))


def repair(damaged: str, whole: str) -> None:
    """Make a release that may be live equal to a whole one, each file atomically."""
    for folder, directories, files in os.walk(whole):
        relative = os.path.relpath(folder, whole)
        target = os.path.normpath(os.path.join(damaged, relative))
        if lstat(target) is not None and not stat.S_ISDIR(os.lstat(target).st_mode):
            os.unlink(target)
        os.makedirs(target, exist_ok=True)
        shutil.copystat(folder, target)
        os.chown(target, os.stat(folder).st_uid, os.stat(folder).st_gid)
        links = [name for name in directories if os.path.islink(os.path.join(folder, name))]
        for name in [*files, *links]:
            place = os.path.join(target, name)
            if os.path.isdir(place) and not os.path.islink(place):
                shutil.rmtree(place)
            os.replace(os.path.join(folder, name), place)
        known = {*files, *directories}
        for name in os.listdir(target):
            if name not in known:
                atomic.remove(os.path.join(target, name))
        directories[:] = [name for name in directories if name not in links]
    shutil.rmtree(whole)
