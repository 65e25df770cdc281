# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.description import data_places
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import SourceError
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.release import Release
from ansible_collections.flaskblog.hosting.plugins.plugin_utils import role
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.source import (
    backup,
    local_source,
    place,
    repository,
    unpacked,
)


class ActionModule(ActionBase):
    """Pack the source here, copy it to the host, and unpack it there."""

    TRANSFERS_FILES = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        task_vars = role.with_interpreter(task_vars or {})
        arguments = dict(self._task.args)
        wanted = arguments.pop("source")
        data = arguments.pop("initial_data", None)
        arguments["limits"] = wanted.get("limits", {})
        from_git = repository.is_git(wanted["path"])
        if not self._task.check_mode:
            with tempfile.TemporaryDirectory(prefix="flask-blog-") as folder:
                if not from_git:
                    arguments["archive"] = self._carry(self._pack(folder, wanted, arguments["site"]))
                if data:
                    arguments["initial_data"] = self._carry(self._pack_data(folder, data, arguments))
        module = "flaskblog.hosting.unpack_git" if from_git else "flaskblog.hosting.unpack"
        result.update(self._execute_module(module_name=module, module_args=arguments, task_vars=task_vars))
        self._remove_tmp_path(self._connection._shell.tmpdir)
        return result

    def _pack(self, folder: str, wanted: dict[str, Any], site: dict[str, Any]) -> str:
        archive = os.path.join(folder, "release.tar.gz")
        path, shared = place.absolute(wanted["path"], self._loader), unpacked.run_folder()
        try:
            with local_source.described(path, wanted, site, shared) as description:
                local_source.pack(description.folder, description.entries, archive)
        except SourceError as error:
            raise AnsibleActionFail(error.explain(wanted["path"], path)) from error
        except OSError as error:
            raise AnsibleActionFail(SourceError(str(error)).explain(wanted["path"], path)) from error
        return archive

    def _pack_data(self, folder: str, data: str, arguments: dict[str, Any]) -> str:
        archive = os.path.join(folder, "data.tar.gz")
        places = data_places(Release.from_dict(arguments["release"]), arguments["site"])
        try:
            local_source.pack_data(*backup.data_in(Path(place.absolute(data, self._loader)), places), archive)
        except (SourceError, OSError) as error:
            raise AnsibleActionFail(f"flask_blog_initial_data: {data!r}: {error}.") from error
        return archive

    def _carry(self, path: str) -> str:
        """Transfer a file into the task's temporary folder on the host."""
        if not self._connection._shell.tmpdir:
            self._make_tmp_path()
        return str(
            self._transfer_file(
                path, self._connection._shell.join_path(self._connection._shell.tmpdir, os.path.basename(path))
            )
        )
