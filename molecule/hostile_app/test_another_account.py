"""Another account of the host cannot forge visitors, take the app's address, or use root's locks and notes."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import threading
import time
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from hostile import CHANGE, NAME, SITE, Hostile

if TYPE_CHECKING:
    from molecule.conftest import Operator

ON_12, ON_13 = pytest.mark.machine("12"), pytest.mark.machine("13")
STRANGER = "stranger"
#: Sends requests to gunicorn as nginx would.
ASK = """
import http.client
connection = http.client.HTTPConnection('127.0.0.1', 8000, timeout=10)
connection.request('GET', args[0], headers=args[1])
response = connection.getresponse()
print(json.dumps([response.status, dict(response.headers), response.read().decode()]))
"""
FORGED = {
    "Host": "hostile.example.com",
    "X-Forwarded-For": "203.0.113.1",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Port": "7777",
    "X-Forwarded-Prefix": "/evil",
    "Forwarded": "for=203.0.113.1;host=evil.example;proto=https",
    "X-Real-IP": "203.0.113.1",
    "X-Flask-Blog-Probe": "1",
    "X-Flask-Blog-Key": "0" * 64,
}
#: Tries to bind addresses in a loop, and reports each address that it gets and each client.
TAKE = """
import json, socket, sys, threading, time
def take(port):
    # An account that waits for its moment sees in nginx's site where the app will be.
    while sys.argv[2] and f':{port}' not in open(sys.argv[2]).read():
        time.sleep(0.001)
    while True:
        for family, address in ((socket.AF_INET, '127.0.0.1'), (socket.AF_INET, '0.0.0.0'), (socket.AF_INET6, '::')):
            try:
                with socket.socket(family) as s:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                    s.bind((address, port))
                    s.listen(50)
                    print('bound', port, flush=True)
                    while True:
                        c, _ = s.accept()
                        print('asked', port, c.recv(4000), flush=True)
                        c.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 8\\r\\nConnection: close\\r\\n\\r\\nSTRANGER')
                        c.close()
            except OSError:
                pass
        time.sleep(0.001)
for port in json.loads(sys.argv[1]):
    threading.Thread(target=take, args=[port], daemon=True).start()
print('ready', flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def stranger(machine: Any) -> Generator[str, None, None]:
    """An unprivileged account."""
    machine.check_output("useradd --system %s", STRANGER)
    yield STRANGER
    machine.check_output("userdel %s", STRANGER)


@contextlib.contextmanager
def taking(operator: Operator, *ports: int, named_in: str = "") -> Iterator[list[str]]:
    """Let the stranger try to take ports during the block; the list gets its reports at the end.

    :param named_in: the stranger starts once this file names a port.
    """
    command = ["docker", "exec", "-i", operator.machine, "runuser", "-u", STRANGER, "--"]
    command += ["timeout", "300", "python3", "-c", TAKE, json.dumps(ports), named_in]
    said: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield said
        finally:
            stop = ["docker", "exec", operator.machine, "pkill", "--euid", STRANGER]
            subprocess.run(stop, check=False)
            said += process.stdout.read().splitlines()


@contextlib.contextmanager
def visiting(app: Hostile) -> Iterator[list[str]]:
    """Request pages continuously during the block; the list gets the responses."""
    answers: list[str] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            try:
                answers.append(app.visit(NAME).ask("/").text)
            except (OSError, http.client.HTTPException) as error:
                answers.append(repr(error))
            time.sleep(0.01)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield answers
    finally:
        over.set()
        thread.join()


def ask(
    operator: Operator, path: str, headers: dict[str, str], user: str = STRANGER
) -> tuple[int, dict[str, str], str]:
    """Send a request to gunicorn directly, as some account."""
    status, found, body = operator.python(ASK, path, headers, user=user)
    return status, found, body


@pytest.mark.usefixtures("stranger")
def test_an_account_that_asks_the_app_directly_speaks_for_nobody(app: Hostile, operator: Operator) -> None:
    status, headers, body = ask(operator, "/seen", FORGED)
    assert status == 200
    seen = json.loads(body)
    assert (seen["client"], seen["scheme"], seen["host"]) == ("127.0.0.1", "http", NAME)
    kept = {name for name in seen["headers"] if name.lower().startswith(("x-", "forwarded"))}
    assert kept == set()
    assert not any(name.lower().startswith("x-flask-blog") for name in headers)
    # A visitor that sends a key is not trusted either.
    through = app.visit(NAME).ask("/seen", {"X-Flask-Blog-Key": "0" * 64, "X-Forwarded-Proto": "https"}).json()
    assert through["scheme"] == "http"
    assert through["client"] not in ("127.0.0.1", "203.0.113.1")


@ON_12
@pytest.mark.usefixtures("stranger")
def test_an_account_never_gets_the_address_while_data_is_restored(app: Hostile, operator: Operator) -> None:
    app.run(CHANGE)
    app.write("command.py", CHANGE)
    assert app.activate().status == 0
    with taking(operator, 8000) as said, visiting(app) as answers:
        assert app.blogctl("rollback", "--restore-data").status == 0
    assert said == []
    # On a busy machine, nginx may time out.
    assert {answer for answer in answers if "504 Gateway Time-out" not in answer} == {"hello"}


@ON_13
@pytest.mark.usefixtures("stranger")
def test_an_account_never_gets_the_address_when_a_first_activation_fails(app: Hostile, operator: Operator) -> None:
    release = app.live()
    app.write("start.py", "raise SystemExit('it does not start')\n")
    app.host.check_output("systemctl stop %s.service && rm /var/www/%s", SITE, SITE)
    with taking(operator, 8000) as said:
        failed = app.blogctl("activate", "--retry", release)
        assert failed.status == 1
        assert "nothing is served yet" in failed.stderr
        time.sleep(1)
    app.host.check_output("rm /var/lib/%s/start.py", SITE)
    assert app.blogctl("activate", "--retry", release).status == 0
    assert said == []
    assert app.serves()


@ON_12
@pytest.mark.usefixtures("stranger")
def test_visitors_never_meet_an_account_that_takes_an_address_which_the_app_leaves(
    app: Hostile, operator: Operator
) -> None:
    with taking(operator, 8000) as said, visiting(app) as answers:
        assert operator.play("--extra-vars", "with_neighbour=false bind=127.0.0.1:8010").returncode == 0
    assert "STRANGER" not in answers
    assert [line for line in said if line.startswith("asked")] == []
    with visiting(app) as answers:
        assert operator.play("--extra-vars", "with_neighbour=false").returncode == 0
    assert app.serves()


@pytest.mark.usefixtures("stranger")
@ON_13
@pytest.mark.parametrize("named_in", ["", f"/etc/systemd/system/{SITE}.socket"], ids=["first", "at its moment"])
def test_visitors_never_meet_an_account_that_takes_the_address_which_the_app_is_to_get(
    app: Hostile, operator: Operator, named_in: str
) -> None:
    # It also tries the old address, in case that is free for a moment.
    with taking(operator, 8000, 8010, named_in=named_in) as said, visiting(app) as answers:
        run = operator.play("--extra-vars", "with_neighbour=false bind=127.0.0.1:8010")
    again = operator.play("--extra-vars", "with_neighbour=false")
    assert again.returncode == 0, again.output
    assert app.serves()
    assert named_in or run.returncode != 0
    assert "STRANGER" not in answers
    assert [line for line in said if "X-Flask-Blog-Key" in line] == [], "the key is sent to nobody but the app"


def test_an_account_takes_none_of_root_s_locks_and_reads_no_log(app: Hostile, stranger: str) -> None:
    app.blogctl("backup")
    app.visit(NAME).ask("/a-page-that-somebody-reads")
    as_stranger = f"runuser -u {stranger} -- "
    folder = "/run/flask-blog-hosting"
    locks = app.host.check_output("find %s -type f", folder).split()
    assert any(path.endswith(f"{SITE}.lock") for path in locks)
    for path in locks:
        assert app.host.run(f"{as_stranger} flock --nonblock %s true", path).failed, path
    assert app.host.run(f"{as_stranger} touch {folder}/new").failed
    assert app.host.run("find /run/lock -name '*flask-blog*'").stdout == ""
    logs = app.host.check_output("grep --recursive --files-with-matches a-page-that-somebody-reads /var/log/nginx")
    for path in logs.split():
        assert app.host.run(f"{as_stranger} cat %s", path).failed, path


@ON_13
def test_a_damaged_journal_of_operations_stops_nothing_and_becomes_private_again(
    app: Hostile, operator: Operator, eventually: Callable[..., None]
) -> None:
    journal = f"/opt/{SITE}/operations.jsonl"
    app.host.check_output("sh -c %s", f'printf \'{{"id": 1}}\\n[1]\\n\\377\\376{{\\n"cut\' >> {journal}')
    app.host.check_output("sh -c %s", f"chmod 666 {journal}; chown {SITE} {journal}")
    known = len(app.blogctl("--json", "releases").json()["operations"])
    assert known > 0
    assert app.blogctl("status").status == 0
    assert app.activate().status == 0
    assert len(app.blogctl("--json", "releases").json()["operations"]) == known + 1
    assert operator.play("--extra-vars", "with_neighbour=false").returncode == 0
    assert app.host.check_output("stat --format '%%U %%G %%a' %s", journal) == "root root 600"
    eventually(app.serves)
