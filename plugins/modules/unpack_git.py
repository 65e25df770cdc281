#!/usr/bin/python
# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: unpack_git
short_description: Unpack a release of a blog from the Git repository that the host keeps
version_added: 0.1.0
author:
  - The flaskblog.hosting maintainers (@flaskblog)
description:
  - What M(flaskblog.hosting.unpack) does, which runs this module where the source is a Git repository.
  - The commit comes from the repository that M(flaskblog.hosting.plan_git) has fetched.
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
    source: "{{ __flask_blog_source }}"  # https://..., git@...: the action runs unpack_git
    release: "{{ __flask_blog_plan.release }}"
"""

RETURN = r"""
repaired:
  description: What differed in an existing release and was repaired.
  returned: always
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.flaskblog.hosting.plugins.module_utils import unpacking
from ansible_collections.flaskblog.hosting.plugins.module_utils.source import git
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.limits import Limits
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.release import Release


def main() -> None:
    module = AnsibleModule(argument_spec=unpacking.OPTIONS, supports_check_mode=True)
    site, release = module.params["site"], Release.from_dict(module.params["release"])
    limits = Limits.of(module.params["limits"])

    def take(folder: str) -> None:
        git.take(site, release.commit or "", folder, release.left_out or (), limits)

    module.exit_json(**unpacking.run(module, take))


if __name__ == "__main__":
    main()
