# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Check a release on the host and its virtual environment.

Separate from building, as the module plan compiles its imports in each run.
"""

from __future__ import annotations

import dataclasses
import os
import stat

from ..contract import VENV_MARK
from ..source.entry import digest
from ..source.release import (
    FOLDER_MODE,
    Release,
    check_release,
)

#: Owner and group of a virtual environment.
ROOT = (0, 0)

#: The reason if an environment has to be built.
NOT_BUILT = "not built yet"


def venv_id(requirements: str, python: str) -> str:
    """Return the name of the virtual environment for some requirements and a Python version such as C(3.11)."""
    # "build": the app's account built, and could change, the environments of older versions. They are not reused.
    return digest("build", requirements, python)


def check_venv(path: str) -> list[str]:
    """Return how a virtual environment on disk differs from a complete one that every account can enter.

    The mark is valid only if root owns it and its folder.

    :returns: C([NOT_BUILT]) if it has to be built, or its wrong attributes.
    """
    try:
        folder, mark = os.lstat(path), os.lstat(os.path.join(path, VENV_MARK))
    except (FileNotFoundError, NotADirectoryError):
        return [NOT_BUILT]
    if not (stat.S_ISDIR(folder.st_mode) and stat.S_ISREG(mark.st_mode)):
        return [NOT_BUILT]
    if folder.st_uid != ROOT[0] or mark.st_uid != ROOT[0]:
        return [NOT_BUILT]
    mode = stat.S_IMODE(folder.st_mode)
    if mode != FOLDER_MODE:
        return [f"mode {mode:04o} -> {FOLDER_MODE:04o}"]
    return [] if folder.st_gid == ROOT[1] else [f"group {folder.st_gid} -> {ROOT[1]}"]


def complete(release: Release, venvs: str, python: str) -> Release:
    """Return a release with the path of its virtual environment and the link to it.

    :param venvs: the folder of all environments on the host.
    :param python: the host's version of Python, such as C(3.11).
    """
    path = f"{venvs}/{venv_id(release.requirements, python)}"
    return dataclasses.replace(release, venv_path=path, links={**release.links, release.venv_link: path})


def host_differences(release: Release, group: int | None) -> list[tuple[str, str, list[str]]]:
    """Return how a complete release and its environment on the host differ from what is wanted.

    :param group: of the app, or None if it does not exist yet.
    :returns: the layer, the name and the reasons of each that differs.
    """
    found = [
        ("unpack", release.id, check_release(release.path, release, 0, group)),
        ("venv", os.path.basename(release.venv_path), check_venv(release.venv_path)),
    ]
    return [difference for difference in found if difference[2]]
