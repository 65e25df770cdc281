"""Build the virtual environment of a release again, for this host's Python and without the controller."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace

from ..errors import FAILURES, OperationError
from ..host import health, systemd
from ..host.locks import building, locked
from ..host.releases import live_release, release_manifest, release_names
from ..host.watch import Watch
from ..shared import contract
from ..shared.host import python_version
from ..shared.source.release import ENVIRONMENT, Release
from ..shared.venv import build, check, environment, make, takeover
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
    :raises OperationError: if it cannot be built, and nothing has changed then; or if the release does not serve in it,
        and the environment before was put back.
    """
    with locked(site, f"rebuild {wanted or ''}".strip()):
        systemd.start_recovery(site)
        recover_locked(site)
        live = live_release(site)
        name = wanted or live
        if name is None:
            raise OperationError(f"{site.name} has no live release; name one ('blogctl releases' lists them)")
        release = described(site, name)
        with recorded(site, "rebuild", live, name) as entry:
            outcome, links = _build(site, release)
            entry.details["environment"] = outcome.environment
            try:
                if name == live:
                    _restart(site, name)
                    outcome.serves = True
            except BaseException as error:
                state = _put_back(site, outcome, links)
                if isinstance(error, FAILURES):
                    raise OperationError(f"{error}\n{state}") from error
                raise
            finally:
                environment.remove_replaced(outcome.environment)
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


def _build(site: Site, release: Release) -> tuple[Outcome, dict[str, str]]:
    """Build a release's environment, and let each release with the same requirements use it.

    :returns: also the links that it changed, with what they led to.
    :raises OperationError: after what was built was removed.
    """
    try:
        with building(site):
            built = make.make(site.settings, release, make.TIMEOUT, lambda: None, keep_replaced=True)
    except (build.BuildError, takeover.TakeoverError, OSError, KeyError) as problem:
        raise OperationError(
            f"The environment of {release.id} cannot be built; nothing was changed.\n{problem}"
        ) from problem
    sharing = [name for name in release_names(site) if _requirements(site, name) == release.requirements]
    links: dict[str, str] = {}
    for name in sharing:
        links |= _link(replace(release, path=str(site.path("releases") / name)))
    return Outcome(release.id, release.venv_path, built.packages, sharing), links


def _requirements(site: Site, name: str) -> object:
    try:
        return release_manifest(site, name).environment.get("requirements")
    except OperationError:  # its manifest is damaged
        return None


def _link(release: Release) -> dict[str, str]:
    """Lead a release to its environment; return what its link led to if that changes.

    Only root can write to the folders of a release.
    """
    link = os.path.join(release.path, release.venv_link)
    before = os.readlink(link) if os.path.islink(link) else ""
    if before == release.venv_path:
        return {}
    contract.replace_link(link, release.venv_path)
    return {link: before} if before else {}


def _put_back(site: Site, outcome: Outcome, links: dict[str, str]) -> str:
    """Serve the live release in the environment that it had; return a sentence on whether that worked."""
    replaced = environment.put_back(outcome.environment)
    for link, before in links.items():
        contract.replace_link(link, before)
    if not replaced and not links:
        return "There is no environment to go back to; systemd keeps trying to start the release in the new one."
    try:
        start(site)
        problem = health.wait_until_served(site, outcome.release, site.settings["activation_timeout"])
    except FAILURES as error:
        problem = str(error)
    if problem:
        return f"The environment before was put back, and the release does not serve in it either: {problem}"
    return "The environment before was put back, and the release serves in it again."


def _restart(site: Site, release: str) -> None:
    """Restart the service with its new environment, and wait until it answers.

    :raises OperationError: with the cause if it does not.
    """
    watch = Watch.of(site, release, site.settings["service_unit"])
    what = f"The environment of {release} was built, and the release does not serve in it"
    try:
        start(site)
        problem = health.wait_until_served(site, release, site.settings["activation_timeout"], watch.problem)
    except OperationError as error:
        problem = str(error)
    if problem:
        raise OperationError(watch.diagnose().message(what, problem))
