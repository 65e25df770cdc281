"""Requirements that belong to another computer are refused before the host is touched; Git is known to be needed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils.source import description, portability
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import SourceError
from laid_out import make


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("certifi @ file:///croot/certifi_1683875369620/work/certifi", "--format=freeze"),
        ("mine[x] @ file:///home/ada/mine", "files of the computer"),
        ("-e file:///home/ada/mine", "files of the computer"),
        ("-e /home/ada/mine", "files of the computer"),
        ("/home/ada/mine-1.0-py3-none-any.whl", "files of the computer"),
        ("C:\\Users\\ada\\mine.whl", "files of the computer"),
        ("mine @ file:///C:/Users/ada/mine.whl", "files of the computer"),
        ("pywin32==306", "'pywin32==306; sys_platform == \"win32\"'"),
        ("PyWin32", "for Windows alone"),
        ("pkg-resources==0.0.0", "parts of the system that 'pip freeze' ran on"),
        ("pkg_resources==0.0.0", "Remove them"),
        ("python-apt==2.4.0+ubuntu4", "which no package index has"),
        ("mine @ git+ssh://git@git.test/mine.git", "opened by SSH"),
        ("-e git+git@git.test:mine.git#egg=mine", "opened by SSH"),
    ],
)
def test_a_line_that_no_server_can_install_is_refused_with_the_remedy(tmp_path: Path, line: str, words: str) -> None:
    make(tmp_path, {"app.py": "", "requirements.txt": f"flask\n{line}\n"})
    with pytest.raises(SourceError) as caught:
        description.app_requirements(tmp_path, "", "")
    assert f"'{line}'" in str(caught.value)
    assert words in str(caught.value)
    assert "requirements.txt" in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        "pywin32==306; sys_platform == 'win32'",
        "pywin32-ctypes==0.2.2",
        "mine @ file:///usr/share/wheels/mine.whl",
        "/usr/share/wheels/mine.whl",
        "./wheels/mine.whl",
        "-e .",
        "mine @ https://git.test/mine.whl",
        "mine @ git+https://git.test/mine.git",
        "--find-links /srv/wheels",
        "flask==3.1.3",
    ],
)
def test_a_line_that_a_server_can_install_is_accepted(line: str) -> None:
    portability.check([line], "requirements.txt")


def test_the_dependencies_of_a_project_are_checked_as_well(tmp_path: Path) -> None:
    project = '[project]\nname = "blog"\ndependencies = ["flask", "pywin32"]\n'
    make(tmp_path, {"app.py": "", "pyproject.toml": project})
    with pytest.raises(SourceError, match=r"its pyproject\.toml names packages that .* Windows alone: 'pywin32'"):
        description.app_requirements(tmp_path, "", "")


def test_many_lines_are_one_short_message() -> None:
    lines = [f"x{number} @ file:///croot/x{number}" for number in range(50)]
    with pytest.raises(SourceError, match="and 45 more") as caught:
        portability.check(lines, "requirements.txt")
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("line", "needed"),
    [
        ("mine @ git+https://git.test/mine.git", True),
        ("git+https://git.test/mine.git@v1", True),
        ("-e git+https://git.test/mine.git#egg=mine", True),
        ("gitpython==3", False),
        ("mine @ https://git.test/mine.zip", False),
    ],
)
def test_git_is_needed_for_repositories_alone(line: str, needed: bool) -> None:
    assert portability.needs_git(["flask", line]) == needed


@pytest.mark.parametrize("line", ["a" * 1_000_000, "a @ " * 100_000, "[" * 100_000, " " * 1_000_000 + "@"])
def test_a_hostile_line_costs_no_time(line: str) -> None:
    began = time.monotonic()
    portability.check([line] * 3, "requirements.txt")
    assert time.monotonic() - began < 1
