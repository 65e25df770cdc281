"""Blogs on one host have separate users, settings, code and failures."""

from __future__ import annotations

import itertools
import json
import secrets
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from molecule.conftest import Operator, Visitor

SITES = {
    "plain": ("plain.example.com", 80),
    "fixed": ("fixed.example.com", 8080),
    "fooled": ("fooled.example.com", 80),
}
NASTY: dict[str, str] = json.loads(Path(__file__).with_name("nasty.json").read_text(encoding="utf-8"))


def private_files(site: str) -> list[str]:
    return [f"/var/lib/{site}/database.db", f"/etc/{site}/environment", f"/var/www/{site}/app.py"]


def pid(host: Any, site: str) -> str:
    """The process id of a site's gunicorn."""
    number: str = host.check_output("systemctl show --property MainPID --value %s.service", site)
    return number


@pytest.mark.parametrize("site", SITES)
def test_each_app_runs_by_itself(host: Any, visit: Callable[..., Visitor], site: str) -> None:
    seen = visit(*SITES[site]).ask("/").json()
    assert host.check_output("stat --format %%U /proc/%s", str(seen["pid"])) == site
    assert seen["prefix"].startswith((f"/opt/{site}/venvs/", f"/var/www/{site}/venv"))
    assert seen["folder"].startswith(f"/opt/{site}/releases/")
    assert "SECRET_KEY" in seen["settings"]


def test_settings_arrive_exactly_as_they_were_given(visit: Callable[..., Visitor]) -> None:
    assert visit(*SITES["plain"]).ask("/").json()["told"] == NASTY


def test_no_two_sites_share_a_secret(host: Any) -> None:
    keys = [host.check_output("grep ^SECRET_KEY= /etc/%s/environment", site) for site in SITES]
    assert len(set(keys)) == len(SITES)


@pytest.mark.parametrize(("one", "other"), list(itertools.permutations(SITES, 2)))
def test_one_blog_neither_reads_nor_writes_anothers_files(host: Any, one: str, other: str) -> None:
    for path in private_files(one):
        host.check_output("runuser -u %s -- sha256sum %s", one, path)
    for path in private_files(other):
        assert host.run("runuser -u %s -- sha256sum %s", one, path).failed, path
        assert host.run("runuser -u %s -- sh -c %s", one, f"echo hole >> {path}").failed, path
    for folder in ("/var/lib/{}", "/var/lib/{}/static/uploads", "/etc/{}", "/var/www/{}/", "/run/{}"):
        assert host.run("runuser -u %s -- touch %s", one, f"{folder.format(other)}/hole").failed, folder
    assert host.run("runuser -u %s -- kill -0 %s", one, pid(host, other)).failed


@pytest.fixture
def stopped_site(host: Any) -> Generator[str, None, None]:
    host.check_output("systemctl stop fixed.socket fixed.service")
    yield "fixed"
    host.check_output("systemctl start fixed.socket fixed.service")


@pytest.fixture
def broken_site(host: Any) -> Generator[str, None, None]:
    """A site without its code, which systemd restarts continuously."""
    target = host.check_output("readlink /var/www/fixed")
    host.check_output("ln -sfn /nowhere /var/www/fixed && (systemctl restart fixed.service || true)")
    yield "fixed"
    host.check_output("ln -sfn %s /var/www/fixed && systemctl restart fixed.service", target)


@pytest.mark.parametrize("trouble", ["stopped_site", pytest.param("broken_site", marks=pytest.mark.machine("13"))])
def test_trouble_in_one_blog_leaves_the_others_serving(
    request: pytest.FixtureRequest, visit: Callable[..., Visitor], trouble: str
) -> None:
    troubled = request.getfixturevalue(trouble)
    for site, where in SITES.items():
        if site != troubled:
            assert visit(*where).ask("/").status == 200
            assert visit(*where).ask("/static/mirror.css").status == 200
    if trouble == "stopped_site":
        assert visit(*SITES[troubled]).ask("/").status == 502


@pytest.mark.machine("12")
def test_a_change_to_one_blog_does_not_restart_the_others(
    host: Any, operator: Operator, visit: Callable[..., Visitor]
) -> None:
    before = {site: pid(host, site) for site in SITES}
    word = secrets.token_hex(4)
    assert operator.play("--extra-vars", f"word={word}").changed > 0
    assert visit(*SITES["fixed"]).ask("/").json()["told"]["MIRROR_WORD"] == word
    restarted = {site for site in SITES if pid(host, site) != before[site]}
    assert restarted == {"fixed"}


def test_blogctl_asks_which_site_is_meant(host: Any) -> None:
    unclear = host.run("blogctl backup")
    assert unclear.failed
    assert all(site in unclear.stderr for site in SITES)
    host.check_output("blogctl --site fooled backup")
    assert host.run("ls /var/backups/fooled/*/data/database.db").succeeded
    assert host.run("ls /var/backups/plain/*/data/database.db").failed
