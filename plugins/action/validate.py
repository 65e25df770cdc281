# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.description import app_requirements
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.entry import clean
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.limits import Limits
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import SourceError
from ansible_collections.flaskblog.hosting.plugins.plugin_utils import certificate, host_role, proxies, role, tags
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.rules import certificate as certificate_rules
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.rules import checks, types
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.rules.problem import PREFIX, problem
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.source import local_source, place, repository, unpacked

display = Display()


class ActionModule(ActionBase):
    """Refuse bad input on the controller, before the host is touched, with all problems at once."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        entry_point = str(self._task.args.get("entry_point", "main"))
        choice = tags.Choice(self._task, task_vars)
        if refusal := choice.refusal(entry_point):
            return {**result, "failed": True, "msg": f"Nothing was touched. {refusal}"}
        if not choice.chooses(entry_point):  # the run is about another role
            if warning := choice.warning():
                display.warning(warning)
            return {**result, "changed": False}
        options = role.options(role.role_path(task_vars), entry_point)
        values = role.variables(self, task_vars, list(options))
        # The variables of the role host are checked as well, before anything is touched: it runs after this one.
        hardens = host_role.is_used(task_vars)
        known = role.known_names(role.role_path(task_vars)) | ({*host_role.options()} if hardens else set())
        problems = checks.unknown_names(task_vars, known)
        if hardens and entry_point == "main" and not problems:
            problems += host_role.problems(self, task_vars)
        problems += [
            found for name, value in values.items() for found in types.problems(options[f"{PREFIX}{name}"], name, value)
        ]
        if not problems:
            values = {name: types.converted(options[f"{PREFIX}{name}"], value) for name, value in values.items()}
            problems = checks.check(values, entry_point)
        if not problems:
            for warning in proxies.warnings(values.get("trusted_proxies", ()), datetime.now(UTC).date()):
                display.warning(warning)
        if not problems and values.get("tls") == "provided":
            problems = self._certificate_problems(values)
        if not problems and "source" in values:
            problems = self._source_problems(values)
        if problems:
            result["failed"] = True
            result["msg"] = "\n".join(["Nothing was touched, as the input is not right:", *problems])
        result["changed"] = False
        return result

    def _certificate_problems(self, values: dict[str, Any]) -> list[str]:
        """Check the certificate and its key, and warn of an end that is near."""
        problems, texts = [], []
        for variable, secret in (("tls_certificate", False), ("tls_key", True)):
            try:
                texts.append(certificate.text_of(values[variable], self._loader))
            except OSError as error:
                shown = certificate_rules.shown(values[variable], secret=secret)
                remedy = "Give the path of a file, or the text in PEM"
                problems.append(problem(variable, shown, str(error), remedy))
        if problems:
            return problems
        found, now = certificate.Material.of(*texts), datetime.now(UTC)
        given = values["tls_certificate"], values["tls_key"]
        problems = list(certificate_rules.problems(*given, found, values["server_names"], now))
        for warning in certificate_rules.warnings(found, now) if not problems else ():
            display.warning(warning)
        return problems

    def _source_problems(self, values: dict[str, Any]) -> list[str]:
        """Look for the app's folder, its requirements and its initial data.

        A repository is not checked here: the host fetches it.
        """
        problems: list[str] = []
        if not repository.is_git(values["source"]):
            problems += self._local_problems(values)
        initial = values.get("initial_data")
        if initial and not Path(self._absolute(initial)).is_dir():
            problems.append(
                problem("initial_data", initial, "there is no such folder on the controller", "Name the folder")
            )
        return problems

    def _local_problems(self, values: dict[str, Any]) -> list[str]:
        wanted, checksum = values["source"], values["source_checksum"]
        if checksum and Path(self._absolute(wanted)).is_dir():
            return [problem("source_checksum", checksum, "a folder has no checksum", "Leave it out")]
        if values["include"] and Path(self._absolute(wanted)).is_file():
            return [problem("include", values["include"], "an archive is taken whole", "Leave it out")]
        try:
            shared = unpacked.run_folder()
            with local_source.opened(self._absolute(wanted), checksum, self._limits(values), shared) as folder:
                local_source.check_included(folder, values["include"])
                if values["error_pages"]:
                    local_source.check_error_pages(folder / clean(values["app_dir"]), clean(values["error_pages"]))
                app_requirements(folder, clean(values["app_dir"]), values["requirements"])
        except SourceError as error:
            return [error.explain(wanted, self._absolute(wanted))]
        except AnsibleError as error:
            return [problem("source", wanted, str(error), "Name a folder or an archive that holds the blog")]
        return []

    @staticmethod
    def _limits(values: dict[str, Any]) -> Limits:
        return Limits(values["source_max_size"], values["source_max_file_size"], values["source_max_files"])

    def _absolute(self, path: str) -> str:
        return place.absolute(path, self._loader)
