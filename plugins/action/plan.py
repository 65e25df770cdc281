# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.flaskblog.hosting.plugins.module_utils.host import platform_name, refusal
from ansible_collections.flaskblog.hosting.plugins.module_utils.printable import printable
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.description import data_places
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.read import databases
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import SourceError
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.release import Release
from ansible_collections.flaskblog.hosting.plugins.plugin_utils import host_role, role, tags
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.source import backup, place, repository
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.source.local_source import (
    described,
    found_databases,
    holds_data,
)
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.source.unpacked import run_folder

display = Display()

#: A new server may have neither Python nor Git.
INSTALL = (
    "export DEBIAN_FRONTEND=noninteractive LC_ALL=C; "
    "apt-get -q update && apt-get -q -y --no-install-recommends install {}"
)
#: Prints the account and the platform of the host.
IDENTITY = 'echo "uid=$(id -u)"; cat /etc/os-release'
BARE = "the host has no python3; it is installed first, and what differs is known after that"
UNASKED = (
    "{} has no git yet, so that a check cannot tell which release flask_blog_source is now. A run installs it first;"
    " what else would change is shown."
)

#: How the name of a database ends that a new blog may have to start with.
DATABASE = (".db", ".db3", ".sqlite", ".sqlite3")

#: Paths in a note on what the release lacks.
NAMED = 10

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
        # What the source holds: paths that are not in the release, with the reason, and databases that are.
        self._left_out: dict[str, str] = {}
        self._databases: list[str] = []
        wanted = arguments.pop("source")
        access = arguments.pop("access", {})
        self.apt = arguments.pop("apt")
        if repository.is_git(wanted["path"]):
            arguments |= self._repository(wanted, access)
        else:
            arguments["release"], probes, packages = self._describe(arguments["site"], wanted)
            arguments["probes"] = [*arguments.get("probes", []), *probes]
            arguments["packages"] = [*arguments.get("packages", []), *packages]
        initial = arguments.pop("initial_data", "")
        arguments["initial_data"] = bool(initial)
        arguments["objects"], arguments["secrets"] = role.without_secrets(
            role.rendered(self, task_vars, arguments.get("objects", []), arguments["site"], to_compare=True)
        )
        found = self._compare(arguments, task_vars)
        if self._databases and self._is_first(found):
            self._refuse_databases(self._databases, wanted["app_dir"], task_vars)
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
        of_commit = found.get("release", {}).pop("databases", [])
        if of_commit and self._is_first(found):
            self._refuse_databases(of_commit, wanted["app_dir"], task_vars)
        self._warn_of_databases([*self._databases, *of_commit])
        self._warn_of_source(found.get("release", {}).pop("warnings", []))
        self._left_out |= found.get("release", {}).pop("missed", {})
        if found.get("data_is_new") and not initial:
            self._warn_of_initial_data(wanted["path"])
        if self._left_out and "unpack" in found.get("layers", []):
            self._note_left_out(task_vars["inventory_hostname"])
        found.setdefault("probes", arguments["probes"])
        # Whether the role host has something to do: a feature is on, or was.
        hardened_by = found.pop("hardened_by", "")
        found["hardens"] = hardened_by == task_vars["inventory_hostname"] or host_role.is_wanted(self, task_vars)
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

    def _is_first(self, found: dict[str, Any]) -> bool:
        """Return whether the blog has no release on the host yet."""
        release = found.get("release") or {}
        return self._python_is_missing(found) or ("live" in release and release["live"] is None)

    @staticmethod
    def _warn_of_databases(paths: list[str]) -> None:
        for path in paths:
            display.warning(
                f"flask_blog_databases: no entry covers {printable(path)}, so the app can read this database and not"
                " write it. Name it there, or its folder in flask_blog_writable_paths; or remove it from the source."
            )

    def _refuse_databases(self, paths: list[str], app_dir: str, task_vars: dict[str, Any]) -> None:
        """Refuse the first release of a source with databases that nobody declared.

        :raises AnsibleActionFail: naming them, and the line to set.
        """
        declared = role.variables(self, task_vars, ["flask_blog_databases"]).get("databases", [])
        inside = [os.path.relpath(path, app_dir or ".") for path in paths]
        inside = [path for path in inside if not path.startswith("..")]
        shown = ", ".join(printable(path).replace("\n", " ") for path in paths[:NAMED])
        entries = ", ".join(map(printable, [*declared, *inside[:NAMED]])).replace("\n", " ")
        raise AnsibleActionFail(
            f"flask_blog_databases: {declared!r}: no entry covers {shown}, found in the source. A release is read-only,"
            f" so the app could not write to it. Nothing was touched. If the app writes to it, set\n"
            f"flask_blog_databases: [{entries}]\n"
            "and, to start with its content, flask_blog_initial_data: the folder on the controller that holds it."
            " Otherwise remove it from the source."
        )

    def _warn_of_initial_data(self, source: str) -> None:
        """Name the databases of the source that a new blog starts without."""
        paths = [printable(path).replace("\n", " ") for path in sorted(self._left_out) if path.endswith(DATABASE)]
        if not paths:
            return
        folder = "a folder on the controller that holds it" if repository.is_git(source) else printable(source)
        display.warning(
            f"flask_blog_initial_data: empty, so the new blog starts without {', '.join(paths[:NAMED])}, which lies in"
            f" the source. To start with its content, set flask_blog_initial_data: {folder}"
        )

    def _note_left_out(self, host: str) -> None:
        """Name the files of the source that the new release lacks, so that nobody looks for them in vain."""
        reasons: dict[str, list[str]] = {}
        for path, reason in sorted(self._left_out.items()):
            reasons.setdefault(reason, []).append(printable(path).replace("\n", " "))
        for reason, paths in reasons.items():
            more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
            display.display(f"[{host}]: not in the release: {', '.join(paths[:NAMED])}{more} ({reason})")

    @staticmethod
    def _warn_of_source(warnings: Iterable[str]) -> None:
        for warning in warnings:
            display.warning(f"flask_blog_source: {warning}")

    def _describe(
        self, site: dict[str, Any], wanted: dict[str, Any]
    ) -> tuple[dict[str, Any], list[dict[str, Any]], tuple[str, ...]]:
        """Describe the release, the probe for one of its static files, and the Debian packages that its build needs."""
        path = place.absolute(wanted["path"], self._loader)
        try:
            with described(path, wanted, site, run_folder()) as description:
                self._databases = databases(description.folder, description.code)
                self._left_out = description.left_out
                self._warn_of_source(description.warnings)
                sample = description.sample
                probes = [{"what": "a static file", **sample}] if sample else []
                return description.release.to_dict(), probes, description.packages
        except SourceError as error:
            raise AnsibleActionFail(error.explain(wanted["path"], path)) from error

    def _check_initial_data(self, folder: str, release: dict[str, Any], site: dict[str, Any]) -> None:
        """Check that a folder holds data for the new blog.

        :raises AnsibleActionFail: if it does not; a blog takes its initial data only once, so it would stay empty.
        """
        places = data_places(Release.from_dict(release), site)
        try:
            path, places = backup.data_in(Path(place.absolute(folder, self._loader)), places)
        except (SourceError, OSError) as error:
            raise AnsibleActionFail(f"flask_blog_initial_data: {folder!r}: {error}. Nothing was touched.") from error
        if not holds_data(path, places):
            found = ", ".join(map(printable, found_databases(path)))
            there = f" The databases in it, {found}, are named in neither variable." if found else ""
            raise AnsibleActionFail(
                f"flask_blog_initial_data: {folder!r}: it holds none of the blog's databases and writable folders"
                f" ({', '.join(sorted(places))}).{there} Name the folder in which they lie as they do in the app's"
                " folder, and the databases in flask_blog_databases."
            )

    def _compare(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        module = "flaskblog.hosting.plan_git" if arguments.get("release") is None else "flaskblog.hosting.plan"
        return self._execute_module(module_name=module, module_args=arguments, task_vars=task_vars)

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
        deadline = time.monotonic() + self.apt["timeout"]
        while (done := self._low_level_execute_command(INSTALL.format(names)))["rc"]:
            output = f"{done['stdout']}\n{done['stderr']}".strip()
            locked = re.search(f".*(?:{self.apt['locked']}).*", output)
            left = round(deadline - time.monotonic())
            if not locked or left <= 0:
                last = "\n".join(output.splitlines()[-15:])
                raise AnsibleActionFail(f"{names} is missing on the host and cannot be installed:\n{last}")
            display.display(say(f"apt is busy there, waiting (at most {left} s more): {locked[0].strip()}"))
            time.sleep(self.apt["interval"])

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
