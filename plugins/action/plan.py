# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.flaskblog.hosting.plugins.module_utils.host import platform_name, refusal
from ansible_collections.flaskblog.hosting.plugins.plugin_utils import role
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.description import data_places, described
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.source import SourceError, databases, holds_data

display = Display()

#: A server as it comes may have no Python.
BOOTSTRAP = (
    "export DEBIAN_FRONTEND=noninteractive LC_ALL=C; "
    "apt-get -q update && apt-get -q -y --no-install-recommends install python3"
)
#: Who we are there, and where we are.
IDENTITY = 'echo "uid=$(id -u)"; cat /etc/os-release'
#: How apt and dpkg say that somebody else is at work. apt's own option DPkg::Lock::Timeout knows dpkg's locks only:
#: those of the lists and of the archives fail at once (measured on apt 2.6 and 3.0).
LOCKED = re.compile(r"Could not get lock.*|.*was locked by another process.*")
#: Seconds for which a host's own first boot, or its unattended upgrade, may keep apt from us; and between two tries.
PATIENCE = 600
PAUSE = 5
BARE = "the host has no python3; it is installed first, and what differs is known after that"


class ActionModule(ActionBase):
    """Name the release and render the files here, then compare everything there, in one round trip."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        task_vars = role.with_interpreter(task_vars or {})
        arguments = dict(self._task.args)
        arguments["release"], questions = self._describe(arguments["site"], arguments.pop("source"))
        arguments["questions"] = [*arguments.get("questions", []), *questions]
        initial = arguments.pop("initial_data", "")
        arguments["initial_data"] = bool(initial)
        arguments["objects"], arguments["secrets"] = role.without_secrets(
            role.rendered(self, task_vars, arguments.get("objects", []))
        )
        found = self._compare(arguments, task_vars)
        if initial and found.get("data_is_new", self._python_is_missing(found)):
            self._check_initial_data(initial, data_places(arguments["release"], arguments["site"]))
        if self._python_is_missing(found):
            if self._task.check_mode:
                found = self._unknown_host(arguments)
            else:
                self._install_python(arguments["platforms"], task_vars)
                found = self._compare(arguments, task_vars)
        found.setdefault("questions", arguments["questions"])
        result.update(found)
        return result

    def _describe(self, site: dict[str, Any], wanted: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Name the release, and the question that a static file of it answers."""
        try:
            with described(str(self._loader.path_dwim(wanted["path"])), wanted, site) as description:
                for path in databases(description.folder, description.entries):
                    display.warning(
                        f"flask_blog_databases: no entry covers {path}, so the app can read this database and not write"
                        " it. Name it there, or its folder in flask_blog_writable_paths; or remove it from the source."
                    )
                sample = description.sample
                return description.release, [{"what": "a static file", **sample}] if sample else []
        except SourceError as error:
            raise AnsibleActionFail(f"flask_blog_source: {wanted['path']!r}: {error}.") from error

    def _check_initial_data(self, folder: str, places: dict[str, str]) -> None:
        """Refuse a folder with nothing in it that the new blog could start with.

        :raises AnsibleActionFail: as a blog that starts empty instead would have its chance behind it.
        """
        if not holds_data(Path(self._loader.path_dwim(folder)), places):
            raise AnsibleActionFail(
                f"flask_blog_initial_data: {folder!r}: it holds none of the blog's databases and writable folders"
                f" ({', '.join(sorted(places))}). Name the folder in which they lie as they do in the app's folder."
            )

    def _compare(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        return self._execute_module(module_name="flaskblog.hosting.plan", module_args=arguments, task_vars=task_vars)

    @staticmethod
    def _python_is_missing(found: dict[str, Any]) -> bool:
        words = f"{found.get('module_stderr', '')}{found.get('module_stdout', '')}{found.get('msg', '')}"
        return bool(found.get("failed")) and "python3" in words and ("not found" in words or "No such file" in words)

    def _install_python(self, platforms: list[str], task_vars: dict[str, Any]) -> None:
        """Install Python, once apt is free, on a host that the role may work on.

        :raises AnsibleActionFail: for a platform or a user that the role cannot work with, or with apt's words.
        """
        found = self._low_level_execute_command(IDENTITY)["stdout"]
        # sudo may have words of its own before it, as where the host does not know its own name.
        uid = re.search(r"^uid=(\d+)\s*$", found, re.MULTILINE)
        if uid and (words := refusal(platform_name(found[uid.end() :]), int(uid[1]), platforms)):
            raise AnsibleActionFail(words)
        say = f"[{task_vars['inventory_hostname']}]: {{}}".format
        display.display(say("no python3 there yet; installing it"))
        deadline = time.monotonic() + PATIENCE
        while (done := self._low_level_execute_command(BOOTSTRAP))["rc"]:
            words = f"{done['stdout']}\n{done['stderr']}".strip()
            locked = LOCKED.search(words)
            left = round(deadline - time.monotonic())
            if not locked or left <= 0:
                last = "\n".join(words.splitlines()[-15:])
                raise AnsibleActionFail(f"python3 is missing on the host and cannot be installed:\n{last}")
            display.display(say(f"apt is busy there, waiting (at most {left} s more): {locked[0].strip()}"))
            time.sleep(PAUSE)

    @staticmethod
    def _unknown_host(arguments: dict[str, Any]) -> dict[str, Any]:
        """Say what a run would do on a host that cannot be asked, as check mode may not install Python."""
        release = dict(arguments["release"], venv_path=f"{arguments['site']['venvs']}/unknown", live=None)
        return {
            "changed": True,
            "bare": True,
            "layers": ["packages"],
            "differences": [{"layer": "packages", "name": "python3", "words": [BARE]}],
            "missing_packages": ["python3", *arguments.get("packages", [])],
            "data_is_new": True,
            "release": release,
            "platform": "unknown",
        }
