"""A rehearsal reaches no real server; messages name the alternatives; init commands run once."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hostile import CHANGE, NAME, SITE, Hostile

if TYPE_CHECKING:
    from molecule.conftest import Operator

NOTES = "/root/notes"
#: Addresses of servers.py, and those that the live app reaches: it has a private /tmp.
PLACES = {"tcp", "abstract", "/run/real.sock", "/tmp/real.sock", "/srv/real.sock", "/var/lib/real.sock"}
REACHED = PLACES - {"/tmp/real.sock"}
#: Connects to all of them and to the journal; sends its role.
REACH = """
import os, socket
who = os.environ.get('FLASK_BLOG_ROLE', 'nobody') + (' on a copy' if ON_A_COPY else '')
places = {
    'tcp': (socket.AF_INET, ('127.0.0.1', 6399)), 'abstract': (socket.AF_UNIX, chr(0) + 'real.sock'),
    **{f'{f}/real.sock': (socket.AF_UNIX, f'{f}/real.sock') for f in ('/run', '/tmp', '/srv', '/var/lib')},
}
for place, (family, address) in places.items():
    try:
        with socket.socket(family) as s:
            s.settimeout(3)
            s.connect(address)
            s.sendall(f'FILE {who}'.encode())
            s.recv(10)
    except OSError:
        pass
for path in ('/run/systemd/journal/socket', '/run/systemd/journal/dev-log', '/dev/log'):
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.sendto(f'MESSAGE=reached from FILE {who}'.encode(), path)
    except OSError:
        pass
print(f'this is FILE {who}')
"""
#: Prints control characters for a terminal, and fails without the server.
NEEDS = """
import socket, sys
print('\\x1b]0;owned\\x07\\x1b[2J\\x9b31m', flush=True)
socket.create_connection(('127.0.0.1', 6399), 2).close()
"""


@pytest.fixture(scope="module", autouse=True)
def _servers(machine: Any, operator: Operator) -> Generator[None, None, None]:
    """Servers that every account of the host can reach."""
    text = Path(__file__).with_name("servers.py").read_text()
    operator.python("open('/root/servers.py', 'w').write(args[0])", text)
    machine.check_output("systemd-run --unit=real-servers python3 /root/servers.py %s", NOTES)
    yield
    machine.check_output("systemctl stop real-servers")


@pytest.fixture
def _settings_kept(machine: Any) -> Generator[None, None, None]:
    """Restore the site's settings after the test, without a run of the playbook."""
    machine.check_output(f"rm -rf /root/settings && cp --archive /etc/{SITE} /root/settings")
    yield
    machine.check_output(f"rm -rf /etc/{SITE} && cp --archive /root/settings /etc/{SITE}")


def visitors_of_servers(host: Any) -> dict[str, set[str]]:
    """Return the addresses that each role has reached since the last call."""
    found = defaultdict(set)
    for line in host.run("cat %s; rm -f %s", NOTES, NOTES).stdout.splitlines():
        place, _, who = line.partition(" ")
        found[who].add(place)
    return dict(found)


def journal(host: Any, word: str) -> set[str]:
    """Return the messages of the last minutes' journal that contain a word."""
    lines = host.run("journalctl --quiet --output=cat --since=-3min --grep %s", word).stdout.splitlines()
    return {line[line.index(word) :].strip() for line in lines}


@pytest.mark.machine("13")
def test_init_commands_run_once_in_the_life_of_a_blog_without_any_file(app: Hostile) -> None:
    """At least two releases have been activated before, each with an empty data folder."""
    command = "runs the command: echo this blog is new"
    assert app.activate().status == 0
    journal = app.host.check_output("journalctl --quiet --output=cat --unit %s", SITE)
    assert journal.count(command) == 1
    assert "runs the command: python migrate.py" in journal


def test_a_rehearsal_reaches_nothing_and_the_live_app_reaches_what_it_needs(app: Hostile) -> None:
    app.write("start.py", REACH.replace("FILE", "start"))
    app.write("command.py", CHANGE + REACH.replace("FILE", "command"))
    visitors_of_servers(app.host)
    done = app.activate()
    assert done.status == 0, done.stderr
    found = visitors_of_servers(app.host)
    # migrate.py imports the app, so its command runs start.py as well; so does the instance that is tried on the data.
    assert found == {
        "start command": REACHED,
        "command command": REACHED,
        "start rehearsal": REACHED,
        "start web": REACHED,
    }
    said = journal(app.host, "this is")
    assert {
        "this is start rehearsal on a copy",
        "this is command rehearsal on a copy",
        "this is command command",
    } <= said
    assert "this is start web" in said
    reached = journal(app.host, "reached from")
    assert {line for line in reached if line.endswith("on a copy")} == set()
    assert app.visit(NAME).ask("/healthz").json()["role"] == "web"
    assert app.blogctl("run", "--", "printenv", "FLASK_BLOG_ROLE").stdout.strip() == "command"


@pytest.mark.usefixtures("_settings_kept")
def test_a_release_that_needs_a_server_is_told_its_choices_and_has_them(
    app: Hostile, operator: Operator, source: Path, eventually: Callable[..., None]
) -> None:
    def bring(**values: object) -> Any:
        given = {"source": str(source), "with_neighbour": False, **values}
        return operator.play("--extra-vars", json.dumps(given))

    app.write("command.py", NEEDS)
    (source / "new.txt").write_text("for a new release")
    refused = bring()
    assert refused.returncode != 0
    for words in ("Connection refused", "flask_blog_rehearsal_environment", "flask_blog_rehearse: start"):
        assert words in " ".join(refused.output.split()), refused.output
    assert "the live site was not touched" in " ".join(refused.output.split())
    assert not set("\x1b\x07\x9b") & set(refused.output)
    assert app.serves()
    assert visitors_of_servers(app.host) == {}

    if operator.machine.endswith("12"):
        # The same app without a rehearsal: its command runs once, on the live data.
        assert bring(rehearse="start").returncode == 0
    else:
        app.write("command.py", "import os\nif os.environ.get('SERVER') != 'none':\n" + indented(NEEDS))
        assert bring(rehearsal_environment={"SERVER": "none"}).returncode == 0
    eventually(app.serves)
    assert visitors_of_servers(app.host) == {"": {"tcp"}}


def indented(code: str) -> str:
    return "".join(f"    {line}\n" for line in code.splitlines())


@pytest.mark.machine("13")
def test_what_a_failing_command_says_cannot_steer_the_terminal(app: Hostile) -> None:
    app.write("command.py", NEEDS)
    refused = app.activate()
    assert refused.status == 1
    assert "owned" in refused.stderr
    assert not set("\x1b\x07\x9b") & set(refused.stderr + refused.stdout)
    listed = app.blogctl("releases")
    assert not set("\x1b\x07\x9b") & set(listed.stdout)
