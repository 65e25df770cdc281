#!/usr/bin/python
# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: verify
short_description: Ask the running site, through its proxy, whether it serves
version_added: 0.1.0
author:
  - The flaskblog.hosting maintainers (@flaskblog)
description:
  - Asks for the home page, a static file and the health path as a visitor would.
  - Fails with the last lines of the site's journal where an answer is missing or wrong.
extends_documentation_fragment:
  - flaskblog.hosting.site.without_diff
options:
  host:
    description: The name under which the site is asked for.
    type: str
    required: true
  port:
    description: The proxy's port on the host.
    type: int
    required: true
  questions:
    description: What to ask. Each has C(what), C(path) and optionally C(sha256) of the body or C(lenient).
    type: list
    elements: dict
    required: true
  units:
    description: The systemd units whose journal explains a failure.
    type: list
    elements: str
    default: []
  patience:
    description: Seconds for which a question is asked again.
    type: float
    default: 10
attributes:
  check_mode:
    support: full
    description: A site that may not be there yet is not asked.
"""

EXAMPLES = r"""
- name: Ask the running site
  flaskblog.hosting.verify:
    host: blog.example.com
    port: 80
    questions:
      - {what: the home page, path: /, lenient: true}
    units: [flask-blog.service]
"""

RETURN = r"""
problems:
  description: What is wrong, in words.
  returned: failure
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.flaskblog.hosting.plugins.module_utils import probe


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "host": {"type": "str", "required": True},
            "port": {"type": "int", "required": True},
            "questions": {"type": "list", "elements": "dict", "required": True},
            "units": {"type": "list", "elements": "str", "default": []},
            "patience": {"type": "float", "default": 10.0},
        },
        supports_check_mode=True,
    )
    if module.check_mode:
        module.exit_json(changed=False)
    params = module.params
    problems = probe.ask(params, patience=params["patience"])
    if problems:
        words = "\n".join(f"  - {problem}" for problem in problems)
        module.fail_json(
            msg=f"The site does not answer as it should:\n{words}"
            f"\nThe journal's last lines:\n{probe.journal(params['units'])}",
            problems=problems,
        )
    module.exit_json(changed=False)


if __name__ == "__main__":
    main()
