"""A build runs in a unit of the build account: the unit's properties, output and end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import cage
from ansible_collections.flaskblog.hosting.plugins.module_utils.venv import build

JOB = build.Job(
    name="blog",
    account="blog-build",
    command=["/usr/bin/python3", "-c", "pass"],
    timeout=60,
    writable={"/opt/blog/venvs/abc.incomplete": "/opt/blog/venvs/abc"},
    readable=["/srv/wheels"],
)


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Run jobs as they are, without systemd; the names of the units that are stopped."""
    names: list[str] = []
    monkeypatch.setattr(cage, "prepare", lambda: None)
    monkeypatch.setattr(cage, "command", lambda *_, **__: [])
    monkeypatch.setattr(build, "stop", names.append)
    return names


def job(code: str, timeout: int = 60) -> build.Job:
    return build.Job("blog", "blog-build", [sys.executable, "-c", code], timeout)


def test_a_build_is_another_account_with_nothing_to_write_but_what_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cage, "systemd_version", lambda: 257)
    found = build.properties(JOB)
    assert (found["User"], found["Group"], found["NoNewPrivileges"]) == ("blog-build", "blog-build", "yes")
    assert found["ReadWritePaths"] == "/opt/blog/venvs/abc"
    assert found["BindPaths"] == "/opt/blog/venvs/abc.incomplete:/opt/blog/venvs/abc"
    visible = found["BindReadOnlyPaths"].split()
    assert "/srv/wheels" in visible
    assert not [path for path in visible if path.lstrip("-").startswith(("/var", "/opt", "/home", "/root"))]
    assert found["ProtectProc"] == "invisible"
    assert found["ProtectSystem"] == "strict"


def test_a_build_ends_with_all_its_processes_and_cannot_take_all_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cage, "systemd_version", lambda: 257)
    found = build.properties(JOB)
    assert (found["KillMode"], found["KillSignal"], found["RuntimeMaxSec"]) == ("control-group", "SIGKILL", "60")
    assert found["MemoryMax"] == "75%"
    assert int(found["TasksMax"]) < 5000
    assert int(found["OOMScoreAdjust"]) > 0


def test_the_settings_of_every_blog_are_hidden_from_a_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cage, "systemd_version", lambda: 257)
    files = ["/etc/blog/site.json", "/etc/other-blog/site.json", "/etc/bad name:x/site.json"]
    monkeypatch.setattr(build.glob, "glob", lambda _: list(files))
    hidden = build.properties(JOB)["InaccessiblePaths"].split()
    assert hidden == ["-/etc/flask-blog-hosting", "-/etc/blog", "-/etc/other-blog"]


def test_no_variable_stands_in_the_units_settings_where_every_account_can_read_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secret = "http://user:secret@proxy.test"
    monkeypatch.setenv("https_proxy", secret)
    monkeypatch.setattr(cage, "systemd_version", lambda: 257)
    assert build.environment("/var/cache/x", "/var/cache/x.tmp")["https_proxy"] == secret
    command = cage.command("a build", build.properties(JOB))
    assert not [word for word in command if "secret" in word or word.startswith("--setenv")]


def test_a_build_gets_nothing_of_roots_environment_but_its_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET", "not for a build")
    monkeypatch.setenv("PYTHONPATH", "/root")
    monkeypatch.setenv("no_proxy", "localhost")
    found = build.environment("/var/cache/x", "/var/cache/x.tmp")
    assert found["no_proxy"] == "localhost"
    assert {"AWS_SECRET", "PYTHONPATH"}.isdisjoint(found)
    assert found["TMPDIR"] == "/var/cache/x.tmp", "the unit's own /tmp and /var/tmp may be in memory"


def test_a_build_reads_its_input_and_its_output_is_returned(stopped: list[str]) -> None:
    def feed(stream: IO[bytes]) -> None:
        stream.write(b"x" * 1_000_000)

    output = build.run(job("import sys; print(len(sys.stdin.buffer.read()))"), feed)
    assert output == "1000000"
    assert stopped == ["blog"], "what a killed run left is stopped first"


def test_a_build_that_reads_no_input_is_not_waited_for(stopped: list[str]) -> None:
    assert build.run(job("print('done')"), lambda stream: stream.write(b"x" * 1_000_000) and None) == "done"


def test_a_failed_build_is_reported_with_its_last_lines_that_cannot_steer_a_terminal(stopped: list[str]) -> None:
    code = "import sys; [print('line', n) for n in range(100)]; print('\\x1b[2Jno such package'); sys.exit(3)"
    with pytest.raises(build.BuildError) as caught:
        build.run(job(code))
    lines = str(caught.value).splitlines()
    assert lines[-1] == "\\x1b[2Jno such package"
    assert len(lines) == build.LAST_LINES


def test_a_build_that_fails_silently_is_reported_with_its_status(stopped: list[str]) -> None:
    with pytest.raises(build.BuildError, match="ended with status 3 and printed nothing"):
        build.run(job("import sys; sys.exit(3)"))


def test_endless_output_takes_no_memory_of_roots(stopped: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    largest = 0

    class Watched(bytearray):
        def __iadd__(self, other: Any) -> Any:  # type: ignore[misc]
            nonlocal largest
            result = super().__iadd__(other)
            largest = max(largest, len(self))
            return result

    monkeypatch.setattr(build, "bytearray", Watched, raising=False)
    code = "import sys; [sys.stdout.write('x' * 65536) for _ in range(1000)]; print('\\nthe end')"
    assert build.run(job(code)).endswith("the end")
    assert 0 < largest <= 2 * build.KEPT_OUTPUT


def test_a_unit_that_does_not_end_in_time_is_stopped(stopped: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "GRACE", 0.2)
    began = time.monotonic()
    with pytest.raises(build.BuildError, match="took longer than 1 s"):
        build.run(job("import time; print('working', flush=True); time.sleep(60)", timeout=1))
    assert time.monotonic() - began < 10
    assert stopped == ["blog", "blog"]


def test_a_process_that_got_hold_of_the_output_elsewhere_does_not_keep_root_waiting(
    stopped: list[str], tmp_path: Path
) -> None:
    code = (
        "import os, subprocess, sys; p = subprocess.Popen(['sleep', '30'], start_new_session=True);"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(p.pid)); print('done')"
    )
    began = time.monotonic()
    try:
        assert build.run(job(code)) == "done"
        assert time.monotonic() - began < 10
    finally:
        os.kill(int((tmp_path / "pid").read_text()), 9)


def test_a_leftover_unit_is_stopped_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        calls.append(command)
        return subprocess.CompletedProcess(command, 5)  # there is no such unit

    monkeypatch.setattr(subprocess, "run", run)
    build.stop("blog")
    assert calls == [["systemctl", "--quiet", "stop", "blog-build.service"]]


def test_a_failed_build_is_reported_with_its_first_error_and_the_remedy_however_much_follows(stopped: list[str]) -> None:
    code = (
        "print('Collecting psycopg2\\nError: pg_config executable not found.');"
        "[print('x' * 1000) for _ in range(1000)]; print('ERROR: \\x1b[2Jlast', end=''); raise SystemExit(1)"
    )
    with pytest.raises(build.BuildError) as caught:
        build.run(job(code))
    lines = str(caught.value).splitlines()
    assert lines[0] == "psycopg2 cannot be installed: Error: pg_config executable not found."
    assert "apt install build-essential libpq-dev python3-dev" in lines[2]
    assert lines[-1] == "ERROR: \\x1b[2Jlast"
    assert len(lines) < 20


def test_a_line_without_an_end_takes_no_memory_of_roots() -> None:
    output = build.Output()
    for _ in range(100):
        output.add(b"x" * 65536)
    assert len(output._line) <= build.LONGEST_LINE
    output.add(b"\nCollecting x\nerr")
    output.add(b"or: [Errno 2] No such file or directory: 'gcc'")
    assert output.error().startswith("x cannot be installed: error: [Errno 2]")


def test_a_build_that_the_kernel_killed_is_reported_as_such(stopped: list[str]) -> None:
    with pytest.raises(build.BuildError) as caught:
        build.run(job(f"print('Collecting pandas'); raise SystemExit({build.KILLED})"))
    assert str(caught.value).startswith("It was killed, most likely as it took more than 75% of the server's memory.")
    assert str(caught.value).endswith("The end of the output:\nCollecting pandas")
