# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Check that a site's name is not in use on a host: by directories, accounts, units, packages or other sites.

The role manages everything with the site's name, so a name that is in use is refused before anything is changed. An
interrupted first run is recognised by the files that it created, and is completed.
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

#: Suffixes of a site's name in the names of its units, accounts and directories (blogctl's host/units.py).
SUFFIXES = (
    *("-next", "-recovery", "-backup", "-command", "-rehearsal", "-run", "-build", "-data", "-hold"),
    *("-proof", "-certificate", "-certificate-retry", "-certbot", "-offsite"),
    *("-notify-check", "-notify-ping", "-notify-ping-fail", "-notify-ping-start", "-notify-recovered"),
)

#: Each site has /etc/NAME/site.json.
CONFIGURATION = "/etc"
UNITS = "/etc/systemd/system"
#: The app owns its service's directory here.
RUN = "/run"
DPKG_LISTS = "/var/lib/dpkg/info/*.list"

#: A line of each managed unit. The second form is from versions without the man page.
UNIT_MARK = b"Documentation=man:blogctl(8)"
UNIT_MARKS = frozenset({UNIT_MARK, b"Documentation=https://github.com/flaskblog/hosting"})

#: Groups whose members can become root, or read every file.
PRIVILEGED_GROUPS = frozenset(
    {"adm", "disk", "docker", "incus-admin", "kmem", "libvirt", "lxd", "root", "shadow", "sudo"}
)

#: Maximum size in bytes of settings and units.
READ_LIMIT = 2**20

ROOT = 0
#: The first uid of login accounts (UID_MIN in Debian's /etc/login.defs).
FIRST_PERSON = 1000
NO_LOGIN = frozenset({"/usr/sbin/nologin", "/sbin/nologin", "/bin/false", "/usr/bin/false"})

#: Maximum number of a directory's entries in a message.
NAMED = 3


def problems(site: Mapping[str, Any], account: Mapping[str, Any], objects: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return all reasons why the site's name cannot be used on this host.

    :param account: the account of the app: C(name), C(home), C(shell), C(dedicated).
    :param objects: the managed objects.
    """
    reasons = list(_collisions(site))
    if is_ours(site):
        # An account that the last run did not use may belong to something else.
        known = _recorded_accounts(site)
        reasons += _accounts(site, account, known) if known else []
    else:
        managed = list(objects)
        reasons += [*_directories(site, managed), *_files(site, managed), *_packages(site)]
        reasons += [*_accounts(site, account, ()), *_units(managed)]
    remedy = "Choose another flask_blog_name, or remove what stands there"
    return [f"flask_blog_name: {site['name']!r}: {reason}. {remedy}." for reason in reasons]


def group_problems(site: Mapping[str, Any]) -> Iterator[str]:
    """Yield an error for a group that does not exist, or that is privileged."""
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
    """Return whether an earlier run set this site up; everything with its name then belongs to it."""
    if os.path.lexists(site["site_json"]) or os.path.lexists(site["operations"]):
        return True
    with contextlib.suppress(OSError):
        return os.readlink(site["link"]).startswith(f"{site['releases']}/")
    return False


def _recorded_accounts(site: Mapping[str, Any]) -> set[str]:
    """Return the accounts in the site's settings; empty if they cannot be read."""
    found = _read_settings(site["site_json"])
    return {str(found[key]) for key in ("user", "build_user") if key in found}


def _read_settings(path: str) -> dict[str, Any]:
    """Return the settings of a site; empty if the file is missing, damaged or another program's."""
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
        # Two sites may share an app account (flask_blog_user), but never a build account.
        theirs |= {str(other.get("user"))}
        shared = (mine & theirs) | ({site["user"]} & {other.get("build_user")})
        if shared:
            yield (
                f"the site {other['name']!r} of this host has units or accounts called"
                f" {', '.join(sorted(map(repr, shared)))}, too"
            )


def _derived(site: Mapping[str, Any]) -> set[str]:
    """Return the names of a site's units and accounts."""
    names = {f"{site['name']}{suffix}" for suffix in ("", *SUFFIXES)}
    return names | {str(site["build_user"])} if site.get("build_user") else names


def _other_sites(name: str) -> Iterator[dict[str, Any]]:
    """Yield the settings of the other sites of this host that can be read."""
    for path in sorted(glob.glob(f"{CONFIGURATION}/*/site.json")):
        found = _read_settings(path)
        if found and found["name"] != name:
            yield found


def settings_of_others(name: str) -> list[dict[str, Any]]:
    """Return the settings of the other sites of this host that can be read."""
    return list(_other_sites(name))


def settings_called(name: str) -> dict[str, Any] | None:
    """Return the settings of the site of this host with a name; None if there is none that can be read."""
    return next((found for found in _other_sites("") if found["name"] == name), None)


# -- a first run ----------------------------------------------------------------------------------------------------


def _directories(site: Mapping[str, Any], objects: list[Mapping[str, Any]]) -> Iterator[str]:
    paths = [str(item["path"]) for item in objects] + [str(value) for value in site.values()]
    for folder in (site["config"], site["root"]):
        known = {os.path.relpath(path, folder).partition("/")[0] for path in paths if path.startswith(f"{folder}/")}
        unknown = [name for name in _entries(folder) if not _is_known(name, known)]
        if unknown:
            shown = ", ".join(unknown[:NAMED]) + (" ..." if len(unknown) > NAMED else "")
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


def _files(site: Mapping[str, Any], objects: list[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a reason for each file or link of somebody else with the site's name, such as a site of nginx.

    Those in the site's own folders and units are looked at elsewhere.
    """
    if os.path.islink(site["link"]):
        yield f"{site['link']} is there and leads to {os.readlink(site['link'])}"
    own = tuple(f"{site[key]}/" for key in ("config", "root", "data", "cache", "backups") if key in site)
    for item in objects:
        path = str(item["path"])
        if item.get("scope") != "site" or path.startswith(own) or os.path.dirname(path) == UNITS:
            continue
        if item["kind"] == "link" and os.path.islink(path) and os.readlink(path) != item["target"]:
            yield f"{path} is there and leads to {os.readlink(path)}"
        elif item["kind"] == "file" and os.path.lexists(path) and not _is_our_file(site, path):
            yield f"{path} is there and is not this role's"


def _is_our_file(site: Mapping[str, Any], path: str) -> bool:
    """Return whether a file refers to the site's own settings, as one that an earlier site of this name left does."""
    try:
        content = beneath.read_small(os.path.dirname(path), os.path.basename(path), READ_LIMIT)
    except (OSError, beneath.Blocked):
        return False
    return f"{site['config']}/".encode() in content


def _entries(folder: str) -> list[str]:
    """Return the names in a directory, sorted. The object of the path refuses a file or a link there."""
    try:
        descriptor = beneath.open_directory(folder)
    except (FileNotFoundError, NotADirectoryError, beneath.Blocked):
        return []
    try:
        return sorted(os.listdir(descriptor))
    finally:
        os.close(descriptor)


def _is_known(name: str, known: Iterable[str]) -> bool:
    """Return whether an entry is managed, or is the temporary file of an interrupted write."""
    return any(name == one or name.startswith(f".{one}.") for one in known)


def _owner(path: str) -> int | None:
    """Return the owner's uid of a directory; None if it does not exist."""
    try:
        return os.lstat(path).st_uid
    except FileNotFoundError:
        return None


def _uid(name: str) -> int | None:
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(name).pw_uid
    return None


def _packages(site: Mapping[str, Any]) -> Iterator[str]:
    """Yield the Debian packages that own a directory with the site's name."""
    mine = {str(site[key]).encode() for key in ("config", "root", "data", "cache", "backups", "link") if key in site}
    ending = f"/{site['name']}\n".encode()
    for path in sorted(glob.glob(DPKG_LISTS)):
        with open(path, "rb") as handle:
            content = handle.read()
        if ending in content and (taken := mine.intersection(content.split(b"\n"))):
            package = os.path.basename(path).removesuffix(".list").partition(":")[0]
            yield f"the package {package} has {', '.join(sorted(one.decode() for one in taken))}"


def _accounts(site: Mapping[str, Any], account: Mapping[str, Any], known: Iterable[str]) -> Iterator[str]:
    """Yield a reason for each account that is not the role's: one that can log in, or has no system uid.

    :param known: accounts of the role, which are corrected instead.
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
    """Yield a reason for each unit or alias, such as C(sshd.service), that is not the role's."""
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
