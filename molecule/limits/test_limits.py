"""A blog cannot exceed its limits, and does not affect the host and its neighbours.

Each limit is tested by its effect on a running blog (tests/blogs/greedy).
"""

from __future__ import annotations

import contextlib
import http.client
import secrets
import threading
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from molecule.conftest import Answer, Operator, Visitor

#: The limits of the greedy blog (converge.yml).
MEMORY, TASKS, FILES, LINES = 200 << 20, 60, 300, 100
#: journald multiplies a rate limit by at most this, if its disk has much free space (journald.conf(5)).
MULTIPLIED = 6
#: Return the size of the limit of a service's control group, in either of the kernel's interfaces.
LIMIT = """
import pathlib, subprocess
unit, old, new, controller = args
command = ["systemctl", "show", "--property=MainPID", "--value", unit]
pid = subprocess.run(command, capture_output=True, text=True).stdout
groups = [line.split(":", 2) for line in pathlib.Path("/proc", pid.strip(), "cgroup").read_text().splitlines()]
found = None
for number, controllers, group in groups:
    if number == "0":
        path = pathlib.Path("/sys/fs/cgroup" + group, new)
    elif controller in controllers.split(","):
        path = pathlib.Path("/sys/fs/cgroup", controller + group, old)
    else:
        continue
    if path.exists():
        found = path.read_text().strip()
print(json.dumps(found))
"""


@pytest.fixture
def greedy(visit: Callable[..., Visitor]) -> Visitor:
    """A client of the greedy blog."""
    return visit("greedy.example.com")


@pytest.fixture
def hermit(visit: Callable[..., Visitor]) -> Visitor:
    """A client of the blog without a network, which is the greedy one's neighbour."""
    return visit("hermit.example.com")


@pytest.fixture
def limited(operator: Operator) -> Callable[..., None]:
    """Skip a test if the kernel has no such limit; fail if it has another value than was set."""

    def check(controller: str, old: str, new: str, wanted: int) -> None:
        found = operator.python(LIMIT, "greedy.service", old, new, controller)
        if found is None:
            pytest.skip(f"this machine's control groups have no {new} or {old}")
        assert int(found) == wanted

    return check


@pytest.fixture
def recovered(host: Any) -> Generator[None, None, None]:
    """Restart the greedy blog after a test."""
    yield
    host.check_output("systemctl restart greedy.service")


@contextlib.contextmanager
def served(visitor: Visitor) -> Generator[list[int], None, None]:
    """Request a blog's home page continuously during the block; the list gets the statuses, 0 for no answer."""
    statuses: list[int] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            try:
                statuses.append(visitor.ask("/", timeout=5).status)
            except (OSError, http.client.HTTPException):
                statuses.append(0)
            over.wait(0.02)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield statuses
    finally:
        over.set()
        thread.join()


def attempt(visitor: Visitor, path: str) -> Answer | None:
    """Request a page that may end the process that serves it."""
    try:
        return visitor.ask(path, timeout=60)
    except (OSError, http.client.HTTPException):
        return None


# -- shares of the machine --


def test_a_blog_that_eats_memory_loses_a_worker_and_comes_back_while_the_neighbour_serves(
    host: Any, greedy: Visitor, hermit: Visitor, limited: Callable[..., None], eventually: Callable[..., None]
) -> None:
    limited("memory", "memory.limit_in_bytes", "memory.max", MEMORY)
    # A small amount is granted.
    assert greedy.ask("/eat/10").status == 200
    master = greedy.ask("/").json()["parent"]
    with served(hermit) as statuses:
        answer = attempt(greedy, "/eat/600")
        assert answer is None or answer.status == 502, answer.text
        eventually(lambda: greedy.ask("/").status == 200)
    assert set(statuses) == {200}
    assert greedy.ask("/").json()["parent"] == master, "the whole service was restarted"
    assert host.check_output("systemctl show --property NRestarts --value greedy.service") == "0"


def test_files_in_a_temporary_folder_in_memory_count_as_the_blogs_memory(
    host: Any, greedy: Visitor, hermit: Visitor, limited: Callable[..., None], recovered: None
) -> None:
    if host.check_output("findmnt --noheadings --output FSTYPE --target /tmp") != "tmpfs":
        pytest.skip("this machine's /tmp is on a disk")
    limited("memory", "memory.limit_in_bytes", "memory.max", MEMORY)
    size = "df --block-size=1 --output=used /tmp | tail -1"
    before = int(host.check_output(size))
    with served(hermit) as statuses:
        attempt(greedy, "/fill/600/tmp")
        assert int(host.check_output(size)) - before <= MEMORY
    assert set(statuses) == {200}


def test_a_fork_bomb_stops_at_its_limit_and_the_neighbour_serves(
    greedy: Visitor, hermit: Visitor, limited: Callable[..., None], recovered: None
) -> None:
    limited("pids", "pids.max", "pids.max", TASKS)
    with served(hermit) as statuses:
        answer = greedy.ask("/fork/300").json()
    assert answer["error"] == "EAGAIN"
    assert TASKS // 2 < answer["started"] < TASKS
    assert set(statuses) == {200}


def test_a_process_opens_as_many_files_as_it_may_and_leaves_no_core(greedy: Visitor) -> None:
    answer = greedy.ask("/open/1000").json()
    assert answer["error"] == "EMFILE"
    assert FILES // 2 < answer["opened"] < FILES
    assert greedy.ask("/").json()["core"] == [0, 0]


def test_a_flood_of_lines_is_cut_and_the_neighbours_lines_arrive(
    host: Any, greedy: Visitor, hermit: Visitor, eventually: Callable[..., None]
) -> None:
    flood, word = (f"limits{secrets.token_hex(6)}" for _ in range(2))
    greedy.ask(f"/log/{flood}/5000")
    hermit.ask(f"/log/{word}/20")
    count = "journalctl --quiet --no-pager --output=cat --unit=%s | grep --count %s || true"
    eventually(lambda: host.check_output(count, "hermit", word) == "20")
    assert 0 < int(host.check_output(count, "greedy", flood)) <= LINES * MULTIPLIED


# -- the host's files and processes --


@pytest.mark.parametrize("folder", ["run", "run/lock", "run/systemd", "var/tmp/..", "etc"])
def test_the_app_writes_nothing_of_the_hosts(greedy: Visitor, folder: str) -> None:
    assert greedy.ask("/fill/1/var/lib/greedy").json() == {"megabytes": 1, "error": ""}
    answer = greedy.ask(f"/fill/1/{folder}").json()
    assert answer["megabytes"] == 0
    assert answer["error"] in ("EROFS", "EACCES")


def test_shared_memory_is_the_apps_own_and_small(host: Any, greedy: Visitor) -> None:
    used = "df --block-size=1 --output=used /dev/shm | tail -1"
    before = host.check_output(used)
    assert greedy.ask("/fill/100/dev/shm").json() == {"megabytes": 64, "error": "ENOSPC"}
    assert host.check_output(used) == before


@pytest.mark.parametrize("site", ["greedy", "hermit"])
def test_the_app_sees_no_process_but_its_own_and_nothing_of_the_machine(
    host: Any, visit: Callable[..., Visitor], site: str
) -> None:
    seen = visit(f"{site}.example.com").ask("/processes").json()
    assert seen["machine"] == []
    owners = {host.check_output("stat --format %%U /proc/%s", str(pid)) for pid in seen["pids"]}
    assert owners == {site}


@pytest.mark.parametrize("site", ["greedy", "hermit"])
def test_system_calls_that_no_blog_needs_are_refused(visit: Callable[..., Visitor], site: str) -> None:
    answers = visit(f"{site}.example.com").ask("/calls").json()
    assert len(answers) > 10
    assert {call: answer for call, answer in answers.items() if answer != "EPERM"} == {}


def test_a_worker_cannot_speak_for_the_service(host: Any, greedy: Visitor) -> None:
    assert greedy.ask("/forge").json() == {"error": ""}
    assert "forged" not in host.check_output("systemctl show --property StatusText --value greedy.service")


# -- without a network --


@pytest.fixture
def listener(host: Any) -> Generator[str, None, None]:
    """A server on an abstract Unix socket of the host, whose name is the host's address."""
    code = r"import socket, time; s = socket.socket(1); s.bind('\x00127.0.0.1'); s.listen(9); time.sleep(99)"
    host.check_output("systemd-run --quiet --collect --unit=limits-listener python3 -c %s", code)
    yield "127.0.0.1"
    host.check_output("systemctl stop limits-listener")


def test_without_outbound_the_app_reaches_nobody_and_still_serves(
    greedy: Visitor, hermit: Visitor, listener: str, operator: Operator, eventually: Callable[..., None]
) -> None:
    # The servers are reachable from the host: the neighbour's gunicorn, PostgreSQL's port, the socket.
    eventually(lambda: set(greedy.ask(f"/reach/{listener}/8002").json().values()) == {"reached"}, 10)
    for host, port in ((listener, 8002), (listener, 5432), (operator.address(), 80)):
        assert "reached" not in hermit.ask(f"/reach/{host}/{port}").json().values()
    with served(hermit) as statuses:
        assert hermit.ask("/static/greedy.css").status == 200
    assert set(statuses) == {200}


@pytest.mark.machine("13")
def test_without_outbound_a_change_of_settings_goes_live_and_the_client_is_known(
    operator: Operator, hermit: Visitor
) -> None:
    word = secrets.token_hex(4)
    client = hermit.ask("/").json()["client"]
    with served(hermit) as statuses:
        assert operator.play("--extra-vars", f"word={word}").changed > 0
    assert set(statuses) == {200}
    seen = hermit.ask("/").json()
    assert (seen["word"], seen["client"]) == (word, client)
    assert client not in ("", "127.0.0.1")


# -- what blogctl runs as the app --


def run(host: Any, site: str, expression: str) -> str:
    """Evaluate an expression in the app's module, by blogctl run."""
    said: str = host.check_output("blogctl --site %s run python -c %s", site, f"import app; print({expression})")
    return said.strip().splitlines()[-1]


def test_a_command_has_the_limits_of_the_app(host: Any) -> None:
    assert run(host, "greedy", "app.resource.getrlimit(app.resource.RLIMIT_NOFILE)[1]") == str(FILES)
    assert run(host, "greedy", "set(app.calls().values())") == "{'EPERM'}"
    assert run(host, "greedy", "app.fork(300)['error']") == "EAGAIN"
    assert run(host, "greedy", "app.processes()['machine']") == "[]"
    assert "reached" not in run(host, "hermit", "app.reach('127.0.0.1', 8002)")
