"""The requirements of a virtual environment, and when it has to be rebuilt."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils.source import requirements
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import SourceError
from laid_out import BLOG, make


@pytest.fixture
def blog(tmp_path: Path) -> Path:
    return make(tmp_path / "blog", BLOG)


@pytest.mark.parametrize(
    ("files", "app_dir", "wanted", "found"),
    [
        ({"requirements.txt": ""}, "", "", "requirements.txt"),
        ({"pyproject.toml": ""}, "", "", "pyproject.toml"),
        ({"requirements.txt": "", "pyproject.toml": ""}, "", "", "requirements.txt"),
        ({"requirements.txt": "", "web/app.py": ""}, "web", "", "../requirements.txt"),
        ({"requirements.txt": "", "web/requirements.txt": ""}, "web", "", "requirements.txt"),
        ({"requirements.txt": "", "deploy/prod.txt": ""}, "", "deploy/prod.txt", "deploy/prod.txt"),
        ({"requirements.txt": ""}, "", "prod.txt", None),
        ({"app.py": ""}, "", "", None),
    ],
)
def test_requirements_are_found(
    tmp_path: Path, files: dict[str, str], app_dir: str, wanted: str, found: str | None
) -> None:
    assert requirements.find_requirements(make(tmp_path, files), app_dir, wanted) == found


def needs(
    folder: Path, file: str = "requirements.txt", tree: str = "t1", importable: bool = True
) -> requirements.Requirements:
    return requirements.read_requirements(folder, "", file, tree, importable)


def test_comments_and_blank_lines_do_not_make_another_environment(tmp_path: Path) -> None:
    one = needs(make(tmp_path / "1", {"requirements.txt": "flask==3.1.3\n"}))
    two = needs(make(tmp_path / "2", {"requirements.txt": "# the web\n\nflask==3.1.3   # pinned\n"}))
    three = needs(make(tmp_path / "3", {"requirements.txt": "flask==3.1.2\n"}))
    assert one.identity == two.identity != three.identity


@pytest.mark.parametrize(
    "line", ["-r base.txt", "--requirement base.txt", "--requirement=base.txt", "-c base.txt", "-rbase.txt"]
)
def test_a_change_in_an_included_file_makes_another_environment(tmp_path: Path, line: str) -> None:
    make(tmp_path, {"requirements.txt": f"{line}\n", "base.txt": "-r deep/er.txt\n", "deep/er.txt": "flask==1\n"})
    before = needs(tmp_path).identity
    (tmp_path / "deep" / "er.txt").write_text("flask==2\n")
    assert needs(tmp_path).identity != before


def test_files_that_include_each_other_are_read_once(tmp_path: Path) -> None:
    make(tmp_path, {"requirements.txt": "-r other.txt\nflask\n", "other.txt": "-r requirements.txt\npillow\n"})
    assert not needs(tmp_path).local


@pytest.mark.parametrize(
    "line",
    ["-e .", ".", "./vendored", "../shared", ".[web]", "/srv/wheel.whl", "file:vendored/x.whl", "x @ file:///x.whl"],
)
def test_a_requirement_in_the_source_itself_ties_the_environment_to_it(tmp_path: Path, line: str) -> None:
    make(tmp_path, {"requirements.txt": f"flask\n{line}\n"})
    assert needs(tmp_path).local
    assert needs(tmp_path, tree="t1").identity != needs(tmp_path, tree="t2").identity


@pytest.mark.parametrize(
    "line", ["flask", "flask==3.1.3", "-e git+https://example.org/x#egg=x", "--index-url https://x"]
)
def test_other_requirements_do_not(tmp_path: Path, line: str) -> None:
    found = needs(make(tmp_path, {"requirements.txt": f"{line}\n"}))
    assert found.local is line.startswith("-e")
    assert not found.hashed


def test_hashes_are_noticed(tmp_path: Path) -> None:
    assert needs(make(tmp_path, {"requirements.txt": "flask==3.1.3 --hash=sha256:00\n"})).hashed


PLAIN = '[project]\nname = "blog"\nversion = "1"\ndependencies = ["flask", "pillow"]\n'


BUILDS = '[build-system]\nrequires = ["setuptools"]\n'


def test_a_project_that_only_lists_dependencies_needs_no_build(tmp_path: Path) -> None:
    found = needs(make(tmp_path, {"pyproject.toml": PLAIN}), "pyproject.toml")
    assert found.dependencies == ("flask", "pillow")
    assert not found.is_project


def test_a_project_with_a_build_system_is_installed(tmp_path: Path) -> None:
    found = needs(make(tmp_path, {"pyproject.toml": BUILDS + PLAIN}), "pyproject.toml")
    assert found.is_project
    assert found.dependencies == ("flask", "pillow")


def test_dynamic_dependencies_are_known_to_the_build_alone(tmp_path: Path) -> None:
    text = BUILDS + '[project]\nname = "blog"\ndynamic = ["dependencies"]\n'
    found = needs(make(tmp_path, {"pyproject.toml": text, "setup.py": "x"}), "pyproject.toml")
    assert found.is_project
    assert found.dependencies is None


def test_a_project_of_poetry_is_built(tmp_path: Path) -> None:
    text = '[tool.poetry]\nname = "blog"\n' + BUILDS
    assert needs(make(tmp_path, {"pyproject.toml": text}), "pyproject.toml").is_project


def test_a_changed_setup_file_beside_it_makes_another_environment(tmp_path: Path) -> None:
    make(tmp_path, {"pyproject.toml": BUILDS, "setup.cfg": "[options]\ninstall_requires = flask\n"})
    before = needs(tmp_path, "pyproject.toml").identity
    (tmp_path / "setup.cfg").write_text("[options]\ninstall_requires = pillow\n")
    assert needs(tmp_path, "pyproject.toml").identity != before


def test_an_app_that_serves_as_an_installed_package_is_built_for_each_release(tmp_path: Path) -> None:
    make(tmp_path, {"pyproject.toml": PLAIN})
    names = {needs(tmp_path, "pyproject.toml", tree, importable=False).identity for tree in ("t1", "t2")}
    assert len(names) == 2
    names = {needs(tmp_path, "pyproject.toml", tree, importable=True).identity for tree in ("t1", "t2")}
    assert len(names) == 1


@pytest.mark.parametrize(("text", "rule"), [("not TOML [", "cannot be read"), ("[tool.ruff]\n", "add one, or a req")])
def test_a_project_file_that_says_nothing_is_refused(tmp_path: Path, text: str, rule: str) -> None:
    with pytest.raises(SourceError, match=rule):
        needs(make(tmp_path, {"pyproject.toml": text}), "pyproject.toml")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_requirements_are_read_in_the_encodings_that_pip_reads(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "requirements.txt").write_text("Flask~=3.1\r\n-e .\r\n", encoding=encoding)
    assert requirements.read_requirements(tmp_path, "", "requirements.txt", "tree", True).local


@pytest.mark.parametrize("line", ["-r {outside}", "-r ../outside.txt", "-c /dev/zero", "-r fifo", "-r /dev/stdin"])
def test_requirements_outside_the_source_are_not_read(blog: Path, tmp_path: Path, line: str) -> None:
    """On the host, root reads them: a device has no end, a pipe never answers, another file may be secret."""
    outside = tmp_path / "outside.txt"
    outside.write_text("secret\n")
    os.mkfifo(blog / "fifo")
    (blog / "requirements.txt").write_text(f"flask\n{line.format(outside=outside)}\n")
    before = needs(blog).identity
    outside.write_text("another secret\n")
    assert needs(blog).identity == before


def test_requirements_without_measure_are_refused(blog: Path) -> None:
    (blog / "requirements.txt").write_text("x" * (1 << 20) + "\n")
    with pytest.raises(SourceError, match=r"requirements\.txt has more than 1 MiB"):
        needs(blog)


def test_files_that_include_each_other_without_end_are_refused(blog: Path) -> None:
    for number in range(1200):
        (blog / f"r{number}.txt").write_text(f"-r r{number + 1}.txt\n")
    (blog / "requirements.txt").write_text("-r r0.txt\n")
    with pytest.raises(SourceError, match="more than 200 files"):
        needs(blog)


@pytest.mark.parametrize(
    "text",
    [
        "x = " + "[" * 5000,
        "project = 3\n",
        "[project]\ndependencies = 3\n",
        "[project]\ndependencies = [3]\n",
        "[[project]]\nname = 1\n",
    ],
)
def test_a_project_file_that_was_made_to_confuse_is_refused_with_the_reason(tmp_path: Path, text: str) -> None:
    with pytest.raises(SourceError, match="cannot be read"):
        needs(make(tmp_path, {"pyproject.toml": text}), "pyproject.toml")


INDEX_LINES = (
    "Flask>=3,<4",
    "Flask[async] == 3.1.3",
    "Pillow >= 10 ; python_version < '3.13'",
    "a==1 --hash=sha256:abc --hash=sha256:def",
    "a==1 \\",
    "--hash=sha256:abc \\",
    "requests[security,tests]>=2.8.1,==2.8.*",
    "a (>=1,<2)",
    "-r base.txt",
    "--index-url https://packages.test/simple",
    "git+https://git.test/ada/tool@v1.0",
    "tool @ https://files.test/tool-1.0-py3-none-any.whl",
)


#: As pip reads them: paths, options that it takes shortened, variables, and words in quotes.
LOCAL_LINES = (
    *("wheels/evil-1.0-py3-none-any.whl", "evil.whl", "vendored/pkg", ".", "./pkg", "../pkg", '"./pkg"', "${HERE}/pkg"),
    *("-e .", "-epkg", "--edit ./pkg", "-f wheels", "--find-links=wheels", "-i file:./simple", "--pre -r more.txt"),
    *(
        "file:pkg",
        "FILE:./pkg",
        "pkg @ ./pkg",
        "pkg @ file:///pkg",
        "git+file:///pkg",
        '-r "more.txt"',
        "--req more.txt",
    ),
)


@pytest.mark.parametrize("line", INDEX_LINES)
def test_what_comes_from_an_index_is_known_by_its_line(line: str) -> None:
    assert not requirements.is_local(line)


@pytest.mark.parametrize("line", LOCAL_LINES)
def test_a_line_that_may_lead_into_the_source_ties_the_environment_to_it(line: str) -> None:
    """An environment with a hostile wheel in it would serve the source in which the wheel was replaced."""
    assert requirements.is_local(line)
