# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.description import app_requirements
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.entry import clean
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.limits import Limits
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import SourceError
from ansible_collections.flaskblog.hosting.plugins.plugin_utils import role, rules
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.source import local_source, repository, unpacked


class ActionModule(ActionBase):
    """Refuse bad input on the controller, before the host is touched, with all problems at once."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        options = role.options(role.role_path(task_vars))
        problems = rules.unknown_names(task_vars, role.known_names(role.role_path(task_vars)))
        values = role.variables(self, task_vars, list(options))
        wrong = [name for name, value in values.items() if self._is_text_for_a_list(options, name, value)]
        problems += [
            rules.problem(name, values[name], "it is text where a list belongs", f"Write it as ['{values[name]}']")
            for name in wrong
        ]
        for name, value in values.items():
            if options[f"{rules.PREFIX}{name}"]["type"] == "int":
                problems += rules.not_a_number(name, value)
        if not problems:
            values = {name: self._as_declared(options, name, value) for name, value in values.items()}
            problems = rules.check(values)
        if not problems:
            problems = self._source_problems(values)
        if problems:
            result["failed"] = True
            result["msg"] = "\n".join(["Nothing was touched, as the input is not right:", *problems])
        result["changed"] = False
        return result

    @staticmethod
    def _is_text_for_a_list(options: dict[str, Any], name: str, value: Any) -> bool:
        return options[f"{rules.PREFIX}{name}"]["type"] == "list" and isinstance(value, str)

    @staticmethod
    def _as_declared(options: dict[str, Any], name: str, value: Any) -> Any:
        """Take a number that came as text, as from C(-e), for the number that the specification has accepted."""
        kind = options[f"{rules.PREFIX}{name}"]["type"]
        if kind == "int":
            return int(value)
        if kind in ("str", "path"):
            return str(value)
        if kind == "list":
            return [str(item) for item in value]
        if name == "backup_keep":
            return {key: int(count) for key, count in value.items()}
        return value

    def _source_problems(self, values: dict[str, Any]) -> list[str]:
        """Look into the source: does it hold the app's folder, its requirements, and its initial data?

        What a repository holds is known on the host.
        """
        problems = []
        if not repository.is_git(values["source"]):
            problems += self._local_problems(values)
        initial = values.get("initial_data")
        if initial and not Path(self._absolute(initial)).is_dir():
            problems.append(
                rules.problem("initial_data", initial, "there is no such folder on the controller", "Name the folder")
            )
        return problems

    def _local_problems(self, values: dict[str, Any]) -> list[str]:
        wanted, checksum = values["source"], values["source_checksum"]
        if checksum and Path(self._absolute(wanted)).is_dir():
            return [rules.problem("source_checksum", checksum, "a folder has no checksum", "Leave it out")]
        if values["include"] and Path(self._absolute(wanted)).is_file():
            return [rules.problem("include", values["include"], "an archive is taken whole", "Leave it out")]
        try:
            shared = unpacked.run_folder()
            with local_source.opened(self._absolute(wanted), checksum, self._limits(values), shared) as folder:
                local_source.check_included(folder, values["include"])
                app_requirements(folder, clean(values["app_dir"]), values["requirements"])
        except SourceError as error:
            return [error.explain(wanted)]
        except AnsibleError as error:
            return [rules.problem("source", wanted, str(error), "Name a folder or an archive that holds the blog")]
        return []

    @staticmethod
    def _limits(values: dict[str, Any]) -> Limits:
        return Limits(values["source_max_size"], values["source_max_file_size"], values["source_max_files"])

    def _absolute(self, path: str) -> str:
        """Read a path as the controller's user meant it: C(~), and relative to the playbook."""
        return str(self._loader.path_dwim(path))
