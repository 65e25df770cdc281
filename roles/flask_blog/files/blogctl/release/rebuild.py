"""Build the virtual environment of a release again, for this host's Python and without the controller."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace

from ..errors import OperationError
from ..host import health
from ..host.locks import building, locked
from ..host.releases import live_release, release_manifest, release_names
from ..shared import contract
from ..shared.host import python_version
from ..shared.source.release import ENVIRONMENT, Release
from ..shared.venv import build, check, make, takeover
from ..site import Site
from .history import recorded
from .recovery import recover_locked
from .settings import settings_loaded
from .switch import start


@dataclass
class Outcome:
    """The result of a rebuild."""

    release: str
    environment: str
    packages: list[str]
    #: releases that use the environment now, this one included
    releases: list[str] = field(default_factory=list)
    #: whether it is live, and serves in its new environment
    serves: bool = False


def rebuild(site: Site, wanted: str | None) -> Outcome:
    """Build the environment of a release again, and restart the service if it is live.

    The new environment is complete before it replaces the one before. Other releases with the same requirements share
    it.

    :param wanted: a release; None for the live one.
    :raises OperationError: if it cannot be built, and nothing has changed then; or if the release does not serve in it.
    """
    with locked(site, f"rebuild {wanted or ''}".strip()):
        recover_locked(site)
        live = live_release(site)
        name = wanted or live
        if name is None:
            raise OperationError(f"{site.name} has no live release; name one ('blogctl releases' lists them)")
        release = described(site, name)
        with recorded(site, "rebuild", live, name) as entry:
            outcome = _build(site, release)
            entry.details["environment"] = outcome.environment
            if name == live:
                _restart(site, name)
                outcome.serves = True
    if outcome.serves:
        settings_loaded(site)
    return outcome


def described(site: Site, name: str) -> Release:
    """Return a release with the path of the environment that it needs on this host.

    :raises OperationError: if an older version of the collection unpacked it, which did not note what to build.
    """
    manifest = release_manifest(site, name)
    if missing := [key for key in ENVIRONMENT if key not in manifest.environment]:
        raise OperationError(
            f"the manifest of {name} does not say what its environment is built from (it lacks {', '.join(missing)}):"
            " an older version of the collection unpacked it. Nothing was changed. Run playbooks/site.yml from the"
            " controller, which builds the environment as well."
        )
    path = site.path("releases") / name
    return check.complete(
        Release(
            id=name,
            digest=manifest.digest,
            path=str(path),
            app_path=os.path.normpath(path / manifest.app_dir),
            source_root=manifest.source_root,
            links={},
            served=[],
            **manifest.environment,
        ),
        str(site.path("venvs")),
        python_version(),
    )


def _build(site: Site, release: Release) -> Outcome:
    """Build a release's environment, and let each release with the same requirements use it.

    :raises OperationError: after what was built was removed.
    """
    try:
        with building(site):
            built = make.make(site.settings, release, make.TIMEOUT, lambda: None)
    except (build.BuildError, takeover.TakeoverError, OSError, KeyError) as problem:
        raise OperationError(
            f"The environment of {release.id} cannot be built; nothing was changed.\n{problem}"
        ) from problem
    sharing = [name for name in release_names(site) if _requirements(site, name) == release.requirements]
    for name in sharing:
        _link(site, replace(release, path=str(site.path("releases") / name)))
    return Outcome(release.id, release.venv_path, built.packages, sharing)


def _requirements(site: Site, name: str) -> object:
    try:
        return release_manifest(site, name).environment.get("requirements")
    except OperationError:  # its manifest is damaged
        return None


def _link(site: Site, release: Release) -> None:
    """Lead a release to its environment. Only root can write to the folders of a release."""
    link = os.path.join(release.path, release.venv_link)
    if not os.path.islink(link) or os.readlink(link) != release.venv_path:
        contract.replace_link(link, release.venv_path)


def _restart(site: Site, release: str) -> None:
    """Restart the service with its new environment, and wait until it answers.

    :raises OperationError: if it does not.
    """
    start(site)
    if problem := health.wait_until_served(site, release, site.settings["activation_timeout"]):
        raise OperationError(
            f"The environment of {release} was built, and the release does not serve in it: {problem}\n"
            f"systemd keeps trying. 'blogctl --site {site.name} logs' shows the app's own words."
        )
