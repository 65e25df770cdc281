"""HTTP or HTTPS: the link of a site that chooses what nginx and the app's programs read."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from ..errors import OperationError
from ..shared import contract
from ..site import Site
from . import journal, systemd

#: The names of a site's scheme directories.
SCHEMES = ("http", "https")
#: The value of flask_blog_tls of a site that has no certificate.
WITHOUT = "none"
#: The operation in the journal that lets nginx load another certificate.
CERTIFICATE = "certificate"


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
    with redirects_held(site):
        time.sleep(contract.REDIRECT_PAUSE)
        contract.replace_link(link, target)
        try_to_load(site)
        time.sleep(contract.REDIRECT_PAUSE)


@contextlib.contextmanager
def redirects_held(site: Site) -> Iterator[None]:
    """Let HTTP serve pages meanwhile (contract.no_redirect)."""
    hold = Path(contract.no_redirect(site.name))
    hold.parent.mkdir(exist_ok=True)
    hold.touch()
    try:
        yield
    finally:
        release_redirects(site)


def release_redirects(site: Site) -> None:
    """End what P(redirects_held) began."""
    Path(contract.no_redirect(site.name)).unlink(missing_ok=True)


def target_of(site: Site, name: str) -> str:
    """Return to where the link leads for one of C(SCHEMES)."""
    return str(site.path("schemes") / name)


def load() -> None:
    """Let nginx load its configuration.

    nginx tests the configuration itself, certificates included, and keeps the one before if that fails (nginx(8)).

    :raises OperationError: if it does not load it.
    """
    systemd.systemctl("reload", "nginx.service")


def try_to_load(site: Site) -> None:
    """Do the same; a failure is logged."""
    try:
        load()
    except OperationError as error:
        journal.log(site, f"nginx has not loaded its changed configuration: {error}")


def remove_unused(site: Site) -> None:
    """Remove certificates and keys of a site that is served without HTTPS, as nobody watches over them."""
    if site.settings.get("tls") != WITHOUT or link_of(site) is None or site.scheme.scheme != "http":
        return
    # The link first: nothing may lead to a certificate that is gone.
    site.path("certificate").unlink(missing_ok=True)
    shutil.rmtree(site.path("certificates"), ignore_errors=True)
    shutil.rmtree(site.path("schemes") / "https", ignore_errors=True)
