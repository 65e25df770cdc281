"""Whether a release's virtual environment fits this host's Python, from its files alone.

None of its programs runs here: the build of an untrusted source made them.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from ..site import Site
from .releases import live_release, live_target

#: What pip leaves in site-packages for gunicorn, or for a package in a folder of its own.
GUNICORN = ("gunicorn", "__editable__")


def problem_of_live(site: Site) -> str:
    """Return why the live release cannot start, and the remedy; empty if nothing is known against it."""
    target, release = live_target(site), live_release(site)
    if target is None or release is None or not (found := problem(release, Path(target))):
        return ""
    return f"{found}. {remedy(site, release)}."


def problem(release: str, folder: Path) -> str:
    """Return why a release cannot start in its virtual environment; empty if nothing is known against it.

    An upgrade of Debian replaces Python's minor version, and packages of the one before are not found any more.

    :param folder: in which the release's app runs.
    """
    venv = Path(os.path.realpath(folder / "venv"))
    name = f"the environment of {release} ({venv})"
    if not venv.is_dir():
        return f"{name} is gone"
    python = venv / "bin" / "python"
    if not python.exists():
        return f"{name} lacks its Python, {os.path.realpath(python)}"
    if not os.access(venv / "bin" / "gunicorn", os.X_OK):
        return f"{name} has no gunicorn"
    version = python_version(python)
    if _has_gunicorn(venv / "lib" / f"python{version}"):
        return ""
    if others := sorted(path.name for path in (venv / "lib").glob("python3*") if _has_gunicorn(path)):
        return f"{name} was built for Python {others[-1].removeprefix('python')}, and its Python is {version} now"
    return f"{name} has no gunicorn for Python {version}"


def remedy(site: Site, release: str) -> str:
    """Return the command that builds a release's environment again."""
    return f"'blogctl --site {site.name} rebuild {release}' builds it again for this host's Python"


def python_version(python: Path) -> str:
    """Return the minor version of an environment's Python, such as C(3.11): its program's name has it."""
    found = re.fullmatch(r"python(\d+\.\d+)", os.path.basename(os.path.realpath(python)))
    return found[1] if found else f"{sys.version_info.major}.{sys.version_info.minor}"


def _has_gunicorn(folder: Path) -> bool:
    try:
        names = os.listdir(folder / "site-packages")
    except OSError:
        return False
    return any(name.startswith(GUNICORN) for name in names)
