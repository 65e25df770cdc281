"""A build that attacks the host reaches nothing and leaves nothing running; only root can change what it made.

The attacker/setup.py of the blog (tests/blogs/hostile_build) records the results of its attacks.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

VICTIM = "victim"
BLOG = Path(__file__).parents[2] / "tests" / "blogs" / "hostile_build"
#: Slow attacks, by machine: their results do not depend on Debian's version.
SHARES = {"12": ["deep", "greedy"], "13": ["loud"]}

#: The expected result of each attack: an empty list of findings, or an error.
SEES_NOTHING = (
    "data",
    "releases",
    "environments of others",
    "settings of any blog",
    "settings of any site",
    "homes",
    "caches of others",
    "backups",
    "processes",
)
FAILS = (
    "database",
    "settings of this blog",
    "passwords",
    "the root of process 1",
    "write to /etc",
    "write to /usr",
    "write beside the environment",
    "write to /",
    "the bus",
    "systemd",
    "the journal",
    "set-user-id",
    "hard link",
)
#: Attacks on later users of the environment. They succeed in the build, and the takeover undoes them.
LEFT = ("daemon", "writable", "fifo", "mark", "pip")


@pytest.fixture
def venv(host: Any) -> str:
    """The victim's environment."""
    return str(host.check_output("readlink -f /var/www/%s/venv", VICTIM))


@pytest.fixture
def results(host: Any, venv: str) -> dict[str, Any]:
    """The results of the attacks."""
    return dict(json.loads(host.check_output("cat %s/hostile.json", venv)))


@pytest.mark.parametrize("attack", SEES_NOTHING)
def test_a_build_sees_nothing_of_other_blogs_and_other_accounts(results: dict[str, Any], attack: str) -> None:
    assert results[attack] in ({"done": []}, {"failed": results[attack].get("failed")})


@pytest.mark.parametrize("attack", FAILS)
def test_an_attack_of_a_build_fails(results: dict[str, Any], attack: str) -> None:
    assert "failed" in results[attack], results[attack]


@pytest.mark.parametrize("attack", LEFT)
def test_the_attacks_on_the_takeover_were_really_made(results: dict[str, Any], attack: str) -> None:
    assert "done" in results[attack], results[attack]


def test_a_build_is_an_account_that_no_app_uses(host: Any, results: dict[str, Any]) -> None:
    name = host.check_output("id -nu %s", str(results["uid"]["done"]))
    assert name == f"{VICTIM}-build"
    for site in host.check_output("ls /etc/*/site.json").split():
        assert json.loads(host.file(site).content_string)["user"] != name
    shell = host.check_output("getent passwd %s", name).rpartition(":")[2]
    assert shell == "/usr/sbin/nologin"
    assert host.check_output("getent shadow %s", name).split(":")[1].startswith("!")
    assert set(results["groups"]["done"]) == {int(host.check_output("id -g %s", name))}


def test_a_builds_environment_holds_nothing_of_the_hosts(results: dict[str, Any]) -> None:
    ours = ("HOME", "LANG", "PATH", "PEP517", "PIP_", "PYTHON", "TMPDIR", "XDG_CACHE_HOME", "_PYPROJECT", "LC_")
    names = [name for name in results["environment"]["done"] if not name.lower().endswith("_proxy")]
    assert [name for name in names if not name.startswith(ours)] == []


def test_no_process_of_a_build_outlives_it(host: Any, venv: str, results: dict[str, Any]) -> None:
    assert results["daemon"] == {"done": "started"}
    assert host.run("pgrep --uid %s", str(results["uid"]["done"])).stdout == ""
    assert host.run("pgrep --full [h]ostile-daemon").stdout == ""
    before = host.check_output("cat %s/heartbeat", venv)
    time.sleep(1)
    assert host.check_output("cat %s/heartbeat", venv) == before


def test_the_result_is_roots_and_nobody_else_can_change_it(host: Any, venv: str) -> None:
    assert host.check_output("find %s ! -user root -o ! -group root", venv) == ""
    assert host.check_output("find %s ! -type l -perm /7022", venv) == "", "writable, or with a set-id bit"
    assert host.check_output("find %s ! -type f ! -type d ! -type l", venv) == "", "a FIFO, a socket or a device"
    code = "import os, sys; print([p for p in sys.argv[1:] if os.listxattr(p)])"
    assert host.check_output("/usr/bin/python3 -c %s %s/listed %s", code, venv, venv) == "[]"
    assert host.run("runuser -u %s -- sh -c %s", VICTIM, f"echo x >> {venv}/listed").rc != 0


def test_the_mark_is_a_file_of_roots_and_nothing_was_written_through_a_link(host: Any, venv: str) -> None:
    assert host.check_output("stat --format '%%F %%U %%a' %s/.complete.json", venv) == "regular file root 644"
    assert not host.file("/etc/planted-by-build").exists
    assert host.check_output("head -n 1 /usr/local/sbin/blogctl").startswith("#!/usr/bin/python3")
    assert host.run("blogctl --site %s releases", VICTIM).rc == 0


def deploy(operator: Any, folder: Path, extra: str) -> Any:
    """Deploy the blog with one more attack."""
    source = Path(shutil.copytree(BLOG, folder / "blog"))
    (source / "attacker" / "extra.txt").write_text(f"{extra}\n")
    (source / "attacker" / "now.txt").write_text(f"{time.time()}\n")  # another environment each time
    return operator.play("--extra-vars", f"hostile_source={source}")


def test_a_build_that_goes_on_without_end_is_refused_or_limited(host: Any, operator: Any, tmp_path: Path) -> None:
    words = {"deep": "lies deeper than 100 directories", "loud": '"loud"', "greedy": "MemoryError"}
    for extra in SHARES[operator.machine[-2:]]:
        run = deploy(operator, tmp_path / extra, extra)
        if extra == "deep":
            assert run.returncode != 0
            assert words[extra] in run.output
            assert len(run.output) < 100_000
        else:
            assert run.returncode == 0, run.output[-2000:]
            venv = host.check_output("readlink -f /var/www/%s/venv", VICTIM)
            assert words[extra] in host.check_output("cat %s/hostile.json", venv)
        assert host.run("ls -d /opt/%s/venvs/*.incomplete", VICTIM).stdout == ""


@pytest.mark.machine(13)
def test_a_build_whose_module_was_killed_is_ended_by_the_next_run(
    host: Any, operator: Any, tmp_path: Path, eventually: Callable[..., None]
) -> None:
    unit = f"{VICTIM}-build.service"
    kill = (
        f"until pid=$(pgrep --oldest --full '[s]ystemd-run.*--unit={unit}') && systemctl --quiet is-active {unit};"
        " do sleep 0.1; done; sleep 3; kill -KILL $(ps -o ppid= -p $pid)"
    )
    host.check_output("systemd-run --quiet --collect sh -c %s", kill.replace("$", "$$"))
    assert deploy(operator, tmp_path / "first", "asleep").returncode != 0
    assert host.run("systemctl is-active %s", unit).stdout.strip() == "active", "the unit goes on without the module"
    run = deploy(operator, tmp_path / "second", "")
    assert run.returncode == 0, run.output[-2000:]
    eventually(lambda: host.run("systemctl is-active %s", unit).stdout.strip() == "inactive", 5)
    assert host.run("ls -d /opt/%s/venvs/*.incomplete", VICTIM).stdout == ""
