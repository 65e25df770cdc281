# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a project has beside its requirements: lock files, how it is built, the versions of Python that it is for."""

from __future__ import annotations

import configparser
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import SourceError
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.requirements import parsed, read_text

POETRY = "poetry export -f requirements.txt -o requirements.txt"

#: Files with exact versions that pip cannot read, and the command that writes them as pip's own.
LOCKS = {
    "uv.lock": "uv export --format requirements-txt --no-dev --no-emit-project -o requirements.txt",
    "poetry.lock": POETRY,
    "pdm.lock": "pdm export --prod -o requirements.txt",
    "Pipfile.lock": "pipenv requirements > requirements.txt",
}

#: Files that name requirements without exact versions, likewise.
OTHERS = {
    "Pipfile": "pipenv lock && pipenv requirements > requirements.txt",
    "environment.yml": "pip list --format=freeze > requirements.txt",
    "environment.yaml": "pip list --format=freeze > requirements.txt",
}

#: Characters of a version range that are taken.
LONGEST_RANGE = 200


def other_requirements(source: Path, app_dir: str) -> tuple[str, str] | None:
    """Return a file that names requirements for another tool than pip, and the command that exports them."""
    for name, command in {**LOCKS, **OTHERS}.items():
        if any((folder / name).is_file() for folder in (source / app_dir, source)):
            return name, command
    return None


def check_installable(source: Path, app_dir: str, file: str) -> list[str]:
    """Check that pip can install what a project file names.

    :param file: relative to the app's folder; only a C(pyproject.toml) is looked into.
    :returns: warnings: of a lock file that is not used.
    :raises SourceError: for a project of Poetry's that is no package, with the command that exports its requirements.
    """
    if not file.endswith(".toml"):
        return []
    path = source / app_dir / file
    content = parsed(read_text(path), file)
    project, poetry = _table(content, "project"), _table(content, "tool", "poetry")
    is_static = "dependencies" in project and "dependencies" not in project.get("dynamic", [])
    lock = next((name for name in LOCKS if path.with_name(name).is_file()), None)
    if poetry and not is_static:
        _refuse_poetry(path.parent, file, poetry, project)
    if lock and not is_static and not project and "build-system" not in content:
        raise SourceError(
            f"its {file} names no requirements that pip can read, and pip does not read {lock}. Export them:"
            f" '{LOCKS[lock]}'"
        )
    if lock:
        return [
            f"{lock} is not used: pip installs the newest versions that {file} allows, which may be others than the"
            f" locked ones. To install those, write them to a requirements.txt: '{LOCKS[lock]}'."
        ]
    return []


def _refuse_poetry(folder: Path, file: str, poetry: Mapping[str, Any], project: Mapping[str, Any]) -> None:
    """Refuse a project whose requirements only a build by Poetry knows, if it cannot be built.

    :raises SourceError: with the command that exports the requirements.
    """
    remedy = f"Export them for pip: '{POETRY}' (poetry self add poetry-plugin-export)"
    if poetry.get("package-mode") is False:
        raise SourceError(
            f"its {file} names requirements for Poetry alone, and with package-mode = false it is no package that pip"
            f" can build. {remedy}"
        )
    name = poetry.get("name") or project.get("name")
    if "packages" in poetry or not isinstance(name, str):
        return
    module = re.sub(r"[-_.]+", "_", name.lower())[:LONGEST_RANGE]
    places = [folder / root / part for root in ("", "src") for part in (module, f"{module}.py")]
    if not any(place.exists() for place in places):
        raise SourceError(
            f"its {file} names requirements for Poetry alone, and is no package that pip can build: there is neither"
            f" {module}/ nor {module}.py. {remedy}"
        )


def requires_python(source: Path, app_dir: str, file: str) -> str:
    """Return the versions of Python that a project is for, such as C(>=3.12); empty if it does not say.

    :param file: the requirements file, relative to the app's folder.
    """
    app = source / app_dir
    for folder in dict.fromkeys([(app / file).parent, app]):
        if found := _python_of_pyproject(folder / "pyproject.toml") or _python_of_setup(folder / "setup.cfg"):
            return found[:LONGEST_RANGE]
    return ""


def _python_of_pyproject(path: Path) -> str:
    try:
        content = parsed(read_text(path), path.name) if path.is_file() else {}
    except SourceError:  # it may be for tools alone
        return ""
    found = _table(content, "project").get("requires-python")
    if found is None:
        found = _table(content, "tool", "poetry", "dependencies").get("python")
    if isinstance(found, Mapping):
        found = found.get("version")
    return found if isinstance(found, str) else ""


def _python_of_setup(path: Path) -> str:
    if not path.is_file():
        return ""
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(read_text(path))
        return parser.get("options", "python_requires", fallback="").strip()
    except (configparser.Error, SourceError):
        return ""


def _table(content: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    """Return a table inside others; empty if one of them is none."""
    for key in keys:
        found = content.get(key, {})
        content = found if isinstance(found, dict) else {}
    return content
