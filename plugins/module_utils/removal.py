# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Remove a site from its host: what the role has created there, as the host itself has recorded it.

Each step looks at what is there, so a second removal finds nothing, and one that was killed goes on. The settings of
the site (C(site.json)) are removed last. Its data, backups and certificates are kept without consent.
"""

from __future__ import annotations

import contextlib
import functools
import glob
import os
import pwd
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils import (
    beneath,
    contract,
    live,
    managed_state,
    names,
    removal_files,
    tree_removal,
)
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import atomic, registry, unit
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources.difference import lstat

NGINX = "/etc/nginx"
PROGRAM = "/usr/sbin/nginx"
#: Kinds of units, in the order in which they are stopped.
KINDS = ("timer", "socket", "service")
SNIPPETS = ("http", "server", "location")
STAMPS = "/var/lib/systemd/timers"
TOOL = "/usr/local/lib/flask-blog-hosting"
#: Of the challenges of certificate authorities; the role flaskblog.hosting.host has files beside them.
SHARED_STATE = "/var/lib/flask-blog-hosting"
#: What the host's runs have applied for all sites.
RECORD = managed_state.HOST_RECORD
#: What makes a file in nginx's conf.d one of the role's.
CATCH_ALL = re.compile(r"unknown-(quic-)?hosts-\d{1,5}\.conf")

Object = Mapping[str, Any]
#: Runs a command and returns its exit status and its output.
Run = Callable[..., tuple[int, str]]


class Failure(Exception):
    """A step failed; the message says which, and what state the site is in."""


@dataclass(frozen=True)
class Consent:
    """What is removed beyond what a new run of the role would create again."""

    data: bool = False
    backups: bool = False
    certificates: bool = False


@dataclass(frozen=True)
class Step:
    """Something to remove: C(what) it is, for people, and how it is done."""

    what: str
    do: Callable[[], None]


class Removal:
    """The removal of one site.

    :param site: its names and paths; what the host has recorded takes precedence over the controller's.
    :param shared: managed objects of what all sites of the host share.
    """

    def __init__(self, site: Object, consent: Consent, shared: Iterable[Object], run: Run) -> None:
        recorded = live.installed_settings(site)
        self.site = {**site, **(recorded if recorded.get("name") == site["name"] else {})}
        self.name = str(site["name"])
        self.consent = consent
        self.is_last = not names.settings_of_others(self.name)
        self._shared = list(shared) if self.is_last else []
        self._run = run

    # -- what there is --------------------------------------------------------------------------------------------

    def steps(self) -> Iterator[Step]:
        """Yield what is there to be removed, in this order: visitors first, the settings last."""
        yield from self._nginx()
        yield from self._units()
        for path in self._files():
            yield Step(path, functools.partial(atomic.remove, path))
        for path in self._trees():
            yield Step(path, functools.partial(tree_removal.remove_tree, path))
        for account in self._accounts():
            yield Step(f"the account {account}", functools.partial(self._must, "userdel", account))
        yield from self._settings()
        yield from self._tool()

    def kept(self) -> dict[str, list[str]]:
        """Return what stays, by the variable that removes it."""
        site, consent = self.site, self.consent
        data = [site["data"], site["environment"]] if not consent.data and _is_there(site["data"]) else []
        groups = {
            "data": data,
            # Without what opens them, copies in another place are lost.
            "backups": [] if consent.backups else [site["backups"], *([site["offsite"]] if "offsite" in site else [])],
            "certificates": [] if consent.certificates else [site["certificates"], site["acme"]],
        }
        found = {name: [path for path in paths if _is_there(path)] for name, paths in groups.items()}
        return {name: paths for name, paths in found.items() if paths}

    # -- nginx ----------------------------------------------------------------------------------------------------

    def _nginx(self) -> Iterator[Step]:
        links = [f"{NGINX}/sites-enabled/{self.name}.conf", f"{NGINX}/sites-available/{self.name}.conf"]
        paths = [path for path in links if os.path.lexists(path)]
        if self.is_last:
            folder = f"{NGINX}/conf.d"
            found = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
            paths += [os.path.join(folder, name) for name in found if CATCH_ALL.fullmatch(name)]
        settings = [item for item in self._shared if item["kind"] == "setting" and removal_files.is_set(item)]
        if paths or settings or live.is_noted(contract.NGINX_RELOAD):
            shown = ", ".join([*paths, *(item["path"] for item in settings)]) or "not reloaded yet"
            yield Step(f"nginx's configuration ({shown})", functools.partial(self._leave_nginx, paths, settings))

    def _leave_nginx(self, paths: list[str], settings: list[Object]) -> None:
        """Take the site out of nginx, unless nginx then refuses its configuration.

        :raises Failure: with nginx's own words; everything is as before.
        """
        undo = [atomic.undo_of(path) for path in [*paths, *(item["path"] for item in settings)]]
        live.note(contract.NGINX_RELOAD)
        for path in paths:
            atomic.remove(path)
        for item in settings:
            registry.remove(item)
        if not os.path.exists(PROGRAM):
            live.clear(contract.NGINX_RELOAD)
            return
        status, output = self._run("nginx", "-t")
        if status:
            for step in reversed(undo):
                step()
            raise Failure(
                f"nginx refuses its configuration without {self.name}, so nothing was removed, and the site serves as"
                f" before. Correct the file that it names, and run again:\n{output}"
            )
        if unit.show_units(["nginx.service"]).get("nginx.service", {}).get("ActiveState") == "active":
            self._must("systemctl", "reload", "nginx.service")
        live.clear(contract.NGINX_RELOAD)

    # -- units ----------------------------------------------------------------------------------------------------

    def _units(self) -> Iterator[Step]:
        files = sorted(path for path in os.listdir(names.UNITS) if self._is_own_unit(path))
        bases = [self.name, *(f"{self.name}{suffix}" for suffix in names.SUFFIXES)]
        known = {*files, *(f"{base}.{end}" for base in bases for end in KINDS)}
        states = unit.show_units(sorted(name for name in known if "@" not in name))
        running = [
            name for name, found in states.items() if found.get("ActiveState") not in ("inactive", "failed", None)
        ]
        stale = [name for name, found in states.items() if found.get("NeedDaemonReload") == "yes"]
        if files or running or stale:
            shown = ", ".join(sorted({*files, *running, *stale}))
            yield Step(f"units ({shown})", functools.partial(self._remove_units, files, running))

    def _is_own_unit(self, file: str) -> bool:
        base, _, end = file.rpartition(".")
        if end not in KINDS or not base.startswith(self.name):
            return False
        if base[len(self.name) :].removesuffix("@") not in ("", "-notify", *names.SUFFIXES):
            return False
        try:
            text = beneath.read_small(names.UNITS, file, names.READ_LIMIT)
        except (OSError, beneath.Blocked):
            return False
        return not names.UNIT_MARKS.isdisjoint(text.splitlines())

    def _remove_units(self, files: list[str], running: list[str]) -> None:
        """Stop units, those that start others first, and remove their files.

        :raises Failure: if one cannot be stopped.
        """
        order = sorted(running, key=lambda name: KINDS.index(name.rpartition(".")[2]))
        # Commands that people run, and messages: both have any number of units.
        patterns = [f"{self.name}-run-*.service", f"{self.name}-notify*@*.service"]
        self._must("systemctl", "stop", *order, *patterns)
        plain = [name for name in files if "@" not in name]
        if plain:
            self._must("systemctl", "disable", *plain)
        for name in files:
            atomic.remove(os.path.join(names.UNITS, name))
        self._must("systemctl", "daemon-reload")
        self._run("systemctl", "reset-failed", f"{self.name}.*", *files, *patterns)

    # -- files, directories, accounts -----------------------------------------------------------------------------

    def _files(self) -> list[str]:
        """Return the files outside of the site's own directories."""
        site = self.site
        link = site["link"]
        prefix = f"{NGINX}/flask-blog-hosting.{self.name}."
        found = [
            *([link] if os.path.islink(link) else []),
            f"{prefix}htpasswd",
            *(
                f"{NGINX}/snippets/flask-blog-hosting.{self.name}.{place}.conf"
                for place in ("http", "server", "location")
            ),
            *(path for log in (site["access_log"], site["error_log"]) for path in removal_files.rotated(log)),
            *glob.glob(f"{STAMPS}/stamp-{self.name}-*.timer"),
        ]
        own = re.compile(rf"stamp-{self.name}({'|'.join(map(re.escape, names.SUFFIXES))})\.timer")
        return [
            path
            for path in found
            if os.path.lexists(path) and (not path.startswith(STAMPS) or own.fullmatch(os.path.basename(path)))
        ]

    def _trees(self) -> list[str]:
        site, consent = self.site, self.consent
        # A build that was killed has left the second one of the cache.
        wanted = [
            site["root"],
            site["cache"],
            f"{site['cache']}.tmp",
            *([site["offsite_cache"]] if "offsite_cache" in site else []),
        ]
        if consent.data:
            self._refuse_foreign_data()
            wanted.append(site["data"])
        wanted += [site["backups"]] if consent.backups else []
        return [path for path in wanted if _is_there(path)]

    def _refuse_foreign_data(self) -> None:
        """Refuse to remove data that nothing shows to be the site's.

        :raises Failure: naming the directory.
        """
        owner = _owner(self.site["data"])
        if owner is None or os.path.lexists(self.site["site_json"]):
            return
        with contextlib.suppress(KeyError):
            if owner in (0, pwd.getpwnam(self.site["user"]).pw_uid):
                return
        raise Failure(
            f"{self.site['data']} does not belong to the account {self.site['user']}, and the host has no settings of"
            f" {self.name} that say otherwise. Nothing was removed. Look at it, and remove it by hand."
        )

    def _accounts(self) -> Iterator[str]:
        """Yield the accounts that the role made and that nothing needs; data that is kept keeps its owner."""
        site = self.site
        if _is_system_account(site["build_user"], "/nonexistent"):
            yield site["build_user"]
        keeps_data = not self.consent.data and _is_there(site["data"])
        others = {str(found.get("user")) for found in names.settings_of_others(self.name)}
        is_own = site["user"] == self.name and site["user"] not in others
        if is_own and not keeps_data and _is_system_account(site["user"], site["data"]):
            yield site["user"]

    def _settings(self) -> Iterator[Step]:
        """Yield the directory of the settings, less what is kept in it, and what is in /run."""
        folder = self.site["config"]
        keeps = [path for paths in self.kept().values() for path in paths]
        keeps += [self.site["certificate"]] if self.site["certificates"] in keeps else []
        found = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        paths = [os.path.join(folder, name) for name in found]
        paths = [path for path in paths if path not in keeps]
        paths.sort(key=lambda path: path == self.site["site_json"])
        if paths or (not found and os.path.isdir(folder)):
            yield Step(
                f"{folder} ({', '.join(map(os.path.basename, paths))})",
                functools.partial(removal_files.remove_entries, folder, paths),
            )
        notes = [path for path in glob.glob(f"{contract.RUNTIME}/{self.name}.*") if os.path.lexists(path)]
        if notes:
            yield Step(f"{contract.RUNTIME}/{self.name}.*", functools.partial(removal_files.remove_all, notes))

    # -- what all sites share -------------------------------------------------------------------------------------

    def _tool(self) -> Iterator[Step]:
        """Yield blogctl and the directories of all sites, once the last site of the host is gone."""
        if not self.is_last:
            return
        objects = [item for item in registry.removal_order(self._shared) if item["kind"] in ("file", "directory")]
        files = [item for item in objects if item["kind"] == "file" and "@" not in item["path"] and lstat(item["path"])]
        trees = [TOOL, RECORD, f"{SHARED_STATE}/challenges", f"{NGINX}/flask-blog-hosting", contract.RUNTIME]
        trees = [path for path in trees if os.path.lexists(path)]
        folders = [SHARED_STATE, os.path.dirname(self.site["cache"])]
        if files or trees:
            do = functools.partial(self._remove_shared, files, trees, folders, objects)
            yield Step("blogctl, and what all blogs of the host share", do)

    def _remove_shared(self, files: list[Object], trees: list[str], folders: list[str], objects: list[Object]) -> None:
        for item in files:
            registry.remove(item)
        for path in trees:
            (atomic.remove if path == RECORD else tree_removal.remove_tree)(path)
        for path in [*folders, *(item["path"] for item in objects if item["kind"] == "directory")]:
            with contextlib.suppress(OSError):
                os.rmdir(path)
        if any(item["path"].startswith(names.UNITS) for item in files):
            self._must("systemctl", "daemon-reload")

    def _must(self, *command: str) -> None:
        status, output = self._run(*command)
        if status:
            raise Failure(
                f"'{' '.join(command)}' failed: {output or f'status {status}'}. What comes after it was not removed."
                " Correct the cause, and run again: it goes on where it ended."
            )


def _owner(path: str) -> int | None:
    """Return the owner of a site's directory, which lies in a directory of root's; None if it does not exist."""
    try:
        return os.lstat(path).st_uid
    except FileNotFoundError:
        return None


def _is_there(path: str) -> bool:
    return _owner(path) is not None


def _is_system_account(name: str, home: str) -> bool:
    """Return whether an account is as the role makes it."""
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        return False
    return found.pw_dir == home and 0 < found.pw_uid < names.FIRST_PERSON and found.pw_shell in names.NO_LOGIN
