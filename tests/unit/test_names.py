"""A name that is in use on a host is refused, and the site's own objects are recognised."""

from __future__ import annotations

import grp
import json
import os
import pwd
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import names
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import unit

OURS = f"[Unit]\n{names.UNIT_MARK.decode()}\n"


@pytest.fixture
def units(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, str]]:
    """The units of the host, by name; empty at first."""
    found: dict[str, dict[str, str]] = {}
    monkeypatch.setattr(unit, "show_units", lambda asked: {name: found[name] for name in asked if name in found})
    return found


@pytest.fixture
def accounts(monkeypatch: pytest.MonkeyPatch, me: Any) -> dict[str, SimpleNamespace]:
    """The accounts of the host: none of ours to begin with. Groups are those of accounts, and "disk"."""
    found: dict[str, SimpleNamespace] = {}

    def account(name: str) -> SimpleNamespace:
        return found[name]

    def group(name: str) -> SimpleNamespace:
        if name in ("disk", *found):
            return SimpleNamespace(gr_gid=6)
        raise KeyError(name)

    monkeypatch.setattr(pwd, "getpwnam", account)
    monkeypatch.setattr(grp, "getgrnam", group)
    return found


@pytest.fixture
def make_site(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    units: dict[str, dict[str, str]],
    accounts: dict[str, SimpleNamespace],
) -> Callable[..., dict[str, Any]]:
    """A site of a host whose every path lies in a temporary folder."""
    for place in ("etc", "opt", "var/lib", "var/cache", "run", "www", "units", "dpkg"):
        (tmp_path / place).mkdir(parents=True)
    monkeypatch.setattr(names, "CONFIGURATION", str(tmp_path / "etc"))
    monkeypatch.setattr(names, "UNITS", str(tmp_path / "units"))
    monkeypatch.setattr(names, "DPKG_LISTS", str(tmp_path / "dpkg" / "*.list"))
    monkeypatch.setattr(names, "RUN", str(tmp_path / "run"))
    monkeypatch.setattr(names, "ROOT", os.getuid())

    def make(name: str = "blog", **more: Any) -> dict[str, Any]:
        root = tmp_path / "opt" / name
        return {
            "name": name,
            "user": name,
            "group": name,
            "build_user": f"{name}-build",
            "link": str(tmp_path / "www" / name),
            "root": str(root),
            "git": str(root / "git"),
            "releases": str(root / "releases"),
            "venvs": str(root / "venvs"),
            "state": str(root / "state"),
            "initial_data": str(root / "initial-data.tar.gz"),
            "config": str(tmp_path / "etc" / name),
            "data": str(tmp_path / "var/lib" / name),
            "cache": str(tmp_path / "var/cache" / name),
            "assets": str(root / "assets"),
            "maintenance": str(root / "maintenance"),
            "operations": str(root / "operations.jsonl"),
            "site_json": str(tmp_path / "etc" / name / "site.json"),
            "settings_files": [],
            **more,
        }

    return make


Make = Callable[..., dict[str, Any]]


def found(site: dict[str, Any]) -> list[str]:
    """The reasons why a site's name is refused."""
    account = {"name": site["user"], "home": site["data"], "shell": "/usr/sbin/nologin"}
    account["dedicated"] = site["user"] == site["name"]
    managed = [f"{site['config']}/{name}" for name in ("environment", "site.json", "gunicorn.conf.py")]
    managed += [f"{names.UNITS}/{site['name']}{ending}" for ending in (".service", ".socket", "-next.service")]
    objects = [{"kind": "file", "path": path} for path in managed]
    return names.problems(site, account, objects)


def account(site: dict[str, Any], **more: Any) -> SimpleNamespace:
    ours = {"pw_name": site["user"], "pw_uid": os.getuid() and 999, "pw_dir": site["data"]}
    return SimpleNamespace(**{**ours, "pw_shell": "/usr/sbin/nologin", **more})


def put(path: str, text: str = "") -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)


# -- ours -----------------------------------------------------------------------------------------------------------


def test_a_bare_host_has_every_name_free(make_site: Make) -> None:
    assert found(make_site()) == []


@pytest.mark.parametrize(
    "made",
    [
        ["root/releases/abc.incomplete/app.py"],
        ["root/releases/abc/app.py", "root/venvs/def/bin/python", "root/git/config", "root/initial-data.tar.gz"],
        ["root/venvs/def/bin/python", "config/.environment.x7_q2abc", "root/state/initialised"],
        ["config/environment", "config/gunicorn.conf.py", "root/assets/all/x", "root/maintenance"],
        ["data/static/uploads/cat.jpg"],
    ],
)
def test_a_first_run_that_was_interrupted_is_completed(make_site: Make, made: list[str]) -> None:
    site = make_site()
    for path in made:
        key, _, rest = path.partition("/")
        put(f"{site[key]}/{rest}")
    assert found(site) == []


def test_units_and_an_account_of_ours_are_found_again(
    make_site: Make, units: dict[str, dict[str, str]], accounts: dict[str, SimpleNamespace]
) -> None:
    site = make_site()
    put(f"{names.UNITS}/blog.service", OURS)
    units["blog.service"] = {"Id": "blog.service", "FragmentPath": f"{names.UNITS}/blog.service"}
    units["blog.socket"] = {"Id": "blog.socket", "FragmentPath": f"{names.UNITS}/blog.socket"}  # gone from the disk
    units["blog-next.service"] = {"Id": "blog-next.service", "FragmentPath": ""}
    accounts["blog"] = account(site)
    assert found(site) == []


def test_units_that_an_earlier_version_wrote_are_ours(make_site: Make, units: dict[str, dict[str, str]]) -> None:
    put(f"{names.UNITS}/blog.service", "[Unit]\nDocumentation=https://github.com/flaskblog/hosting\n")
    units["blog.service"] = {"Id": "blog.service", "FragmentPath": f"{names.UNITS}/blog.service"}
    assert found(make_site()) == []


@pytest.mark.parametrize("mark", ["settings", "journal", "link"])
def test_what_was_changed_by_hand_in_a_site_of_ours_is_corrected_and_no_reason_to_refuse_it(
    make_site: Make, units: dict[str, dict[str, str]], accounts: dict[str, SimpleNamespace], mark: str
) -> None:
    site = make_site()
    if mark == "settings":
        put(f"{site['config']}/site.json", "{damaged")
    elif mark == "journal":
        put(f"{site['root']}/operations.jsonl")
    else:
        os.symlink(f"{site['releases']}/abc", site["link"])
    put(f"{site['root']}/a-note-of-the-admin")
    accounts["blog"] = account(site, pw_shell="/bin/bash")
    put(f"{names.UNITS}/blog.service", "[Unit]\n")
    units["blog.service"] = {"Id": "blog.service", "FragmentPath": f"{names.UNITS}/blog.service"}
    assert found(site) == []


# -- somebody else's ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        ("config/dpkg.cfg", "holds what this role did not put there (dpkg.cfg)"),
        ("root/releases2/x", "holds what this role did not put there (releases2)"),
        ("root/.bashrc", "holds what this role did not put there (.bashrc)"),
        ("config/environment.d/x", "holds what this role did not put there (environment.d)"),
    ],
)
def test_a_directory_of_somebody_elses_is_refused_with_value_and_remedy(
    make_site: Make, made: str, reason: str
) -> None:
    site = make_site("dpkg")
    key, _, rest = made.partition("/")
    put(f"{site[key]}/{rest}")
    assert found(site) == [
        f"flask_blog_name: 'dpkg': {site[key]} is there and {reason}. Choose another flask_blog_name, or remove what"
        " stands there."
    ]


def test_of_many_entries_a_message_names_some(make_site: Make) -> None:
    site = make_site()
    for name in "abcde":
        put(f"{site['config']}/{name}")
    assert "(a, b, c ...)" in found(site)[0]


def test_directories_of_another_account_and_links_are_refused(make_site: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    site = make_site()
    for key in ("root", "data", "cache"):
        put(f"{site[key]}/venvs")
    monkeypatch.setattr(names, "ROOT", os.getuid() + 1)
    os.symlink("/srv/blog", site["link"])
    assert [reason.split(": ")[2].split(". ")[0] for reason in found(site)] == [
        f"{site['root']} is there and does not belong to root",
        f"{site['data']} is there and belongs to another account",
        f"{site['cache']} is there and belongs to another account",
        f"{site['link']} is there and leads to /srv/blog",
    ]


def test_a_directory_in_run_belongs_to_what_runs(make_site: Make) -> None:
    """systemd would give /run/lock to the app of a blog called "lock"."""
    site = make_site("lock")
    folder = Path(names.RUN, site["name"])
    folder.mkdir()
    assert f"{folder} is there and belongs to something that runs" in found(site)[0]


def test_a_directory_of_a_package_is_refused_even_if_it_is_empty(make_site: Make, tmp_path: Path) -> None:
    site = make_site("ucf")
    put(str(tmp_path / "dpkg" / "ucf:amd64.list"), f"/.\n{site['data']}\n{site['data']}/registry\n")
    put(str(tmp_path / "dpkg" / "other.list"), f"/usr/share{site['data']}\n{site['data']}x\n")
    assert [reason.split(": ")[2].split(". ")[0] for reason in found(site)] == [f"the package ucf has {site['data']}"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"pw_uid": 1000, "pw_shell": "/bin/bash", "pw_dir": "/home/ada"}, "uid 1000, home /home/ada, shell /bin/bash"),
        ({"pw_shell": "/bin/sh"}, "shell /bin/sh"),
        ({"pw_dir": "/var/mail"}, "home /var/mail"),
        ({"pw_uid": 65534}, "uid 65534"),
    ],
)
def test_an_account_of_somebodys_is_not_changed_but_refused(
    make_site: Make, accounts: dict[str, SimpleNamespace], more: dict[str, Any], words: str
) -> None:
    site = make_site("ada")
    accounts["ada"] = account(site, **more)
    (message,) = found(site)
    assert message.startswith("flask_blog_name: 'ada': the host has an account ada that is not this role's (")
    assert words in message
    assert "name it in flask_blog_user" in message


@pytest.mark.parametrize(("before", "refused"), [("www-data", True), ("blog", False)])
def test_a_site_that_gets_an_account_of_its_own_later_does_not_get_somebodys(
    make_site: Make, accounts: dict[str, SimpleNamespace], before: str, refused: bool
) -> None:
    site = make_site()
    put(f"{site['config']}/site.json", json.dumps({**site, "user": before}))
    accounts["blog"] = account(site, pw_uid=1000, pw_shell="/bin/bash")
    assert ["an account blog that is not this role's" in message for message in found(site)] == [True] * refused


def test_an_account_that_was_named_is_used_as_it_is(make_site: Make, accounts: dict[str, SimpleNamespace]) -> None:
    site = make_site(user="ada")
    accounts["ada"] = account(site, pw_uid=1000, pw_shell="/bin/bash", pw_dir="/home/ada")
    assert found(site) == []


def test_an_account_that_would_build_environments_is_nobody_elses(
    make_site: Make, accounts: dict[str, SimpleNamespace]
) -> None:
    site = make_site()
    accounts["blog-build"] = account(site, pw_dir="/nonexistent")
    assert found(site) == []
    accounts["blog-build"] = account(site, pw_uid=1001)
    assert "an account blog-build that is not this role's" in found(site)[0]


def test_a_group_without_an_account_would_take_the_app_in(make_site: Make) -> None:
    """The app of a blog called "disk" could read every file system."""
    assert "the host has a group disk without an account of that name" in found(make_site("disk"))[0]


@pytest.mark.parametrize("kind", ["a package's", "an administrator's", "masked", "an alias"])
def test_a_unit_of_somebody_elses_is_refused(make_site: Make, units: dict[str, dict[str, str]], kind: str) -> None:
    site = make_site()
    path = f"{names.UNITS}/blog.service"
    if kind == "a package's":
        path = "/usr/lib/systemd/system/blog.service"
    elif kind == "masked":
        os.symlink("/dev/null", path)
    elif kind == "an alias":
        path = "/usr/lib/systemd/system/another.service"
    else:
        put(path, "# Ansible managed\n[Service]\n")
    units["blog.service"] = {"Id": "another.service" if kind == "an alias" else "blog.service", "FragmentPath": path}
    (message,) = found(site)
    assert f"the host has a unit {units['blog.service']['Id']} that is not this role's ({path})" in message


# -- other sites of the host ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "more", "shared"),
    [
        ("blog-next", {}, "'blog-next'"),
        ("blog-build", {}, "'blog-build'"),
        ("shop", {"build_user": "blog-build"}, "'blog-build'"),
        ("shop", {"user": "blog-build"}, "'blog-build'"),
        ("www-data", {}, "'www-data'"),
    ],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_two_sites_that_would_share_units_or_accounts_are_refused(
    make_site: Make, name: str, more: dict[str, Any], shared: str, is_first: bool
) -> None:
    other = make_site("blog", user="www-data") if name == "www-data" else make_site("blog")
    put(f"{other['config']}/site.json", json.dumps(other))
    site = make_site(name, **more)
    if not is_first:
        put(f"{site['config']}/site.json", json.dumps(site))
    (message,) = found(site)
    assert f"the site 'blog' of this host has units or accounts called {shared}" in message


def test_sites_may_share_an_account_on_purpose_and_nothing_else(make_site: Make) -> None:
    other = make_site("blog", user="www-data")
    put(f"{other['config']}/site.json", json.dumps(other))
    assert found(make_site("shop", user="www-data")) == []
    assert found(make_site("blog", user="www-data")) == [], "it is the site itself"


@pytest.mark.parametrize("kind", ["text", "list", "number", "FIFO", "link", "nested", "directory"])
def test_settings_of_another_program_are_no_site(make_site: Make, tmp_path: Path, kind: str) -> None:
    place = tmp_path / "etc" / "other" / "site.json"
    place.parent.mkdir()
    if kind == "FIFO":
        os.mkfifo(place)
    elif kind == "link":
        place.symlink_to("/dev/zero")
    elif kind == "directory":
        place.mkdir()
    else:
        place.write_text({"text": "{", "list": "[]", "number": '{"name": 1}', "nested": "[" * 9999}[kind])
    assert found(make_site()) == []
