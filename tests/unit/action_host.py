"""A host as the actions see it, and the run of an action for it."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from typing import Any

Run = Callable[..., dict[str, Any]]

#: What a blog from a private repository needs.
PRIVATE = {"source": "https://me:hunter2@git.test/blog", "version": "main", "git_timeout": "7"}


class Host:
    """A host as the actions see it: what its modules and commands are asked, and what they answer."""

    def __init__(self) -> None:
        self.modules: list[tuple[str, dict[str, Any], dict[str, Any]]] = []
        self.answers: list[dict[str, Any]] = []
        self.commands: list[str] = []
        self.outputs: list[dict[str, Any]] = []
        self.carried: list[str] = []
        self.archived: list[list[str]] = []

    def module(self, module_name: str, module_args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        self.modules.append((module_name, module_args, task_vars))
        return self.answers.pop(0) if self.answers else {"changed": False}

    def command(self, command: str) -> dict[str, Any]:
        self.commands.append(command)
        return {"rc": 0, "stdout": "", "stderr": "", **(self.outputs.pop(0) if self.outputs else {})}

    def transfer(self, local: str, remote: str) -> str:
        self.carried.append(remote)
        with tarfile.open(local) as tar:
            self.archived.append(sorted(tar.getnames()))
        return remote
