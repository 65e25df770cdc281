# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a reload needs around its command: before files change, and after it has loaded them.

Only the module apply imports this: Ansible packs all imports of a module in each run, and most runs change nothing.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ansible_collections.flaskblog.hosting.plugins.module_utils import (
    address_files,
    contract,
    hold,
    issued,
    live,
    probe,
    reloads,
)
from ansible_collections.flaskblog.hosting.plugins.module_utils.reloads import Object
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import atomic, certificate

#: Seconds in which nginx must serve a site by its new scheme, or with its new certificate.
SITE_TIMEOUT = 10.0


@dataclass(frozen=True)
class Steps:
    """What one reload needs."""

    #: called before anything is changed: with the site, all objects, and the changed ones of this reload
    prepare: Callable[[Object, Sequence[Object], Sequence[Object]], None] | None = None
    #: asked once changed objects are loaded: why they do not work, or nothing; if they do not, all of them are undone
    confirm: Callable[[Object, Sequence[Object]], str | None] | None = None


def hold_addresses(site: Object, _: Sequence[Object], changed: Sequence[Object]) -> None:
    """Keep the old and the new address of the socket, so that no other account takes one meanwhile.

    :raises hold.HoldError: if another program has the new address.
    """
    for item in changed:
        hold.start(site["name"], item["path"], item["content"])


def keep_settings(site: Object, wanted: Sequence[Object], _: Sequence[Object]) -> None:
    """Copy the settings of the running process, which a failed activation restores.

    Not those that something else loads, too: nginx has loaded the new key by then, and gunicorn must read the same. The
    link that chooses the scheme is one that blogctl restores for both.
    """
    items = (item for item in wanted if "app" in reloads.of(item))
    kept = [item["path"] for item in items if item["kind"] == "link" or not reloads.checked_by(item)]
    sockets = [item for item in wanted if "socket" in reloads.of(item)]
    if any(hold.moves(item["path"], item["content"]) for item in sockets):
        # Without them, nginx would ask at the new address for a process that stays at the old one.
        kept += address_files.of(site)
    live.keep_previous(site["name"], kept)
    _keep_http(site)


def _keep_http(site: Object) -> None:
    """Let a failed activation restore HTTP for a site of an earlier role, which had no link that chooses."""
    link = site.get("scheme_link")
    if link is None or live.link_target(site) is None or os.path.lexists(link):
        return
    with contextlib.suppress(FileExistsError):
        os.symlink(f"{site['schemes']}/http", contract.settings_copy(site["name"], link))


def hold_redirects(site: Object, _: Sequence[Object], changed: Sequence[Object]) -> None:
    """Let HTTP serve pages while a site changes between HTTP and HTTPS (P(contract.no_redirect))."""
    if site.get("scheme_link") in {item["path"] for item in changed} and live.link_target(site) is not None:
        live.note(contract.no_redirect(site["name"]))
        time.sleep(contract.REDIRECT_PAUSE)


def site_problem(site: Object, changed: Sequence[Object]) -> str | None:
    """Return why nginx does not serve a site after its scheme or its certificate has changed; None if it does.

    C(nginx -t) does not find a port that nginx cannot have, and a reload then goes on with the configuration before.
    """
    if not {site.get("scheme_link"), site.get("certificate")} & {item["path"] for item in changed}:
        return None
    if live.link_target(site) is None:  # nothing was served before; the last step of the run asks the site
        return None
    return next(iter(probe.ask(probe.wanted(site, []), timeout=SITE_TIMEOUT)), None)


#: By the name of a reload.
STEPS = {
    "socket": Steps(prepare=hold_addresses),
    "app": Steps(prepare=keep_settings),
    reloads.NGINX: Steps(prepare=hold_redirects, confirm=site_problem),
}


def prepare(name: str, site: Object, wanted: Sequence[Object], changed: Sequence[Object]) -> None:
    """Do what a reload needs before anything is changed.

    :param wanted: all objects.
    :param changed: those of the reload that differ.
    :raises hold.HoldError: if another program has the app's new address.
    """
    if step := STEPS.get(name, Steps()).prepare:
        step(site, wanted, changed)


def problem(name: str, site: Object, changed: Sequence[Object]) -> str | None:
    """Return why changed objects do not work although a reload has loaded them; None if they do."""
    step = STEPS.get(name, Steps()).confirm
    return step(site, changed) if step else None


def settle(name: str, site: Object) -> None:
    """End what P(prepare) began, once the change is loaded and works, or is undone."""
    held = reloads.RELOADS[name].hold
    if held is not None and live.is_noted(held(site["name"])):
        time.sleep(contract.REDIRECT_PAUSE)
        live.clear(held(site["name"]))


def remove_unused(site: Object, wanted: Sequence[Object]) -> None:
    """Remove former certificates, once nginx has loaded the present one and serves the site with it."""
    if any(item["path"] == site.get("certificate") for item in wanted):
        certificate.prune(site["certificate"], site["certificates"])
    if "acme" not in site or site["tls"] == issued.ACME:
        return
    unused = [site["acme"], os.path.join(site["state"], issued.STATE)]
    if site["tls"] == "none" and not live.is_noted(contract.pending_path(site["name"], "activate")):
        # The site never changed to HTTPS; otherwise blogctl removes them, once it has changed back.
        unused += [site["certificate"], site["certificates"], f"{site['schemes']}/https"]
    for path in unused:
        if os.path.lexists(path):
            atomic.remove(path)
