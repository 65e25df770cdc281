# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Compare a host with the declared state of a site, and collect the reasons to refuse it."""

from __future__ import annotations

import json
import os
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils import (
    contract,
    host,
    live,
    names,
    nginx,
    probe,
    reloads,
)
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import registry, unit
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources.difference import Conflict

Objects = list[dict[str, Any]]
Differences = list[dict[str, Any]]

#: Paths in a note.
NAMED = 5

NGINX_UNIT = "nginx.service"

#: Settings, each in a variable of its name, that releases, managed files and units must agree on.
LAYOUT = ("app_dir", "databases", "group", "static", "user", "writable_paths", "wsgi")


def refusals(params: dict[str, Any], objects: Objects, notes: list[str]) -> list[str]:
    """Return all reasons why the site cannot be set up on this host.

    :param notes: receives a sentence for each thing of the host that is kept.
    """
    site = params["site"]
    return [
        *(problem for problem in map(host.port_conflict, params["ports"]) if problem),
        *names.group_problems(site),
        *names.problems(site, params["account"], objects),
        *nginx.conflicts(objects, notes),
    ]


def refuse_host(platform: str, platforms: list[str], unsupported: dict[str, list[str]]) -> None:
    """Refuse a host that is not supported, or that cannot do what the site asks for.

    :param unsupported: by platform, a sentence for each variable that cannot be had there.
    :raises Conflict: with the reason.
    """
    if refusal := host.refusal(platform, os.geteuid(), platforms):
        raise Conflict(refusal)
    if reasons := unsupported.get(platform, []):
        raise Conflict("\n".join(reasons))


def managed(params: dict[str, Any], objects: Objects, notes: list[str]) -> Differences:
    """Compare the managed objects.

    :param objects: the objects that this run manages.
    :param notes: receives a sentence for each object that is not changed.
    :raises Conflict: with all reasons why the host is refused.
    """
    problems, differences = refusals(params, objects, notes), []
    for wanted in objects:
        try:
            difference = registry.compare(wanted, notes)
        except Conflict as conflict:
            problems.append(str(conflict))
            continue
        if difference:
            differences.append({"layer": "state", "name": difference.path, "reasons": difference.reasons})
    link = params["site"]["link"]
    if os.path.lexists(link) and not os.path.islink(link):
        problems.append(
            f"{link} should be a link to the live release, but a real directory stands there. Move it away"
            f" (mv {link} {link}.before) and run again; to take its database and uploads over, copy"
            " them to the controller and name their folder in flask_blog_initial_data."
        )
    if problems:
        raise Conflict("\n".join(problems))
    return differences


def account_differences(params: dict[str, Any]) -> Differences:
    """Return which of the site's accounts are missing or changed."""
    accounts = (params["account"], host.build_account(params["site"]["build_user"]))
    return [
        {"layer": "account", "name": account["name"], "reasons": ["missing or changed"]}
        for account in accounts
        if host.account_differs(account)
    ]


def unit_differences(params: dict[str, Any], units: dict[str, dict[str, str]]) -> Differences:
    """Return the differences of units, and the reloads that an interrupted run did not make."""
    compared = (unit.compare(wanted, units.get(wanted["name"], {})) for wanted in params["units"])
    return [
        *({"layer": "state", "name": found.path, "reasons": found.reasons} for found in compared if found),
        *(
            {"layer": "state", "name": name, "reasons": [reloads.NOT_LOADED]}
            for name in reloads.pending(params["site"])
        ),
    ]


def refuse_broken_nginx(objects: Objects, differences: Differences) -> None:
    """Refuse to change nginx's files while those of another site keep it from loading any.

    :raises Conflict: with nginx's message. A run that does not change nginx does not ask it.
    """
    changed = {difference["name"] for difference in differences if difference["layer"] == "state"}
    files = {item["path"] for item in objects if reloads.NGINX in reloads.of(item)}
    if changed & (files | {reloads.NGINX, NGINX_UNIT}) and (fault := nginx.fault_of_others(objects)):
        raise Conflict(fault)


def without_state(differences: Differences, notes: list[str]) -> Differences:
    """Leave out the managed objects and units, which a release of code alone does not change.

    :param notes: receives a sentence about those that differ.
    :raises Conflict: if blogctl, which activates the release, is of another version.
    """
    names = [difference["name"] for difference in differences if difference["layer"] == "state"]
    if any(name.startswith(f"{os.path.dirname(contract.TOOL_VERSION)}/") for name in names):
        raise Conflict(
            "blogctl on this host is not the one of this version of the collection. Run playbooks/site.yml once, which"
            " installs it; playbooks/release.yml brings new code alone."
        )
    if names:
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        notes.append(
            f"{', '.join(names[:NAMED])}{more} on this host differ from what is declared, and stay as they are:"
            " playbooks/release.yml brings new code alone. Run playbooks/site.yml to change them."
        )
    return [difference for difference in differences if difference["layer"] != "state"]


def refuse_layout(site: dict[str, Any], objects: Objects, installed: dict[str, Any]) -> None:
    """Refuse a release of code alone that the managed files do not fit.

    Its links would lead to folders that nobody made, and nginx would serve other folders.

    :param objects: the managed objects, with the settings of the site that are wanted.
    :param installed: the settings that the host has.
    :raises Conflict: naming the variables.
    """
    texts = [item["content"] for item in objects if item["path"] == site["site_json"]]
    wanted = json.loads(texts[0]) if texts else {}
    known = [key for key in LAYOUT if key in installed and key in wanted]
    changed = [f"flask_blog_{key}" for key in known if installed[key] != wanted[key]]
    if changed:
        raise Conflict(
            f"{', '.join(changed)}: changed since playbooks/site.yml ran on this host. A release is laid out by it, and"
            " so are files and folders that playbooks/release.yml leaves as they are. Run playbooks/site.yml, which"
            " brings the new code as well."
        )


def activation(
    site: dict[str, Any],
    release: dict[str, Any],
    units: dict[str, dict[str, str]],
    probes: list[dict[str, Any]],
    differences: Differences,
    loaded: set[str],
) -> Differences:
    """Return why the release has to be activated. The site is probed only if nothing else changes.

    :param loaded: paths of the objects whose changes an activation loads.
    """
    reasons = live.reasons_to_activate(site, release, units)
    reasons += [
        f"{difference['name']} changes"
        for difference in differences
        if difference["layer"] in ("unpack", "venv") or difference["name"] in loaded
    ]
    if not reasons and not differences:
        reasons = probe.ask(probe.wanted(site, probes))
    return [{"layer": "activate", "name": site["name"], "reasons": reasons}] if reasons else []
