"""Lay a certificate where nginx reads it, and let nginx serve the site with it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..errors import FAILURES, OperationError, with_state
from ..host import scheme, visitors
from ..host.files import fsync
from ..host.releases import live_release
from ..release.history import recorded
from ..shared import contract, issued
from ..shared.issued import CHAIN, KEY, NOTE, Issued
from ..site import Site
from . import authority, material

#: Seconds in which nginx must show the new certificate.
SHOW_TIMEOUT = 10.0
#: Begins the name of a directory with a key whose certificate is being requested.
NEW = ".new-"
#: Characters of a directory's name, of the digest of its chain.
DIGITS = 16
MODES = {CHAIN: 0o644, KEY: 0o600, NOTE: 0o600}


def begin(site: Site, names: Sequence[str]) -> Path:
    """Make a key and the request for its certificate; return the directory with the key."""
    remove_begun(site)
    folder = Path(tempfile.mkdtemp(dir=site.path("certificates"), prefix=NEW))  # mode 0700
    request = authority.exchange(site) / authority.REQUEST
    request.unlink(missing_ok=True)
    material.make_request(folder, request, names)
    return folder


def remove_begun(site: Site) -> None:
    """Remove the keys of requests that came to nothing."""
    for folder in site.path("certificates").glob(f"{NEW}*"):
        shutil.rmtree(folder, ignore_errors=True)


def complete(site: Site, folder: Path, names: Sequence[str], now: float) -> Path:
    """Take the certificate over that the authority has issued; return its directory, which nothing reads yet.

    :raises OperationError: if it is not what was asked for.
    """
    chain = folder / CHAIN
    chain.write_text(visitors.read_small(authority.exchange(site) / authority.ISSUED), encoding="utf-8")
    try:
        found = material.inspect(folder, issued.authority(site.settings))
        material.check(found, names, now)
    except OperationError as error:
        raise OperationError(f"The certificate that the authority has issued is refused: {error}") from error
    found.write(folder)
    for name, mode in MODES.items():
        (folder / name).chmod(mode)
        fsync(folder / name)
    target = folder.with_name(found.digests[CHAIN][:DIGITS])
    shutil.rmtree(target, ignore_errors=True)
    folder.rename(target)
    fsync(target.parent)
    return target


def prepared(site: Site, names: Sequence[str], now: float) -> Path | None:
    """Return the directory of a good certificate that nothing reads yet, such as after a kill; or None."""
    found: list[tuple[int, Path]] = []
    for folder in site.path("certificates").iterdir() if site.path("certificates").is_dir() else ():
        one, problem = issued.read(folder)
        if one is None or problem or one.directory != issued.authority(site.settings) or one.renewal <= now:
            continue
        if sorted(one.names) == sorted(name.lower() for name in names) and _fits(site, folder, names, now):
            found.append((one.ends, folder))
    return max(found)[1] if found else None


def _fits(site: Site, folder: Path, names: Sequence[str], now: float) -> bool:
    try:
        material.check(material.inspect(folder, issued.authority(site.settings)), names, now)
    except OperationError:
        return False
    return True


def target_of(site: Site) -> str:
    """Return to which directory the link of the certificate leads; an empty text if there is no link."""
    link = site.path("certificate")
    return os.readlink(link) if link.is_symlink() else ""


def use(site: Site, folder: Path) -> None:
    """Lead the link to a certificate; if the site is served over HTTPS, nginx has to serve it with this one.

    The site's lock is held.

    :raises OperationError: after the certificate of before was put back.
    """
    link, before, release = site.path("certificate"), target_of(site), live_release(site)
    if site.scheme.scheme != "https":
        contract.replace_link(link, str(folder))
        return
    with recorded(site, scheme.CERTIFICATE, release, release) as entry:
        # The next run of a playbook, or the recovery, loads it if this process is killed.
        Path(contract.NGINX_RELOAD).touch()
        try:
            contract.replace_link(link, str(folder))
            scheme.load()
            if problem := visitors.problem(site, SHOW_TIMEOUT):
                raise OperationError(problem)
        except BaseException as error:
            state = _put_back(site, before)
            if isinstance(error, FAILURES):
                what = "nginx does not serve the site with its new certificate"
                raise OperationError(with_state(error, state, what)) from error
            raise
        Path(contract.NGINX_RELOAD).unlink(missing_ok=True)
        entry.details["certificate"] = folder.name
    prune(site)


def _put_back(site: Site, before: str) -> str:
    if not before or not os.path.isdir(before):
        return "There is no earlier certificate to go back to."
    contract.replace_link(site.path("certificate"), before)
    scheme.try_to_load(site)
    Path(contract.NGINX_RELOAD).unlink(missing_ok=True)
    return "The one of before was put back."


def prune(site: Site) -> None:
    """Remove all certificates but the one that is used."""
    used = target_of(site)
    for folder in site.path("certificates").iterdir() if used else ():
        if str(folder) != used:
            shutil.rmtree(folder, ignore_errors=True)


def described(found: Issued) -> str:
    """Return a certificate for people."""
    return f"{', '.join(found.names)}, by {found.issuer}, until {issued.date(found.ends)}"


def served_problem(site: Site, seconds: float = 0.0) -> str:
    """Return why visitors do not get the certificate on the disk; an empty text if they do, or over HTTP.

    :param seconds: in which the site is asked again.
    """
    return visitors.problem(site, seconds) if site.scheme.scheme == "https" else ""
