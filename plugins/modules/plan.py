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
  - Reads the whole state that the role manages and returns what differs, and which layers of the role have to run.
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
  only_code:
    description: Whether managed objects and units stay as they are. Those that differ are named in a warning.
    type: bool
    default: false
  probes:
    description: What the running site is asked through its proxy.
    type: list
    elements: dict
    default: []
  apt:
    description:
      - How the action waits for apt's locks on a bare server - the regular expression C(locked) for its messages,
        C(timeout) and C(interval) in seconds. It stays on the controller.
    type: dict
    default: {}
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
  description: What is left as it is, and why, such as a newer tool or files in the data folder. Each is a warning, too.
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
import sys
from collections.abc import Iterator
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.flaskblog.hosting.plugins.module_utils import comparison, contract, host, live, reloads, tool
from ansible_collections.flaskblog.hosting.plugins.module_utils.printable import printable
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import registry, unit
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources.difference import Conflict, group_id
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.release import Release
from ansible_collections.flaskblog.hosting.plugins.module_utils.venv import check


@contextlib.contextmanager
def wanted_release(params: dict[str, Any], keep: bool) -> Iterator[tuple[dict[str, Any] | None, list[dict[str, Any]]]]:
    """Yield the release, and the probes that it answers; None where the host cannot know it yet.

    :param keep: whether to keep what Git fetches, once all is well.
    :raises Conflict: for a repository that does not give what is wanted.
    """
    if params["release"] is not None or needed_first(params) or not has_build_account(params, keep):
        yield params["release"], []
        return
    # Not above, as a module is compiled anew in each run, and a blog from the controller has no use for these.
    from ansible_collections.flaskblog.hosting.plugins.module_utils.source import git
    from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import SourceError

    try:
        with (
            # Git has the deploy key, and the account of builds: no build may run beside it.
            live.building(params["site"]["name"]),
            git.described(params["source"], params["access"], params["site"], keep) as (found, databases),
        ):
            probes = [{"what": "a static file", **found.sample}] if found.sample else []
            yield (
                {
                    **found.release.to_dict(),
                    "databases": databases,
                    "missed": found.left_out,
                    "warnings": list(found.warnings),
                },
                probes,
            )
    except SourceError as error:
        raise Conflict(error.explain(params["source"]["url"])) from error


def has_build_account(params: dict[str, Any], keep: bool) -> bool:
    """Make the account that runs Git, but for check mode; say whether the host has it.

    :raises Conflict: if it cannot be made.
    """
    name = params["site"]["build_user"]
    try:
        if keep:
            host.ensure_account(name)
    except OSError as error:
        raise Conflict(f"{error}. It runs Git for the blog; make it, or free its name, and run again.") from error
    return host.has_account(name)


def needed_first(params: dict[str, Any]) -> list[str]:
    """Return the packages that are missing and without which a repository cannot be asked."""
    return [] if params["release"] is not None else host.missing_packages(params["source"]["packages_first"])


def plan(params: dict[str, Any], keep: bool = False) -> dict[str, Any]:
    """Compare everything and name the layers to run.

    :param keep: whether to keep what Git fetches.
    :raises Conflict: with all reasons why the host is refused.
    """
    platform = host.platform()
    comparison.refuse_host(platform, params["platforms"])
    notes: list[str] = []
    objects = registry.for_platform(params["objects"], platform)
    objects = tool.select(registry.with_secrets(objects, params["secrets"]), notes)
    differences = comparison.managed(params, objects, notes)
    with wanted_release(params, keep) as (release, probes):
        found = compared(params, objects, differences, release, [*params["probes"], *probes], notes)
        return {**found, "platform": platform, "notes": notes}


def compared(
    params: dict[str, Any],
    objects: comparison.Objects,
    differences: comparison.Differences,
    release: dict[str, Any] | None,
    probes: list[dict[str, Any]],
    notes: list[str],
) -> dict[str, Any]:
    """Compare packages, accounts, units and the release, and name the layers to run.

    :param differences: of the managed objects.
    :param release: the wanted one; None if it is not known yet, and is left out.
    :param notes: receives a sentence about what a release of code alone leaves as it is.
    :raises Conflict: if that needs another blogctl, or other managed files.
    """
    site = params["site"]
    missing = host.missing_packages([*params["packages"], *params["source"].get("packages_first", [])])
    units = unit.show_units(
        {wanted["name"] for wanted in params["units"]} | {site["socket_unit"], site["service_unit"]}
    )
    differences += [
        *({"layer": "packages", "name": name, "reasons": ["not installed"]} for name in missing),
        *comparison.account_differences(params),
        *comparison.unit_differences(params, units),
    ]
    if params["only_code"]:
        comparison.refuse_layout(site, objects)
        site = live.with_installed_settings(site)
        differences = comparison.without_state(differences, notes)
    comparison.refuse_broken_nginx(objects, differences)
    data_is_new = live.is_new(site)
    linked = live.link_target(site)
    if release is None:
        release = {"id": "unknown", "live": linked}
    else:
        release, found = release_differences(site, {**release, "live": linked})
        differences += found
        if data_is_new and params.get("initial_data"):
            differences.append({"layer": "unpack", "name": "the initial data", "reasons": ["not brought yet"]})
        loaded = {item["path"] for item in objects if reloads.is_loaded_by_activation(item)}
        differences += comparison.activation(site, release, units, probes, differences, loaded)

    if os.path.lexists(os.path.join(site["state"], contract.UNVERIFIED)):
        differences.append(
            {"layer": "verify", "name": site["name"], "reasons": ["not verified since its first release"]}
        )
    layers = sorted({difference["layer"] for difference in differences} - {"verify"})
    return {
        "layers": [*layers, "verify"] if differences else [],
        "differences": differences,
        "missing_packages": missing,
        "data_is_new": data_is_new,
        "release": release,
        "probes": probes,
        "needed_first": needed_first(params),
    }


def release_differences(site: dict[str, Any], release: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a release with its virtual environment, and how the two differ on the host."""
    wanted = check.complete(Release.from_dict(release), site["venvs"], host.python_version())
    refuse_python(wanted.requires_python)
    found = check.host_differences(wanted, group_id(site["group"]))
    differences = [{"layer": layer, "name": name, "reasons": reasons} for layer, name, reasons in found]
    return {**release, **wanted.to_dict()}, differences


def refuse_python(wanted: str) -> None:
    """Refuse a project that is not for the host's Python, before pip does, or the app fails in it.

    :param wanted: a range of versions, or nothing.
    :raises Conflict: with both.
    """
    if not wanted:
        return
    from ansible_collections.flaskblog.hosting.plugins.module_utils.source import python_range

    version = tuple(sys.version_info[:3])
    if not python_range.accepts(wanted, version):
        raise Conflict(
            f"flask_blog_source: the project is for Python {printable(wanted)} (requires-python), and the host has"
            f" {'.'.join(map(str, version))}. Deploy to a Debian with such a Python (12 has 3.11, 13 has 3.13), or"
            " widen the range if the blog runs with this one."
        )


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
            "only_code": {"type": "bool", "default": False},
            "probes": {"type": "list", "elements": "dict", "default": []},
            "apt": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        result = plan(params, keep=not module.check_mode)
    except Conflict as conflict:
        module.fail_json(msg=str(conflict))
    for note in result["notes"]:
        module.warn(note)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
