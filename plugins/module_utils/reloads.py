# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""How the running services load changed objects: one entry for each value of an object's C(reload).

A new kind of reload is an entry in C(RELOADS). What it needs before and after is in reload_steps.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils import contract, live
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import atomic

Object = Mapping[str, Any]

#: The reload of nginx.
NGINX = "nginx"

#: Why a reload is due although nothing differs.
NOT_LOADED = "not reloaded since its files changed"


@dataclass(frozen=True)
class Reload:
    """How something loads changed objects."""

    #: command that must accept the changed objects; if it fails, all of them are undone
    check: tuple[str, ...] = ()
    #: command that loads them; without one, C(blogctl activate) does
    load: tuple[str, ...] = ()
    #: whether they are loaded before units are enabled and started
    before_units: bool = False
    #: path of the note, by the site's name, that exists from before a change until it is loaded
    note: Callable[[str], str] | None = None
    #: whether the difference between an object and the host's file matters to it; without it, every difference does
    concerns: Callable[[Object], bool] | None = None
    #: whether something must be loaded, by the properties of the site's units
    is_stale: Callable[[Iterable[Mapping[str, str]]], bool] | None = None
    #: path of a second note, by the site's name, of what has to end once the change is loaded (reload_steps.py)
    hold: Callable[[str], str] | None = None

    def is_needed_by(self, item: Object) -> bool:
        """Return whether a change of an object of its own has to be loaded."""
        return self.concerns is None or self.concerns(item)

    def is_pending(self, site: Object) -> bool:
        """Return whether an earlier run has changed something that is not loaded yet."""
        notes = [path(site["name"]) for path in (self.note, self.hold) if path is not None]
        return any(map(live.is_noted, notes))


def listens_differently(item: Object) -> bool:
    """Return whether a socket unit differs from the host's in more than comments and descriptions.

    To load such a change the socket stops for a moment, and connections are refused meanwhile.
    """
    return _directives(atomic.read_text(item["path"]) or "") != _directives(item["content"])


def _directives(unit: str) -> list[str]:
    lines = (line.strip() for line in unit.splitlines())
    return [line for line in lines if line and not line.startswith(("#", ";", "Description=", "Documentation="))]


def units_are_stale(units: Iterable[Mapping[str, str]]) -> bool:
    """Return whether a unit file has changed since systemd read it."""
    return any(unit.get("NeedDaemonReload") == "yes" for unit in units)


#: In the order in which they are prepared, noted and loaded.
RELOADS: dict[str, Reload] = {
    "socket": Reload(note=lambda site: contract.pending_path(site, "socket"), concerns=listens_differently),
    "app": Reload(note=lambda site: contract.pending_path(site, "activate")),
    "systemd": Reload(load=("systemctl", "daemon-reload"), before_units=True, is_stale=units_are_stale),
    NGINX: Reload(
        check=("nginx", "-t"),
        load=("systemctl", "reload-or-restart", "nginx.service"),
        note=lambda _: contract.NGINX_RELOAD,
        hold=contract.no_redirect,
    ),
}


def of(item: Object) -> list[str]:
    """Return the reloads of an object: none, one, or several."""
    found = item.get("reload") or []
    return [found] if isinstance(found, str) else list(found)


def used_by(items: Sequence[Object]) -> dict[str, list[Object]]:
    """Return the reloads that some objects need, in their order, each with its objects.

    Before they are applied: afterwards the host's files no longer show the difference.
    """
    needed = {
        name: [item for item in items if name in of(item) and reload.is_needed_by(item)]
        for name, reload in RELOADS.items()
    }
    return {name: objects for name, objects in needed.items() if objects}


def checked_by(item: Object) -> str | None:
    """Return the reload that must accept an object before it is loaded; None if there is none."""
    return next((name for name in of(item) if RELOADS[name].check), None)


def is_loaded_by_activation(item: Object) -> bool:
    """Return whether a change of an object takes effect with the next activation of a release.

    Before it is applied: afterwards the host's file no longer shows the difference.
    """
    return any(not RELOADS[name].load and RELOADS[name].is_needed_by(item) for name in of(item))


def to_load(
    site: Object, changed: Sequence[Object], units: Iterable[Mapping[str, str]], *, before_units: bool
) -> list[str]:
    """Return the reloads whose command has to run now, in their order.

    :param changed: the objects that this run has changed.
    :param units: properties of the site's units from before (P(unit.show_units)).
    :param before_units: whether those before, or those after the units are enabled and started.
    """
    used, states = {name for item in changed for name in of(item)}, list(units)
    return [
        name
        for name, reload in RELOADS.items()
        if reload.load
        and reload.before_units is before_units
        and (name in used or reload.is_pending(site) or (reload.is_stale and reload.is_stale(states)))
    ]


def unit_files(changed: Iterable[Object]) -> set[str]:
    """Return the names of the units among changed objects."""
    return {os.path.basename(item["path"]) for item in changed if "systemd" in of(item)}


def pending(site: Object) -> list[str]:
    """Return the reloads with a command of their own that an earlier run noted and did not finish."""
    return [name for name, reload in RELOADS.items() if reload.load and reload.is_pending(site)]
