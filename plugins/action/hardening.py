# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible_collections.flaskblog.hosting.plugins.module_utils.printable import printable
from ansible_collections.flaskblog.hosting.plugins.plugin_utils import host_role, role
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.rules import checks

#: ssh takes the first value of an option, so that these win: a connection of its own.
NEW_CONNECTION = "-o ControlMaster=no -o ControlPath=none"
#: And one that no password helps to open.
WITH_A_KEY = "-o PasswordAuthentication=no -o KbdInteractiveAuthentication=no -o GSSAPIAuthentication=no"

#: Seconds between two attempts to connect, and seconds after the revert in which the host must be reachable again.
PAUSE = 2
AFTER_REVERT = 45

#: The last attempt to confirm has to end before the revert.
MARGIN = 5

NO_PYTHON = "the host has no python3 yet, which flask_blog installs; what differs is known after that"


class ActionModule(ActionBase):
    """Check the variables and render the files here, compare or change the host, and confirm a change anew."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        task_vars = role.with_interpreter(task_vars or {})
        arguments = dict(self._task.args)
        if arguments["operation"] == "compare":
            self._refuse_bad_input(task_vars)
        arguments["features"] = self._rendered(arguments["features"], task_vars)
        arguments["owner"] = str(task_vars["inventory_hostname"])
        found = self._module(arguments, task_vars)
        if arguments["operation"] == "compare":
            if self._task.check_mode and self._python_is_missing(found):
                found = {"changed": False, "features": [], "differences": [], "missing_packages": [], "msg": NO_PYTHON}
            found.pop("diff", None)  # the task that changes something shows it
            if "ssh" in found.get("features", []) and self._is_wanted(arguments, "ssh"):
                self._refuse_without_key()
        elif number := found.get("number"):
            self._confirm(arguments, task_vars, str(number))
        result.update(found)
        return result

    def _refuse_bad_input(self, task_vars: dict[str, Any]) -> None:
        """Refuse wrong variables.

        :raises AnsibleActionFail: with all problems at once.
        """
        names = [name for name in task_vars if name.startswith(host_role.OWN)]
        problems = checks.unknown_names(names, host_role.options()) or host_role.problems(self, task_vars)
        if problems:
            raise AnsibleActionFail("\n".join(["Nothing was touched, as the input is not right:", *problems]))

    def _rendered(self, features: list[dict[str, Any]], task_vars: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the features with the texts of their files; what is removed needs none."""
        wanted = [
            {**item, "feature": feature["name"]}
            for feature in features
            if feature["wanted"]
            for item in feature["objects"]
        ]
        items = role.rendered(self, task_vars, wanted)
        return [
            {
                **feature,
                "objects": [
                    {key: value for key, value in item.items() if key != "feature"}
                    for item in items
                    if item["feature"] == feature["name"]
                ],
            }
            if feature["wanted"]
            else feature
            for feature in features
        ]

    def _module(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        return dict(
            self._execute_module(module_name="flaskblog.hosting.hardening", module_args=arguments, task_vars=task_vars)
        )

    @staticmethod
    def _is_wanted(arguments: dict[str, Any], name: str) -> bool:
        return any(feature["wanted"] for feature in arguments["features"] if feature["name"] == name)

    @staticmethod
    def _python_is_missing(found: dict[str, Any]) -> bool:
        said = f"{found.get('module_stderr', '')}{found.get('module_stdout', '')}{found.get('msg', '')}"
        return bool(found.get("failed")) and "python3" in said and ("not found" in said or "No such file" in said)

    # -- new connections --

    @property
    def _is_ssh(self) -> bool:
        return str(getattr(self._connection, "transport", "")) == "ssh"

    @contextlib.contextmanager
    def _new_connection(self, options: str = "") -> Iterator[None]:
        """Open a connection of its own for each command; the shared one stays as it is.

        Other plugins than that for SSH are asked to connect anew, which some cannot.
        """
        if not self._is_ssh:
            with contextlib.suppress(AttributeError, NotImplementedError):
                self._connection.reset()
            yield
            return
        before = self._connection.get_option("ssh_args")
        self._connection.set_option("ssh_args", " ".join([NEW_CONNECTION, options, before or ""]))
        try:
            yield
        finally:
            self._connection.set_option("ssh_args", before)

    def _refuse_without_key(self) -> None:
        """Refuse to turn passwords off, if this account cannot log in without one.

        :raises AnsibleActionFail: with SSH's own message.
        """
        refusal = "flask_blog_host_ssh_keys_only: True: {}. Nothing was changed. {}, and run again."
        if not self._is_ssh:
            raise AnsibleActionFail(
                refusal.format(
                    f"the run reaches the host by {getattr(self._connection, 'transport', 'another way')} and not over"
                    " SSH, so that it cannot prove that a key opens it",
                    "Run over SSH",
                )
            )
        try:
            with self._new_connection(WITH_A_KEY):
                status, _, errors = self._connection.exec_command("true", sudoable=False)
            reason = errors.decode("utf-8", "replace") if status else ""
        except AnsibleConnectionFailure as error:
            status, reason = 255, str(error)
        if status:
            user = self._connection.get_option("remote_user") or "of the run"
            raise AnsibleActionFail(
                refusal.format(
                    f"the account {user} cannot log in with a key ({printable(reason).strip()})",
                    "Add your public key to the account, for example with ssh-copy-id",
                )
            )

    def _confirm(self, arguments: dict[str, Any], task_vars: dict[str, Any], number: str) -> None:
        """Confirm a change over a new connection, before it reverts by itself.

        :raises AnsibleActionFail: if that is impossible; the change is reverted then.
        """
        begin, limit = time.monotonic(), int(arguments["revert_after"])
        asked = {**arguments, "operation": "confirm", "number": number}
        reason = ""
        while time.monotonic() - begin < limit - MARGIN:
            try:
                with self._new_connection():
                    found = self._module(asked, task_vars)
            except AnsibleConnectionFailure as error:
                reason = str(error)
            else:
                if not found.get("failed"):
                    return
                reason = str(found.get("msg", ""))
                if not found.get("unreachable"):
                    break
            time.sleep(PAUSE)
        self._report_revert(arguments, task_vars, printable(reason), begin + limit)

    def _report_revert(
        self, arguments: dict[str, Any], task_vars: dict[str, Any], reason: str, deadline: float
    ) -> None:
        """Wait for the revert, and report in what state the host is.

        :raises AnsibleActionFail: always.
        """
        while time.monotonic() < deadline:
            time.sleep(PAUSE)
        state = (
            "It cannot be reached yet. Its timer flask-blog-host-revert.timer reverts the change without a connection;"
            " a reboot does the same."
        )
        while time.monotonic() < deadline + AFTER_REVERT:
            time.sleep(PAUSE)
            try:
                with self._new_connection():
                    found = self._module({**arguments, "operation": "compare"}, task_vars)
            except AnsibleConnectionFailure:
                continue
            if found.get("failed_revert"):
                state = (
                    f"The host is reachable, but not all could be reverted: {'; '.join(found['failed_revert'])}. Run"
                    " 'systemctl start flask-blog-host-revert.service' there once the cause is gone."
                )
                break
            if not found.get("failed") and not found.get("pending"):
                state = "The host has reverted it by itself, is reachable again, and is as it was before."
                break
        raise AnsibleActionFail(
            "No new connection could confirm the change of the firewall or of SSH within"
            f" {arguments['revert_after']} s: {reason}\n{state}\nCheck flask_blog_host_firewall_ssh_from and the way to"
            " the host (a forwarded port, a jump host, a firewall of the provider), and run again."
        )
