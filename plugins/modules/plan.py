#!/usr/bin/python
# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: plan
short_description: Compare a host with what a Flask blog's role declares, in one round trip
version_added: 0.1.0
author:
  - The flaskblog.hosting maintainers (@flaskblog)
description:
  - Reads the whole state that the role manages and returns what differs, and which layers of the role have to run.
  - Changes nothing that serves. It refuses a host on which the role cannot do its work, before anything is touched.
  - Renders templates and names the release on the controller; only the comparison runs on the host.
  - Of a Git repository, the host finds out the release. The action runs M(flaskblog.hosting.plan_git) for it.
  - Installs C(python3) first where a bare server has none, and C(git) where the source needs it (not in check mode).
extends_documentation_fragment:
  - flaskblog.hosting.site
  - flaskblog.hosting.site.managed
  - flaskblog.hosting.site.planned
"""

EXAMPLES = r"""
- name: Compare the host with what is declared
  flaskblog.hosting.plan:
    site: "{{ __flask_blog_site }}"
    platforms: [Debian_12, Debian_13]
    account: "{{ __flask_blog_account }}"
    objects: "{{ __flask_blog_objects }}"
    source: "{{ __flask_blog_source }}"
  register: __flask_blog_plan
"""

RETURN = r"""
layers:
  description: The layers of the role that have something to do, in any order.
  returned: always
  type: list
  sample: [unpack, activate, verify]
differences:
  description: What differs, by layer.
  returned: always
  type: list
  elements: dict
missing_packages:
  description: Packages that have to be installed.
  returned: always
  type: list
address:
  description: URL of the site without a path, as its host serves it now.
  returned: always
  type: str
data_is_new:
  description: Whether the blog has yet to get its first data.
  returned: always
  type: bool
notes:
  description: What is left as it is, and why, such as a newer tool or files in the data folder. Each is a warning, too.
  returned: always
  type: list
  elements: str
release:
  description:
    - Identity and paths of the wanted release and its virtual environment. Of one from Git, C(commit), C(ref) and
      C(repository) too.
  returned: always
  type: dict
probes:
  description: What the running site is asked, a static file of the release included.
  returned: always
  type: list
  elements: dict
hardens:
  description: Whether the role P(flaskblog.hosting.host#role) has something to do, as one of its features is on or was.
  returned: always
  type: bool
needed_first:
  description: Packages without which the host cannot find out what the release is.
  returned: always
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.flaskblog.hosting.plugins.module_utils import planning


def main() -> None:
    planning.run(AnsibleModule(argument_spec=planning.OPTIONS, supports_check_mode=True), planning.given_release)


if __name__ == "__main__":
    main()
