"""--tags and --start-at-task work, or are refused before the host is touched; another role's tags are left alone."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Play = Callable[..., subprocess.CompletedProcess[str]]

#: A play with the role and a task of somebody else.
TAGGED = """\
- hosts: localhost
  gather_facts: false
  roles:
    - {role: flaskblog.hosting.flask_blog, tags: [blog]}
  tasks:
    - {name: another, debug: {msg: the other task}, tags: [database]}
"""
INCLUDED = """\
- hosts: localhost
  gather_facts: false
  tasks:
    - include_role: {name: flaskblog.hosting.flask_blog}
      tags: [blog]
"""
ELSEWHERE = """\
- hosts: localhost
  gather_facts: false
  tasks:
    - {name: elsewhere, debug: {msg: the other play}, tags: [elsewhere]}
"""


def words(done: subprocess.CompletedProcess[str]) -> str:
    """Return all output, with the lines joined that Ansible wraps."""
    return " ".join((done.stdout + done.stderr).split())


@pytest.fixture
def play(root: Path, tmp_path: Path) -> Play:
    """Run a playbook of the collection, or one with this text, on this computer, which no task of it may touch."""

    def run(playbook: str, *options: str) -> subprocess.CompletedProcess[str]:
        path = root / "playbooks" / playbook
        if "\n" in playbook:
            path = tmp_path / "play.yml"
            path.write_text(playbook)
        variables = ["flask_blog_hosts=localhost", f"flask_blog_source={root}/tests/blogs/notes"]
        variables += ["flask_blog_wsgi=main:application"]
        command = [
            "ansible-playbook",
            "--inventory=localhost,",
            "--connection=local",
            "--extra-vars",
            " ".join(variables),
        ]
        return subprocess.run(
            [*command, *options, str(path)],
            env={**os.environ},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def test_a_tag_that_does_not_exist_is_refused(play: Play) -> None:
    for playbook in ("site.yml", TAGGED):
        done = play(playbook, "--tags=proxy")
        assert done.returncode != 0
        assert "Nothing was touched. --tags proxy: there is no tag proxy. The tags are packages, account" in words(done)


def test_an_operation_is_not_left_out_by_a_tag_without_a_word(play: Play) -> None:
    done = play("rollback.yml", "--tags=state")
    assert done.returncode != 0
    assert "Nothing was touched. --tags state: rollback has no tags" in words(done)


def test_a_tag_of_an_include_that_reaches_no_task_is_refused(play: Play) -> None:
    done = play(INCLUDED, "--tags=blog")
    assert done.returncode != 0
    assert "the tag chooses include_role, and not the tasks in it" in words(done)


def test_another_tasks_tag_runs_that_task_alone_and_checks_nothing(play: Play) -> None:
    done = play(TAGGED, "--tags=database", "--extra-vars=flask_blog_bind=nonsense")
    assert done.returncode == 0, done.stdout
    assert "the other task" in done.stdout
    assert "WARNING" not in words(done)


def test_another_plays_tag_is_left_alone_with_a_warning(play: Play) -> None:
    done = play(TAGGED + ELSEWHERE, "--tags=elsewhere")
    assert done.returncode == 0, done.stdout
    assert "the other play" in done.stdout
    assert "no task of this play has the tag elsewhere, and nothing of the role flask_blog runs" in words(done)


@pytest.mark.parametrize(
    "options",
    [
        ["--start-at-task=packages | Report the packages that a run would install"],
        ["--start-at-task=account | Create accounts without a login"],
        ["--start-at-task=state | Apply the managed files, directories, links and units"],
        ["--skip-tags=always"],
    ],
    ids=str,
)
def test_a_run_without_the_comparison_is_refused(play: Play, options: list[str]) -> None:
    done = play("site.yml", *options)
    assert done.returncode != 0
    assert "This run has not compared the host with the declared state" in words(done)
    assert "Run the whole playbook: what is done already is skipped." in words(done)
