# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.flaskblog.hosting.plugins.plugin_utils import role


class ActionModule(ActionBase):
    """Remove a site from the host, and show what was removed and what is kept."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        result.update(role.run_module(self, "remove", task_vars))
        # Ansible shows the result without -v then, as it does for the module debug.
        result["_ansible_verbose_always"] = True
        return result
