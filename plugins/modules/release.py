#!/usr/bin/python
# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: release
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
  flaskblog.hosting.release:
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
import tarfile
import zlib
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.flaskblog.hosting.plugins.module_utils import git, objects, releases, source
from ansible_collections.flaskblog.hosting.plugins.module_utils import site as live


def unpack(archive: str, folder: str) -> None:
    """Unpack an archive that our own controller made: regular files and links, nothing else."""
    with tarfile.open(archive) as tar:
        for member in tar:
            path = os.path.join(folder, member.name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if member.issym():
                os.symlink(member.linkname, path)
            elif member.isreg():
                content = tar.extractfile(member)
                if content is None:
                    raise ValueError(f"{member.name} cannot be read from the archive")
                descriptor = os.open(
                    path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o700 if member.mode & 0o100 else 0o600
                )
                with content, os.fdopen(descriptor, "wb") as target:
                    shutil.copyfileobj(content, target)
            else:
                raise ValueError(f"{member.name} is neither a file nor a link")


def take_commit(site: dict[str, Any], release: dict[str, Any], folder: str) -> None:
    """Write the files of a commit, and remove those that do not belong in a release."""
    git.export(Path(site["git"], "repository"), release["commit"], Path(folder))
    belonging = {entry.path for entry in source.read(Path(folder), release["left_out"])}
    for parent, directories, files in os.walk(folder, topdown=False):
        links = [name for name in directories if os.path.islink(os.path.join(parent, name))]
        for name in [*files, *links]:
            path = os.path.join(parent, name)
            if os.path.relpath(path, folder) not in belonging:
                os.unlink(path)
        if parent != folder and not os.listdir(parent):
            os.rmdir(parent)


def complete(folder: str, release: dict[str, Any], gid: int) -> None:
    """Lay the links and the manifest, and give everything its owner and mode."""
    entries = list(releases.read_tree(folder))
    if releases.tree_digest(entries) != release["digest"]:
        raise ValueError("the archive does not hold the source that was announced; did it change meanwhile? Run again.")
    for relative, target in release["links"].items():
        path = os.path.join(folder, relative)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.symlink(target, path)
    with open(os.path.join(folder, releases.MANIFEST), "w", encoding="utf-8") as handle:
        json.dump(releases.manifest(release, entries), handle, indent=1, sort_keys=True)
    for full, relative, kind in releases.walk_attributes(folder):
        os.chown(full, 0, gid)
        os.chmod(full, releases.release_mode(kind, releases.is_below(relative, release["served"])))


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


def put_release(site: dict[str, Any], release: dict[str, Any], archive: str | None) -> None:
    """Unpack aside, complete, and put in place, unless another run has done so meanwhile.

    :param archive: the packed source; None for a release from Git.
    """
    with live.building(site["name"]):
        if releases.check_release(release["path"], release, 0, objects.group_id(site["group"])):
            put_release_locked(site, release, archive)


def put_release_locked(site: dict[str, Any], release: dict[str, Any], archive: str | None) -> None:
    """Unpack a release while no other run does."""
    gid = grp.getgrnam(site["group"]).gr_gid
    aside = f"{release['path']}.incomplete"
    shutil.rmtree(aside, ignore_errors=True)
    releases.make_folders(os.path.dirname(release["path"]))
    os.mkdir(aside, 0o700)
    if archive is None:
        take_commit(site, release, aside)
    else:
        unpack(archive, aside)
    complete(aside, release, gid)
    live.note_pending(f"{site['name']}.activate")
    if os.path.isdir(release["path"]):
        mend(release["path"], aside)
    else:
        os.rename(aside, release["path"])
    if archive is not None:
        # Nobody needs the repository of a blog that comes from the controller now.
        shutil.rmtree(site["git"], ignore_errors=True)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "site": {"type": "dict", "required": True},
            "release": {"type": "dict", "required": True},
            "source": {"type": "dict"},
            "archive": {"type": "path"},
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
            put_release(site, release, module.params["archive"])
        except (OSError, EOFError, ValueError, zlib.error, tarfile.TarError, KeyError) as problem:
            shutil.rmtree(f"{release['path']}.incomplete", ignore_errors=True)
            module.fail_json(
                msg=f"The release {release['id']} cannot be unpacked; the live one is untouched: {problem}"
            )
    if module.params["initial_data"] and not module.check_mode:
        releases.make_folders(os.path.dirname(site["initial_data"]))
        shutil.move(module.params["initial_data"], site["initial_data"])
        os.chmod(site["initial_data"], 0o600)
        os.chown(site["initial_data"], 0, 0)
    diff = {"before_header": release["path"], "after_header": release["path"], "before": "", "after": "\n".join(words)}
    module.exit_json(changed=bool(words), repaired=repaired, diff=diff)


if __name__ == "__main__":
    main()
