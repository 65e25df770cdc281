# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The plan of a run: how a host differs from what is declared, and which layers of the role have to run.

The modules plan and plan_git differ in how the host comes to know the release. They are two, as Ansible packs, sends
and compiles all imports of a module in each run, and a blog from the controller has no use for those of Git.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.flaskblog.hosting.plugins.module_utils import (
    comparison,
    contract,
    host,
    issued,
    live,
    reloads,
    tool,
)
from ansible_collections.flaskblog.hosting.plugins.module_utils.printable import printable
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import registry, unit
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources.difference import Conflict, group_id
from ansible_collections.flaskblog.hosting.plugins.module_utils.result import without_arguments
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.release import Release
from ansible_collections.flaskblog.hosting.plugins.module_utils.venv import check

#: The wanted release, and the probes that it answers; None where the host cannot know it yet.
Wanted = tuple[dict[str, Any] | None, list[dict[str, Any]]]
#: Finds the release from a module's parameters, and whether to keep what is fetched once all is well.
Finder = Callable[[dict[str, Any], bool], AbstractContextManager[Wanted]]

#: The options of both modules.
OPTIONS: dict[str, dict[str, Any]] = {
    "site": {"type": "dict", "required": True},
    "platforms": {"type": "list", "elements": "str", "required": True},
    "unsupported": {"type": "dict", "default": {}},
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
}


def run(module: AnsibleModule, wanted_release: Finder) -> None:
    """Compare a host, and end the module with the result."""
    try:
        result = plan(module.params, wanted_release, keep=not module.check_mode)
    except Conflict as conflict:
        module.fail_json(msg=str(conflict))
    for note in result["notes"]:
        module.warn(note)
    module.exit_json(changed=False, **result, **without_arguments(module))


@contextlib.contextmanager
def given_release(params: dict[str, Any], keep: bool) -> Iterator[Wanted]:
    """Yield the release that the controller has described."""
    yield params["release"], []


def plan(params: dict[str, Any], wanted_release: Finder, keep: bool) -> dict[str, Any]:
    """Compare everything and name the layers to run.

    :param wanted_release: is asked once the host is not refused.
    :param keep: whether to keep what it fetches.
    :raises Conflict: with all reasons why the host is refused.
    """
    platform = host.platform()
    comparison.refuse_host(platform, params["platforms"], params["unsupported"])
    notes: list[str] = []
    objects = registry.for_platform(registry.with_secrets(params["objects"], params["secrets"]), platform)
    objects = tool.select(objects, notes)
    differences = comparison.managed(params, objects, notes)
    with wanted_release(params, keep) as (release, probes):
        found = compared(params, objects, differences, release, [*params["probes"], *probes], notes)
        return {**found, "platform": platform, "notes": notes, "hardened_by": host.hardened_by()}


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
    first = params["source"].get("packages_first", [])
    missing = host.missing_packages([*params["packages"], *first])
    units = unit.show_units(
        {wanted["name"] for wanted in params["units"]} | {site["socket_unit"], site["service_unit"]}
    )
    differences += [
        *({"layer": "packages", "name": name, "reasons": ["not installed"]} for name in missing),
        *comparison.account_differences(params),
        *comparison.unit_differences(params, units),
    ]
    if params["only_code"]:
        installed = live.installed_settings(site)
        comparison.refuse_layout(site, objects, installed)
        site = live.with_settings_files(site, installed)
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

    if site.get("tls") == issued.ACME and not params["only_code"] and (reasons := certificate_reasons(site)):
        differences.append({"layer": "certificate", "name": site["name"], "reasons": reasons})
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
        "needed_first": [name for name in missing if name in first],
        "address": address(site),
    }


def certificate_reasons(site: dict[str, Any]) -> list[str]:
    """Return why blogctl has to see to the certificate that an authority issues, or to the change to HTTPS."""
    found = issued.reasons(site, time.time())
    return found or (["the site is served by HTTP"] if contract.Scheme.of(site).scheme == "http" else [])


def address(site: dict[str, Any]) -> str:
    """Return the URL of a site without a path, as the link on its host says."""
    scheme = contract.Scheme.of(site)
    return f"{scheme.scheme}://{scheme.host}"


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
