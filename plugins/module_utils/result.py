# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The result of a module whose arguments hold all managed files."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule

#: C(-vvv), from which on Ansible shows the arguments of a module.
SHOWS_ARGUMENTS = 3


def without_arguments(module: AnsibleModule) -> dict[str, Any]:
    """Return a key for a result to which Ansible would otherwise add the module's arguments.

    They would travel back, and each later task that uses the result would copy them.
    """
    return {} if module._verbosity >= SHOWS_ARGUMENTS else {"invocation": {}}
