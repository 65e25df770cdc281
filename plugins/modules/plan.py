#!/usr/bin/python
# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: plan
short_description: Compare a host with what a Flask blog's role declares, in one round trip
version_added: 0.1.0
author:
  - The flaskblog.hosting maintainers (@flaskblog)
description:
  - Reads the whole state that the role manages and says what differs, and which layers of the role have to run.
  - Changes nothing that serves. It refuses a host on which the role cannot do its work, before anything is touched.
  - Renders templates and names the release on the controller; only the comparison runs on the host.
  - A Git repository is asked and fetched on the host, and the release named there. What was fetched is kept for the
    next run (not in check mode).
  - Makes the account that runs Git, before the repository is asked (not in check mode).
  - Installs C(python3) first where a bare server has none, and C(git) where the source needs it (not in check mode).
extends_documentation_fragment:
  - flaskblog.hosting.site
  - flaskblog.hosting.site.managed
options:
  platforms:
    description: Supported platforms, such as C(Debian_12).
    type: list
    elements: str
    required: true
  packages:
    description: Debian packages that must be installed.
    type: list
    elements: str
    default: []
  account:
    description: The account that the app runs as (C(name), C(home), C(shell), C(dedicated)).
    type: dict
    required: true
  source:
    description:
      - The source and what is linked into its release. The action describes the release from it, and it stays on the
        controller; of a Git repository, the host is told.
    type: dict
    default: {}
  access:
    description:
      - What opens a Git repository, C(key) for SSH, and C(credentials), which the action takes out of its address. Kept
        out of every log.
    type: dict
    default: {}
  release:
    description: The described release. Filled in by the action; empty where the host finds it out.
    type: dict
  initial_data:
    description:
      - The folder on the controller that a new blog takes its data from. The action looks into it; the host is told
        whether there is one.
    type: raw
  ports:
    description: TCP ports that must be free or already ours, each with the C(variable) that sets it.
    type: list
    elements: dict
    default: []
  probes:
    description: What the running site is asked through its proxy.
    type: list
    elements: dict
    default: []
attributes:
  check_mode:
    support: full
    description: Reads only.
  diff_mode:
    support: none
    description: The tasks that change something show the difference.
"""

EXAMPLES = r"""
- name: Compare the host with what is declared
  flaskblog.hosting.plan:
    site: "{{ __flask_blog_site }}"
    platforms: [Debian_12, Debian_13]
    account: "{{ __flask_blog_account }}"
    objects: "{{ __flask_blog_objects }}"
    source: "{{ __flask_blog_source }}"
  register: __flask_blog_plan
"""

RETURN = r"""
layers:
  description: The layers of the role that have something to do, in any order.
  returned: always
  type: list
  sample: [unpack, activate, verify]
differences:
  description: What differs, by layer.
  returned: always
  type: list
  elements: dict
missing_packages:
  description: Packages that have to be installed.
  returned: always
  type: list
data_is_new:
  description: Whether the blog has yet to get its first data.
  returned: always
  type: bool
notes:
  description: What was found in the data folder and is left alone, and why. Each is a warning, too.
  returned: always
  type: list
  elements: str
release:
  description:
    - Identity and paths of the wanted release and its virtual environment. Of one from Git, C(commit), C(ref) and
      C(repository) too.
  returned: always
  type: dict
probes:
  description: What the running site is asked, a static file of the release included.
  returned: always
  type: list
  elements: dict
needed_first:
  description: Packages without which the host cannot find out what the release is.
  returned: always
  type: list
  elements: str
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.flaskblog.hosting.plugins.module_utils import host, names, objects, probe, releases
from ansible_collections.flaskblog.hosting.plugins.module_utils import site as live


def refusals(params: dict[str, Any], platform: str) -> list[str]:
    """Return every reason for which this host cannot be worked on."""
    if refusal := host.refusal(platform, os.geteuid(), params["platforms"]):
        return [refusal]
    problems = [problem for problem in map(host.port_conflict, params["ports"]) if problem]
    site = params["site"]
    if site["group"] != site["user"] and objects.group_id(site["group"]) is None:
        problems.append(
            f"flask_blog_group: {site['group']!r}: the host has no such group. Leave it out, or make the group first."
        )
    return problems + names.problems(site, params["account"], params["objects"])


def managed(params: dict[str, Any], platform: str, notes: list[str]) -> list[dict[str, Any]]:
    """Compare the managed objects.

    :param notes: takes a sentence about each thing that is left alone.
    :raises objects.Conflict: with all reasons for which the host is refused.
    """
    problems, differences = refusals(params, platform), []
    for wanted in params["objects"]:
        try:
            difference = objects.compare(wanted, notes)
        except objects.Conflict as conflict:
            problems.append(str(conflict))
            continue
        if difference:
            differences.append({"layer": "state", "name": difference.path, "words": difference.words})
    link = params["site"]["link"]
    if os.path.lexists(link) and not os.path.islink(link):
        problems.append(
            f"{link} should be a link to the live release, but a real directory stands there. Move it away"
            f" (mv {link} {link}.before) and run again; to take its database and uploads over, copy"
            " them to the controller and name their folder in flask_blog_initial_data."
        )
    if problems:
        raise objects.Conflict("\n".join(problems))
    return differences


@contextlib.contextmanager
def wanted_release(params: dict[str, Any], keep: bool) -> Iterator[tuple[dict[str, Any] | None, list[dict[str, Any]]]]:
    """Yield the release, and the probes that it answers; None where the host cannot know it yet.

    :param keep: whether to keep what Git fetches, once all is well.
    :raises objects.Conflict: for a repository that does not give what is wanted.
    """
    if params["release"] is not None or needed_first(params) or not has_build_account(params, keep):
        yield params["release"], []
        return
    # Not above, as a module is compiled anew in each run, and a blog from the controller has no use for these.
    from ansible_collections.flaskblog.hosting.plugins.module_utils import git, source
    from ansible_collections.flaskblog.hosting.plugins.module_utils.description import describe
    from ansible_collections.flaskblog.hosting.plugins.module_utils.limits import Limits, explain

    asked = params["source"]
    access = git.Access(
        asked["url"],
        asked["version"],
        asked["timeout"],
        params["access"]["key"],
        params["access"]["credentials"],
        asked["known_hosts"],
    )
    limits = Limits.of(asked.get("limits", {}))
    try:
        with (
            # Git has the deploy key, and the account of builds: no build may run beside it.
            live.building(params["site"]["name"]),
            tempfile.TemporaryDirectory(prefix="flask-blog-", dir="/var/tmp") as folder,
            git.wanted(access, params["site"], keep, folder, limits) as commit,
        ):
            found = describe(Path(folder), asked, params["site"], commit=commit)
            databases = source.databases(found.folder, found.entries)
            probes = [{"what": "a static file", **found.sample}] if found.sample else []
            yield {**found.release, "databases": databases}, probes
    except git.VersionError as error:
        raise objects.Conflict(f"flask_blog_version: {access.version!r}: {error}.") from error
    except source.SourceError as error:
        raise objects.Conflict(explain(access.url, error)) from error


def has_build_account(params: dict[str, Any], keep: bool) -> bool:
    """Make the account that runs Git, but for check mode; say whether the host has it.

    :raises objects.Conflict: if it cannot be made.
    """
    name = params["site"]["build_user"]
    try:
        if keep:
            host.ensure_account(name)
    except OSError as error:
        raise objects.Conflict(
            f"{error}. It runs Git for the blog; make it, or free its name, and run again."
        ) from error
    return host.has_account(name)


def needed_first(params: dict[str, Any]) -> list[str]:
    """Return the packages that are missing and without which a repository cannot be asked."""
    return [] if params["release"] is not None else host.missing_packages(params["source"]["packages_first"])


def plan(params: dict[str, Any], keep: bool = False) -> dict[str, Any]:
    """Compare everything and name the layers to run.

    :param keep: whether to keep what Git fetches.
    :raises objects.Conflict: with all reasons for which the host is refused.
    """
    platform = host.platform()
    notes: list[str] = []
    differences = managed(params, platform, notes)
    with wanted_release(params, keep) as (release, probes):
        found = compared(params, platform, differences, release, [*params["probes"], *probes])
        return {**found, "notes": notes}


def compared(
    params: dict[str, Any],
    platform: str,
    differences: list[dict[str, Any]],
    release: dict[str, Any] | None,
    probes: list[dict[str, Any]],
) -> dict[str, Any]:
    """Compare packages, account, units and the release, and name the layers to run.

    :param differences: of the managed objects.
    :param release: the wanted one; None where it is not known yet, and is left out.
    """
    site = params["site"]
    missing = host.missing_packages([*params["packages"], *params["source"].get("packages_first", [])])
    differences += [{"layer": "packages", "name": name, "words": ["not installed"]} for name in missing]
    for account in (params["account"], host.build_account(site["build_user"])):
        if host.account_differs(account):
            differences.append({"layer": "account", "name": account["name"], "words": ["missing or changed"]})
    units = host.show_units({unit["name"] for unit in params["units"]} | {site["socket_unit"], site["service_unit"]})
    for unit in params["units"]:
        if words := host.unit_words(unit, units.get(unit["name"], {})):
            differences.append({"layer": "state", "name": unit["name"], "words": words})
    if live.is_pending("nginx.reload"):
        differences.append({"layer": "state", "name": "nginx", "words": ["not reloaded since its files changed"]})
    data_is_new = live.is_new(site)
    linked = os.readlink(site["link"]) if os.path.islink(site["link"]) else None
    if release is None:
        release = {"id": "unknown", "live": linked}
    else:
        release = {**release, "live": linked}
        differences += release_differences(site, release)
        if data_is_new and params.get("initial_data"):
            differences.append({"layer": "unpack", "name": "the initial data", "words": ["not brought yet"]})
        differences += activation(site, release, units, probes, differences)

    layers = sorted({difference["layer"] for difference in differences})
    return {
        "layers": [*layers, "verify"] if layers else [],
        "differences": differences,
        "missing_packages": missing,
        "data_is_new": data_is_new,
        "release": release,
        "platform": platform,
        "probes": probes,
        "needed_first": needed_first(params),
    }


def release_differences(site: dict[str, Any], release: dict[str, Any]) -> list[dict[str, Any]]:
    """Complete a release with its virtual environment, and say how the two differ on the host."""
    differences = []
    venv = releases.venv_id(release["requirements"], host.python_version())
    release["venv_path"] = f"{site['venvs']}/{venv}"
    release["links"] = {**release["links"], release["venv_link"]: release["venv_path"]}
    if words := releases.check_release(release["path"], release, 0, objects.group_id(site["group"])):
        differences.append({"layer": "unpack", "name": release["id"], "words": words})
    if words := releases.check_venv(release["venv_path"]):
        differences.append({"layer": "venv", "name": venv, "words": words})
    return differences


def activation(
    site: dict[str, Any],
    release: dict[str, Any],
    units: dict[str, dict[str, str]],
    probes: list[dict[str, Any]],
    differences: list[dict[str, Any]],
) -> list[dict[str, Any]]:
    """Say why the release has to be (re)activated; the site is asked only where nothing else will change."""
    reasons = live.reasons_to_activate(site, release, units)
    loaded = {*site["settings_files"], f"{names.UNITS}/{site['socket_unit']}"}
    reasons += [
        f"{difference['name']} changes"
        for difference in differences
        if difference["layer"] in ("unpack", "venv") or difference["name"] in loaded
    ]
    if not reasons and not differences:
        reasons = probe.ask(
            {"host": site["host"], "port": site["port"], "schemes": site["public_schemes"], "probes": probes}
        )
    return [{"layer": "activate", "name": site["name"], "words": reasons}] if reasons else []


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "site": {"type": "dict", "required": True},
            "platforms": {"type": "list", "elements": "str", "required": True},
            "packages": {"type": "list", "elements": "str", "default": []},
            "account": {"type": "dict", "required": True},
            "objects": {"type": "list", "elements": "dict", "default": []},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "units": {"type": "list", "elements": "dict", "default": []},
            "source": {"type": "dict", "default": {}},
            "access": {"type": "dict", "default": {}, "no_log": True},
            "release": {"type": "dict"},
            "ports": {"type": "list", "elements": "dict", "default": []},
            "initial_data": {"type": "raw"},
            "probes": {"type": "list", "elements": "dict", "default": []},
        },
        supports_check_mode=True,
    )
    params = module.params
    for wanted in params["objects"]:
        if wanted["path"] in params["secrets"]:
            wanted["content"] = params["secrets"][wanted["path"]]
        for warning in objects.setting_warnings(wanted):
            module.warn(warning)
    try:
        result = plan(params, keep=not module.check_mode)
    except objects.Conflict as conflict:
        module.fail_json(msg=str(conflict))
    for note in result["notes"]:
        module.warn(note)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
