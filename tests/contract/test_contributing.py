"""What contributors' tools read agrees with ./dev: hooks, workflow and editor settings."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import editorconfig
import pytest
import yaml

#: Folders with files that nobody edits, beside hidden ones.
GENERATED = {"__pycache__", "collections", "output"}


@pytest.fixture(scope="module")
def steps() -> list[str]:
    """The steps of ./dev test, in its own words."""
    dev = Path(__file__).resolve().parents[2] / "dev"
    return subprocess.run([dev, "test", "--list"], check=True, capture_output=True, text=True).stdout.split()


def hooks(root: Path) -> list[dict[str, Any]]:
    (repository,) = yaml.safe_load((root / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local", "versions are pinned in requirements/dev.txt alone"
    return list(repository["hooks"])


def test_pre_commit_runs_each_linter_of_dev_and_nothing_else(root: Path, steps: list[str]) -> None:
    linters = [step for step in steps if step.startswith("lint-")]
    assert len(linters) > 5
    assert sorted(hook["id"] for hook in hooks(root)) == sorted(linters)
    for hook in hooks(root):
        assert hook["entry"] == f"./dev test {hook['id']}"
        assert hook["name"] == hook["id"]
        assert hook["always_run"] is True
        assert hook["pass_filenames"] is False


def test_pre_commit_calls_dev_for_each_hook_of_its_stage(root: Path, tmp_path: Path) -> None:
    shutil.copy(root / ".pre-commit-config.yaml", tmp_path)
    (tmp_path / "dev").write_text('#!/bin/sh\necho "$@" >>calls\n')
    (tmp_path / "dev").chmod(0o755)
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    subprocess.run(["git", "-C", tmp_path, "add", "."], check=True)
    environment = {**os.environ, "PRE_COMMIT_HOME": str(tmp_path / "cache")}
    for stage in ("pre-commit", "pre-push"):
        (tmp_path / "calls").unlink(missing_ok=True)
        command = ["pre-commit", "run", "--all-files", "--hook-stage", stage]
        result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr
        expected = [hook["entry"] for hook in hooks(root) if stage in hook.get("stages", ["pre-commit"])]
        assert expected
        assert [f"./dev {call}" for call in (tmp_path / "calls").read_text().splitlines()] == expected


def test_the_workflow_has_a_job_for_each_step_of_dev(root: Path) -> None:
    workflow = yaml.safe_load((root / ".github" / "workflows" / "test.yml").read_text())
    listing, test = workflow["jobs"]["list"], workflow["jobs"]["test"]
    (step,) = [step for step in listing["steps"] if step.get("id") == "list"]
    assert step["run"].startswith("./dev test --list | ")
    assert listing["outputs"] == {"steps": "${{ steps.list.outputs.steps }}"}
    assert test["needs"] == "list"
    assert test["strategy"]["matrix"] == {"step": "${{ fromJSON(needs.list.outputs.steps) }}"}
    (step,) = [step for step in test["steps"] if step.get("env") == {"STEP": "${{ matrix.step }}"}]
    assert step["run"] == './dev test "$STEP"'


@pytest.mark.skipif(not shutil.which("jq"), reason="jq is not installed")
def test_the_workflows_list_of_steps_is_a_json_list(root: Path, steps: list[str], tmp_path: Path) -> None:
    workflow = yaml.safe_load((root / ".github" / "workflows" / "test.yml").read_text())
    (step,) = [step for step in workflow["jobs"]["list"]["steps"] if step.get("id") == "list"]
    output = tmp_path / "output"
    command = ["bash", "-o", "pipefail", "-ec", step["run"]]
    subprocess.run(command, cwd=root, env={**os.environ, "GITHUB_OUTPUT": str(output)}, check=True)
    assert yaml.safe_load(output.read_text().removeprefix("steps=")) == steps


def test_continuous_integration_runs_every_step(root: Path) -> None:
    assert (root / ".ci" / "run").read_text().rstrip().endswith('/../dev" test')


def edited_files(root: Path) -> Iterator[Path]:
    """Yield the files that people edit."""
    for folder, folders, files in os.walk(root):
        hidden = {name for name in folders if name.startswith(".") and name not in (".ci", ".config", ".github")}
        folders[:] = sorted(set(folders) - hidden - GENERATED)
        for name in files:
            path = Path(folder, name)
            if path.is_file() and not path.is_symlink() and not name.endswith((".pyc", ".tar.gz", ".db")):
                yield path


def test_every_file_is_as_editorconfig_asks_for(root: Path) -> None:
    checked = 0
    for path in edited_files(root):
        content = path.read_bytes()
        if b"\0" in content or not content:
            continue
        settings = editorconfig.get_properties(str(path))
        problems = list(violations(content, settings))
        assert problems == [], path
        checked += 1
    assert checked > 200


def violations(content: bytes, settings: dict[str, str]) -> Iterator[str]:
    """Yield how a file differs from its settings in .editorconfig."""
    text = content.decode(settings["charset"])
    if settings["end_of_line"] == "lf" and "\r" in text:
        yield "end_of_line"
    if settings["insert_final_newline"] == "true" and not text.endswith("\n"):
        yield "insert_final_newline"
    for number, line in enumerate(text.split("\n"), 1):
        if settings["trim_trailing_whitespace"] == "true" and line != line.rstrip():
            yield f"trim_trailing_whitespace, line {number}"
        if settings["indent_style"] == "space" and line.startswith("\t"):
            yield f"indent_style, line {number}"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"a\r\n", "end_of_line"),
        (b"a", "insert_final_newline"),
        (b"a \n", "trim_trailing_whitespace, line 1"),
        (b"\ta\n", "indent_style, line 1"),
    ],
)
def test_a_file_that_differs_from_editorconfig_is_found(root: Path, content: bytes, problem: str) -> None:
    settings = editorconfig.get_properties(str(root / "plugins" / "any.py"))
    assert problem in list(violations(content, settings))
