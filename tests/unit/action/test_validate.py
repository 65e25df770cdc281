"""Input is checked on the controller, before the host is touched."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from action_host import Host, Run
from ansible_collections.flaskblog.hosting.plugins.action import validate
from ansible_collections.flaskblog.hosting.plugins.plugin_utils import proxies
from certificates import chain, intermediate, site


def test_good_input_is_accepted_without_a_message(run: Run) -> None:
    assert run(validate, {}) == {"changed": False}


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"workers": 0}, "flask_blog_workers: 0: it must be at least 1"),
        ({"server_name": "x.test"}, "Did you mean flask_blog_server_names?"),
        ({"server_names": "x.test"}, "flask_blog_server_names: 'x.test': it is text where a list belongs"),
        ({"source": "/nonexistent/blog"}, "there is no such folder or archive on the controller"),
        ({"app_dir": "web"}, "flask_blog_app_dir: 'web': the source has no such folder"),
        ({"requirements": "prod.txt"}, "flask_blog_requirements: 'prod.txt': the source holds no such file"),
        ({"host_swap": "1T"}, "flask_blog_host_swap: '1T': it is no size"),
        ({"host_firewal": True}, "Did you mean flask_blog_host_firewall?"),
        ({"host_firewall": True, "http_port": 8080}, "the firewall would close port 8080"),
        ({"initial_data": "/nonexistent"}, "flask_blog_initial_data: '/nonexistent': there is no such folder"),
    ],
)
def test_bad_input_is_refused_with_variable_value_and_rule(run: Run, chosen: dict[str, Any], words: str) -> None:
    result = run(validate, {}, **chosen)
    assert result["failed"] is True
    assert result["msg"].startswith("Nothing was touched, as the input is not right:\n")
    assert words in result["msg"]


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ("nothing", "flask_blog_error_pages: 'errors': the app's folder has no such folder, or it is a link"),
        ("link", "the app's folder has no such folder, or it is a link"),
        ("empty", "it holds none of 403.html, 404.html"),
        ("linked page", "404.html in it is no regular file, and nginx follows no link"),
        ("fifo", "404.html in it is no regular file"),
        ("page", ""),
    ],
)
def test_error_pages_of_an_app_have_to_be_in_its_source(
    run: Run, variables: dict[str, Any], made: str, words: str
) -> None:
    source = Path(variables["flask_blog_source"])
    errors = source / "errors"
    if made == "link":
        errors.symlink_to("templates")
    elif made != "nothing":
        errors.mkdir()
    if made == "linked page":
        (errors / "404.html").symlink_to("/etc/passwd")
    elif made == "fifo":
        os.mkfifo(errors / "404.html")
    elif made == "page":
        (errors / "404.html").write_text("none")
    assert words in run(validate, {}, error_pages="errors/").get("msg", "")
    assert bool(run(validate, {}, error_pages="errors/").get("failed")) is bool(words)


def test_a_source_without_requirements_is_refused(run: Run, variables: dict[str, Any]) -> None:
    (Path(variables["flask_blog_source"]) / "requirements.txt").unlink()
    assert "neither requirements.txt nor pyproject.toml" in run(validate, {})["msg"]


def test_numbers_from_the_command_line_are_numbers(run: Run) -> None:
    assert run(validate, {}, workers="3", http_port="8080") == {"changed": False}
    assert "at least 1" in run(validate, {}, workers="0")["msg"]


@pytest.mark.parametrize("value", ["8\n", "08", "٣", "1_0", "+5", True])
def test_what_python_takes_for_a_number_and_nginx_does_not_is_refused(run: Run, value: Any) -> None:
    assert run(validate, {}, workers=value)["msg"].endswith(
        f"flask_blog_workers: {value!r}: it is no number. Write it with the digits 0 to 9."
    )


ENTRY_POINTS: list[tuple[str, dict[str, Any]]] = [
    ("main", {}),
    ("release", {}),
    ("rollback", {"rollback_release": "3f2a9c1e", "rollback_data": "ask"}),
    ("restore", {"restore": "2026-11-27T18:30:00+01:00", "restore_discard": True}),
    ("maintenance", {"maintenance": True}),
    ("remove", {"remove": "flask-blog", "remove_data": "", "remove_backups": "flask-blog", "remove_certificates": ""}),
    ("doctor", {}),
]


@pytest.mark.parametrize(("entry_point", "chosen"), ENTRY_POINTS)
def test_every_entry_point_refuses_a_misspelt_variable(run: Run, entry_point: str, chosen: dict[str, Any]) -> None:
    arguments = {"entry_point": entry_point}
    assert run(validate, arguments, **chosen) == {"changed": False}
    result = run(validate, arguments, **chosen, rolback_release="3f2a9c1e")
    assert result["failed"] is True
    assert "Did you mean flask_blog_rollback_release?" in result["msg"]


@pytest.mark.parametrize(("entry_point", "chosen"), ENTRY_POINTS)
def test_every_entry_point_checks_the_sites_name(run: Run, entry_point: str, chosen: dict[str, Any]) -> None:
    result = run(validate, {"entry_point": entry_point}, **{**chosen, "name": "sshd"})
    assert "flask_blog_name: 'sshd': it is the name of a service" in result["msg"]


@pytest.mark.parametrize("release", ["--keep-data", "../other", "a b", "a\nb", "."])
def test_a_rollback_refuses_what_is_no_release(run: Run, release: str) -> None:
    result = run(validate, {"entry_point": "rollback"}, rollback_release=release)
    assert f"flask_blog_rollback_release: {release!r}: it is no id of a release" in result["msg"]


@pytest.mark.parametrize("backup", ["", "--discard-newer", "../other", "a\nb", ".", "x" * 101])
def test_a_restore_refuses_what_is_neither_a_backup_nor_a_moment(run: Run, backup: str) -> None:
    result = run(validate, {"entry_point": "restore"}, restore=backup)
    assert f"flask_blog_restore: {backup!r}: it is neither the name of a backup nor a moment" in result["msg"]


def test_a_rollback_does_not_need_what_only_a_deployment_needs(run: Run, host: Host) -> None:
    chosen = {"source": "/nonexistent/blog", "workers": 0, "rollback_release": ""}
    assert run(validate, {"entry_point": "rollback"}, **chosen) == {"changed": False}
    assert (host.modules, host.commands) == ([], []), "the host is not touched"


def test_a_project_that_pip_cannot_install_is_refused_with_the_command_that_helps(
    run: Run, host: Host, variables: dict[str, Any]
) -> None:
    blog = Path(variables["flask_blog_source"])
    (blog / "requirements.txt").write_text("certifi @ file:///croot/certifi_1683875369620/work/certifi\n")
    assert "pip list --format=freeze" in run(validate, {})["msg"]
    (blog / "requirements.txt").unlink()
    (blog / "pyproject.toml").write_text('[tool.poetry]\nname = "blog"\npackage-mode = false\n')
    assert "'poetry export -f requirements.txt" in run(validate, {})["msg"]
    assert (host.modules, host.commands) == ([], []), "the host is not touched"


# -- certificates --


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """The variables of a certificate in files of the controller."""
    issued = site("blog.test", days=20.5)
    (tmp_path / "fullchain.pem").write_text(chain(issued, intermediate()))
    (tmp_path / "privkey.pem").write_text(issued.key_pem())
    return {
        "tls": "provided",
        "tls_certificate": str(tmp_path / "fullchain.pem"),
        "tls_key": str(tmp_path / "privkey.pem"),
    }


def test_a_certificate_is_read_from_files_of_the_controller_and_its_near_end_is_a_warning(
    run: Run, files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(validate.display, "warning", said.append)
    assert run(validate, {}, **files, server_names=["blog.test"]) == {"changed": False}
    assert said == [
        "flask_blog_tls_certificate: the certificate ends in 20 days. Renew it, and run the playbook again."
    ]


def test_a_certificate_as_text_is_checked_as_well_and_not_shown(run: Run, files: dict[str, str]) -> None:
    texts = {name: Path(files[name]).read_text() for name in ("tls_certificate", "tls_key")}
    assert run(validate, {}, tls="provided", **texts, server_names=["blog.test"]) == {"changed": False}
    message = run(validate, {}, tls="provided", **texts, server_names=["other.test"])["msg"]
    assert message.endswith(
        "flask_blog_tls_certificate: '(text)': it covers blog.test, and not other.test of flask_blog_server_names."
        " Request one for all names of the site, or leave the name out of flask_blog_server_names."
    )


def test_files_that_are_missing_or_too_large_are_named(run: Run, files: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "large").write_text("x" * (1024 * 1024 + 1))
    message = run(validate, {}, **{**files, "tls_certificate": "none.pem", "tls_key": str(tmp_path / "large")})["msg"]
    assert "flask_blog_tls_certificate: 'none.pem': there is no such file on the controller." in message
    assert f"flask_blog_tls_key: '{tmp_path}/large': the file is too large" in message


def test_without_provided_a_certificate_is_not_read(run: Run, files: dict[str, str]) -> None:
    assert run(validate, {}, **{**files, "tls": "none", "tls_key": "none.pem"}) == {"changed": False}


def test_an_old_list_of_a_cdns_networks_is_a_warning_as_long_as_it_is_used(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(validate.display, "warning", said.append)
    monkeypatch.setattr(proxies, "MAX_AGE", 10**6)
    assert run(validate, {}, trusted_proxies=["fastly"]) == {"changed": False}
    assert said == []
    monkeypatch.setattr(proxies, "MAX_AGE", -1)
    assert run(validate, {}, trusted_proxies=["fastly", "192.0.2.0/24"]) == {"changed": False}
    assert [warning.split(": the list")[0] for warning in said] == ["flask_blog_trusted_proxies: 'fastly'"]
    assert run(validate, {}, trusted_proxies=["192.0.2.0/24"]) == {"changed": False}
    assert len(said) == 1
