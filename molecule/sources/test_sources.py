"""Sources: the wanted version serves, a version that cannot be fetched changes nothing, and no key remains."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from machines import machine

NOTES = Path(__file__).parents[2] / "tests" / "blogs" / "notes"
KEYS = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], "keys")
CODEHOST = machine("codehost")
NAME = "notes.example.com"
#: Variables that do not apply to a folder or an archive.
NO_GIT = {"version": "", "deploy_key": "", "known_hosts": []}
#: Prints the identity of each file that a refused run must not change, except those that services write.
FINGERPRINT = (
    "find /opt /etc /var/lib /var/tmp /usr/local -xdev"
    r" -path /var/lib/systemd -prune -o ! -path /var/tmp -printf '%p %y %m %u:%g %s %T@ %l\n'"
)


@dataclass(frozen=True)
class Upstream:
    """A machine's repository on the code host."""

    machine: str

    def run(self, script: str, *arguments: str) -> str:
        """Run a script in the repository, as its owner."""
        command = ["docker", "exec", "--user=git", f"--workdir=/srv/git/{self.machine}", CODEHOST, "sh", "-ec", script]
        done = subprocess.run([*command, "sh", *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def commit(self, path: str, text: str) -> str:
        """Commit a file; return the commit."""
        script = (
            'printf %s "$2" >"$1"; git add --all; git commit --quiet --allow-empty --message="$1"; git rev-parse HEAD'
        )
        return self.run(script, path, text)


@pytest.fixture
def upstream(operator: Any) -> Upstream:
    return Upstream(operator.machine)


@pytest.fixture
def deploy(operator: Any) -> Callable[..., Any]:
    """Deploy with other variables than the scenario's: deploy("--check", source=..., version=...)."""

    def run(*arguments: str, source: str = "", **variables: object) -> Any:
        chosen: dict[str, object] = {f"flask_blog_{name}": value for name, value in variables.items()}
        if source:
            chosen["source"] = source
        return operator.play(*arguments, "--extra-vars", json.dumps(chosen))

    return run


@pytest.fixture
def codehost() -> str:
    """The code host's address."""
    found = subprocess.run(["docker", "exec", CODEHOST, "hostname", "-I"], capture_output=True, text=True, check=True)
    return found.stdout.strip()


def manifest(host: Any) -> dict[str, Any]:
    """Return the manifest of the live release."""
    return dict(json.loads(host.check_output("cat /var/www/flask-blog/.release.json")))


def secret_lines() -> list[str]:
    """Return the secret lines of the deploy key; the first two are the same for every key of its type."""
    return (KEYS / "deploy_key").read_text().splitlines()[2:-1]


def fingerprint(host: Any) -> set[str]:
    """Return the identity of each file of the machine."""
    found = set(host.check_output(FINGERPRINT).splitlines())
    assert len(found) > 1000
    return found


def status_of(visit: Callable[..., Any], path: str = "/") -> int:
    return int(visit(NAME).ask(path).status)


def test_the_commit_of_the_branch_is_what_serves(host: Any, visit: Callable[..., Any], upstream: Upstream) -> None:
    assert "The first note" in visit(NAME).ask("/").text
    found = manifest(host)
    assert found["commit"] == upstream.run("git rev-parse main")
    assert found["ref"] == "refs/heads/main"
    assert host.check_output("ls -A /var/www/flask-blog/ | grep -c '^.git$' || true") == "0"


@pytest.mark.machine(13)
def test_a_branch_that_moved_is_a_new_release_and_one_can_go_back(
    host: Any, visit: Callable[..., Any], deploy: Callable[..., Any], upstream: Upstream
) -> None:
    before, commit = manifest(host), upstream.commit("static/new.css", "body { color: red }")
    untouched = fingerprint(host)
    assert deploy("--check").changed > 0, "check mode fetches, tells, and forgets"
    assert fingerprint(host) ^ untouched == set()

    run = deploy("-vvv")
    assert run.changed > 0
    assert [line for line in secret_lines() if line in run.output] == []
    assert manifest(host)["commit"] == commit
    assert visit(NAME).ask("/static/new.css").text == "body { color: red }"

    host.check_output("blogctl rollback")
    assert manifest(host) == before
    assert status_of(visit) == 200


def test_the_deploy_key_is_nowhere_on_the_host(host: Any) -> None:
    """A file that does not exist cannot be read by any account."""
    places = "/etc /home /opt /root /run /srv /tmp /usr/local /var /dev/shm"
    assert host.check_output(f"grep -rlF --devices=skip -e %s {places} || true", secret_lines()[0]) == ""
    assert host.run("runuser -u flask-blog -- ls /opt/flask-blog/git").failed
    assert host.check_output("stat -c '%U %a' /opt/flask-blog/git /opt/flask-blog/git/repository").split() == [
        *("root", "700", "flask-blog-build", "700")
    ]


def test_a_tag_that_leads_to_the_commit_that_serves_is_no_new_release(
    host: Any, deploy: Callable[..., Any], upstream: Upstream
) -> None:
    assert manifest(host)["commit"] == upstream.run("git rev-parse v1"), "the first one, or gone back to"
    assert deploy(version="v1").changed == 0


@pytest.mark.machine(12)
def test_a_commit_in_the_middle_of_a_branch_is_found(host: Any, deploy: Callable[..., Any], upstream: Upstream) -> None:
    """It is neither the head of a branch nor a tag, so this server sends it only with the whole history."""
    middle = upstream.commit("static/middle.css", "p {}")
    upstream.commit("static/last.css", "p {}")
    assert deploy(version=middle).changed > 0
    assert manifest(host)["commit"] == middle
    git = "git -c 'safe.directory=*' -C /opt/flask-blog/git/repository"
    assert host.check_output(f"{git} rev-list --all --count") == "1"


REFUSED = {
    "a branch that is not there": ({"version": "mian"}, r"flask_blog_version: 'mian': .* It has main, v1"),
    "a commit that is not there": ({"version": "0" * 40}, r"flask_blog_version: '0{40}': .* no such commit"),
    "a repository that is not there": ({"source": "ssh://git@{codehost}/srv/git/no"}, "'?/srv/git/no'? does not"),
    "a server that is not there": ({"source": "ssh://git@{codehost}:3333/x"}, "Connection refused"),
    "a server that says nothing": (
        {"source": "ssh://git@{codehost}:2222/x", "git_timeout": 2},
        r"did not answer within 2 s \(flask_blog_git_timeout\)",
    ),
    "a key that the server refuses": ({"deploy_key": "{other_key}"}, r"Permission denied .* deploy keys"),
    "a server that is somebody else": (
        {"known_hosts": ["{codehost} {other_public}"]},
        "Host key verification failed.* flask_blog_known_hosts",
    ),
}


#: The machine of each case, as the modules do the same on both. What SSH says about a key is tested on each.
MACHINES = {
    "a branch that is not there": ["13"],
    "a commit that is not there": ["12"],
    "a repository that is not there": ["13"],
    "a server that is not there": ["13"],
    "a server that says nothing": ["12"],
    "a key that the server refuses": ["12", "13"],
    "a server that is somebody else": ["12"],  # on the other one, see the next test
}


@pytest.mark.parametrize("wrong", [pytest.param(one, marks=pytest.mark.machine(*MACHINES[one])) for one in REFUSED])
def test_what_cannot_be_had_is_refused_with_nothing_changed(
    host: Any, visit: Callable[..., Any], deploy: Callable[..., Any], codehost: str, wrong: str
) -> None:
    chosen, words = REFUSED[wrong]
    text = json.dumps(chosen).replace("{codehost}", codehost)
    text = text.replace("{other_key}", json.dumps((KEYS / "other_key").read_text())[1:-1])
    text = text.replace("{other_public}", " ".join((KEYS / "other_key.pub").read_text().split()[:2]))
    before = fingerprint(host)
    run = deploy(**json.loads(text))
    assert run.returncode
    said = " ".join(run.output.split())
    assert re.search(words, said), run.output
    assert fingerprint(host) ^ before == set()
    assert status_of(visit) == 200


@pytest.mark.machine(13)
def test_a_host_that_was_met_once_must_show_the_same_key_ever_after(host: Any, deploy: Callable[..., Any]) -> None:
    """The other machine was told the key, and keeps none."""
    known = "/opt/flask-blog/git/known_hosts"
    kept = host.check_output("cat %s", known)
    other = f"{kept.split()[0]} {' '.join((KEYS / 'other_key.pub').read_text().split()[:2])}\n"
    host.check_output(f"printf %%s %s >{known}", other)
    run = deploy()
    assert run.returncode
    assert "Host key verification failed" in run.output
    host.check_output(f"printf '%%s\\n' %s >{known}", kept)


@pytest.mark.machine(12)
def test_a_repository_on_the_server_is_read_whoever_owns_it(
    host: Any, visit: Callable[..., Any], deploy: Callable[..., Any]
) -> None:
    host.check_output("rm -rf /srv/blog && mkdir /srv/blog")
    host.check_output("cd /var/www/flask-blog && cp -R main.py pyproject.toml migrations static templates /srv/blog")
    host.check_output("rm -rf /srv/blog/static/uploads")
    identity = "-c user.name=x -c user.email=x@x.test"
    host.check_output(f"cd /srv/blog && git init --quiet && git add . && git {identity} commit --quiet -m local")
    host.check_output("chown -R backup: /srv/blog && chmod 700 /srv/blog")
    assert deploy(source="file:///srv/blog", **NO_GIT).changed > 0
    assert manifest(host)["repository"] == "file:///srv/blog"
    assert status_of(visit) == 200


#: A tree with one name twice: a link that leads out, and a folder. Git does not create such trees; an attacker can.
HOSTILE = r"""
rm -rf /srv/hostile /srv/outside && mkdir /srv/hostile /srv/outside && cd /srv/hostile && git init --quiet
object() { git hash-object -t "$1" --literally -w --stdin; }
raw() { python3 -c 'import sys; sys.stdout.buffer.write(bytes.fromhex(sys.argv[1]))' "$1"; }
target=$(printf /srv/outside | object blob)
below=$({ printf '120000 planted\0'; raw "$target"; } | object tree)
tree=$({ printf '120000 evil\0'; raw "$target"; printf '40000 evil\0'; raw "$below"; } | object tree)
git update-ref HEAD "$(git -c user.name=x -c user.email=x@x.test commit-tree -m x "$tree")"
"""


@pytest.mark.parametrize("mode", [pytest.param(["--check"], marks=pytest.mark.machine(12)), []])
def test_a_commit_that_was_made_to_write_elsewhere_writes_nothing(
    host: Any, visit: Callable[..., Any], deploy: Callable[..., Any], mode: list[str]
) -> None:
    host.check_output("bash -ec %s", HOSTILE)
    before = fingerprint(host)
    run = deploy(*mode, source="file:///srv/hostile", **NO_GIT)
    assert run.returncode
    assert re.search(r"it holds evil|evil is a link that leaves", " ".join(run.output.split()))
    assert host.check_output("ls -A /srv/outside") == ""
    assert fingerprint(host) ^ before == set()
    assert status_of(visit) == 200


@pytest.mark.machine(13)
def test_an_archive_must_have_its_checksum(
    host: Any, visit: Callable[..., Any], deploy: Callable[..., Any], tmp_path: Path
) -> None:
    with tarfile.open(tmp_path / "notes.tar.gz", "w:gz") as tar:
        tar.add(NOTES, arcname="notes")
    archive = {"source": str(tmp_path / "notes.tar.gz"), **NO_GIT}
    right = f"sha256:{hashlib.sha256((tmp_path / 'notes.tar.gz').read_bytes()).hexdigest()}"
    wrong = f"sha256:{'0' * 64}"
    before = fingerprint(host)
    run = deploy(**archive, source_checksum=wrong)
    assert run.returncode
    assert right in run.output
    assert wrong in run.output
    assert fingerprint(host) ^ before == set()
    assert deploy(**archive, source_checksum=right).changed > 0
    assert status_of(visit) == 200
    assert "commit" not in manifest(host)
    assert not host.file("/opt/flask-blog/git").exists, "what was fetched is nobody's any more"


@pytest.mark.machine(12)
def test_what_a_gitignore_names_stays_at_home(
    host: Any, deploy: Callable[..., Any], visit: Callable[..., Any], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(NOTES, tmp_path / "notes"))
    (folder / ".gitignore").write_text("*.log\n!keep.log\n/static/dist/\nsecret*\n")
    (folder / "static" / "dist").mkdir()
    for name in ("debug.log", "keep.log", "secret.txt", "static/dist/site.css", "templates/old.log"):
        (folder / name).write_text(f"{name}\n")
    assert deploy(source=str(folder), include=["static/dist"], **NO_GIT).changed > 0
    assert visit(NAME).ask("/static/dist/site.css").text == "static/dist/site.css\n"
    assert "keep.log" in manifest(host)["files"]
    names = "-name debug.log -o -name old.log -o -name 'secret*'"
    assert host.check_output(f"find -L /opt/flask-blog/releases {names}") == ""
