"""Who can write and read the data, and how much room there is."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from blogctl.doctor import storage
from blogctl.doctor.check import ERROR, WARNING
from blogctl.site import Site
from doctor_host import whats

DAY = 86400.0
NOW = 1_000_000_000.0
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can look with the rights of another account")


@pytest.fixture
def blog(live: Site, tmp_path: Path) -> Iterator[Site]:
    """A site whose app runs as an account that every Debian has."""
    live.settings.update(
        {
            "user": "www-data",
            "group": "www-data",
            "databases": ["posts.db"],
            "writable_paths": ["static/uploads", "feed.xml"],
            "static": {"/static/": "static"},
        }
    )
    data, static = live.path("data"), live.path("releases") / "old" / "static"
    (data / "static" / "uploads").mkdir(parents=True)
    (data / "posts.db").touch()
    (data / "static" / "uploads" / "a.png").touch()
    static.mkdir()
    (static / "blog.css").touch()
    for path in [data, *data.rglob("*")]:
        os.chown(path, 33, 33) if os.geteuid() == 0 else None
    opened = [*(path for path in static.parents if path.is_relative_to(tmp_path)), *tmp_path.parents]
    for path in opened[:-1]:
        if path != Path("/tmp") and path.stat().st_uid == os.geteuid() and not path.stat().st_mode & 0o001:
            path.chmod(path.stat().st_mode | 0o001)
    yield live
    for path in (data, static):
        path.chmod(0o755)


@as_root
def test_data_that_the_app_and_nginx_can_use_is_silent(blog: Site) -> None:
    assert list(storage.app_can_write(blog)) == []
    assert list(storage.nginx_can_read(blog)) == []


@as_root
@pytest.mark.parametrize("path", ["", "posts.db", "static/uploads"])
def test_data_that_the_app_cannot_write_is_named(blog: Site, path: str) -> None:
    os.chown(blog.path("data") / path, 0, 0)
    found = whats(storage.app_can_write(blog))
    assert f"the app (www-data) cannot write {blog.path('data') / path}".rstrip("/") in found[0]


@as_root
def test_a_static_folder_that_nginx_cannot_read_is_named(blog: Site) -> None:
    static = blog.path("releases") / "old" / "static"
    (static / "blog.css").chmod(0o600)
    (found,) = storage.nginx_can_read(blog)
    assert found.level == ERROR
    assert found.what.endswith("cannot read static files of the live release: " + str(static / "blog.css"))
    static.chmod(0o700)
    (found,) = storage.nginx_can_read(blog)
    assert found.what.endswith(str(static))


@as_root
def test_uploads_that_nginx_cannot_read_are_named(blog: Site) -> None:
    upload = blog.path("data") / "static" / "uploads" / "a.png"
    os.chown(upload, 0, 0)
    upload.chmod(0o600)
    (found,) = storage.nginx_can_read(blog)
    assert (found.level, found.command) == (WARNING, "ansible-playbook playbooks/site.yml")
    assert found.what == f"nginx (www-data) cannot read uploads: {upload}"


@as_root
def test_uploads_whose_mode_the_app_chose_are_opened_by_the_app_itself(blog: Site) -> None:
    """Root changes nothing by name in a folder of the app."""
    upload = blog.path("data") / "static" / "uploads" / "a.png"
    upload.chmod(0o200)
    (found,) = storage.nginx_can_read(blog)
    assert found.command == (
        "blogctl --site blog run -- find static/uploads/ -type f ! -perm -g=r -exec chmod g+r {} +"
    )


@as_root
def test_links_and_fifos_of_a_hostile_app_are_not_followed_and_hold_nobody_up(
    blog: Site, tmp_path: Path, nothing_hangs: None
) -> None:
    uploads = blog.path("data") / "static" / "uploads"
    secret = tmp_path / "secret"
    secret.mkdir(mode=0o700)
    (secret / "key").touch(0o600)
    (uploads / "out").symlink_to(secret)
    os.mkfifo(uploads / "fifo", 0o600)
    (uploads / ".hidden").touch(0o600)
    assert list(storage.nginx_can_read(blog)) == []
    assert list(storage.app_can_write(blog)) == []


# -- room --


@pytest.fixture
def places(site: Site, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    values = {"device": "/data", "free": 50 << 30, "size": 100 << 30, "free_inodes": 500, "inodes": 1000}
    monkeypatch.setattr(storage, "_places", lambda _: {"/data": values})
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    site.path("state").mkdir(parents=True)
    return values


def history(site: Site, **by_day: list[int]) -> None:
    (key, values), *_ = by_day.items()
    samples = [
        {"time": NOW - (len(values) - number) * DAY, "places": {"/data": {key: value}}}
        for number, value in enumerate(values)
    ]
    (site.path("state") / storage.HISTORY).write_text(json.dumps(samples))


def test_a_disk_with_room_is_silent(site: Site, places: dict[str, Any]) -> None:
    assert list(storage.disks_have_room(site, NOW)) == []


@pytest.mark.parametrize(
    ("key", "free", "level"),
    [("free", 9 << 30, WARNING), ("free", 2 << 30, ERROR), ("free_inodes", 90, WARNING), ("free_inodes", 0, ERROR)],
)
def test_little_room_and_few_inodes_are_named(
    site: Site, places: dict[str, Any], key: str, free: int, level: str
) -> None:
    places[key] = free
    (found,) = storage.disks_have_room(site, NOW)
    assert found.level == level
    assert ("inodes" in found.what) is (key == "free_inodes")
    assert "when it is full is not known" in found.what, "there is no history yet"


def test_a_disk_that_fills_up_is_named_with_the_days_until_it_is_full(site: Site, places: dict[str, Any]) -> None:
    history(site, free=[(95 - 5 * day) << 30 for day in range(9)])  # 5 GiB a day
    (found,) = storage.disks_have_room(site, NOW)
    assert (found.level, "it is full in about 10 days" in found.what) == (WARNING, True)
    places["free"] = 5 << 30
    (found,) = storage.disks_have_room(site, NOW + DAY)
    assert found.level == ERROR


def test_a_disk_that_does_not_grow_is_silent_whatever_its_history(site: Site, places: dict[str, Any]) -> None:
    history(site, free=[50 << 30] * 9)
    assert list(storage.disks_have_room(site, NOW)) == []
    history(site, free=[(10 + day) << 30 for day in range(9)])
    assert list(storage.disks_have_room(site, NOW)) == []


def test_one_sample_a_day_is_kept_and_a_damaged_record_is_written_anew(site: Site, places: dict[str, Any]) -> None:
    path = site.path("state") / storage.HISTORY
    path.write_text("{")
    for hour in range(30):
        list(storage.disks_have_room(site, NOW + hour * 3600))
    assert len(json.loads(path.read_text())) == 2
    list(storage.disks_have_room(site, NOW + 1000 * DAY))
    assert len(json.loads(path.read_text())) == 1, "old ones are dropped"
    list(storage.disks_have_room(site, NOW))
    assert json.loads(path.read_text())[0]["time"] == NOW, "the clock was set back"


def test_the_places_are_those_of_the_host(site: Site) -> None:
    found = storage._places(site)
    assert str(site.path("data")) in found
    assert all(values["size"] > values["free"] > 0 for values in found.values() if values["size"])
