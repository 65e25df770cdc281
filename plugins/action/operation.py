# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.flaskblog.hosting.plugins.plugin_utils import role


class ActionModule(ActionBase):
    """Run an operation on the host, and show its message if a person requested the operation."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        result.update(role.run_module(self, "operation", task_vars))
        # Ansible shows the result without -v then, as it does for the module debug. An activation is one step of many.
        # What a certificate lacks is shown at the end of the run (verify.py).
        operation = self._task.args.get("operation")
        # The findings of a doctor are shown in a table of all hosts.
        is_quiet = operation in ("activate", "doctor") or (operation == "certificate" and result.get("status"))
        if self._task.check_mode or not is_quiet:
            result["_ansible_verbose_always"] = True
        return result
