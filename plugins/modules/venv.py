#!/usr/bin/python
# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: venv
short_description: Build the virtual environment of a release, beside the one in use
version_added: 0.1.0
author:
  - The flaskblog.hosting maintainers (@flaskblog)
description:
  - Builds one virtual environment for each set of requirements and Python. One that is complete is reused.
  - pip runs as the build account, which no app uses, in a transient unit that sees no data and no settings of a blog,
    and that ends with every process it started. Then root takes over what was built.
  - If the installation fails, the incomplete environment is removed and the one in use stays in use.
  - An environment that is complete, but that the app cannot enter, gets its mode back and is not rebuilt.
extends_documentation_fragment:
  - flaskblog.hosting.site
  - flaskblog.hosting.site.release
  - flaskblog.hosting.site.announced
  - flaskblog.hosting.site.without_diff
options:
  timeout:
    description: Seconds that a build may take until it is ended with all its processes.
    type: int
    default: 1800
"""

EXAMPLES = r"""
- name: Build the virtual environment
  flaskblog.hosting.venv:
    site: "{{ __flask_blog_site }}"
    release: "{{ __flask_blog_plan.release }}"
"""

RETURN = r"""
packages:
  description: What is installed, as C(name-version).
  returned: when it was built
  type: list
  elements: str
corrected:
  description: The attributes of an existing environment that were corrected.
  returned: when it was there already
  type: list
  elements: str
"""

import os
from collections.abc import Callable
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.flaskblog.hosting.plugins.module_utils import live
from ansible_collections.flaskblog.hosting.plugins.module_utils.contract import pending_path
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.release import NICENESS, Release
from ansible_collections.flaskblog.hosting.plugins.module_utils.venv import build, check, environment, make, takeover


def make_once(site: dict[str, Any], release: Release, timeout: int) -> make.Built | None:
    """Build an environment, unless another run has built it meanwhile; return None then."""
    with live.building(site["name"]):
        if check.check_venv(release.venv_path) != [check.NOT_BUILT]:
            return None
        return make.make(site, release, timeout, lambda: live.note(pending_path(site["name"], "activate")))


def made(built: make.Built | None, folder: str, warn: Callable[[str], None]) -> dict[str, Any]:
    """Return the module's result, and warn of special files that the takeover removed."""
    if built is None:
        return {"changed": False}
    for path in built.removed:
        warn(f"{folder}/{path} was a FIFO, a socket or a device, which the build left, and was removed.")
    return {"changed": True, "packages": built.packages}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "site": {"type": "dict", "required": True},
            "release": {"type": "dict", "required": True},
            "timeout": {"type": "int", "default": 1800},
        },
        supports_check_mode=True,
    )
    site, release = module.params["site"], Release.from_dict(module.params["release"])
    folder = release.venv_path
    wrong = check.check_venv(folder)
    if not wrong or module.check_mode:
        module.exit_json(changed=bool(wrong))
    os.nice(NICENESS)
    try:
        if wrong != [check.NOT_BUILT]:
            environment.correct(folder)
            module.exit_json(changed=True, corrected=wrong)
        result = made(make_once(site, release, module.params["timeout"]), folder, module.warn)
    except (build.BuildError, takeover.TakeoverError, OSError, KeyError) as problem:
        module.fail_json(
            msg=f"The virtual environment {folder} cannot be built; the one in use stays in use.\n{problem}"
        )
    module.exit_json(**result)


if __name__ == "__main__":
    main()
