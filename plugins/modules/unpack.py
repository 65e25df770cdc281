#!/usr/bin/python
# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: unpack
short_description: Unpack a release of a blog beside the others, or make one whole again
version_added: 0.1.0
author:
  - The flaskblog.hosting maintainers (@flaskblog)
description:
  - Packs the source on the controller, carries it to the host and unpacks it under a name of its own. A commit comes
    from the repository that the plan has fetched.
  - A release appears whole or not at all. Files that a hand changed in it are put back one by one, atomically.
  - The blog's initial data, where it brings any, travels along and is kept for the activation.
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
    description: Says which files are not as they were unpacked.
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
  description: What was not as it should be in a release that was there already.
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
from ansible_collections.flaskblog.hosting.plugins.module_utils import git, objects, releases, source, tar
from ansible_collections.flaskblog.hosting.plugins.module_utils import site as live
from ansible_collections.flaskblog.hosting.plugins.module_utils.limits import Limits
from ansible_collections.flaskblog.hosting.plugins.module_utils.tree_writer import writer


def unpack(archive: str, folder: str, limits: Limits) -> None:
    """Unpack an archive that our own controller made: regular files and links, nothing else.

    :raises ValueError: for anything else in it, a path that would leave the folder, and a limit that is exceeded.
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


def complete(folder: str, release: dict[str, Any], gid: int) -> None:
    """Lay the links and the manifest, and give everything its owner and mode.

    :raises ValueError: if the folder does not hold what was announced, or a link would lie below one of the source.
    """
    entries = list(releases.read_tree(folder))
    if releases.tree_digest(entries) != release["digest"]:
        raise ValueError("the archive does not hold the source that was announced; did it change meanwhile? Run again.")
    tree = source.tree_of(entries)
    for path in release["links"]:
        tree.check_managed(path)
    inside = {path: target for path, target in release["links"].items() if not target.startswith("/")}
    tree.links |= inside
    tree.check_links(managed=release["links"].keys() - inside.keys())
    with writer(folder) as target:
        for path, place in release["links"].items():
            target.lay(path, place)
        manifest = json.dumps(releases.manifest(release, entries), indent=1, sort_keys=True)
        target.write_private(releases.MANIFEST, manifest.encode())
    for full, relative, kind in releases.walk_attributes(folder):
        os.chown(full, 0, gid)
        os.chmod(full, releases.release_mode(kind, releases.is_below(relative, release["served"])))


def make_folder(path: str) -> None:
    """Make a folder of root's that everybody may pass through, and the one above it, whatever the umask."""
    for folder in (os.path.dirname(path), path):
        try:
            os.mkdir(folder)
        except FileExistsError:
            continue
        os.chmod(folder, 0o755)  # noqa: S103  (what lies in it has modes of its own)


def mend(damaged: str, whole: str) -> None:
    """Make a release that may be serving equal to a whole one, each file in one step."""
    for folder, directories, files in os.walk(whole):
        relative = os.path.relpath(folder, whole)
        target = os.path.normpath(os.path.join(damaged, relative))
        if objects.lstat(target) is not None and not stat.S_ISDIR(os.lstat(target).st_mode):
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
                place = os.path.join(target, name)
                shutil.rmtree(place) if os.path.isdir(place) and not os.path.islink(place) else os.unlink(place)
        directories[:] = [name for name in directories if name not in links]
    shutil.rmtree(whole)


def put_release(site: dict[str, Any], release: dict[str, Any], archive: str | None, limits: Limits) -> None:
    """Unpack aside, complete, and put in place, unless another run has done so meanwhile.

    :param archive: the packed source; None for a release from Git.
    """
    with live.building(site["name"]):
        if releases.check_release(release["path"], release, 0, objects.group_id(site["group"])):
            put_release_locked(site, release, archive, limits)


def put_release_locked(site: dict[str, Any], release: dict[str, Any], archive: str | None, limits: Limits) -> None:
    """Unpack a release while no other run does."""
    gid = grp.getgrnam(site["group"]).gr_gid
    aside = f"{release['path']}.incomplete"
    shutil.rmtree(aside, ignore_errors=True)
    releases.make_folders(os.path.dirname(release["path"]))
    os.mkdir(aside, 0o700)
    if archive is None:
        git.take(site, release["commit"], aside, release["left_out"], limits)
    else:
        unpack(archive, aside, limits)
    complete(aside, release, gid)
    live.note_pending(f"{site['name']}.activate")
    if os.path.isdir(release["path"]):
        mend(release["path"], aside)
    else:
        os.rename(aside, release["path"])


def forget_repository(module: AnsibleModule, site: dict[str, Any]) -> None:
    """Remove the repository of a blog that comes from the controller now."""
    try:
        git.forget(site)
    except (OSError, ValueError) as problem:
        module.warn(f"What was fetched of the repository before is still in {site['git']}: {problem}")


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
    site, release = module.params["site"], module.params["release"]
    words = releases.check_release(release["path"], release, 0, objects.group_id(site["group"]))
    repaired = words if os.path.isdir(release["path"]) else []
    if words and not module.check_mode:
        os.nice(releases.YIELDING)
        try:
            put_release(site, release, module.params["archive"], Limits.of(module.params["limits"]))
        except tar.UNREADABLE as problem:
            shutil.rmtree(f"{release['path']}.incomplete", ignore_errors=True)
            module.fail_json(
                msg=f"The release {release['id']} cannot be unpacked; the live one is untouched: {problem}"
            )
        if module.params["archive"]:
            forget_repository(module, site)
    if module.params["initial_data"] and not module.check_mode:
        releases.make_folders(os.path.dirname(site["initial_data"]))
        shutil.move(module.params["initial_data"], site["initial_data"])
        os.chmod(site["initial_data"], 0o600)
        os.chown(site["initial_data"], 0, 0)
    diff = {"before_header": release["path"], "after_header": release["path"], "before": "", "after": "\n".join(words)}
    module.exit_json(changed=bool(words), repaired=repaired, diff=diff)


if __name__ == "__main__":
    main()
