"""Programs with the rights of the app's account: what they get and what they reach."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from blogctl.data import process
from blogctl.errors import HostError, OperationError
from blogctl.host import journal, run_as_app
from blogctl.shared import cage
from blogctl.site import Site
from transient_units import Units

Add = Callable[[str], Path]


# -- commands ---------------------------------------------------------------------------------------------------------


def test_a_command_runs_as_the_app_with_its_limits_on_the_live_data(site: Site, units: Units, add_release: Add) -> None:
    folder = add_release("abc")
    assert run_as_app.run(site, folder, "src", "echo 41; echo 42 >&2", site.path("data")) == "41\n42"
    assert units.logged[:3] == ["runs the command: echo 41; echo 42 >&2", "41", "42"]
    assert units.logged[3].startswith("the command succeeded after 0.")
    assert units.stopped[:1] == ["blog-command"], "one that was left over"
    (unit,) = units.started
    assert unit.options == ["--pipe", "--wait", "--unit=blog-command"]
    assert unit.description == "A command of blog", "not the command, which may have lines"
    assert unit.properties["User"] == site.settings["user"]
    assert unit.properties["RuntimeMaxSec"] == "5"
    assert unit.properties["TimeoutStopSec"] == "10", "one that does not heed SIGTERM would have 90 s"
    assert unit.properties["EnvironmentFile"] == [f"{site.settings['config']}/environment"]
    assert site.settings["sandbox"].items() <= unit.properties.items()
    assert unit.environment["PYTHONPATH"] == f"{folder}/src"
    assert unit.environment["FLASK_BLOG_RELEASE"] == "abc"
    assert unit.environment["FLASK_BLOG_ROLE"] == "command"
    assert unit.environment["FLASK_RUN_FROM_CLI"] == "true", "Flask ignores app.run() then"


def test_a_command_has_the_environment_of_the_service(site: Site, units: Units, add_release: Add) -> None:
    folder = add_release("abc")
    site.settings["process_environment"] = {"FLASK_SKIP_DOTENV": "1", "HOME": "/var/lib/blog"}
    run_as_app.run(site, folder, "", "true", site.path("data"))
    found = units.started[0].environment
    assert (found["FLASK_SKIP_DOTENV"], found["HOME"]) == ("1", "/var/lib/blog")
    assert found["PATH"] == f"{folder}/venv/bin:/usr/bin:/bin"


def test_a_command_of_a_site_that_an_older_role_deployed_has_what_it_had(
    site: Site, units: Units, add_release: Add
) -> None:
    run_as_app.run(site, add_release("abc"), "", "true", site.path("data"))
    found = units.started[0].environment
    assert (found["MALLOC_ARENA_MAX"], found["HOME"]) == ("2", site.settings["data"])


def test_a_command_that_cannot_be_started_and_writes_nothing_says_what_systemd_says(
    site: Site, units: Units, add_release: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (
        "2026-11-27T02:32:25+00:00 h (sh)[9]: blog-command.service: Failed to set up mount namespacing: /run/x: No such"
        " file or directory\n"
        "2026-11-27T02:32:25+00:00 h (sh)[9]: blog-command.service: Failed at step NAMESPACE spawning /bin/sh: No such"
        " file or directory\n"
        "2026-11-27T02:32:25+00:00 h systemd[1]: blog-command.service: Failed with result 'exit-code'."
    )
    monkeypatch.setattr(journal, "last_lines", lambda *_: lines)
    folder = add_release("abc")
    with pytest.raises(
        OperationError, match=r"failed \(status 226\): Failed at step NAMESPACE spawning /bin/sh: No such"
    ):
        run_as_app.run(site, folder, "", "exit 226", site.path("data"))
    monkeypatch.setattr(journal, "last_lines", lambda *_: "(the journal holds nothing)")
    with pytest.raises(OperationError, match=r"failed \(status 3\)\nIts output:\n\(no output\)"):
        run_as_app.run(site, folder, "", "exit 3", site.path("data"))


def test_a_command_that_fails_shows_what_it_said(site: Site, units: Units, add_release: Add) -> None:
    with pytest.raises(
        OperationError, match=r"the command 'echo 41; exit 3' failed \(status 3\): 41\nIts output:\n41$"
    ):
        run_as_app.run(site, add_release("abc"), "", "echo 41; exit 3", site.path("data"))
    assert units.logged[-1] == "the command failed (status 3): echo 41; exit 3"


def test_a_command_that_ends_with_a_traceback_shows_what_it_wrote_before(
    site: Site, units: Units, add_release: Add
) -> None:
    script = "for one in $(seq 30); do echo upgrade $one; done; python3 -c 'import no_such_module'"
    with pytest.raises(OperationError) as error:
        run_as_app.run(site, add_release("abc"), "", script, site.path("data"))
    lines = str(error.value).splitlines()
    shown = lines[lines.index("Its output:") + 1 :]
    assert shown[:10] == [f"upgrade {number}" for number in range(21, 31)]
    assert shown[-1].startswith("ModuleNotFoundError: No module named 'no_such_module'")


def test_a_command_whose_time_is_up_is_said_to_be_ended_for_that(site: Site, units: Units, add_release: Add) -> None:
    site.settings["command_timeout"] = 0
    with pytest.raises(
        OperationError, match=r"took longer than flask_blog_command_timeout, 0 s, and was ended\nIts output:\n41"
    ):
        run_as_app.run(site, add_release("abc"), "", "echo 41; false", site.path("data"))


def test_a_command_that_ends_and_leaves_its_output_open_is_waited_for_no_longer_than_its_time(
    site: Site, units: Units, add_release: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon that holds the pipe; the unit's end would end it, here nobody does."""
    monkeypatch.setattr(run_as_app, "STOP_TIMEOUT", 0)
    site.settings["command_timeout"] = 1
    began = time.monotonic()
    run_as_app.run(site, add_release("abc"), "", "sleep 3 & echo started", site.path("data"))
    assert time.monotonic() - began < 2.5


def test_a_command_that_blogctl_does_not_wait_for_any_more_is_stopped(
    site: Site, units: Units, add_release: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> Iterator[str]:
        raise KeyboardInterrupt

    processes: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def start(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        processes.append(real(*arguments, **options))
        return processes[0]

    def stop(*names: str) -> None:
        units.stopped.extend(names)
        for one in processes:
            one.kill()

    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.setattr(run_as_app, "stop_transient", stop)
    monkeypatch.setattr(run_as_app.Output, "lines", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_as_app.run(site, add_release("abc"), "", "sleep 60", site.path("data"))
    assert units.stopped == ["blog-command"] * 3
    assert processes[0].returncode == -9


def test_a_command_that_somebody_runs_ends_with_blogctl(
    site: Site, units: Units, add_release: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, unit = add_release("abc"), f"blog-run-{os.getpid()}"
    lock = os.open(os.devnull, os.O_RDONLY)
    with contextlib.closing(os.fdopen(lock)):
        assert run_as_app.attach(site, folder, "", ["sh", "-c", "exit 7"], lock) == 7
    (found,) = units.started
    assert f"--unit={unit}" in found.options
    assert found.environment["FLASK_BLOG_ROLE"] == "command"
    assert "RootDirectory" not in found.properties, "it works on the live data"

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "run", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_as_app.attach(site, folder, "", ["flask", "shell"], lock)
    assert units.stopped == [unit]


# -- what a program reaches -------------------------------------------------------------------------------------------


def test_what_runs_on_a_copy_reaches_the_copy_and_nothing_else(site: Site, units: Units, tmp_path: Path) -> None:
    site.settings["sandbox"] |= {"PrivateNetwork": "no"}
    found = run_as_app.properties_as_app(site, tmp_path / "release", tmp_path / "copy")
    assert found["PrivateNetwork"] == "yes"
    assert found["RootDirectory"] == cage.ROOT
    assert found["BindPaths"] == f"{tmp_path}/copy:{site.settings['data']}"
    assert found["ReadWritePaths"] == site.settings["data"]
    readable = str(found["BindReadOnlyPaths"]).split()
    assert {path for path in readable if path.removeprefix("-") not in (*cage.SYSTEM, "/etc")} <= {
        *cage.SYSTEM,
        site.settings["root"],
        f"-{site.settings['link']}",
    }
    assert not [path for path in readable if path.removeprefix("-").startswith("/run")], "no socket of the host"
    config = site.settings["config"]
    assert found["EnvironmentFile"] == [f"{config}/environment", f"-{config}/rehearsal-environment"]
    assert (found["Nice"], found["IOSchedulingClass"]) == ("10", "idle")


def test_what_runs_on_the_live_data_has_what_the_service_has(site: Site, units: Units, tmp_path: Path) -> None:
    found = run_as_app.properties_as_app(site, tmp_path / "release", site.path("data"))
    assert found == {
        **site.settings["sandbox"],
        "User": site.settings["user"],
        "Group": site.settings["group"],
        "WorkingDirectory": str(tmp_path / "release"),
        "EnvironmentFile": [f"{site.settings['config']}/environment"],
        "SyslogIdentifier": "blog",
    }


@pytest.mark.parametrize(("place", "role"), [("copy", "rehearsal"), ("data", "command")])
def test_a_command_knows_whether_it_is_rehearsed(
    site: Site, units: Units, add_release: Add, tmp_path: Path, place: str, role: str
) -> None:
    said = run_as_app.run(site, add_release("abc"), "", "echo $FLASK_BLOG_ROLE", tmp_path / place)
    assert said == role


@pytest.mark.parametrize("place", ["copy", "data"])
def test_an_instance_that_is_tried_is_gunicorn_on_a_socket_of_its_own(
    site: Site, units: Units, add_release: Add, tmp_path: Path, place: str
) -> None:
    folder = add_release("abc")
    site.settings["gunicorn_options"] = {"workers": 3, "threads": 4, "timeout": 60}
    (folder / "venv" / "bin" / "gunicorn").write_text(
        '#!/bin/sh\necho "$@" in $FLASK_BLOG_ROLE as $FLASK_BLOG_TRY_AS\n'
    )
    with run_as_app.instance(site, folder, "", tmp_path / place) as (_, output):
        said = list(output.lines(5))
    (unit,) = units.started
    assert said == [
        f"--config {site.settings['config']}/gunicorn.conf.py --bind unix:/tmp/app.sock --threads 4"
        " --timeout 60 --workers 1 app:app in rehearsal as blog.test"
    ]
    assert unit.environment["FLASK_BLOG_DATA"] == site.settings["data"]
    assert unit.properties.get("KillSignal") == ("SIGKILL" if place == "copy" else None), "live data is closed in peace"
    assert units.stopped[0] == "blog-rehearsal"


def test_the_work_on_the_data_sees_the_data_and_nothing_else(
    site: Site, units: Units, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(process.CONFINED)
    monkeypatch.setattr(process, "stop_transient", lambda *names: units.stopped.extend(names))
    units.prefix = "/bin/true"
    copy = tmp_path / "copy"
    with pytest.raises(HostError, match="ended early"), process.working(site, "copy", target=copy, niced=True) as work:
        work.finish()
    (unit,) = units.started
    assert unit.options == ["--pipe", "--wait", "--unit=blog-data"]
    assert unit.properties["PrivateNetwork"] == "yes"
    assert unit.properties["RestrictAddressFamilies"] == "AF_UNIX"
    assert unit.properties["CapabilityBoundingSet"] == ""
    assert unit.properties["NoNewPrivileges"] == "yes"
    assert unit.properties["BindPaths"] == f"{site.settings['data']}:{site.settings['data']} {tmp_path}/copy:/mnt"
    assert unit.properties["InaccessiblePaths"] == site.settings["config"], "its secrets are not for this"
    assert (unit.properties["User"], unit.properties["UMask"]) == (site.settings["user"], "0027")
    assert (unit.properties["RuntimeMaxSec"], unit.properties["Nice"]) == (str(process.WORK_TIMEOUT), "10")
    assert unit.environment == {}
    assert units.stopped == ["blog-data"], "one that was left over"
