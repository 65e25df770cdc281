"""Which account may read and write which file, tried as that account."""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import Any

import pytest

DATA = "/var/lib/flask-blog"
LIVE = "/var/www/flask-blog"
SETTINGS = "/etc/flask-blog/environment"
SECRETS = (f"{DATA}/database.db", SETTINGS, "/etc/flask-blog/site.json", f"{LIVE}/app.py", f"{LIVE}/blog/models.py")


@pytest.fixture(scope="module")
def stranger(host: Any) -> Generator[str, None, None]:
    """An unprivileged account."""
    host.check_output("useradd --system stranger")
    yield "stranger"
    host.check_output("userdel stranger")


@pytest.mark.parametrize("path", SECRETS)
def test_a_stranger_reads_neither_data_nor_settings_nor_code(host: Any, stranger: str, path: str) -> None:
    host.check_output("sha256sum %s", path)
    assert host.run("runuser -u %s -- sha256sum %s", stranger, path).failed


@pytest.mark.parametrize("path", SECRETS)
def test_nginx_reads_neither_data_nor_settings_nor_code(host: Any, path: str) -> None:
    host.check_output("sha256sum %s", path)
    assert host.run("runuser -u www-data -- sha256sum %s", path).failed


def test_nginx_reads_what_it_serves(host: Any) -> None:
    pictures = host.check_output("ls %s/static/uploads/*.png", DATA).split()
    assert pictures
    for path in (f"{LIVE}/static/css/blog.css", *pictures):
        host.check_output("runuser -u www-data -- sha256sum %s", path)
        assert host.run("runuser -u www-data -- sh -c %s", f"echo hole >> {path}").failed


def test_the_app_cannot_write_its_code_or_its_settings(host: Any) -> None:
    others = [SETTINGS, "/etc/flask-blog/gunicorn.conf.py", "/etc/systemd/system/flask-blog.service"]
    # First, check that the test can detect a writable path.
    ask = "runuser -u flask-blog -- find -L %s -writable -not -type l"
    assert host.check_output(ask, f"{DATA}/database.db")
    assert len(host.check_output("find -L %s -type f", LIVE).split()) > 1000, "the virtual environment is below it"
    writable = set(host.check_output(f"{ask} || true", LIVE).split())
    allowed = (f"{LIVE}/static/uploads", f"{LIVE}/instance", f"{LIVE}/database.db")
    assert {path for path in writable if not path.startswith(allowed)} == set()
    for path in [*others, f"{LIVE}/app.py", f"{LIVE}/new.py", f"{LIVE}/venv/new.py", "/opt/flask-blog/new"]:
        assert host.run("runuser -u flask-blog -- sh -c %s", f"echo hole >> {path}").failed, path


def test_the_process_itself_cannot_write_beside_its_data(host: Any) -> None:
    """The sandbox protects a folder even if its mode lets everybody write."""
    pid = host.check_output("systemctl show --property MainPID --value flask-blog.service")
    host.check_output("install -d -m 777 /opt/open")
    inside = f"nsenter --target {pid} --mount -- runuser -u flask-blog -- touch "
    try:
        host.check_output(f"{inside} {DATA}/touched && rm {DATA}/touched")
        assert host.run(f"{inside} /opt/open/touched").failed
    finally:
        host.check_output("rm -r /opt/open")


def test_the_app_runs_as_its_own_user_on_the_releases_own_packages(host: Any) -> None:
    pid = host.check_output("systemctl show --property MainPID --value flask-blog.service")
    assert host.check_output("stat --format %%U /proc/%s", pid) == "flask-blog"
    # The files that the workers have mapped.
    worker = host.check_output("pgrep --parent %s --newest", pid)
    mapped = host.check_output("grep --only-matching '/opt/.*site-packages' /proc/%s/maps | sort -u", worker)
    venv = host.check_output("readlink -f %s/venv", LIVE)
    assert mapped.startswith(f"{venv}/lib/")
    assert venv.startswith("/opt/flask-blog/venvs/")


def test_the_secret_key_is_long_and_random(host: Any) -> None:
    found = re.search(r'^SECRET_KEY="(.*)"$', host.file(SETTINGS).content_string, re.MULTILINE)
    assert found
    assert re.fullmatch("[0-9a-f]{64}", found[1])
    assert len(set(found[1])) > 8
