"""Two blogs of one host, deployed by two versions of the collection. Each test continues the previous one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import installed_tool
import pytest
import versions

if TYPE_CHECKING:
    from molecule.conftest import Operator, Run, Visitor

ROOT = Path(__file__).parents[2]


Play = Callable[..., "Run"]


@pytest.fixture(scope="module")
def play(operator: Operator, tmp_path_factory: pytest.TempPathFactory) -> Play:
    """Deploy a blog with a version of the collection: 0.1.0 is this one, "previous" knows no versions of the tool."""
    paths = {"0.1.0": ROOT / "collections"}
    for version, interface in (("0.2.0", 1), ("1.0.0", 2)):
        paths[version] = versions.make_collection(tmp_path_factory.mktemp(f"version-{version}"), version, interface)
    paths["previous"] = versions.previous(tmp_path_factory.mktemp("previous"))

    def run(version: str, blog: str, *arguments: str) -> Run:
        variables = {"blog": blog, "checkout": str(ROOT)}
        with versions.used(paths[version]):
            return operator.play("--extra-vars", json.dumps(variables), *arguments)

    return run


def said(run: Run) -> str:
    """Return a run's output without line breaks."""
    return " ".join(run.output.split())


def installed(host: Any) -> tuple[str, str]:
    """Return the tool's version, and the first line of its code, which differs between versions."""
    version = json.loads(host.check_output(f"cat {installed_tool.ROOT}/version.json"))["version"]
    return version, host.check_output(f"head -n 1 {installed_tool.folder(host)}/blogctl/__init__.py")


def word(visit: Callable[..., Visitor], blog: str) -> str:
    answer = visit(f"{blog}.example.com").ask("/")
    assert answer.status == 200
    return str(answer.json()["told"]["MIRROR_WORD"])


def test_a_run_of_the_previous_version_leaves_one_whole_tool_and_the_next_run_mends_it(
    host: Any, play: Play, visit: Callable[..., Visitor]
) -> None:
    """It knows no versions and no folders of them: it writes its modules beside them, and its own program."""
    run = play("previous", "previous")
    assert run.returncode == 0, run.output
    assert installed_tool.folder(host) == installed_tool.ROOT
    assert (word(visit, "older"), word(visit, "previous")) == ("first", "first")
    assert_operable(host, "older", "previous")
    assert play("0.1.0", "older").changed > 0
    assert installed(host)[0] == "0.1.0"
    folder = installed_tool.folder(host)
    assert folder.startswith(f"{installed_tool.ROOT}/")
    assert set(host.check_output(f"ls {installed_tool.ROOT}").split()) == {Path(folder).name, "version.json"}
    assert (word(visit, "older"), word(visit, "previous")) == ("first", "first")
    assert_operable(host, "older", "previous")
    assert play("0.1.0", "older").changed == 0


def assert_operable(host: Any, *blogs: str) -> None:
    """Operate blogs with the installed tool; the start of a service needs it, too."""
    for blog in blogs:
        assert "answered 200" in host.check_output(f"blogctl --site {blog} status")
        host.check_output(f"blogctl --site {blog} backup")
        host.check_output(f"systemctl restart {blog}.service")


def test_a_newer_run_upgrades_the_tool_and_the_other_blog_goes_on(
    host: Any, play: Play, visit: Callable[..., Visitor]
) -> None:
    assert installed(host)[0] == "0.1.0"
    assert play("0.2.0", "newer").changed > 0
    assert installed(host) == ("0.2.0", "# 0.2.0")
    assert (word(visit, "older"), word(visit, "newer")) == ("first", "first")
    assert play("0.2.0", "newer").changed == 0


def test_an_older_run_leaves_the_newer_tool_and_reports_no_drift(host: Any, play: Play) -> None:
    run = play("0.1.0", "older")
    assert run.changed == 0
    assert "This host has blogctl of flaskblog.hosting 0.2.0, and this run has 0.1.0" in said(run)
    assert installed(host) == ("0.2.0", "# 0.2.0")
    assert play("0.2.0", "newer").changed == 0, "the two do not fight"


def test_an_older_run_deploys_its_blog_with_the_newer_tool(
    host: Any, play: Play, visit: Callable[..., Visitor]
) -> None:
    assert play("0.1.0", "older", "--extra-vars", "word=second").changed > 0
    assert (word(visit, "older"), word(visit, "newer")) == ("second", "first")
    assert installed(host) == ("0.2.0", "# 0.2.0")
    assert "answered 200" in host.check_output("blogctl --site older status")


def test_an_older_run_that_the_tool_does_not_support_is_refused_before_anything_is_changed(
    host: Any, play: Play, visit: Callable[..., Visitor]
) -> None:
    assert play("1.0.0", "newer").changed > 0
    host.check_output("blogctl --site newer backup")
    before = host.check_output("find /etc /opt /usr/local -newermt '-1 hour' -type f -exec sha256sum {} + | sort")
    run = play("0.1.0", "older", "--extra-vars", "word=third")
    assert run.returncode != 0
    assert "This host has blogctl of flaskblog.hosting 1.0.0, which does not support sites of version 0.1.0" in said(
        run
    )
    assert "Update the collection on the controller to 1.0.0 or later." in said(run)
    after = host.check_output("find /etc /opt /usr/local -newermt '-1 hour' -type f -exec sha256sum {} + | sort")
    assert after == before
    assert (word(visit, "older"), word(visit, "newer")) == ("second", "first")
