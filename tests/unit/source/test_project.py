"""Projects that pip cannot install are refused with the command that helps, before anything is built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils.source import description, project
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import SourceError
from laid_out import make

POETRY = """
[tool.poetry]
name = "my-blog"
version = "0.1.0"
[tool.poetry.dependencies]
python = "^3.11"
flask = "^3.0"
[build-system]
requires = ["poetry-core"]
build-backend = "poetry.core.masonry.api"
"""
NO_PACKAGE = POETRY.replace('version = "0.1.0"', 'version = "0.1.0"\npackage-mode = false')
STANDARD = '[project]\nname = "blog"\ndependencies = ["flask"]\n'


def checked(folder: Path, wanted: str = "") -> tuple[str, list[str]]:
    return description.app_requirements(folder, "", wanted)


def test_a_poetry_project_without_a_package_is_refused_with_the_export(tmp_path: Path) -> None:
    make(tmp_path, {"app.py": "app", "pyproject.toml": NO_PACKAGE})
    with pytest.raises(SourceError, match=r"package-mode = false.*'poetry export -f requirements\.txt"):
        checked(tmp_path)
    make(tmp_path, {"pyproject.toml": f"{STANDARD}{NO_PACKAGE}"})
    assert checked(tmp_path) == ("pyproject.toml", []), "pip installs its standard dependencies"


def test_a_poetry_project_whose_package_is_not_there_is_refused_with_the_export(tmp_path: Path) -> None:
    make(tmp_path, {"app.py": "app", "pyproject.toml": POETRY})
    with pytest.raises(SourceError, match=r"neither my_blog/ nor my_blog\.py\. Export them for pip: 'poetry export"):
        checked(tmp_path)


@pytest.mark.parametrize("place", ["my_blog/__init__.py", "src/my_blog/__init__.py", "my_blog.py"])
def test_a_poetry_project_with_its_package_is_built(tmp_path: Path, place: str) -> None:
    make(tmp_path, {place: "", "pyproject.toml": POETRY})
    assert checked(tmp_path) == ("pyproject.toml", [])


def test_a_poetry_project_that_names_its_packages_is_built(tmp_path: Path) -> None:
    listed = POETRY.replace('version = "0.1.0"', 'version = "0.1.0"\npackages = [{ include = "app.py" }]')
    make(tmp_path, {"app.py": "", "pyproject.toml": listed})
    assert checked(tmp_path) == ("pyproject.toml", [])


@pytest.mark.parametrize(("lock", "command"), [*project.LOCKS.items(), *project.OTHERS.items()])
def test_a_source_that_another_tool_alone_can_install_is_refused_with_its_export(
    tmp_path: Path, lock: str, command: str
) -> None:
    make(tmp_path, {"app.py": "app", lock: ""})
    with pytest.raises(SourceError) as caught:
        checked(tmp_path)
    assert f"it holds {lock}, which pip does not read" in str(caught.value)
    assert str(caught.value).endswith(f"'{command}'")
    make(tmp_path, {"requirements.txt": "flask\n"})
    assert checked(tmp_path) == ("requirements.txt", [])


@pytest.mark.parametrize("lock", project.LOCKS)
def test_a_lock_file_that_is_not_used_is_a_warning_with_the_export(tmp_path: Path, lock: str) -> None:
    make(tmp_path, {"app.py": "app", "pyproject.toml": STANDARD, lock: ""})
    file, (warning,) = checked(tmp_path)
    assert file == "pyproject.toml"
    assert warning.startswith(f"{lock} is not used: pip installs the newest versions")
    assert project.LOCKS[lock] in warning


def test_a_project_file_for_tools_alone_beside_a_lock_file_is_refused(tmp_path: Path) -> None:
    make(tmp_path, {"app.py": "app", "pyproject.toml": "[tool.ruff]\n", "Pipfile.lock": "{}"})
    with pytest.raises(SourceError, match=r"pip does not read Pipfile\.lock. Export them: 'pipenv requirements"):
        checked(tmp_path)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"pyproject.toml": '[project]\nrequires-python = ">=3.12"\n'}, ">=3.12"),
        ({"pyproject.toml": POETRY}, "^3.11"),
        ({"pyproject.toml": '[tool.poetry.dependencies]\npython = { version = "^3.12" }\n'}, "^3.12"),
        ({"setup.cfg": "[options]\npython_requires = >=3.12\n"}, ">=3.12"),
        ({"pyproject.toml": "[tool.ruff]\n", "setup.cfg": "[options]\npython_requires = >=3.12\n"}, ">=3.12"),
        ({"pyproject.toml": "damaged [", "setup.cfg": "damaged ["}, ""),
        ({"pyproject.toml": "[project]\nrequires-python = 3\n"}, ""),
        ({"pyproject.toml": "project = 1\n"}, ""),
        ({}, ""),
    ],
)
def test_the_python_that_a_project_is_for_is_read(tmp_path: Path, files: dict[str, str], expected: str) -> None:
    make(tmp_path, {"requirements.txt": "flask\n", **files})
    assert project.requires_python(tmp_path, "", "requirements.txt") == expected


def test_the_python_is_that_of_the_requirements_folder_before_that_of_the_app(tmp_path: Path) -> None:
    make(tmp_path, {"pyproject.toml": '[project]\nrequires-python = ">=3.11"\n', "web/app.py": ""})
    assert project.requires_python(tmp_path, "web", "../pyproject.toml") == ">=3.11"
    assert project.requires_python(tmp_path, "web", "requirements.txt") == ""


def test_a_release_says_what_the_project_is_for_and_what_its_build_needs(tmp_path: Path) -> None:
    files = {"app.py": "app", "pyproject.toml": '[project]\nrequires-python = ">=3.12"\n', "uv.lock": ""}
    files["requirements.txt"] = "flask @ git+https://git.test/flask.git\n"
    wanted: dict[str, Any] = {"app_dir": "", "wsgi": "app:app", "requirements": "", "packages": ["gunicorn"]}
    wanted |= {"static": {}, "links": {}, "served": [], "left_out": [], "venv_link": "venv"}
    found = description.describe(make(tmp_path, files), wanted, {"releases": "/opt/x/releases", "data": "/var/lib/x"})
    assert found.release.requires_python == ">=3.12"
    assert found.packages == ("git",)
    assert found.warnings == ()
