# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Compare a host with the wanted features of its hardening."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils import host
from ansible_collections.flaskblog.hosting.plugins.module_utils.hardening import facts, firewall, swap
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import registry, unit
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources.difference import Conflict, Difference, lstat

Feature = dict[str, Any]

#: Settings of sshd that make passwords useless, as C(sshd -T) prints them.
KEYS_ONLY = {"passwordauthentication": "no", "kbdinteractiveauthentication": "no", "pubkeyauthentication": "yes"}

#: Why something is removed.
UNWANTED = "not wanted any more"
NOT_LOADED = "not loaded since its files changed"
NOT_THE_RULES = "its rules in the kernel are not those that were loaded"


def filled(features: Iterable[Feature], placeholders: facts.Placeholders) -> list[Feature]:
    """Return the features with the facts of the host in the texts of their files."""
    return [
        {
            **feature,
            "objects": [
                {**item, "content": placeholders.fill(item["content"])} if "@" in item.get("content", "") else item
                for item in feature["objects"]
            ],
        }
        for feature in features
    ]


def without_impossible(features: Iterable[Feature], notes: list[str]) -> list[Feature]:
    """Return the features without what this host cannot have.

    :param notes: receives the reason.
    """
    found = []
    for feature in features:
        if feature["wanted"] and "swap" in feature and (reason := swap.impossible(feature["swap"]["path"])):
            notes.append(f"flask_blog_host_swap: no swap file was made: {reason}.")
            feature = {**feature, "wanted": False}
        found.append(feature)
    return found


def missing_packages(features: Iterable[Feature]) -> list[str]:
    """Return the packages that the wanted features lack."""
    names = {name for feature in features if feature["wanted"] for name in feature.get("packages", [])}
    return host.missing_packages(names) if names else []


def differences(
    features: Iterable[Feature], known: Mapping[str, Any], placeholders: facts.Placeholders
) -> dict[str, list[Difference]]:
    """Return how the host differs, by feature, in their order.

    :param known: the state of earlier runs (state.py).
    :raises Conflict: if something of somebody else's is in the way.
    """
    features = list(features)
    needed = {name for feature in features if feature["wanted"] for name in feature.get("packages", [])}
    units = unit.show_units({wanted["name"] for feature in features for wanted in feature.get("units", [])})
    found = {
        feature["name"]: _of(feature, known, units, placeholders)
        if feature["wanted"]
        else _left(feature, known, needed)
        for feature in features
    }
    return {name: items for name, items in found.items() if items}


def _of(
    feature: Feature, known: Mapping[str, Any], units: dict[str, dict[str, str]], placeholders: facts.Placeholders
) -> list[Difference]:
    name = feature["name"]
    compared = [registry.compare(item) for item in feature["objects"]]
    if "swap" in feature:
        compared.append(swap.compare(feature["swap"]))
    compared += [unit.compare(wanted, units.get(wanted["name"], {})) for wanted in feature.get("units", [])]
    missing = host.missing_packages(feature["packages"]) if feature.get("packages") else []
    compared += [Difference(package, ["not installed"], "absent\n", "installed\n") for package in missing]
    found = [difference for difference in compared if difference]
    if name in known["loading"]:
        found.append(Difference(name, [NOT_LOADED]))
    if name == "firewall" and not found and firewall.digest(firewall.listing()) != known["table"]:
        found.append(
            Difference("table inet flask_blog_host", [NOT_THE_RULES], "other rules\n", "the rules of the file\n")
        )
    if name == "ssh" and not found:
        found += accepts_passwords(placeholders.sshd)
    return found


def _left(feature: Feature, known: Mapping[str, Any], needed: set[str]) -> list[Difference]:
    """Return what earlier runs made for a feature that is not wanted now.

    :param needed: packages of the wanted features.
    """
    paths = [item["path"] for item in feature["objects"]]
    if "swap" in feature:
        paths.append(feature["swap"]["path"])
    left = [path for path in paths if lstat(path) is not None]
    left += [name for name in feature.get("packages", []) if name in known["packages"] and name not in needed]
    found = [Difference(name, [UNWANTED], "present\n", "absent\n") for name in left]
    if not found and feature["name"] in {*known["features"], *known["loading"]}:
        found.append(Difference(feature["name"], [UNWANTED], "present\n", "absent\n"))
    return found


def accepts_passwords(settings: Mapping[str, list[str]]) -> list[Difference]:
    """Return which of sshd's effective settings still allow a password.

    :raises Conflict: without sshd.
    """
    if not settings:
        raise Conflict(
            "flask_blog_host_ssh_keys_only: True: there is no /usr/sbin/sshd on this host. Nothing was changed. Install"
            " openssh-server, or leave the variable out."
        )
    wrong = {key: settings.get(key, ["unknown"])[0] for key, value in KEYS_ONLY.items() if settings.get(key) != [value]}
    return [
        Difference(f"sshd -T: {key}", [f"is {value}"], f"{value}\n", f"{KEYS_ONLY[key]}\n")
        for key, value in wrong.items()
    ]
