"""Copies off-site: what restic restores, and what fails if the repository does."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ledger import NAME

if TYPE_CHECKING:
    from molecule.conftest import Operator, Visitor

BACKUPS = "/var/backups/flask-blog"
REPOSITORY = "/srv/vault/book"
UNIT = "flask-blog-offsite.service"
STATE = "/opt/flask-blog/state/offsite.json"
#: Changes one bit in the middle of each pack file.
FLIP = """
import pathlib
for path in pathlib.Path(args[0], "data").rglob("*"):
    if path.is_file():
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.chmod(0o600)
        path.write_bytes(content)
"""
#: What the unit has noted of today's work is forgotten, so that it checks again.
FORGET = """
import pathlib
path = pathlib.Path(args[0])
found = json.loads(path.read_text())
found["checked"] = found["pruned"] = ""
path.write_text(json.dumps(found))
"""


def newest(host: Any) -> str:
    return str(host.check_output(f"ls {BACKUPS} | grep ^2 | tail -n 1"))


def shown(host: Any, key: str, unit: str = UNIT) -> str:
    return str(host.check_output(f"systemctl show --value --property={key} {unit}"))


def back_up(host: Any, eventually: Callable[..., None]) -> str:
    """Have the timer's unit make a backup, and wait until the copy has ended, well or not."""
    before = shown(host, "ExecMainExitTimestampMonotonic")
    host.check_output("sleep 1; systemctl start flask-blog-backup.service")
    eventually(
        lambda: (
            shown(host, "ActiveState") in ("inactive", "failed")
            and shown(host, "ExecMainExitTimestampMonotonic") not in ("0", before)
        ),
        90,
    )
    return newest(host)


def result(host: Any) -> str:
    return shown(host, "Result")


@contextlib.contextmanager
def changed(host: Any, path: str, command: str) -> Iterator[None]:
    """Change a file by a command for a while."""
    kept = f"/root/kept-{Path(path).name}"
    host.check_output(f"cp -p {path} {kept} && {command}")
    try:
        yield
    finally:
        host.check_output(f"mv {kept} {path}")


def restic(host: Any, words: str) -> str:
    """Run plain restic on the server's folder, as on any other computer."""
    command = (
        f"echo 'correct horse battery' | RESTIC_PASSWORD_FILE=/dev/stdin restic --no-cache -r {REPOSITORY} {words}"
    )
    return str(host.check_output(command))


def serves(visit: Callable[..., Visitor]) -> bool:
    return visit(NAME).ask("/healthz").status == 200


def test_what_restic_restores_equals_the_backup_byte_by_byte(host: Any, eventually: Callable[..., None]) -> None:
    host.check_output(
        "runuser -u flask-blog -- sh -c 'head -c 3000000 /dev/urandom > /var/lib/flask-blog/uploads/cat.jpg'"
    )
    name = back_up(host, eventually)
    assert result(host) == "success"
    restic(host, "restore latest --tag site=flask-blog --target /tmp/copy")
    host.check_output(f"diff -r --no-dereference /tmp/copy {BACKUPS}/{name}")
    assert host.check_output("cd /tmp/copy && find settings -name environment | head -n 1")
    manifest = json.loads(host.check_output("cat /tmp/copy/manifest.json"))
    assert manifest["settings"]["environment"]["mode"] == 0o640
    assert manifest["release"]["id"] == host.check_output("readlink /var/www/flask-blog").split("/")[4]
    assert not [path for path in manifest["settings"] if path.startswith("offsite")]
    host.check_output("rm -r /tmp/copy")


def test_the_copies_are_listed_with_the_backups(host: Any) -> None:
    found = json.loads(host.check_output("blogctl --json backups"))
    (copy,) = [one for one in found["offsite"]["snapshots"] if one["backup"] == newest(host)]
    assert found["offsite"]["asked"]
    assert copy["lacks"] == 0
    assert copy["bytes"] > 3_000_000
    text = host.check_output("blogctl backups")
    assert "off-site" in text
    assert "correct horse" not in text


def test_a_copy_that_is_there_is_not_made_again(host: Any, eventually: Callable[..., None]) -> None:
    found = json.loads(host.check_output("blogctl --json backup --offsite"))
    assert (found["copied"], found["checked"]) == (False, False)
    before = int(host.check_output(f"du -sk {REPOSITORY}").split()[0])
    back_up(host, eventually)
    after = int(host.check_output(f"du -sk {REPOSITORY}").split()[0])
    assert after - before < 1000, "what has not changed is not copied again"


@pytest.fixture
def down(host: Any) -> Iterator[None]:
    """The server of the repository does not answer."""
    host.check_output("systemctl stop ssh.service")
    yield
    host.check_output("systemctl start ssh.service")


@pytest.mark.usefixtures("down")
def test_a_repository_that_does_not_answer_fails_its_unit_and_nothing_else(
    host: Any, visit: Callable[..., Visitor], eventually: Callable[..., None]
) -> None:
    before = newest(host)
    name = back_up(host, eventually)
    assert name != before
    assert result(host) == "exit-code"
    assert shown(host, "Result", "flask-blog-backup.service") == "success"
    assert serves(visit)
    said = host.check_output("journalctl --unit flask-blog-offsite --lines 20 --no-pager")
    assert "Connection refused" in said
    assert "the backups on this host, and the blog, are as they were" in said
    found = json.loads(host.check_output("blogctl --json backups"))["offsite"]
    assert not found["asked"]
    assert before in [one["backup"] for one in found["snapshots"]], "the last list is shown"


def test_once_it_answers_again_the_copy_is_made(host: Any) -> None:
    host.check_output(f"systemctl start {UNIT}")
    assert newest(host) in restic(host, "snapshots --json")


def test_a_wrong_password_fails_the_unit_and_leaves_the_repository_alone(
    host: Any, visit: Callable[..., Visitor], eventually: Callable[..., None]
) -> None:
    path = "/etc/flask-blog/offsite/password"
    before = restic(host, "snapshots --json")
    with changed(host, path, f"echo 'another password' > {path}"):
        back_up(host, eventually)
        assert result(host) == "exit-code"
        said = host.check_output("journalctl --unit flask-blog-offsite --lines 10 --no-pager")
        assert "the password does not open the repository sftp:vault@127.0.0.1" in said
        assert restic(host, "snapshots --json") == before
        assert serves(visit)
    host.check_output(f"systemctl start {UNIT}")


def test_another_key_of_the_server_is_never_accepted(host: Any) -> None:
    path = "/etc/flask-blog/offsite/known-hosts"
    forged = "AAAAC3NzaC1lZDI1NTE5AAAAIGZvcmdlZGZvcmdlZGZvcmdlZGZvcmdlZGZvcmdlZGZv"
    with changed(host, STATE, f"rm {STATE}"), changed(host, path, f"sed -i 's/AAAA.*/{forged}/' {path}"):
        run = host.run("blogctl backup --offsite")
    assert run.rc == 1
    assert "Host key verification failed" in run.stderr


def test_a_flipped_bit_in_the_repository_is_found_and_no_copy_is_removed(
    host: Any, operator: Operator, visit: Callable[..., Visitor]
) -> None:
    host.check_output(f"cp -a {REPOSITORY} /srv/vault/kept")
    operator.python(FLIP, REPOSITORY)
    operator.python(FORGET, STATE)
    failed = host.run(f"systemctl start {UNIT}").failed
    host.check_output(f"rm -r {REPOSITORY} && mv /srv/vault/kept {REPOSITORY}")
    assert failed
    assert "the repository is damaged" in host.check_output("journalctl -u flask-blog-offsite -n 10 --no-pager")
    assert "problem: " in host.check_output("blogctl backups --local")
    assert serves(visit)
    host.check_output(f"systemctl start {UNIT}")
    assert "problem: " not in host.check_output("blogctl backups --local")


@pytest.mark.machine(13)
def test_a_repository_that_removes_nothing_gets_every_copy(
    host: Any, operator: Operator, eventually: Callable[..., None]
) -> None:
    server = Path(__file__).parent / "files" / "rest_server.py"
    operator.python("import pathlib\npathlib.Path('/root/rest_server.py').write_text(args[0])", server.read_text())
    host.check_output("systemd-run --unit=rest-server python3 /root/rest_server.py /srv/rest 8088")
    run = operator.play("--extra-vars", "repository=rest:http://127.0.0.1:8088/book/")
    assert run.changed
    assert "Keep flask_blog_backup_password" not in run.output, "it was written before"
    assert not host.file("/etc/flask-blog/offsite/ssh-key").exists
    for _ in range(2):
        back_up(host, eventually)
        assert result(host) == "success", host.check_output("journalctl -u flask-blog-offsite -n 20 --no-pager")
        operator.python(FORGET, STATE)
    found = json.loads(host.check_output("blogctl --json backups"))["offsite"]["snapshots"]
    assert len(found) == 2
