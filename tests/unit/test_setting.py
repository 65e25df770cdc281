"""Lines of somebody else's file: Debian's own value is raised, an administrator's stays."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.flaskblog.hosting.plugins.module_utils import objects
from ansible_collections.flaskblog.hosting.plugins.modules import apply as module

DEBIAN = """\
user www-data;
worker_processes auto;
include /etc/nginx/modules-enabled/*.conf;

events {
\tworker_connections 768;
\t# multi_accept on;
}
"""


@pytest.fixture
def limits(role: Path, tmp_path: Path) -> dict[str, Any]:
    """The role's own setting, for a file in the test's folder."""
    wanted = yaml.safe_load((role / "vars" / "main.yml").read_text())["__flask_blog_nginx_limits"]
    (tmp_path / "nginx.conf").write_text(DEBIAN)
    return {**wanted, "path": str(tmp_path / "nginx.conf")}


def text(limits: dict[str, Any]) -> str:
    return Path(limits["path"]).read_text()


def test_debians_values_are_raised_once(limits: dict[str, Any]) -> None:
    difference = objects.compare(limits)
    assert difference is not None
    assert (difference.words, difference.before) == (["content"], DEBIAN)
    objects.put_right(limits)
    assert text(limits) == difference.after
    assert "\tworker_connections 8192;\n" in text(limits)
    assert text(limits).count("worker_rlimit_nofile 16384;\n") == 1
    assert text(limits).index("worker_rlimit_nofile") < text(limits).index("events {")
    assert objects.compare(limits) is None
    assert objects.setting_warnings(limits) == []


def test_a_change_is_taken_back_as_it_was(limits: dict[str, Any]) -> None:
    undo = objects.put_right(limits)
    undo()
    assert text(limits) == DEBIAN


def test_the_file_keeps_its_owner_and_mode(limits: dict[str, Any]) -> None:
    os.chmod(limits["path"], 0o604)
    before = os.stat(limits["path"])
    objects.put_right(limits)
    after = os.stat(limits["path"])
    assert (before.st_uid, before.st_gid) == (after.st_uid, after.st_gid)
    assert stat.S_IMODE(after.st_mode) == 0o604


def test_an_administrators_own_values_stay(limits: dict[str, Any]) -> None:
    own = DEBIAN.replace("768", "20000").replace("user", "worker_rlimit_nofile 50000;\nuser")
    Path(limits["path"]).write_text(own)
    assert objects.compare(limits) is None
    assert objects.setting_warnings(limits) == []


def test_an_administrators_value_that_is_too_low_is_said(limits: dict[str, Any]) -> None:
    Path(limits["path"]).write_text(DEBIAN.replace("768", "512"))
    objects.put_right(limits)
    assert "worker_connections 512;" in text(limits)
    (warning,) = objects.setting_warnings(limits)
    assert "'worker_connections 512;' is less than" in warning


@pytest.mark.parametrize("place", ["missing", "link", "directory"])
def test_what_is_no_file_is_left_alone(limits: dict[str, Any], tmp_path: Path, place: str) -> None:
    path = Path(limits["path"])
    path.rename(tmp_path / "elsewhere.conf")
    if place == "link":
        path.symlink_to("elsewhere.conf")
    if place == "directory":
        path.mkdir()
    assert objects.compare(limits) is None
    assert objects.setting_warnings(limits) == []
    objects.put_right(limits)
    assert (tmp_path / "elsewhere.conf").read_text() == DEBIAN
    assert path.is_symlink() == (place == "link")


# -- the key ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def key(tmp_path: Path, me: Any) -> dict[str, Any]:
    return {
        "layer": "settings",
        "kind": "file",
        "path": str(tmp_path / "proxy-key.conf"),
        "owner": me.user,
        "group": me.group,
        "mode": "0640",
        "content": "# made once\n",
        "secret": True,
        "nginx": True,
        "generated": ["X-Flask-Blog-Key"],
        "generated_line": 'proxy_set_header {name} "{value}";',
    }


def test_a_value_in_nginxs_own_syntax_is_made_once_and_kept(key: dict[str, Any]) -> None:
    objects.put_right(key)
    first = text(key)
    comment, line = first.splitlines()
    assert comment == "# made once"
    assert line.startswith('proxy_set_header X-Flask-Blog-Key "')
    assert line.endswith('";')
    assert len(line.split('"')[1]) == 64
    assert objects.compare(key) is None
    objects.put_right({**key, "content": "# another comment\n"})
    assert text(key).splitlines()[1] == line


@pytest.mark.parametrize("damage", [("proxy", "#proxy"), ('";', '" ;'), ('Key "', 'Key "0'), ("Key", "Kez")])
def test_a_damaged_value_is_made_anew(key: dict[str, Any], damage: tuple[str, str]) -> None:
    objects.put_right(key)
    first = text(key)
    Path(key["path"]).write_text(first.replace(*damage))
    difference = objects.compare(key)
    assert difference is not None
    objects.put_right(key)
    assert text(key).split('"')[1] not in first


class Machine(module.Host):
    """Takes note of commands; nginx refuses what it is given where that is wanted."""

    def __init__(self, refuses: bool) -> None:
        self.refuses = refuses

    def run(self, *command: str) -> tuple[int, str]:
        return (1, "nginx: [emerg]") if self.refuses else (0, "")


def test_the_key_is_written_with_nginxs_files_and_taken_back_with_them(
    key: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.live, "PENDING", tmp_path / "pending")
    site = {"name": "blog", "settings_files": [key["path"]], "proxy_key": key["path"], "socket_unit": "blog.socket"}
    changes = module.changed_objects([key])
    with pytest.raises(module.Failure, match="the old one was put back"):
        module.put_objects(site, changes, Machine(refuses=True))
    assert not Path(key["path"]).exists()
    module.put_objects(site, changes, Machine(refuses=False))
    assert module.live.is_pending("nginx.reload"), "nginx sends the new key"
    assert module.live.is_pending("blog.activate"), "gunicorn reads it"


def test_a_failed_activation_does_not_bring_back_an_older_key_than_nginx_sends(
    key: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.live, "PENDING", tmp_path / "pending")
    Path(key["path"]).write_text("damaged\n")
    environment = tmp_path / "environment"
    environment.write_text("A=1\n")
    files = [str(environment), key["path"]]
    site = {"name": "blog", "settings_files": files, "proxy_key": key["path"], "socket_unit": "blog.socket"}
    module.put_objects(site, module.changed_objects([key]), Machine(refuses=False))
    kept = [path.read_text() for path in (tmp_path / "pending" / "blog.previous").iterdir()]
    assert kept == ["A=1\n"]
