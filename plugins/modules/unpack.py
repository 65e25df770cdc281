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
  - Packs the source on the controller, copies it to the host and unpacks it into a folder of its own. For a commit, the
    action runs M(flaskblog.hosting.unpack_git).
  - A release appears whole or not at all. Files that were changed in it are restored one by one, atomically.
  - The blog's initial data, if there is any, is copied along and kept for the activation.
extends_documentation_fragment:
  - flaskblog.hosting.site
  - flaskblog.hosting.site.release
  - flaskblog.hosting.site.announced
  - flaskblog.hosting.site.unpacked
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

import stat

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.flaskblog.hosting.plugins.module_utils import unpacking
from ansible_collections.flaskblog.hosting.plugins.module_utils.source import kept_repository, tar
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.limits import Limits
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


def forget_repository(module: AnsibleModule) -> None:
    """Remove the repository of a blog whose source is now on the controller."""
    site = module.params["site"]
    try:
        kept_repository.forget(site)
    except (OSError, ValueError) as problem:
        module.warn(f"The repository of earlier releases cannot be removed from {site['git']}: {problem}")


def main() -> None:
    module = AnsibleModule(argument_spec=unpacking.OPTIONS, supports_check_mode=True)
    limits = Limits.of(module.params["limits"])
    result = unpacking.run(module, lambda folder: unpack(module.params["archive"], folder, limits))
    if result["changed"] and not module.check_mode:
        forget_repository(module)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
