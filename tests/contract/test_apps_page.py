"""The examples of docs/apps.md work."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.layout import layout
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.rules import checks, types

#: Around the example: an app that has an instance folder, and a scheduler that says who runs it. Each line is one
#: write(2): the two threads of a process write at once.
BEFORE = """
import fcntl, os, sys, threading, time
class app: instance_path = sys.argv[1]
class scheduler:
    def start(): os.write(1, f"{os.getpid()}\\n".encode())
"""
AFTER = "\nos.write(1, b'imported\\n')\ntime.sleep(60)\n"


def blocks(root: Path, language: str) -> list[str]:
    """Return the examples in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", (root / "docs" / "apps.md").read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def worker(root: Path, tmp_path: Path) -> Iterator[Any]:
    """Start a process that imports an app with the example."""
    (example,) = blocks(root, "python")
    signal.alarm(60)  # a line that never comes ends the test
    with ExitStack() as stack:
        stack.callback(signal.alarm, 0)

        def start(role: str) -> subprocess.Popen[str]:
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", BEFORE + example + AFTER, str(tmp_path)],
                    env={**os.environ, "FLASK_BLOG_ROLE": role},
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            stack.callback(process.kill)
            return process

        yield start


def lines_of(process: subprocess.Popen[str]) -> list[str]:
    """End a process and return the rest of what it printed."""
    process.kill()
    assert process.stdout
    return process.stdout.read().splitlines()


def test_a_scheduler_runs_in_one_worker_and_goes_on_in_another_one(worker: Any) -> None:
    first = worker("web")
    assert {first.stdout.readline(), first.stdout.readline()} == {"imported\n", f"{first.pid}\n"}
    second = worker("web")
    assert second.stdout.readline() == "imported\n", "it does not wait for the lock to be imported"
    time.sleep(0.3)
    first.kill()
    assert second.stdout.readline() == f"{second.pid}\n"
    third = worker("web")
    assert third.stdout.readline() == "imported\n"
    time.sleep(0.3)
    assert lines_of(third) == []


@pytest.mark.parametrize("role", ["rehearsal", "command"])
def test_a_scheduler_runs_neither_in_rehearsals_nor_in_commands(worker: Any, role: str) -> None:
    process = worker(role)
    assert process.stdout.readline() == "imported\n"
    time.sleep(0.3)
    assert lines_of(process) == []


def test_the_variables_of_the_examples_are_accepted(root: Path, role: Path) -> None:
    specs = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    defaults = yaml.safe_load((role / "defaults" / "main.yml").read_text())
    examples = blocks(root, "yaml")
    assert len(examples) > 1
    for example in examples:
        chosen = {"flask_blog_user": "flask-blog", "flask_blog_group": "flask-blog", "flask_blog_source": "/blog"}
        values = {
            name: value for name, value in {**defaults, **chosen, **yaml.safe_load(example)}.items() if name in specs
        }
        values["flask_blog_server_names"] = ["blog.example.com"]
        for name, value in values.items():
            assert list(types.problems(specs[name], name, value)) == []
        assert checks.check({name.removeprefix("flask_blog_"): value for name, value in values.items()}) == []


def test_the_example_of_paths_leads_to_the_data_folder(root: Path) -> None:
    chosen = yaml.safe_load(blocks(root, "yaml")[0])
    found = layout(
        chosen["flask_blog_databases"],
        chosen["flask_blog_writable_paths"],
        chosen["flask_blog_static"],
        app_dir="",
        data="/var/lib/NAME",
        live="/var/www/NAME",
        user="blog",
        group="blog",
        proxy_group="www-data",
    )
    paths = ["instance", "notes.db", "site/static/covers"]
    assert found["links"] == {path: f"/var/lib/NAME/{path}" for path in paths}
