# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Make a virtual environment: build it as the build account, give it to root, put it in place.

The module venv and C(blogctl rebuild) share this file. What it imports is linked into blogctl as well.
"""

from __future__ import annotations

import json
import os
import pwd
import sys
import tarfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

from .. import cage, host
from ..contract import INCOMPLETE
from ..source.release import Release
from . import build, build_program, check, environment, pip_settings, takeover

PYTHON = "/usr/bin/python3"

#: The wheels that Debian's ensurepip installs from (packages python3-pip-whl and python3-setuptools-whl).
WHEELS = Path("/usr/share/python-wheels")

#: A copy of the release in the environment, kept if pip needs it after the installation.
SOURCE = "source"

#: End of the name of the directory that pip leaves for each distribution.
DISTRIBUTION = ".dist-info"

#: Seconds that a build may take until it is ended with all its processes.
TIMEOUT = 1800

#: Seconds to wait for other processes of the build account, such as Git's for another run.
OTHERS_TIMEOUT = 120


class Built(NamedTuple):
    """What a build installed (C(name-version)), and what the takeover removed."""

    packages: list[str]
    removed: list[str]


def wheels() -> list[str]:
    """Return the wheels to install into a new environment; none if Debian's are missing."""
    names = ["pip"] if sys.version_info >= (3, 12) else ["pip", "setuptools"]
    found = [str(wheel) for name in names for wheel in sorted(WHEELS.glob(f"{name}-*.whl"))[-1:]]
    return found if len(found) == len(names) else []


def plan(site: Mapping[str, Any], release: Release) -> dict[str, Any]:
    """Return the input of the program in the unit (module_utils/venv/build_program.py)."""
    folder = release.venv_path
    source = os.path.normpath(f"{folder}/{SOURCE}/{release.app_dir}")
    pip = [f"{folder}/bin/python", "-m", "pip", "install"]
    fallback = None
    if release.is_project and release.dependencies is not None:
        # Some apps name a build system and cannot be built, as they were never meant to be packages. Their code comes
        # from the release anyway, so their dependencies are enough.
        fallback = [*pip, *release.dependencies, *release.packages]
    return {
        "folder": folder,
        "wheels": wheels(),
        "source": f"{folder}/{SOURCE}",
        "keep_source": release.keep_source,
        "cwd": source,
        "environment": build.environment(site["cache"], environment.temporary(site["cache"]))
        | {
            "PIP_CACHE_DIR": f"{site['cache']}/pip",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_INPUT": "1",
            "PIP_PROGRESS_BAR": "off",
        },
        "steps": [[*pip, *step] for step in install_arguments(release, source)],
        "fallback": fallback,
    }


def install_arguments(release: Release, source: str) -> list[list[str]]:
    """Return the arguments of each call of pip.

    One call resolves everything together. With hashes in the requirements, pip refuses packages without one, so our own
    additions get a second call.
    """
    file = os.path.normpath(os.path.join(source, release.requirements_file))
    if release.is_project:
        wanted = [os.path.dirname(file)]
    elif release.dependencies is not None:
        wanted = list(release.dependencies)
    else:
        wanted = ["--requirement", file]
    if release.hashed:
        return [wanted, list(release.packages)]
    return [[*wanted, *release.packages]]


def feed(stream: IO[bytes], todo: dict[str, Any], release: str) -> None:
    """Write the plan, and the release as a tar archive, since the build account cannot read the release."""
    stream.write(json.dumps(todo).encode() + b"\n")
    with tarfile.open(fileobj=stream, mode="w|") as tar:
        tar.add(release, arcname=".")


def make(
    site: Mapping[str, Any],
    release: Release,
    timeout: int,
    announce: Callable[[], None],
    *,
    keep_replaced: bool = False,
) -> Built:
    """Build an environment beside its final path, give it to root and rename it, while holding the lock of builds.

    An environment that has this path already is replaced once the new one is complete.

    :param timeout: seconds that the build may take.
    :param announce: is called before the environment is put in place.
    :param keep_replaced: whether to keep an environment that is replaced (P(environment.put_back)).
    :raises build.BuildError, takeover.TakeoverError, OSError: after the incomplete environment was removed.
    """
    build.stop(site["name"])  # left by a run that was killed
    aside = f"{release.venv_path}{INCOMPLETE}"
    try:
        return _make(site, release, timeout, aside, announce, keep_replaced)
    finally:
        takeover.remove_tree(aside)
        takeover.remove_tree(environment.temporary(site["cache"]))


def _make(
    site: Mapping[str, Any],
    release: Release,
    timeout: int,
    aside: str,
    announce: Callable[[], None],
    keep_replaced: bool,
) -> Built:
    """Build an environment in a folder beside it.

    Its programs contain its final path, at which the unit sees it. On the host it gets this name once it is complete.
    """
    account = account_of(site)
    environment.prepare(aside, site["cache"], account)
    folder, todo = release.venv_path, plan(site, release)
    temporary = environment.temporary(site["cache"])
    job = build.Job(
        name=site["name"],
        account=site["build_user"],
        command=[PYTHON, "-I", "-c", cage.source_of(build_program)],
        timeout=timeout,
        writable={aside: folder, site["cache"]: site["cache"], temporary: temporary},
        readable=pip_settings.local_paths(),
    )
    build.run(job, lambda stream: feed(stream, todo, release.path))
    host.wait_for_the_end(account.pw_uid, OTHERS_TIMEOUT)
    taken = takeover.take_over(aside, account.pw_uid, check.ROOT)
    built = Built(installed(taken.directories), [takeover.shown(path) for path in taken.removed])
    environment.mark(aside, {"packages": built.packages})
    announce()
    environment.put_in_place(aside, folder, keep_replaced=keep_replaced)
    return built


def account_of(site: Mapping[str, Any]) -> pwd.struct_passwd:
    """Return the build account; make it if it is missing.

    :raises build.BuildError: if it is not an account of its own.
    """
    host.ensure_account(site["build_user"])
    account = pwd.getpwnam(site["build_user"])
    if account.pw_uid in (0, pwd.getpwnam(site["user"]).pw_uid):
        raise build.BuildError(
            f"The account {account.pw_name} has the uid {account.pw_uid}, which is root's or the app's. Give it one of"
            " its own (usermod --uid)."
        )
    return account


def installed(directories: Iterable[str]) -> list[str]:
    """Return the distributions in an environment, as C(name-version), from the paths of its directories."""
    found = (path.split("/") for path in directories if path.endswith(DISTRIBUTION))
    return sorted(
        takeover.shown(parts[3].removesuffix(DISTRIBUTION))
        for parts in found
        if len(parts) == 4 and parts[0] == "lib" and parts[2] == "site-packages"
    )
