# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.flaskblog.hosting.plugins.module_utils.printable import printable
from ansible_collections.flaskblog.hosting.plugins.plugin_utils import role

display = Display()


class ActionModule(ActionBase):
    """Probe the running site if something changed, and print which release serves at which address."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        task_vars = role.with_interpreter(task_vars or {})
        arguments = dict(self._task.args)
        report = arguments.pop("report", {})
        # Ansible before 2.19 gives the text of a template.
        flags = ("changed", "new", "password_written")
        report = report and {**report, **{key: boolean(report.get(key, False)) for key in flags}}
        if report.get("changed", True):
            result.update(
                self._execute_module(module_name="flaskblog.hosting.verify", module_args=arguments, task_vars=task_vars)
            )
        else:
            # The comparison has asked the site already, so the host is not asked again.
            result["skipped"] = True
        if report and not result.get("failed") and not (self._task.check_mode and report["changed"]):
            for line in lines(report):
                display.display(printable(f"[{task_vars['inventory_hostname']}]: {line}"))
        return result


def lines(report: dict[str, Any]) -> list[str]:
    """Return the end of a run for people: what serves where and, of a new blog, what to do next.

    :param report: C(name), C(release), C(address), C(new), C(backups) a folder, C(schedule) of the backups, the kind of
        their C(repository) or an empty text, C(password_written), whether this run wrote its password, and what is
        C(incomplete) about the certificate.
    """
    found = [f"{report['name']}: release {report['release']} serves at {report['address']}"]
    if report["new"]:
        offsite = "each is copied to the repository" if report.get("repository") else "copy them to another host"
        backups = f"Backups are made {report['schedule']} in {report['backups']}; {offsite}."
        if report["schedule"] == "never":
            backups = "No backups are made: flask_blog_backup_schedule is never."
        found.append(
            f"Next: on the host, 'sudo blogctl --site {report['name']} status' shows its state and 'logs' its log."
            f" {backups} To release new code, run the playbook again; 'blogctl rollback' returns to the release before."
        )
    if report.get("repository") and report.get("password_written"):
        found.append(
            "Keep flask_blog_backup_password in a second place, such as a password manager: nobody can read the copies"
            f" in the repository without it. The next backup is the first copy; 'sudo blogctl --site {report['name']}"
            " backup' makes one now."
        )
    return [*found, *str(report.get("incomplete", "")).splitlines()]
