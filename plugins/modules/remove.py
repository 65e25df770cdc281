#!/usr/bin/python
# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: remove
short_description: Remove a site from its host
version_added: 0.1.0
author:
  - The flaskblog.hosting maintainers (@flaskblog)
description:
  - Removes what the role has created for a site. The paths are those that the host has recorded.
  - nginx leaves the site out first, and refuses to start without a configuration that works, so other sites of the
    host serve meanwhile. If nginx refuses its configuration without the site, nothing is removed.
  - Each step looks at what is there. A second run changes nothing, and one after a kill goes on.
options:
  shared:
    description: Managed objects of what all sites of the host share. They are removed with the last site.
    type: list
    elements: dict
    default: []
  data:
    description: Remove the data of the site as well, and the secrets of the app.
    type: bool
    default: false
  backups:
    description: Remove the backups of the site as well.
    type: bool
    default: false
  certificates:
    description: Remove the certificates of the site as well.
    type: bool
    default: false
extends_documentation_fragment:
  - flaskblog.hosting.site
  - flaskblog.hosting.site.without_diff
attributes:
  check_mode:
    support: full
    description: Names what would be removed.
"""

EXAMPLES = r"""
- name: Remove a site, and keep its data, backups and certificates
  flaskblog.hosting.remove:
    site: "{{ __flask_blog_site }}"
"""

RETURN = r"""
msg:
  description: What was removed, and what is kept.
  returned: always
  type: str
  sample: travel-blog was removed.
removed:
  description: What was removed, or would be.
  returned: success
  type: list
  elements: str
  sample: [/opt/travel-blog]
kept:
  description: What is kept, by the variable of the role that removes it.
  returned: success
  type: dict
  sample: {data: [/var/lib/travel-blog]}
"""

import fcntl
import os
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.flaskblog.hosting.plugins.module_utils import beneath, contract, live
from ansible_collections.flaskblog.hosting.plugins.module_utils.removal import Consent, Failure, Removal

#: Seconds to wait for an operation that is under way.
TIMEOUT = 60.0


def message(removal: Removal, removed: list[str], check_mode: bool) -> str:
    """Return what was done, for people."""
    kept = removal.kept()
    lines = [f"the host has nothing of {removal.name} to remove" if not removed else ""]
    if removed:
        verb = "would be" if check_mode else "was"
        lines = [f"{removal.name} {verb} removed: {'; '.join(removed)}"]
    for variable, paths in kept.items():
        option = f"-e flask_blog_remove_{variable}={removal.name}"
        lines.append(f"Kept: {', '.join(paths)}. To remove it as well, run again with {option}.")
    return "\n".join(lines)


def lock_operations(name: str) -> int:
    """Take the site's lock, so that no operation of blogctl is under way; return its descriptor.

    :raises Failure: if one does not end.
    """
    path = Path(contract.lock_path(name, "lock"))
    live.make_run_directory(path.parent)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + TIMEOUT
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(descriptor)
                raise Failure(
                    f"an operation on {name} is under way, and has not ended within {TIMEOUT:.0f} s. Nothing was"
                    " removed. Try again when it is done."
                ) from None
            time.sleep(0.2)


def remove(removal: Removal) -> list[str]:
    """Remove everything, and return what it was.

    :raises Failure: if a step fails.
    """
    removed = []
    with live.applying():
        lock = lock_operations(removal.name)
        try:
            for step in removal.steps():
                step.do()
                removed.append(step.what)
        finally:
            os.close(lock)
    return removed


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "site": {"type": "dict", "required": True},
            "shared": {"type": "list", "elements": "dict", "default": []},
            "data": {"type": "bool", "default": False},
            "backups": {"type": "bool", "default": False},
            "certificates": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    params: dict[str, Any] = module.params

    def run(*command: str) -> tuple[int, str]:
        status, output, errors = module.run_command(list(command))
        return status, f"{output}{errors}".strip()

    consent = Consent(params["data"], params["backups"], params["certificates"])
    removal = Removal(params["site"], consent, params["shared"], run)
    try:
        # Nothing is created on a host that has nothing of the site.
        found = [step.what for step in removal.steps()]
        removed = remove(removal) if found and not module.check_mode else found
    except (Failure, beneath.Blocked) as problem:
        module.fail_json(msg=str(problem))
    except OSError as problem:
        module.fail_json(msg=f"{problem}. What comes after it was not removed. Correct the cause, and run again.")
    shown = message(removal, removed, module.check_mode)
    module.exit_json(changed=bool(removed), msg=shown, removed=removed, kept=removal.kept())


if __name__ == "__main__":
    main()
