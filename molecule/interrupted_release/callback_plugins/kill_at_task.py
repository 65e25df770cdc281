"""End this run of Ansible with SIGKILL at the start of its nth task: a controller that loses its power."""

from __future__ import annotations

import os
import signal
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: kill_at_task
type: aggregate
short_description: Kill the controller at the start of a task
description: Counts the tasks of a run, and kills the run at the start of the one that KILL_AT_TASK names.
"""


class CallbackModule(CallbackBase):
    """Count the tasks."""

    CALLBACK_VERSION = 2.0
    CALLBACK_NAME = "kill_at_task"
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._left = int(os.environ.get("KILL_AT_TASK", "0"))

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """Kill the run and its workers at the chosen task."""
        self._left -= 1
        if self._left == 0:
            os.killpg(os.getpgid(0), signal.SIGKILL)
