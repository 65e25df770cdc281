"""Change a running site from HTTP to HTTPS once it has a certificate, without losing a request.

nginx and the app read what depends on the scheme through one link (docs/https.md). nginx loads it first, and its HTTP
serves pages until the app runs with its new settings. If anything fails or this program is killed, the site is served
by HTTP again.
"""

from __future__ import annotations

import time

from ..errors import FAILURES, OperationError, with_state
from ..host import health, scheme, systemd, visitors
from ..host.releases import live_release, live_target
from ..shared import contract
from ..shared.contract import Served
from ..site import Site
from .history import read, recorded
from .settings import keep_settings, remove_pending, restore_settings, settings_loaded
from .switch import restart, switch

#: The operation in the journal.
PROMOTE = "promote"
#: Seconds in which nginx must serve the site over HTTPS.
SITE_TIMEOUT = 10.0
#: Seconds after its first activation began in which a site is new.
NEW = 300.0


def obstacle(site: Site) -> str:
    """Return why a site cannot change to HTTPS now; an empty text if nothing stands in the way."""
    if live_target(site) is None:
        return "no release is live yet"
    if not systemd.is_active(site.settings["service_unit"]):
        return f"{site.settings['service_unit']} does not run"
    if site.pending("socket").exists():
        return "a deployment that moves the socket is not complete; run the playbook again"
    return ""


def promote(site: Site) -> None:
    """Serve a site over HTTPS, while its lock is held.

    :raises OperationError: if it cannot be; then it is served by HTTP as before.
    """
    release, target = str(live_release(site)), str(live_target(site))
    waits = site.pending("activate").exists()
    with recorded(site, PROMOTE, release, release), scheme.redirects_held(site):
        try:
            keep_settings(site)
            _serve_by_nginx(site)
            loaded = time.monotonic()
        except BaseException as error:
            state = _back(site)
            if not waits:
                remove_pending(site)
            if isinstance(error, FAILURES):
                raise OperationError(with_state(error, state, "The site cannot be served over HTTPS")) from error
            raise
        try:
            # Both lead the link back themselves if they fail.
            (restart if _is_new(site) else switch)(site, release, target)
        except BaseException:
            if not waits:
                remove_pending(site)
            raise
        settings_loaded(site)
        # A visitor who is redirected must not meet a process of nginx from before (contract.REDIRECT_PAUSE).
        time.sleep(max(0.0, loaded + contract.REDIRECT_PAUSE - time.monotonic()))


def _is_new(site: Site) -> bool:
    """Say whether the site's first release has just been started, so that few know it yet.

    Its requests may wait for a restart of the app, which takes half the time of a second instance.
    """
    done = [entry for entry in read(site) if entry.operation != PROMOTE]
    return len(done) == 1 and done[0].origin is None and done[0].succeeded and done[0].age() < NEW


def _serve_by_nginx(site: Site) -> None:
    link = scheme.link_of(site)
    assert link is not None
    contract.replace_link(link, scheme.target_of(site, "https"))
    scheme.load()
    if problem := visitors.problem(site, SITE_TIMEOUT):
        raise OperationError(
            f"{problem}. Look at what 'journalctl -u nginx' says, and whether another program has port"
            f" {site.scheme.port}"
        )


def _back(site: Site) -> str:
    """Serve by HTTP again; return a sentence on whether that worked."""
    restore_settings(site)
    problem = visitors.problem(site, SITE_TIMEOUT)
    return f"It was put back, but does not answer by HTTP: {problem}" if problem else "It is served by HTTP as before."


def settle(site: Site) -> str:
    """Undo a promotion that was killed, or complete one that had only its end to write; return what was done.

    After a boot there is nothing to undo: nginx and the app have read the same link.
    """
    restored = restore_settings(site)
    scheme.try_to_load(site)
    done = f"it is served by {site.scheme.scheme.upper()}"
    if restored and _runs_with_others(site):
        service, release = site.settings["service_unit"], str(live_release(site))
        try:
            systemd.systemctl("restart", service)
            problem = health.wait_for_instance(site, "main", release, site.settings["activation_timeout"])
        except FAILURES as error:
            problem = str(error)
        if problem:
            done += f", and does not answer: {problem}"
    remove_pending(site)
    scheme.release_redirects(site)
    return done


def _runs_with_others(site: Site) -> bool:
    """Say whether the running process has other settings than those on the disk."""
    found = systemd.properties_of(site.settings["service_unit"], "MainPID", "StatusText")
    return Served.of(found).revision != contract.settings_revision(site.settings["settings_files"])
