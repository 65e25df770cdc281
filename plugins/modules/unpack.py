#!/usr/bin/python
# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: unpack
short_description: Unpack a release of a blog beside the others, or repair one
version_added: 0.1.0
author:
  - The flaskblog.hosting maintainers (@flaskblog)
description:
  - Packs the source on the controller, copies it to the host and unpacks it into a folder of its own. A commit comes
    from the repository that the plan has fetched.
  - A release appears whole or not at all. Files that were changed in it are restored one by one, atomically.
  - The blog's initial data, if there is any, is copied along and kept for the activation.
extends_documentation_fragment:
  - flaskblog.hosting.site
  - flaskblog.hosting.site.release
  - flaskblog.hosting.site.announced
options:
  source:
    description:
      - The source on the controller and what is linked into its release. The action needs it, and keeps it on the
        controller.
    type: dict
  archive:
    description: The packed source on the host. Filled in by the action; there is none for a commit.
    type: path
  limits:
    description: How much the source may hold (C(size), C(file_size), C(files)). Filled in by the action.
    type: dict
    default: {}
  initial_data:
    description:
      - The folder on the controller whose databases and writable folders the new blog starts with; empty for none. On
        the host it is the packed data's path.
    type: str
attributes:
  diff_mode:
    support: full
    description: Names the files that differ from the source.
"""

EXAMPLES = r"""
- name: Unpack the release
  flaskblog.hosting.unpack:
    site: "{{ __flask_blog_site }}"
    source: "{{ __flask_blog_source }}"
    release: "{{ __flask_blog_plan.release }}"
"""

RETURN = r"""
repaired:
  description: What differed in an existing release and was repaired.
  returned: always
  type: list
  elements: str
"""

import grp
import json
import os
import shutil
import stat
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.flaskblog.hosting.plugins.module_utils import live
from ansible_collections.flaskblog.hosting.plugins.module_utils.contract import INCOMPLETE, MANIFEST, pending_path
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import atomic
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources.difference import group_id, lstat
from ansible_collections.flaskblog.hosting.plugins.module_utils.source import git, read, seeds, tar
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.entry import (
    is_below,
    read_tree,
    tree_digest,
)
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.limits import Limits
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


def unpack(archive: str, folder: str, limits: Limits) -> None:
    """Unpack an archive that our own controller made, with regular files and links.

    :raises ValueError: for any other member, a path that leaves the folder, and a limit that is exceeded.
    """
    with open(archive, "rb") as handle, writer(folder, limits) as target, tar.Tar(handle, limits) as members:
        for member in members:
            if member.issym():
                target.add_link(member.name, member.linkname)
            elif member.isreg():
                program = bool(member.mode & stat.S_IXUSR)
                target.write(member.name, members.content(member), program=program)
            else:
                raise ValueError(f"{member.name} is neither a file nor a link")
        target.lay_links()


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


def put_release(site: dict[str, Any], release: Release, archive: str | None, limits: Limits) -> None:
    """Unpack, complete and rename a release, unless another run has done so meanwhile.

    :param archive: the packed source; None for a release from Git.
    """
    with live.building(site["name"]):
        if check_release(release.path, release, 0, group_id(site["group"])):
            put_release_locked(site, release, archive, limits)


def put_release_locked(site: dict[str, Any], release: Release, archive: str | None, limits: Limits) -> None:
    """Unpack a release while holding the lock."""
    gid = grp.getgrnam(site["group"]).gr_gid
    aside = f"{release.path}{INCOMPLETE}"
    shutil.rmtree(aside, ignore_errors=True)
    make_folders(os.path.dirname(release.path))
    os.mkdir(aside, 0o700)
    if archive is None:
        git.take(site, release.commit or "", aside, release.left_out or (), limits)
    else:
        unpack(archive, aside, limits)
    complete(aside, release, gid)
    live.note(pending_path(site["name"], "activate"))
    if os.path.isdir(release.path):
        repair(release.path, aside)
    else:
        os.rename(aside, release.path)


def forget_repository(module: AnsibleModule, site: dict[str, Any]) -> None:
    """Remove the repository of a blog whose source is now on the controller."""
    try:
        git.forget(site)
    except (OSError, ValueError) as problem:
        module.warn(f"The repository of earlier releases cannot be removed from {site['git']}: {problem}")


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "site": {"type": "dict", "required": True},
            "release": {"type": "dict", "required": True},
            "source": {"type": "dict"},
            "archive": {"type": "path"},
            "limits": {"type": "dict", "default": {}},
            "initial_data": {"type": "str"},
        },
        supports_check_mode=True,
    )
    site, release = module.params["site"], Release.from_dict(module.params["release"])
    reasons = check_release(release.path, release, 0, group_id(site["group"]))
    repaired = reasons if os.path.isdir(release.path) else []
    if reasons and not module.check_mode:
        os.nice(NICENESS)
        try:
            put_release(site, release, module.params["archive"], Limits.of(module.params["limits"]))
        except tar.UNREADABLE as problem:
            shutil.rmtree(f"{release.path}{INCOMPLETE}", ignore_errors=True)
            module.fail_json(msg=f"The release {release.id} cannot be unpacked; the live one is untouched: {problem}")
        if module.params["archive"]:
            forget_repository(module, site)
    if module.params["initial_data"] and not module.check_mode:
        make_folders(os.path.dirname(site["initial_data"]))
        shutil.move(module.params["initial_data"], site["initial_data"])
        os.chmod(site["initial_data"], 0o600)
        os.chown(site["initial_data"], 0, 0)
    diff = {"before_header": release.path, "after_header": release.path, "before": "", "after": "\n".join(reasons)}
    module.exit_json(changed=bool(reasons), repaired=repaired, diff=diff)


if __name__ == "__main__":
    main()
