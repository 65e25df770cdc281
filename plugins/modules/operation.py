#!/usr/bin/python
# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: operation
short_description: Run an operation of blogctl on a site
version_added: 0.1.0
author:
  - The flaskblog.hosting maintainers (@flaskblog)
description:
  - Runs C(blogctl --json) on the host and returns its result. Only one operation at a time changes a site. A second
    one waits a minute and then fails.
  - A failed operation has been undone, or the message says otherwise.
  - C(certificate) does not fail if a name does not lead to the host yet, or if the authority refuses. The host tries
    again by itself.
  - C(doctor) only looks at the site, and does not fail if something is wrong. RV(details) has the findings.
options:
  site:
    description: The name of the site.
    type: str
    required: true
  operation:
    description: What to do.
    type: str
    required: true
    choices: [activate, rollback, maintenance, backup, restore, certificate, doctor]
  release:
    description:
      - The id of the release, as C(blogctl releases) lists it.
      - Required for C(activate). Without it, C(rollback) takes the last good release before the live one.
    type: str
  retry:
    description: Activate a release that has failed before.
    type: bool
    default: false
  data:
    description:
      - What C(rollback) does if the database's schema has changed since the earlier release.
      - C(ask) fails and reports what would be lost. C(restore) restores the data of the earlier release. C(keep)
        runs the earlier release with the present data.
    type: str
    choices:
      - ask
      - restore
      - keep
    default: ask
  backup:
    description:
      - The backup to restore, C(latest), the name of a backup or of a safety copy, or a moment.
      - Required for C(restore).
    type: str
  discard:
    description:
      - Let C(restore) lose what was written since the backup. Without it, C(restore) fails if there is anything, and
        reports it.
    type: bool
    default: false
  maintenance:
    description: Whether visitors get the maintenance page. Required for C(maintenance).
    type: bool
  reasons:
    description: Why the operation is needed. They become part of the result.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - flaskblog.hosting.site.without_diff
attributes:
  check_mode:
    support: full
    description:
      - C(rollback), C(restore), C(maintenance) and C(certificate) run with C(--dry-run), and C(doctor) as it is. The
        other operations do not run; the message names what would be done.
"""

EXAMPLES = r"""
- name: Activate a release
  flaskblog.hosting.operation:
    site: flask-blog
    operation: activate
    release: 3f2a9c1e

- name: Roll back to the last good release, with the data of that time
  flaskblog.hosting.operation:
    site: flask-blog
    operation: rollback
    data: restore

- name: Turn the maintenance page on
  flaskblog.hosting.operation:
    site: flask-blog
    operation: maintenance
    maintenance: true

- name: Back up before risky work
  flaskblog.hosting.operation:
    site: flask-blog
    operation: backup

- name: Restore the data of yesterday evening, and lose what was written since
  flaskblog.hosting.operation:
    site: flask-blog
    operation: restore
    backup: 2026-11-27T18:30
    discard: true

- name: Look for what is wrong
  flaskblog.hosting.operation:
    site: flask-blog
    operation: doctor
  register: found
"""

RETURN = r"""
msg:
  description: What was done, what would be done, or what failed and what is served now.
  returned: always
  type: str
  sample: 3f2a9c1e is served
details:
  description:
    - The JSON object of blogctl, such as C(release), C(previous) and C(waited) (seconds) of an activation, and C(lost)
      rows by table of a rollback.
  returned: if blogctl ran
  type: dict
  sample: {release: 3f2a9c1e, previous: 77ab01d2, waited: 0.0, data_changed: false, initialised: false}
status:
  description:
    - The exit status of blogctl. C(0) done, C(1) refused or failed, C(2) wrong command line, C(3) another operation is
      running, C(4) O(data) or O(discard) must be chosen, C(5) the release is served, but a command that
      follows a release failed, C(7) the backup was made and lacks what could not be copied, C(8) the certificate is
      missing or lacks a name, C(11) the doctor found something broken, C(12) the doctor has nothing but warnings,
      C(130) interrupted and undone.
    - Each but C(0) is a failure, and but C(11) and C(12), and C(3) and C(8) of C(certificate).
  returned: if blogctl ran
  type: int
  sample: 0
reasons:
  description: Why the operation was needed, as given in O(reasons).
  returned: if there are any
  type: list
  elements: str
  sample: [flask-blog.service is not running]
"""

import json
from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.flaskblog.hosting.plugins.module_utils.printable import printable

BLOGCTL = "/usr/local/sbin/blogctl"

#: Exit statuses of blogctl with a meaning for this module (C(blogctl --help)).
DONE = 0
BUSY = 3
UNDECIDED = 4
FOLLOW_UP_FAILED = 5
INCOMPLETE = 7
NO_CERTIFICATE = 8
BROKEN = 11
WARNED = 12

#: The statuses of an operation that did what it was to do.
SUCCESSES = frozenset({DONE, NO_CERTIFICATE, BROKEN, WARNED})

#: The operations that have C(--dry-run).
WITH_DRY_RUN = frozenset({"rollback", "restore", "maintenance", "certificate"})

#: The role's variable for the decision that an operation needs.
DECISIONS = {
    "rollback": "flask_blog_rollback_data: restore or keep",
    "restore": "flask_blog_restore_discard: true",
}

#: The operations that change nothing.
READ_ONLY = frozenset({"doctor"})

#: blogctl's option for each value of C(data).
DATA_OPTIONS = {"ask": [], "restore": ["--restore-data"], "keep": ["--keep-data"]}


def command(params: Mapping[str, Any], dry_run: bool) -> list[str]:
    """Return blogctl's command line."""
    operation = params["operation"]
    found = [BLOGCTL, "--json", "--site", params["site"], operation]
    if operation == "activate":
        found += ["--retry"] if params["retry"] else []
    elif operation == "rollback":
        found += DATA_OPTIONS[params["data"]]
    elif operation == "restore":
        found += ["--discard-newer"] if params["discard"] else []
    elif operation == "maintenance":
        found.append("on" if params["maintenance"] else "off")
    found += ["--dry-run"] if dry_run else []
    if operation == "restore":
        return [*found, params["backup"]]
    return found + ([params["release"]] if operation in ("activate", "rollback") and params["release"] else [])


def last_object(text: str) -> dict[str, Any] | None:
    """Return the JSON object on the last line of an output; None if there is none."""
    lines = text.strip().splitlines()
    try:
        found = json.loads(lines[-1]) if lines else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def lost_rows(details: Mapping[str, Any]) -> str:
    """Return the rows that a rollback loses with the data that it leaves."""
    tables = [
        f"{one['written']} written and {one['deleted']} deleted rows of table {one['table']} in {one['database']}"
        for one in details["lost"]
    ]
    return "; ".join(tables) or "no row"


def summary(params: Mapping[str, Any], details: Mapping[str, Any]) -> str:
    """Return the message about an operation that blogctl has done, or would do, if it sent none itself."""
    if params["operation"] == "activate":
        found = f"{details['release']} is served" + (", with new data" if details["initialised"] else "")
        waited = details["waited"]
        return f"{found}; requests waited {waited:.1f} s while the data changed" if waited else found
    if params["operation"] == "rollback":
        restored = ", with the data of that time" if details["restored"] else ""
        if details["dry_run"]:
            found = f"would roll back from {details['previous']} to {details['release']}{restored}"
            return f"{found}; this loses {lost_rows(details)}" if restored else found
        found = f"{details['release']} is served again{restored}"
        return f"{found}; left behind: {lost_rows(details)}" if restored else found
    if params["operation"] == "restore":
        return f"{details['backup']} {'would be' if details['dry_run'] else 'is'} restored"
    if params["operation"] == "maintenance":
        would = "would be" if details["dry_run"] and details["changed"] else "is"
        already = "" if details["changed"] else " already"
        return f"the maintenance page {would} {'on' if details['maintenance'] else 'off'}{already}"
    if params["operation"] == "certificate":
        return "nothing is due"
    if params["operation"] == "doctor":
        found = f"{details['counts']['error']} errors and {details['counts']['warning']} warnings"
        return f"{details['site']} is healthy" if details["healthy"] else f"{details['site']}: {found}"
    found = f"{details['name']}: {details['files']} files, {details['bytes']} bytes, verified"
    return f"{found}; it lacks {skipped(details)}" if details.get("skipped") else found


def has_changed(params: Mapping[str, Any], details: Mapping[str, Any]) -> bool:
    """Say whether an operation that is done has changed the host. Maintenance and a certificate may need nothing."""
    return bool(details.get("changed", params["operation"] not in ("maintenance", "certificate", *READ_ONLY)))


def skipped(details: Mapping[str, Any]) -> str:
    """Return what a backup lacks."""
    more = details["skipped_more"]
    return ", ".join(map(str, details["skipped"])) + (f" and {more} more" if more else "")


def outcome(params: Mapping[str, Any], status: int, stdout: str, stderr: str) -> dict[str, Any]:
    """Translate how blogctl ended into the module's result, with C(failed)."""
    if status in (*SUCCESSES, INCOMPLETE) and (details := last_object(stdout)) is not None:
        # A blogctl of an older role sends none.
        message = str(details.pop("message", "")) or summary(params, details)
        return {
            "failed": status not in SUCCESSES,
            "changed": has_changed(params, details),
            "status": status,
            "msg": printable(message),
            "details": details,
        }
    details = last_object(stderr) or {}
    message = str(details.pop("error", "")) or (
        f"blogctl ended with status {status}: {(stderr or stdout).strip() or 'it wrote nothing'}"
    )
    details.pop("status", None)
    if status == UNDECIDED and (decision := DECISIONS.get(params["operation"])):
        message += f"\nThe role's variable for this is {decision}."
    return {
        "failed": params["operation"] != "certificate" or status != BUSY,
        "changed": status == FOLLOW_UP_FAILED,
        "status": status,
        "msg": printable(message),
        "details": details,
    }


def announcement(params: Mapping[str, Any]) -> str:
    """Return the message of check mode about an operation without a dry run."""
    if params["operation"] == "certificate":
        return f"would request a certificate for {params['site']}, and change it to HTTPS"
    return (
        f"would back up {params['site']}" if params["operation"] == "backup" else f"would activate {params['release']}"
    )


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "site": {"type": "str", "required": True},
            "operation": {
                "type": "str",
                "required": True,
                "choices": ["activate", "rollback", "maintenance", "backup", "restore", "certificate", "doctor"],
            },
            "release": {"type": "str"},
            "retry": {"type": "bool", "default": False},
            "data": {"type": "str", "choices": ["ask", "restore", "keep"], "default": "ask"},
            "backup": {"type": "str"},
            "discard": {"type": "bool", "default": False},
            "maintenance": {"type": "bool"},
            "reasons": {"type": "list", "elements": "str", "default": []},
        },
        required_if=[
            ("operation", "activate", ["release"]),
            ("operation", "restore", ["backup"]),
            ("operation", "maintenance", ["maintenance"]),
        ],
        supports_check_mode=True,
    )
    params = module.params
    reasons = {"reasons": params["reasons"]} if params["reasons"] else {}
    if module.check_mode and params["operation"] not in WITH_DRY_RUN | READ_ONLY:
        module.exit_json(changed=True, msg=printable(announcement(params)), **reasons)
    try:
        status, stdout, stderr = module.run_command(
            command(params, module.check_mode and params["operation"] in WITH_DRY_RUN), handle_exceptions=False
        )
        if module.check_mode and params["operation"] == "certificate" and status not in (DONE, NO_CERTIFICATE):
            raise FileNotFoundError  # what the run installs first
    except OSError as error:
        if module.check_mode and params["operation"] == "certificate":
            module.exit_json(changed=True, msg=printable(announcement(params)), **reasons)
        module.fail_json(msg=f"blogctl cannot run: {error}. Run playbooks/site.yml first; it installs blogctl.")
    found = outcome(params, status, stdout, stderr)
    for text in found["details"].get("warnings", []):
        module.warn(printable(str(text)))
    (module.fail_json if found.pop("failed") else module.exit_json)(**found, **reasons)


if __name__ == "__main__":
    main()
