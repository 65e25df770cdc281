"""The controller, a module on the host, or the host itself is killed during a run; the next run converges."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import installed_tool
import pytest
import versions
from ledger import Book
from load import Client, Load

NAME = "book.example.com"
LEDGER = Path(__file__).parents[2] / "tests" / "blogs" / "ledger"
VISITORS = (Client("GET", "/", False), Client("POST", "/entries", True))
#: Maximum number of tasks of a run; a shorter one ends normally.
TASKS = 12

# Python on the machine kills itself at a matching audit event, as long as this file exists.
KILLER = """
import os, pathlib, signal, sys
def hook(event, arguments, wanted=None):
    try:
        kind, _, text = open('/run/kill-at').read().strip().partition(' ')
    except OSError:
        return
    if event == kind and text in str(arguments):
        os.unlink('/run/kill-at')
        os.kill(os.getpid(), signal.SIGKILL)
if os.path.exists('/run/kill-at') and os.geteuid() == 0:
    busy = False
    def outer(event, arguments):
        global busy
        if not busy and event in ('os.rename', 'subprocess.Popen', 'os.mkdir'):
            busy = True
            try:
                hook(event, arguments)
            finally:
                busy = False
    sys.addaudithook(outer)
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A copy of the blog to change."""
    return Path(shutil.copytree(LEDGER, tmp_path / "ledger"))


@pytest.fixture
def killer(host: Any) -> Iterator[None]:
    """Python on the machine, with an audit hook in every process (site(3), sitecustomize)."""
    place = host.check_output("python3 -c \"import sysconfig; print(sysconfig.get_path('stdlib'))\"")
    file = f"{place}/sitecustomize.py"
    host.check_output("mv %s %s.kept && cat > %s <<'E'\n" + KILLER.replace("%", "%%") + "\nE", file, file, file)
    yield
    host.check_output("mv %s.kept %s; rm -f /run/kill-at", file, file)


def served(visit: Callable[..., Any]) -> str:
    """Return the release that visitors get."""
    return str(visit(NAME).ask("/healthz").json()["release"])


def change(source: Path, text: str) -> None:
    """Change the blog."""
    (source / "static" / "edition.css").write_text(text)


def is_whole(visit: Callable[..., Any], wanted: str) -> bool:
    """Return whether the release with this style sheet is the only one that answers."""
    releases = {served(visit) for _ in range(8)}
    return len(releases) == 1 and str(visit(NAME).ask("/static/edition.css").text) == wanted


def rows(operator: Any) -> set[int]:
    """Return the ids of all rows in the book."""
    return set(Book.read(operator).entries)


def begun_tasks(output: str) -> list[str]:
    """Return the names of the tasks that a run started."""
    return re.findall(r"^TASK \[(.*?)\]", output, re.MULTILINE)


def play_and_die(operator: Any, source: Path, task: int) -> tuple[int, str]:
    """Run the playbook in a separate process group, and kill that at the start of a task."""
    command = ["ansible-playbook", "--inventory", os.environ["MOLECULE_EPHEMERAL_DIRECTORY"] + "/inventory"]
    command += ["--limit", f"{operator.machine},localhost", "--extra-vars", f"source={source}"]
    command += [str(operator.folder / "converge.yml")]
    environment = {
        **os.environ,
        "KILL_AT_TASK": str(task),
        "ANSIBLE_CALLBACK_PLUGINS": str(operator.folder / "callback_plugins"),
        "ANSIBLE_CALLBACKS_ENABLED": "kill_at_task",
    }
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, start_new_session=True
    )
    return result.returncode, result.stdout + result.stderr


def test_a_controller_that_is_killed_at_any_task_leaves_the_site_serving(
    operator: Any, visit: Callable[..., Any], source: Path
) -> None:
    """A new release for each task; the two machines share every other one, and take all with FLASKBLOG_WALK=whole."""
    change(source, "before")
    assert operator.play("--extra-vars", f"source={source}").returncode == 0
    whole = os.environ.get("FLASKBLOG_WALK") == "whole"
    share = range(1, TASKS + 1) if whole else range(3 if operator.machine.endswith("13") else 1, TASKS + 1, 4)
    killed = 0
    with Load(operator.address(), NAME, fast=VISITORS, slow=(), pause=0.03) as load:
        for task in share:
            before, wanted = visit(NAME).ask("/static/edition.css").text, f"at task {task}"
            change(source, wanted)
            status, output = play_and_die(operator, source, task)
            killed += status == -9
            assert status in (0, -9), output
            # A module on the host may continue without its controller.
            deadline = time.monotonic() + 30
            while not (is_whole(visit, wanted) or is_whole(visit, before)):
                assert time.monotonic() < deadline, begun_tasks(output)
            run = operator.play("--extra-vars", f"source={source}")
            assert run.returncode == 0, run.output
            assert is_whole(visit, wanted)
            assert load.failures == [], begun_tasks(output)
    assert killed >= len(share) // 2, "most of the runs were killed"
    assert set(load.acknowledged) <= rows(operator)


KILLS = {
    # All files are unpacked and have their owner; the release is not renamed yet.
    "unpack": "echo os.rename .incomplete > /run/kill-at",
    # The build is about to begin.
    "venv": "echo subprocess.Popen --unit=flask-blog-build.service > /run/kill-at",
    # The build's unit continues without the module, until the next run stops it.
    "pip": 'systemd-run --quiet --collect sh -c \'touch /run/kill-at; until pgrep -f "[p]ip install" &&'
    ' unit=$(pgrep -of "[s]ystemd-run.*unit=flask-blog-build"); do sleep 0.05; done;'
    " kill -KILL $(ps -o ppid= -p $unit); rm /run/kill-at'",
}


#: The modules do the same on both platforms.
MACHINES = {"unpack": "12", "venv": "13", "pip": "12"}


@pytest.mark.parametrize("step", [pytest.param(step, marks=pytest.mark.machine(MACHINES[step])) for step in KILLS])
def test_a_module_that_is_killed_leaves_nothing_that_the_next_run_trips_over(
    host: Any, operator: Any, visit: Callable[..., Any], source: Path, killer: None, step: str
) -> None:
    before = served(visit)
    change(source, step)
    # New requirements each time, from packages that are already on the machine.
    requirements = {"unpack": "Flask\n", "venv": "Flask\nitsdangerous\n", "pip": "Flask\nWerkzeug\n"}
    (source / "requirements.txt").write_text(requirements[step])
    host.check_output(KILLS[step].replace("%", "%%"))
    run = operator.play("--extra-vars", f"source={source}")
    assert run.returncode != 0, "nothing was killed"
    assert not host.file("/run/kill-at").exists, "it was killed where it should be"
    assert served(visit) == before
    run = operator.play("--extra-vars", f"source={source}")
    assert run.returncode == 0, run.output
    assert is_whole(visit, step)
    assert host.run("ls -d /opt/flask-blog/releases/*.incomplete /opt/flask-blog/venvs/*.incomplete").stdout == ""


@pytest.mark.machine("13")
def test_a_run_that_is_killed_between_two_files_of_the_tool_leaves_the_installed_one_whole(
    host: Any, operator: Any, visit: Callable[..., Any], source: Path, killer: None, tmp_path: Path
) -> None:
    """All blogs of the host need the tool: at the start of each service, at boot and for backups."""
    change(source, "with another tool")
    before, folder = served(visit), installed_tool.folder(host)
    count = f"find {folder}/blogctl -name '*.py' | wc -l"
    whole = int(host.check_output(count))
    host.check_output("echo os.rename /blogctl/data/ > /run/kill-at")
    with versions.used(versions.make_collection(tmp_path, "0.1.0", 1, mark="another tool")):
        run = operator.play("--extra-vars", f"source={source}")
        assert run.returncode != 0, "nothing was killed"
        assert not host.file("/run/kill-at").exists, "it was killed where it should be"
        names = set(host.check_output(f"ls {installed_tool.ROOT}").split()) - {Path(folder).name, "version.json"}
        (half,) = names
        written = int(host.check_output(count.replace(folder, f"{installed_tool.ROOT}/{half}")))
        assert 0 < written < whole, "it was killed between two files"

        assert installed_tool.folder(host) == folder
        assert "answered 200" in host.check_output("blogctl status")
        host.check_output("systemctl start flask-blog-backup.service")
        host.check_output("systemctl restart flask-blog.service")
        assert served(visit) == before

        run = operator.play("--extra-vars", f"source={source}")
    assert run.returncode == 0, run.output
    assert is_whole(visit, "with another tool")
    assert installed_tool.folder(host) == f"{installed_tool.ROOT}/{half}"
    assert host.check_output(f"head -n 1 {installed_tool.ROOT}/{half}/blogctl/__init__.py") == "# another tool"
    assert not host.file(folder).exists
    assert "answered 200" in host.check_output("blogctl status")
    assert operator.play("--extra-vars", f"source={source}").changed > 0, "this version's tool comes back"
    assert installed_tool.folder(host) == folder
    assert operator.play("--extra-vars", f"source={source}").changed == 0


def test_a_power_cut_in_the_middle_of_a_change_of_the_data_leaves_one_whole_release(
    host: Any, operator: Any, visit: Callable[..., Any], source: Path, eventually: Callable[..., None]
) -> None:
    """The machine stops during a release command; the change is undone before the blog starts."""
    change(source, "before the cut")
    assert operator.play("--extra-vars", f"source={source}").returncode == 0
    before = served(visit)
    change(source, "after the cut")
    with (source / "migrate.py").open("a") as script:
        script.write(
            "connection.execute('CREATE TABLE IF NOT EXISTS cut (id INTEGER PRIMARY KEY)')\n"
            "if '/rehearsal' not in Path('/proc/self/mountinfo').read_text():\n"
            "    (folder / 'half').exists() or __import__('time').sleep(30)\n"
        )
    with Load(operator.address(), NAME, fast=VISITORS, slow=(), pause=0.03) as load:
        time.sleep(1)
        command = ["ansible-playbook", "--inventory", os.environ["MOLECULE_EPHEMERAL_DIRECTORY"] + "/inventory"]
        command += ["--limit", f"{operator.machine},localhost", "--extra-vars", f"source={source}"]
        with subprocess.Popen(
            [*command, str(operator.folder / "converge.yml")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as run:
            eventually(lambda: has_table(host, "cut"), 60)
            subprocess.run(["docker", "kill", operator.machine], check=True, capture_output=True)
            run.kill()
        # The visitors wait for answers of the former machine until this one refuses their connections.
        subprocess.run(["docker", "start", operator.machine], check=True, capture_output=True)
    eventually(lambda: answers(visit), 60)
    assert served(visit) == before
    assert is_whole(visit, "before the cut")
    assert not has_table(host, "cut")
    assert set(load.acknowledged) <= rows(operator)
    eventually(lambda: "  interrupted" in host.check_output("blogctl releases"), 30)
    assert host.run("ls /opt/flask-blog/transaction.json /var/backups/flask-blog/rehearsal").stdout == ""
    text = (source / "migrate.py").read_text()
    (source / "migrate.py").write_text(text.replace("sleep(30)", "sleep(0)"))
    run_again = operator.play("--extra-vars", f"source={source}")
    assert run_again.returncode == 0, run_again.output
    assert is_whole(visit, "after the cut")


def answers(visit: Callable[..., Any]) -> bool:
    """Return whether the site answers."""
    try:
        return bool(visit(NAME).ask("/healthz").status == 200)
    except (OSError, ValueError):
        return False


def has_table(host: Any, name: str) -> bool:
    """Return whether the live database has a table."""
    code = (
        "import sqlite3, sys; c = sqlite3.connect('/var/lib/flask-blog/database.db', timeout=30);"
        " print(c.execute('SELECT count(*) FROM sqlite_schema WHERE name = ?', sys.argv[1:]).fetchone()[0])"
    )
    return bool(host.run("runuser -u flask-blog -- python3 -c %s %s", code, name).stdout.strip() == "1")
