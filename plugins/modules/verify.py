#!/usr/bin/python
# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: verify
short_description: Probe the running site through its proxy
version_added: 0.1.0
author:
  - The flaskblog.hosting maintainers (@flaskblog)
description:
  - Requests the home page, a static file and the health path as a visitor would.
  - Fails with the last lines of the site's journal if an answer is missing or wrong.
  - A redirect to the site itself by a scheme that it does not serve is wrong. An app that forces HTTPS answers so,
    whether it works or not.
extends_documentation_fragment:
  - flaskblog.hosting.site.without_diff
options:
  host:
    description: The site's name, and its port if that is not the scheme's own.
    type: str
    required: true
  port:
    description: The proxy's port on the host.
    type: int
    required: true
  schemes:
    description: The schemes by which visitors reach the site.
    type: list
    elements: str
    default: [http]
  probes:
    description:
      - What to request. Each has C(what) for people, C(path), and optionally C(sha256) of the body, or C(allow_login)
        if 401 and 403 are good answers, too.
    type: list
    elements: dict
    required: true
  units:
    description: The systemd units whose journal explains a failure.
    type: list
    elements: str
    default: []
  settings:
    description: The site's C(site.json). The site's secrets are masked in the message.
    type: path
    default: ""
  timeout:
    description: Seconds in which a probe is retried until its answer is good.
    type: float
    default: 10
attributes:
  check_mode:
    support: full
    description: Probes nothing, as the site may not exist yet.
"""

EXAMPLES = r"""
- name: Probe the running site
  flaskblog.hosting.verify:
    host: blog.example.com
    port: 80
    probes:
      - {what: the home page, path: /, allow_login: true}
    units: [flask-blog.service]
"""

RETURN = r"""
problems:
  description: What is wrong with which answer.
  returned: failure
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.flaskblog.hosting.plugins.module_utils import mask, probe


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "host": {"type": "str", "required": True},
            "port": {"type": "int", "required": True},
            "schemes": {"type": "list", "elements": "str", "default": ["http"]},
            "probes": {"type": "list", "elements": "dict", "required": True},
            "units": {"type": "list", "elements": "str", "default": []},
            "settings": {"type": "path", "default": ""},
            "timeout": {"type": "float", "default": 10.0},
        },
        supports_check_mode=True,
    )
    if module.check_mode:
        module.exit_json(changed=False)
    params = module.params
    problems = probe.ask(params, timeout=params["timeout"])
    if problems:
        lines = "\n".join(f"  - {problem}" for problem in problems)
        message = (
            f"The site does not answer as it should:\n{lines}"
            f"\nThe journal's last lines:\n{probe.journal(params['units'])}"
        )
        hidden = mask.of_site_file(params["settings"])
        module.fail_json(msg=hidden.text(message), problems=hidden.all_texts(problems))
    module.exit_json(changed=False)


if __name__ == "__main__":
    main()
