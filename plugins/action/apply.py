# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.flaskblog.hosting.plugins.plugin_utils import role


class ActionModule(ActionBase):
    """Render the managed files here and apply them there, in one round trip."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        task_vars = role.with_interpreter(task_vars or {})
        arguments = dict(self._task.args)
        arguments["objects"], arguments["secrets"] = role.without_secrets(
            role.rendered(self, task_vars, arguments.get("objects", []), arguments["site"])
        )
        result.update(
            self._execute_module(module_name="flaskblog.hosting.apply", module_args=arguments, task_vars=task_vars)
        )
        return result
