"""What the app, gunicorn and blogctl are told, and what the managed objects have in common."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.flaskblog.hosting.plugins.module_utils import contract, names, reloads
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import registry
from unit_files import VARIANTS, settings

# -- the settings of the app ----------------------------------------------------------------------------------------


#: What the link of the site leads to.
SCHEME_ENVIRONMENT = "/etc/flask-blog/scheme/environment"


def environment(render: Any, **variables: Any) -> dict[str, str]:
    return parse_environment(render(**variables).text("/etc/flask-blog/environment"))


def parse_environment(text: str) -> dict[str, str]:
    lines = (line.partition("=") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: value.strip('"') for name, _, value in lines}


def test_the_app_is_told_of_exactly_one_proxy(render: Any) -> None:
    found = environment(render)
    assert found["BEHIND_PROXY"] == "true"
    assert {found[f"PROXY_FIX_X_{what}"] for what in ("FOR", "PROTO", "HOST")} == {"1"}


@pytest.mark.parametrize(("tls", "secure", "scheme"), [("none", "false", "http"), ("self_signed", "true", "https")])
def test_the_session_cookie_is_secure_with_tls_alone_as_nobody_could_log_in_else(
    render: Any, tls: str, secure: str, scheme: str
) -> None:
    found = parse_environment(render(tls=tls).text(SCHEME_ENVIRONMENT))
    assert (found["SESSION_COOKIE_SECURE"], found["PREFERRED_URL_SCHEME"]) == (secure, scheme)
    assert not {"SESSION_COOKIE_SECURE", "PREFERRED_URL_SCHEME"} & {*environment(render, tls=tls)}


def test_a_users_settings_win_over_what_the_role_derives(render: Any) -> None:
    found = environment(render, environment={"BEHIND_PROXY": False, "SITE_NAME": "A blog"}, secrets={"API_KEY": "k"})
    assert found["BEHIND_PROXY"] == "false"
    assert found["SITE_NAME"] == "A blog"
    assert found["API_KEY"] == "k"


@pytest.mark.parametrize(
    ("chosen", "made"),
    [
        ({}, ["SECRET_KEY"]),
        ({"generated_secrets": ["SECRET_KEY", "SALT"]}, ["SECRET_KEY", "SALT"]),
        ({"secrets": {"SECRET_KEY": "given"}}, []),
        ({"environment": {"SECRET_KEY": "given"}, "generated_secrets": ["SECRET_KEY", "SALT"]}, ["SALT"]),
        ({"generated_secrets": []}, []),
    ],
)
def test_a_secret_is_made_only_where_none_is_given(render: Any, chosen: dict[str, Any], made: list[str]) -> None:
    rendered = render(**chosen)
    (item,) = [item for item in rendered.objects if item["path"] == "/etc/flask-blog/environment"]
    assert item["generated"] == made
    assert item["secret"] is True
    assert (item["owner"], item["group"], item["mode"]) == ("root", "flask-blog", "0640")
    assert not [line for line in item["content"].splitlines() if line.partition("=")[0] in made]


@pytest.mark.parametrize("variant", VARIANTS)
def test_blogctl_finds_everything_it_needs_in_its_settings(render: Any, role: Path, variant: str) -> None:
    found = json.loads(render(**VARIANTS[variant]).text("/etc/flask-blog/site.json"))
    sources = "".join(path.read_text() for path in (role / "files" / "blogctl").glob("*.py"))
    asked = set(re.findall(r'settings\["(\w+)"\]', sources)) | set(re.findall(r'\.path\("(\w+)"\)', sources))
    assert asked
    assert asked - {"bind"} <= found.keys()
    assert isinstance(found["activation_timeout"], int)
    assert found["backup_keep"] == {"daily": 7, "weekly": 4, "monthly": 6}


def test_blogctl_knows_which_settings_are_secret_and_whether_to_hide_them(render: Any) -> None:
    chosen = {"secrets": {"MAIL_PASSWORD": "hunter2"}, "environment": {"SITE_NAME": "A blog"}, "hide_secrets": "no"}
    text = render(**chosen, generated_secrets=["SECRET_KEY", "OTHER"]).text("/etc/flask-blog/site.json")
    assert json.loads(text)["hide_secrets"] is False
    assert json.loads(text)["secret_settings"] == ["MAIL_PASSWORD", "OTHER", "SECRET_KEY"]
    assert "hunter2" not in text
    assert json.loads(render().text("/etc/flask-blog/site.json"))["hide_secrets"] is True


def test_two_blogs_keep_apart_what_is_theirs(render: Any) -> None:
    one, two = (json.loads(render(name=name).text(f"/etc/{name}/site.json")) for name in ("one", "two"))
    for key in ("data", "config", "backups", "link", "root", "cache", "socket_unit", "user", "next"):
        assert one[key] != two[key], key


def test_what_a_process_reads_when_it_starts_is_what_the_role_watches(render: Any) -> None:
    rendered = render()
    found = settings(rendered.text("/etc/systemd/system/flask-blog.service"))
    told = next(value for value in found["Service.Environment"] if value.startswith("FLASK_BLOG_SETTINGS="))
    files = told.partition("=")[2].split(":")
    assert files == rendered.variables["__flask_blog_site"]["settings_files"]
    for file in files:
        assert rendered.text(file)
    read = [value for key, values in found.items() if key == "Service.EnvironmentFile" for value in values]
    assert read == [SCHEME_ENVIRONMENT, "/etc/flask-blog/environment"], "a user's own setting wins"


def test_nothing_that_is_managed_is_writable_for_others_or_holds_secrets_openly(render: Any) -> None:
    rendered = render(secrets={"API_KEY": "hunter2"})
    for item in rendered.objects:
        if "mode" in item:
            assert not int(item["mode"], 8) & 0o002, item["path"]
        if item["kind"] == "file":
            assert ("hunter2" in item["content"]) == (item["path"] == "/etc/flask-blog/environment")


def test_what_the_server_and_root_write_down_is_closed_from_the_start_and_rotated(render: Any) -> None:
    rendered = render()
    found = {item["path"]: item for item in rendered.objects if item["kind"] == "attributes"}
    for log in ("/var/log/nginx/flask-blog.access.log", "/var/log/nginx/flask-blog.error.log"):
        assert re.search(rf"_log {log}( \w+)?;", rendered.text("/etc/nginx/sites-available/flask-blog.conf"))
        assert [found[log][key] for key in ("owner", "group", "mode", "create")] == ["www-data", "adm", "0640", True]
    journal = found["/opt/flask-blog/operations.jsonl"]
    assert [journal[key] for key in ("owner", "group", "mode", "create")] == ["root", "root", "0600", False]
    assert len(found) == 3
    assert "logrotate" in rendered.variables["__flask_blog_packages"]


def test_roots_own_state_and_locks_lie_in_directories_of_roots(render: Any) -> None:
    rendered = render()
    modes = {item["path"]: (item["owner"], item["mode"]) for item in rendered.objects if item["kind"] == "directory"}
    assert modes[rendered.variables["__flask_blog_site"]["state"]] == ("root", "0700")
    assert modes["/run/flask-blog-hosting"] == ("root", "0755")
    boot = rendered.text("/etc/tmpfiles.d/flask-blog-hosting.conf")
    assert boot.splitlines()[-1] == "d /run/flask-blog-hosting 0755 root root -"


def test_each_unit_has_the_line_by_which_the_plan_knows_it(render: Any) -> None:
    """Without it, a first run that was interrupted would take its own units for somebody else's."""
    files = [item for item in render().objects if (item["kind"], item["scope"]) == ("file", "site")]
    found = [item for item in files if item["path"].startswith(f"{names.UNITS}/")]
    assert len(found) >= 6
    assert [item["path"] for item in found if names.UNIT_MARK.decode() not in item["content"].splitlines()] == []


SECRETS = {f"/etc/flask-blog/{name}" for name in ("environment", "rehearsal-environment", "site.json")}

KEYS = {f"/etc/flask-blog/{name}" for name in ("proxy-key.conf", "site-key.conf")}


@pytest.mark.parametrize(("hide", "expected"), [(True, True), (False, False), ("false", False), ("true", True)])
def test_secrets_are_shown_only_where_that_is_asked_for(render: Any, hide: bool | str, expected: bool) -> None:
    """Asked for with C(-e), the switch is text."""
    hidden = {item["path"] for item in render(hide_secrets=hide).objects if item.get("secret")}
    # Nobody has a use for the keys of nginx.
    assert hidden - KEYS == (SECRETS if expected else set())
    assert hidden >= KEYS


def test_each_object_says_whose_it_is_and_what_loads_it(render: Any) -> None:
    for variant in VARIANTS.values():
        for item in render(**variant).objects:
            assert item["scope"] in ("site", "host"), item
            assert item["kind"] in registry.KINDS, item
            assert set(reloads.of(item)) <= set(reloads.RELOADS), item
            assert "layer" not in item, item


@pytest.mark.parametrize("tls", ["none", "self_signed"])
def test_what_the_activation_loads_is_what_it_restores(render: Any, tls: str) -> None:
    """Of what depends on HTTP or HTTPS, the link, and both environments (blogctl: release/settings.py)."""
    rendered = render(tls=tls)
    told = {item["path"] for item in rendered.objects if "app" in reloads.of(item)}
    folders = ["http", "https"][: 1 if tls == "none" else 2]
    of_scheme = {"/etc/flask-blog/scheme", *(f"/etc/flask-blog/schemes/{name}/environment" for name in folders)}
    watched = {*rendered.variables["__flask_blog_site"]["settings_files"]}
    assert told - of_scheme == watched - {SCHEME_ENVIRONMENT}
    assert of_scheme <= told


def test_what_the_blogs_of_a_host_share_is_the_same_for_each(render: Any) -> None:
    one, two = ({item["path"]: item for item in render(name=name).objects} for name in ("one", "two"))
    shared = {path for path in one if path in two}
    assert {path for path in shared if one[path]["scope"] != "host"} == set()
    assert {path: one[path] for path in shared} == {path: two[path] for path in shared}
    assert [path for path, item in one.items() if item["scope"] == "host" and path not in shared] == []


def test_the_version_of_the_tool_is_written_beside_it(render: Any, root: Path) -> None:
    rendered = render()
    found = json.loads(rendered.text(contract.TOOL_VERSION))
    assert found["version"] == yaml.safe_load((root / "galaxy.yml").read_text())["version"]
    assert rendered.text(contract.TOOL_VERSION).endswith("}\n")
    site = json.loads(rendered.text("/etc/flask-blog/site.json"))
    assert site["interface"] == found["interface"] == contract.INTERFACE


def test_the_paths_of_a_site_are_those_that_blogctl_computes(render: Any) -> None:
    """Each is declared once, in the role's variables."""
    site = json.loads(render(name="blog").text("/etc/blog/site.json"))
    expected = {
        "next": "/opt/blog/next",
        "assets": "/opt/blog/assets",
        "maintenance": "/opt/blog/maintenance",
        "operations": "/opt/blog/operations.jsonl",
        "transaction": "/opt/blog/transaction.json",
        "snapshots": "/var/backups/blog/snapshots",
        "rehearsal": "/var/backups/blog/rehearsal",
        "environment": "/etc/blog/environment",
        "rehearsal_environment": "/etc/blog/rehearsal-environment",
        "next_unit": "blog-next.service",
        "recovery_unit": "blog-recovery.service",
        "backup_unit": "blog-backup.service",
        "backup_timer": "blog-backup.timer",
    }
    assert {key: site[key] for key in expected} == expected


def test_every_file_that_gunicorn_loads_is_managed_and_restarts_the_app(render: Any, role: Path) -> None:
    rendered = render()
    loaded = re.findall(r'load_beside\("(\w+)"\)', (role / "files" / "gunicorn.conf.py").read_text())
    assert loaded
    order = [item["path"] for item in rendered.objects]
    for one in loaded:  # a run that is killed between the two leaves an app that starts
        assert order.index(f"/etc/flask-blog/{one}.py") < order.index("/etc/flask-blog/gunicorn.conf.py")
    for name in (*(f"{one}.py" for one in loaded), "gunicorn.conf.py"):
        assert rendered.text(f"/etc/flask-blog/{name}") == (role / "files" / name).read_text()
        assert f"/etc/flask-blog/{name}" in rendered.variables["__flask_blog_site"]["settings_files"]


@pytest.mark.parametrize(("proxies", "schemes"), [([], "http"), (["192.0.2.0/24"], "http,https")])
def test_gunicorn_is_told_the_schemes_of_the_site(render: Any, proxies: list[str], schemes: str) -> None:
    found = parse_environment(render(trusted_proxies=proxies, http_port=8080).text(SCHEME_ENVIRONMENT))
    assert (found["FLASK_BLOG_SCHEME"], found["FLASK_BLOG_PUBLIC_SCHEMES"]) == ("http", schemes)
    assert found["FLASK_BLOG_HOST"] == "blog.test:8080"
    found = parse_environment(render(trusted_proxies=proxies, tls="self_signed").text(SCHEME_ENVIRONMENT))
    assert (found["FLASK_BLOG_SCHEME"], found["FLASK_BLOG_PUBLIC_SCHEMES"]) == ("https", "https")
    assert found["FLASK_BLOG_HOST"] == "blog.test"


def test_a_proxy_that_reads_no_headers_takes_no_https_from_visitors(render: Any) -> None:
    variables = {"trusted_proxies": ["192.0.2.0/24"], "proxy_protocol": True}
    assert parse_environment(render(**variables).text(SCHEME_ENVIRONMENT))["FLASK_BLOG_PUBLIC_SCHEMES"] == "http"


@pytest.mark.parametrize("chosen", [True, False, "yes"])
def test_what_asks_the_site_learns_that_it_expects_the_proxy_protocol(render: Any, chosen: Any, tmp_path: Path) -> None:
    rendered = render(trusted_proxies=["192.0.2.0/24"], proxy_protocol=chosen)
    (tmp_path / "scheme.json").write_text(rendered.text("/etc/flask-blog/scheme/scheme.json"))
    site = {**rendered.variables["__flask_blog_site"], "scheme_link": str(tmp_path)}
    assert contract.Scheme.of(site).proxy_protocol is (chosen is not False)


@pytest.mark.parametrize("tls", ["none", "self_signed"])
def test_one_link_says_where_visitors_reach_the_site(
    render: Any, tls: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rendered = render(tls=tls, https_port=8443)
    (tmp_path / "scheme.json").write_text(rendered.text("/etc/flask-blog/scheme/scheme.json"))
    site = {**rendered.variables["__flask_blog_site"], "scheme_link": str(tmp_path)}
    found = contract.Scheme.of(site)
    expected = {
        "none": contract.Scheme("http", "blog.test", 80, ["http"]),
        "self_signed": contract.Scheme("https", "blog.test:8443", 8443, ["https"], 80),
    }
    assert found == expected[tls]
    assert not {"host", "port", "scheme", "public_schemes"} & {*site}, "there is no second source"


def test_the_key_has_the_form_that_nginx_and_gunicorn_read(render: Any) -> None:
    (key,) = [item for item in render().objects if item["path"] == "/etc/flask-blog/proxy-key.conf"]
    assert key["generated"] == [contract.KEY_HEADER]
    assert key["generated_line"].replace("{name}", contract.KEY_HEADER) == contract.KEY_LINE
