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
  - Finds out whether this site answers for its names, and no other site of the host.
  - Requests the home page, a static file and the health path as a visitor would, and follows redirects on the site.
  - Requests the style sheets, scripts and images of the home page that lie on the site itself. A missing one fails a
    first deployment, and is a warning later.
  - Fails with the last lines of the site's journal if an answer is missing or wrong.
  - A redirect to the site itself by a scheme that it does not serve is wrong. An app that forces HTTPS answers so,
    whether it works or not.
extends_documentation_fragment:
  - flaskblog.hosting.site
  - flaskblog.hosting.site.without_diff
options:
  probes:
    description:
      - What to request. Each has C(what) for people, C(path), and optionally C(sha256) of the body, or C(allow_login)
        if 401 and 403 are good answers, too.
    type: list
    elements: dict
    required: true
  first:
    description: Whether the blog is new, so that a missing style sheet, script or image is a failure.
    type: bool
    default: false
  static:
    description: URL prefix to folder of what nginx serves by itself, for messages.
    type: dict
    default: {}
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
  report:
    description:
      - What the action prints on the controller at the end of a run, and C(changed), without which it probes nothing.
        The host does not get it.
    type: dict
    default: {}
attributes:
  check_mode:
    support: full
    description: Probes nothing, as the site may not exist yet.
"""

EXAMPLES = r"""
- name: Probe the running site
  flaskblog.hosting.verify:
    site: "{{ __flask_blog_site }}"
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

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.flaskblog.hosting.plugins.module_utils import contract, live, mask, page_assets, probe

#: What to do about files that the home page lacks.
REMEDY = (
    "nginx looks for a static file in the folders of flask_blog_static (now {static}) and then asks the app. Check that"
    " the file is in the source, in the same upper and lower case, and not ignored by Git (flask_blog_include), that"
    " its folder is one that the app serves or that flask_blog_static names, and that the page has its right address."
)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "site": {"type": "dict", "required": True},
            "probes": {"type": "list", "elements": "dict", "required": True},
            "first": {"type": "bool", "default": False},
            "static": {"type": "dict", "default": {}},
            "units": {"type": "list", "elements": "str", "default": []},
            "settings": {"type": "path", "default": ""},
            "timeout": {"type": "float", "default": 10.0},
            "report": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    if module.check_mode:
        module.exit_json(changed=False)
    params = module.params
    site = probe.wanted(params["site"], params["probes"])
    findings = probe.examine(site, timeout=params["timeout"])
    hidden = mask.of_site_file(params["settings"])
    for note in findings.notes:
        module.warn(hidden.text(note))
    missing: list[str] = []
    if findings.home is not None and not findings.problems:
        missing = page_assets.problems(site, findings.home, findings.home_url)
    problems = [*findings.problems, *missing]
    unverified = os.path.join(params["site"]["state"], contract.UNVERIFIED)
    first = params["first"] or os.path.lexists(unverified)
    if missing and not first:
        lacking = f"The site serves, but its home page lacks files:\n{listed(missing)}\n{REMEDY.format(**params)}"
        module.warn(hidden.text(lacking))
    elif problems:
        if missing:
            # The next run verifies again, even if it has nothing else to do.
            live.note(unverified)
        message = (
            f"The site does not answer as it should:\n{listed(problems)}"
            + (f"\n{REMEDY.format(**params)}" if missing else "")
            + (f"\nThe journal's last lines:\n{probe.journal(params['units'])}" if findings.problems else "")
        )
        module.fail_json(msg=hidden.text(message), problems=hidden.all_texts(problems))
    live.clear(unverified)
    module.exit_json(changed=False)


def listed(problems: list[str]) -> str:
    """Return problems as lines of a list."""
    return "\n".join(f"  - {problem}" for problem in problems)


if __name__ == "__main__":
    main()
