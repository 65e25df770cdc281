# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Whether a site's name, and what is derived from it, is free on a host: directories, accounts, units, other sites.

The role takes over everything that has the site's name. So it refuses a name that something else has already, before
anything is changed. A first run that was interrupted is recognised by what it has made, and is completed.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import pwd
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils import beneath
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import unit
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources.difference import group_id

#: What follows a site's name in the names of its units, accounts and directories (blogctl's host/units.py).
SUFFIXES = ("-next", "-recovery", "-backup", "-command", "-rehearsal", "-run", "-build", "-data", "-hold")

#: Each site has /etc/NAME/site.json.
CONFIGURATION = "/etc"
UNITS = "/etc/systemd/system"
#: Each service has its own directory here, which belongs to the app.
RUN = "/run"
DPKG_LISTS = "/var/lib/dpkg/info/*.list"

#: A line that each of our units has; the second is what versions before the man page wrote.
UNIT_MARK = b"Documentation=man:blogctl(8)"
UNIT_MARKS = frozenset({UNIT_MARK, b"Documentation=https://github.com/flaskblog/hosting"})

#: Groups whose members can become root, or read every file.
PRIVILEGED_GROUPS = frozenset(
    {"adm", "disk", "docker", "incus-admin", "kmem", "libvirt", "lxd", "root", "shadow", "sudo"}
)

#: The most bytes of a file of settings, or of a unit, that are read.
READ_LIMIT = 2**20

ROOT = 0
#: The first uid of people's accounts (UID_MIN in Debian's /etc/login.defs).
FIRST_PERSON = 1000
NO_LOGIN = frozenset({"/usr/sbin/nologin", "/sbin/nologin", "/bin/false", "/usr/bin/false"})

#: Entries of a directory that a message names.
NAMED = 3


def problems(site: Mapping[str, Any], account: Mapping[str, Any], objects: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return all reasons why the site's name is not free on this host.

    :param account: the account of the app: C(name), C(home), C(shell), C(dedicated).
    :param objects: the managed objects, which say what is ours.
    """
    reasons = list(_collisions(site))
    if is_ours(site):
        # An account that the site did not have at its last run may be somebody's.
        known = _recorded_accounts(site)
        reasons += _accounts(site, account, known) if known else []
    else:
        managed = list(objects)
        reasons += [*_directories(site, managed), *_packages(site), *_accounts(site, account, ()), *_units(managed)]
    remedy = "Choose another flask_blog_name, or remove what stands there"
    return [f"flask_blog_name: {site['name']!r}: {reason}. {remedy}." for reason in reasons]


def group_problems(site: Mapping[str, Any]) -> Iterator[str]:
    """Refuse a group that the host does not have, or whose members can get root's rights."""
    group = site["group"]
    if group == site["user"]:
        return  # the account's own
    if group in PRIVILEGED_GROUPS:
        yield (
            f"flask_blog_group: {group!r}: its members can get root's rights, or read what only root may read. Choose"
            " another group for the blog, or leave it out."
        )
    elif group_id(group) is None:
        yield f"flask_blog_group: {group!r}: the host has no such group. Leave it out, or make the group first."


def is_ours(site: Mapping[str, Any]) -> bool:
    """Say whether a run of the role has set this site up before: all that bears its name is then the site's."""
    settings, journal = os.path.join(site["config"], "site.json"), os.path.join(site["root"], "operations.jsonl")
    if os.path.lexists(settings) or os.path.lexists(journal):
        return True
    with contextlib.suppress(OSError):
        return os.readlink(site["link"]).startswith(f"{site['releases']}/")
    return False


def _recorded_accounts(site: Mapping[str, Any]) -> set[str]:
    """Return the accounts of the site's last run, as its settings say; nothing if they cannot be read."""
    found = _read_settings(os.path.join(site["config"], "site.json"))
    return {str(found[key]) for key in ("user", "build_user") if key in found}


def _read_settings(path: str) -> dict[str, Any]:
    """Return the settings of a site; nothing if the file is missing, damaged or another program's."""
    try:
        found = json.loads(beneath.read_small(os.path.dirname(path), os.path.basename(path), READ_LIMIT))
    except (OSError, ValueError, RecursionError, beneath.Blocked):
        return {}
    return found if isinstance(found, dict) and isinstance(found.get("name"), str) else {}


# -- other sites ----------------------------------------------------------------------------------------------------


def _collisions(site: Mapping[str, Any]) -> Iterator[str]:
    mine = _derived(site)
    for other in _other_sites(site["name"]):
        theirs = _derived(other)
        # Two sites may share an account on purpose (flask_blog_user), but never one that builds environments.
        theirs |= {str(other.get("user"))}
        shared = (mine & theirs) | ({site["user"]} & {other.get("build_user")})
        if shared:
            yield (
                f"the site {other['name']!r} of this host has units or accounts called"
                f" {', '.join(sorted(map(repr, shared)))}, too"
            )


def _derived(site: Mapping[str, Any]) -> set[str]:
    """Return the names of units and accounts that a site's name stands for."""
    names = {f"{site['name']}{suffix}" for suffix in ("", *SUFFIXES)}
    return names | {str(site["build_user"])} if site.get("build_user") else names


def _other_sites(name: str) -> Iterator[dict[str, Any]]:
    """Yield the settings of the other sites of this host, as far as they can be read."""
    for path in sorted(glob.glob(f"{CONFIGURATION}/*/site.json")):
        found = _read_settings(path)
        if found and found["name"] != name:
            yield found


# -- a first run ----------------------------------------------------------------------------------------------------


def _directories(site: Mapping[str, Any], objects: list[Mapping[str, Any]]) -> Iterator[str]:
    paths = [str(item["path"]) for item in objects] + [str(value) for value in site.values()]
    for folder in (site["config"], site["root"]):
        known = {os.path.relpath(path, folder).partition("/")[0] for path in paths if path.startswith(f"{folder}/")}
        strange = [name for name in _entries(folder) if not _is_known(name, known)]
        if strange:
            shown = ", ".join(strange[:NAMED]) + (" ..." if len(strange) > NAMED else "")
            yield f"{folder} is there and holds what this role did not put there ({shown})"
        elif _entries(folder) and _owner(folder) != ROOT:
            yield f"{folder} is there and does not belong to root"
    for key in ("data", "cache"):
        folder = site.get(key)
        mine = {ROOT, *filter(None, (_uid(site["user"]), _uid(str(site.get("build_user")))))}
        if folder and _entries(folder) and _owner(folder) not in mine:
            yield f"{folder} is there and belongs to another account"
    folder = f"{RUN}/{site['name']}"
    if _owner(folder) not in (None, _uid(site["user"])):
        yield f"{folder} is there and belongs to something that runs"


def _entries(folder: str) -> list[str]:
    """Return the names in a directory, sorted; a file or a link in its place is its own object's to refuse."""
    try:
        descriptor = beneath.open_directory(folder)
    except (FileNotFoundError, NotADirectoryError, beneath.Blocked):
        return []
    try:
        return sorted(os.listdir(descriptor))
    finally:
        os.close(descriptor)


def _is_known(name: str, known: Iterable[str]) -> bool:
    """Say whether an entry is ours: a known one, or what is left of a write that was interrupted."""
    return any(name == one or name.startswith(f".{one}.") for one in known)


def _owner(path: str) -> int | None:
    """Return whose a directory is; None if there is none."""
    try:
        return os.lstat(path).st_uid
    except FileNotFoundError:
        return None


def _uid(name: str) -> int | None:
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(name).pw_uid
    return None


def _packages(site: Mapping[str, Any]) -> Iterator[str]:
    """Name the Debian packages that have a directory of the site's name."""
    mine = {str(site[key]).encode() for key in ("config", "root", "data", "cache", "backups", "link") if key in site}
    ending = f"/{site['name']}\n".encode()
    for path in sorted(glob.glob(DPKG_LISTS)):
        with open(path, "rb") as handle:
            content = handle.read()
        if ending in content and (taken := mine.intersection(content.split(b"\n"))):
            package = os.path.basename(path).removesuffix(".list").partition(":")[0]
            yield f"the package {package} has {', '.join(sorted(one.decode() for one in taken))}"


def _accounts(site: Mapping[str, Any], account: Mapping[str, Any], known: Iterable[str]) -> Iterator[str]:
    """Refuse accounts that are somebody's; ours cannot log in and have a system account's uid.

    :param known: accounts that are ours, which are corrected if they were changed.
    """
    ours = {str(site["build_user"]): None} if site.get("build_user") else {}
    if account.get("dedicated"):
        ours[account["name"]] = account["home"]
    for name, home in ours.items():
        if name in known:
            continue
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            if group_id(name) is not None:
                yield f"the host has a group {name} without an account of that name; the app would become its member"
            continue
        is_system = found.pw_uid < FIRST_PERSON and found.pw_shell in NO_LOGIN
        if not is_system or home not in (None, found.pw_dir):
            yield (
                f"the host has an account {name} that is not this role's (uid {found.pw_uid}, home {found.pw_dir},"
                f" shell {found.pw_shell}); to run the blog as this account as it is, name it in flask_blog_user and"
                " the blog differently"
            )


def _units(objects: list[Mapping[str, Any]]) -> Iterator[str]:
    """Refuse units that somebody else has under a name of ours, an alias such as C(sshd.service) included."""
    wanted = [os.path.basename(item["path"]) for item in objects if os.path.dirname(item["path"]) == UNITS]
    for found in unit.show_units(wanted).values():
        path = found.get("FragmentPath", "")
        if path and not _is_our_unit(path):
            yield f"the host has a unit {found['Id']} that is not this role's ({path})"


def _is_our_unit(path: str) -> bool:
    if os.path.dirname(path) != UNITS:
        return False
    try:
        lines = beneath.read_small(UNITS, os.path.basename(path), READ_LIMIT).splitlines()
        return not UNIT_MARKS.isdisjoint(lines)
    except FileNotFoundError:
        return True  # removed since systemd read it
    except beneath.Blocked:
        return False
