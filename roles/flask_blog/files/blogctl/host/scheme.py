"""HTTP or HTTPS: the link of a site that chooses what nginx and the app's programs read."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from ..errors import OperationError
from ..shared import contract
from ..site import Site
from . import journal, systemd

#: The names of a site's scheme directories.
SCHEMES = ("http", "https")
#: The value of flask_blog_tls of a site that has no certificate.
WITHOUT = "none"


def link_of(site: Site) -> Path | None:
    """Return the link; None for a site that an older role deployed."""
    found = site.settings.get("scheme_link")
    return Path(found) if found else None


def environment_files(site: Site) -> list[Path]:
    """Return the environment files of both schemes; one of them may be missing."""
    return [Path(site.settings["schemes"], name, "environment") for name in SCHEMES] if link_of(site) else []


def choose(site: Site, target: str) -> None:
    """Lead the link to one of the site's scheme directories, and let nginx load it."""
    link = link_of(site)
    if link is None or (os.path.islink(link) and os.readlink(link) == target):
        return
    # HTTP serves pages meanwhile (contract.no_redirect).
    hold = Path(contract.no_redirect(site.name))
    hold.touch()
    try:
        time.sleep(contract.REDIRECT_PAUSE)
        contract.replace_link(link, target)
        _reload_nginx(site)
        time.sleep(contract.REDIRECT_PAUSE)
    finally:
        hold.unlink(missing_ok=True)


def _reload_nginx(site: Site) -> None:
    try:
        # nginx tests its configuration itself, and keeps the one before if that fails (nginx(8)).
        systemd.systemctl("reload", "nginx.service")
    except OperationError as error:
        journal.log(site, f"nginx has not loaded whether the site is served by HTTP or HTTPS: {error}")


def remove_unused(site: Site) -> None:
    """Remove certificates and keys of a site that is served without HTTPS, as nobody watches over them."""
    if site.settings.get("tls") != WITHOUT or link_of(site) is None or site.scheme.scheme != "http":
        return
    # The link first: nothing may lead to a certificate that is gone.
    site.path("certificate").unlink(missing_ok=True)
    shutil.rmtree(site.path("certificates"), ignore_errors=True)
    shutil.rmtree(site.path("schemes") / "https", ignore_errors=True)
