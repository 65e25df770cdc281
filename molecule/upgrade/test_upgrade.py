"""One run upgrades a host of the previous version; the result is the same as a new deployment."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ledger import NAME, Book, browsers, copy_of_the_blog, served
from machines import machine

#: Where the role, blogctl and systemd write. The packages are the same on both hosts.
ROOTS = ("/etc", "/opt", "/run", "/usr/local", "/var/backups", "/var/cache", "/var/lib", "/var/log/nginx", "/var/www")
#: Paths that differ between two hosts of one version: identities, and the state of systemd, apt and Docker.
PASSING = (
    *("/etc/hostname", "/etc/hosts", "/etc/machine-id", "/etc/resolv.conf", "/etc/.updated", "/var/.updated"),
    *(
        "/run/credentials",
        "/run/docker",
        "/run/log",
        "/run/lock",
        "/run/mount",
        "/run/systemd",
        "/run/udev",
        "/run/user",
    ),
    # Where a build's folder for temporary files is mounted in its root directory: an old host has not built since.
    "/run/flask-blog-hosting/root/var/cache/flask-blog-hosting/flask-blog.tmp",
    *("/var/cache/apt", "/var/cache/ldconfig", "/var/lib/apt", "/var/lib/dpkg", "/var/lib/systemd"),
)
#: Folders whose files have the same content on each host.
SAME_CONTENT = ("/etc/nginx/", "/etc/systemd/", "/etc/tmpfiles.d/", "/usr/local/")
#: Lists everything below some roots: path, kind, mode, owner, and a link's target or a digest of the content. The
#: content of environments and of pip's cache is left out, as it depends on the package index.
LIST = """
import grp, hashlib, os, pwd, re, stat
roots, passing, same = args
found = {}
def plain(text):
    # The directory of the static files of several releases is named after the clock.
    return re.sub("merged-[0-9]+", "merged", text)
for root in roots:
    for folder, directories, names in os.walk(root):
        directories[:] = [
            name for name in directories
            if os.path.join(folder, name) not in passing
            and not re.fullmatch("/var/cache/flask-blog-hosting/[^/]+|/opt/[^/]+/venvs/[^/]+", folder)
        ]
        for name in [*directories, *names]:
            path = os.path.join(folder, name)
            status = os.lstat(path)
            if path in passing or name.endswith(("-wal", "-shm")):
                continue
            owner, group = pwd.getpwuid(status.st_uid).pw_name, grp.getgrgid(status.st_gid).gr_name
            content = os.readlink(path) if stat.S_ISLNK(status.st_mode) else ""
            if stat.S_ISREG(status.st_mode) and path.startswith(tuple(same)) and not path.endswith(".pyc"):
                content = hashlib.sha256(open(path, "rb").read()).hexdigest()
            found[plain(path)] = f"{stat.filemode(status.st_mode)} {owner}:{group} {plain(content)}"
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The next release of the blog."""
    folder = copy_of_the_blog(tmp_path_factory.mktemp("next"))
    (folder / "static" / "next.css").write_text("body { color: green; }\n")
    return folder


@pytest.fixture(scope="module")
def new(operator: Any) -> Any:
    """The operator of the host that only this version has deployed."""
    return type(operator)(machine(f"new-{operator.machine[-8:]}"), operator.folder)


def release(operator: Any, machines: str, source: Path) -> Any:
    """Deploy the next release with this version of the collection."""
    return operator.play("--extra-vars", f"machines={machines} source={source}")


def files(operator: Any) -> dict[str, str]:
    """List the files of a host, with kind, mode, owner and content."""
    return dict(operator.python(LIST, ROOTS, PASSING, SAME_CONTENT))


def test_one_run_takes_the_host_over_without_a_failed_request(
    operator: Any, visit: Callable[..., Any], source: Path
) -> None:
    before, book = served(visit), Book.read(operator)
    with browsers(operator) as load:
        time.sleep(1)
        run = release(operator, "flask_blogs", source)
        assert run.changed > 0
        time.sleep(1)
    assert load.failures == []
    assert load.total > 50
    assert set(load.releases) == {before, served(visit)}
    assert served(visit) != before
    assert visit(NAME).ask("/static/next.css").text == "body { color: green; }\n"
    after = Book.read(operator)
    assert book.entries.items() <= after.entries.items()
    assert after.holds_all_that_was_acknowledged(load)


def test_a_second_run_changes_nothing(operator: Any, source: Path) -> None:
    assert release(operator, "flask_blogs", source).changed == 0


@pytest.mark.machine("13")
def test_nothing_of_the_old_layout_remains(operator: Any, new: Any, source: Path) -> None:
    assert release(new, "new", source).changed > 0
    found, expected = files(operator), files(new)
    assert len(expected) > 500
    assert {path: found[path] for path in found.keys() - expected.keys()} == {}, "left over"
    assert {path: expected[path] for path in expected.keys() - found.keys()} == {}, "missing"
    assert {path: (found[path], expected[path]) for path in found if found[path] != expected[path]} == {}


def test_the_release_of_the_previous_version_can_be_gone_back_to(host: Any, visit: Callable[..., Any]) -> None:
    releases = json.loads(host.check_output("blogctl releases --json"))["releases"]
    (previous,) = [release["id"] for release in releases if release["state"] == "previous"]
    host.check_output("blogctl rollback")
    assert served(visit) == previous
    assert visit(NAME).ask("/static/book.css").status == 200
    assert visit(NAME).ask("/").status == 200
