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
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.description import data_places
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.read import databases
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import SourceError
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.release import Release
from ansible_collections.flaskblog.hosting.plugins.plugin_utils import role, tags
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.source import repository
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.source.local_source import described, holds_data
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.source.unpacked import run_folder

display = Display()

#: A new server may have neither Python nor Git.
INSTALL = (
    "export DEBIAN_FRONTEND=noninteractive LC_ALL=C; "
    "apt-get -q update && apt-get -q -y --no-install-recommends install {}"
)
#: Prints the account and the platform of the host.
IDENTITY = 'echo "uid=$(id -u)"; cat /etc/os-release'
#: Messages of apt and dpkg about a lock. apt's option DPkg::Lock::Timeout covers dpkg's locks only: those of the lists
#: and of the archives fail at once (measured on apt 2.6 and 3.0).
LOCKED = re.compile(r"Could not get lock.*|.*was locked by another process.*")
#: Seconds to wait for apt's locks, which the first boot or an unattended upgrade may hold; and between two tries.
APT_TIMEOUT = 600
APT_INTERVAL = 5
BARE = "the host has no python3; it is installed first, and what differs is known after that"
UNASKED = (
    "{} has no git yet, so that a check cannot tell which release flask_blog_source is now. A run installs it first;"
    " what else would change is shown."
)

NO_ACCOUNT = (
    "{} has no account {} yet, which runs git, so that a check cannot tell which release flask_blog_source is now. A"
    " run makes it first; what else would change is shown."
)


class ActionModule(ActionBase):
    """Describe the release and render the files here, then compare everything on the host, in one round trip."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        task_vars = role.with_interpreter(task_vars or {})
        choice = tags.Choice(self._task, task_vars)
        if not choice.chooses_layers:  # the run is about another role
            return {**result, "changed": False, "layers": [], "differences": []}
        arguments = dict(self._task.args)
        wanted = arguments.pop("source")
        access = arguments.pop("access", {})
        if repository.is_git(wanted["path"]):
            arguments |= self._repository(wanted, access)
        else:
            arguments["release"], probes = self._describe(arguments["site"], wanted)
            arguments["probes"] = [*arguments.get("probes", []), *probes]
        initial = arguments.pop("initial_data", "")
        arguments["initial_data"] = bool(initial)
        arguments["objects"], arguments["secrets"] = role.without_secrets(
            role.rendered(self, task_vars, arguments.get("objects", []))
        )
        found = self._compare(arguments, task_vars)
        first = arguments.get("source", {}).get("packages_first", [])
        release = arguments.get("release")
        if initial and release and found.get("data_is_new", self._python_is_missing(found)):
            self._check_initial_data(initial, release, arguments["site"])
        installed = False
        if self._python_is_missing(found):
            if self._task.check_mode:
                found = self._unknown_host(arguments, first)
            else:
                self._refuse_host(arguments["platforms"])
                self._install(["python3", *first], task_vars)
                installed = True
        elif missing := found.get("needed_first"):
            if self._task.check_mode:
                display.warning(UNASKED.format(task_vars["inventory_hostname"]))
            else:
                self._install(missing, task_vars)
                installed = True
        elif not release and self._task.check_mode and found.get("release", {}).get("id") == "unknown":
            display.warning(NO_ACCOUNT.format(task_vars["inventory_hostname"], arguments["site"]["build_user"]))
        if installed:
            found = self._compare(arguments, task_vars)
            found["changed"] = True
        if initial and not release and found.get("data_is_new") and "links" in found["release"]:
            self._check_initial_data(initial, found["release"], arguments["site"])
        self._warn_of_databases(found.get("release", {}).pop("databases", []))
        found.setdefault("probes", arguments["probes"])
        self._refuse_partial(choice, found.get("layers", []))
        result.update(found)
        return result

    def _refuse_partial(self, choice: tags.Choice, needed: list[str]) -> None:
        """Refuse layers that cannot be done without others, and warn of those that the run leaves out.

        :raises AnsibleActionFail: with the tags that are missing.
        """
        refusal, left_out = choice.partial(needed)
        if refusal:
            raise AnsibleActionFail(refusal)
        if left_out:
            display.warning(f"{choice.options}: not done, although the host differs: {', '.join(left_out)}.")

    def _repository(self, wanted: dict[str, Any], access: dict[str, Any]) -> dict[str, Any]:
        """Return what the host needs to know of a repository, with the credentials in an argument of their own."""
        address = repository.parse(wanted["path"])
        source = {name: value for name, value in wanted.items() if name not in ("path", "checksum", "include")}
        return {
            "source": {**source, "url": address.url, "packages_first": address.packages},
            "access": {**access, "credentials": address.credentials},
        }

    @staticmethod
    def _warn_of_databases(paths: list[str]) -> None:
        for path in paths:
            display.warning(
                f"flask_blog_databases: no entry covers {path}, so the app can read this database and not write"
                " it. Name it there, or its folder in flask_blog_writable_paths; or remove it from the source."
            )

    def _describe(self, site: dict[str, Any], wanted: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Describe the release, and the probe for one of its static files."""
        try:
            with described(str(self._loader.path_dwim(wanted["path"])), wanted, site, run_folder()) as description:
                self._warn_of_databases(databases(description.folder, description.entries))
                sample = description.sample
                return description.release.to_dict(), [{"what": "a static file", **sample}] if sample else []
        except SourceError as error:
            raise AnsibleActionFail(error.explain(wanted["path"])) from error

    def _check_initial_data(self, folder: str, release: dict[str, Any], site: dict[str, Any]) -> None:
        """Check that a folder holds data for the new blog.

        :raises AnsibleActionFail: if it does not; a blog takes its initial data only once, so it would stay empty.
        """
        places = data_places(Release.from_dict(release), site)
        if not holds_data(Path(self._loader.path_dwim(folder)), places):
            raise AnsibleActionFail(
                f"flask_blog_initial_data: {folder!r}: it holds none of the blog's databases and writable folders"
                f" ({', '.join(sorted(places))}). Name the folder in which they lie as they do in the app's folder."
            )

    def _compare(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        return self._execute_module(module_name="flaskblog.hosting.plan", module_args=arguments, task_vars=task_vars)

    @staticmethod
    def _python_is_missing(found: dict[str, Any]) -> bool:
        said = f"{found.get('module_stderr', '')}{found.get('module_stdout', '')}{found.get('msg', '')}"
        return bool(found.get("failed")) and "python3" in said and ("not found" in said or "No such file" in said)

    def _refuse_host(self, platforms: list[str]) -> None:
        """Refuse a bare host that the role may not work on.

        :raises AnsibleActionFail: for a platform or a user that the role cannot work with.
        """
        found = self._low_level_execute_command(IDENTITY)["stdout"]
        # sudo may print warnings before it, for example if the host cannot resolve its own name.
        uid = re.search(r"^uid=(\d+)\s*$", found, re.MULTILINE)
        if uid and (reason := refusal(platform_name(found[uid.end() :]), int(uid[1]), platforms)):
            raise AnsibleActionFail(reason)

    def _install(self, packages: list[str], task_vars: dict[str, Any]) -> None:
        """Install packages that the comparison needs, once apt is free.

        :raises AnsibleActionFail: with the end of apt's output.
        """
        names = " ".join(packages)
        say = f"[{task_vars['inventory_hostname']}]: {{}}".format
        display.display(say(f"no {names} there yet; installing it"))
        deadline = time.monotonic() + APT_TIMEOUT
        while (done := self._low_level_execute_command(INSTALL.format(names)))["rc"]:
            output = f"{done['stdout']}\n{done['stderr']}".strip()
            locked = LOCKED.search(output)
            left = round(deadline - time.monotonic())
            if not locked or left <= 0:
                last = "\n".join(output.splitlines()[-15:])
                raise AnsibleActionFail(f"{names} is missing on the host and cannot be installed:\n{last}")
            display.display(say(f"apt is busy there, waiting (at most {left} s more): {locked[0].strip()}"))
            time.sleep(APT_INTERVAL)

    @staticmethod
    def _unknown_host(arguments: dict[str, Any], first: list[str]) -> dict[str, Any]:
        """Return the plan for a host without Python, which check mode may not install."""
        release = dict(
            arguments.get("release") or {"id": "unknown"}, venv_path=f"{arguments['site']['venvs']}/unknown", live=None
        )
        return {
            "changed": True,
            "bare": True,
            "layers": ["packages"],
            "differences": [{"layer": "packages", "name": "python3", "reasons": [BARE]}],
            "missing_packages": ["python3", *first, *arguments.get("packages", [])],
            "data_is_new": True,
            "release": release,
            "platform": "unknown",
        }
