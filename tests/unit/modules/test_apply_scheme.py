"""HTTP or HTTPS: the link that chooses is applied with nginx's files, and undone if the site does not answer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import (
    contract,
    host,
    live,
    probe,
    reload_steps,
    reloads,
)
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import certificate
from ansible_collections.flaskblog.hosting.plugins.modules import apply as module
from applied_host import Machine, make_folders
from wanted_objects import is_pending, link_at

RELOAD = "systemctl reload-or-restart nginx.service"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A site that serves HTTP, and has everything for HTTPS."""
    make_folders(tmp_path, monkeypatch)
    monkeypatch.setattr(contract, "REDIRECT_PAUSE", 0)
    for scheme in ("http", "https"):
        (tmp_path / "schemes" / scheme).mkdir(parents=True)
        (tmp_path / "schemes" / scheme / "environment").write_text(f"{scheme}\n")
    (tmp_path / "scheme").symlink_to(tmp_path / "schemes" / "http")
    (tmp_path / "live").symlink_to("/opt/blog/releases/1")
    return {
        "name": "blog",
        "link": str(tmp_path / "live"),
        "scheme_link": str(tmp_path / "scheme"),
        "certificate": str(tmp_path / "certificate"),
        "certificates": str(tmp_path / "certificates"),
        "error_log": "/var/log/nginx/blog.error.log",
    }


def switch(site: dict[str, Any], tmp_path: Path, machine: Machine, *more: dict[str, Any]) -> None:
    wanted = [{**link_at(tmp_path / "scheme", str(tmp_path / "schemes" / "https")), "reload": ["app", "nginx"]}, *more]
    changed = [item for item, _ in module.changed_objects(wanted)]
    undo = module.apply_objects(site, wanted, changed, machine)
    module.load(site, [], changed, machine, undo)
    reload_steps.remove_unused(site, wanted)


def answers(monkeypatch: pytest.MonkeyPatch, *problems: str) -> list[str]:
    """Let the site answer with some problems, and return where the link leads each time that it is asked."""
    asked: list[str] = []

    def ask(wanted: dict[str, Any], timeout: float) -> list[str]:
        asked.append(os.readlink(wanted["scheme_link"]))
        changes = asked[-1].endswith("/https") and "certificate" not in os.listdir(
            os.path.dirname(wanted["scheme_link"])
        )
        assert is_pending("blog.no-redirect") or not changes
        assert timeout == reload_steps.SITE_TIMEOUT
        return list(problems)

    monkeypatch.setattr(probe, "wanted", lambda site, _: site)
    monkeypatch.setattr(probe, "ask", ask)
    return asked


def test_the_site_is_asked_once_nginx_has_loaded_the_change(
    site: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = answers(monkeypatch)
    machine = Machine()
    switch(site, tmp_path, machine)
    assert machine.commands == ["nginx -t", "nginx -t", RELOAD]
    assert asked == [str(tmp_path / "schemes" / "https")]
    assert not is_pending("nginx.reload")
    assert not is_pending("blog.no-redirect")


def test_if_it_does_not_answer_the_link_and_nginx_are_as_before(
    site: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program may have the port: nginx tests its configuration well then, and goes on with the one before."""
    answers(monkeypatch, "blog.test: no answer: connection refused")
    machine = Machine()
    with pytest.raises(module.Failure, match=r"the old one was put back\n? and serves again:\nblog.test: no answer"):
        switch(site, tmp_path, machine)
    assert os.readlink(tmp_path / "scheme") == str(tmp_path / "schemes" / "http")
    assert machine.commands == ["nginx -t", "nginx -t", RELOAD, "nginx -t", RELOAD]
    assert not is_pending("blog.no-redirect")


def test_a_run_that_was_killed_meanwhile_is_completed_by_the_next_one(site: dict[str, Any]) -> None:
    """HTTP would never redirect again."""
    live.note(contract.no_redirect("blog"))
    assert reloads.pending(site) == ["nginx"]
    machine = Machine()
    module.load(site, [], [], machine)
    assert machine.commands == ["nginx -t", RELOAD]
    assert reloads.pending(site) == []


def test_a_site_that_serves_nothing_yet_is_asked_by_the_last_step_of_the_run(
    site: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = answers(monkeypatch, "no answer")
    (tmp_path / "live").unlink()
    switch(site, tmp_path, Machine())
    assert asked == []


def test_other_changes_of_nginx_are_not_asked_about(
    site: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, me: Any
) -> None:
    asked = answers(monkeypatch, "no answer")
    (tmp_path / "scheme").unlink()
    (tmp_path / "scheme").symlink_to(tmp_path / "schemes" / "https")
    file = {"scope": "site", "kind": "file", "path": str(tmp_path / "nginx" / "a.conf"), "content": "a\n"}
    switch(site, tmp_path, Machine(), {**file, "owner": me.user, "group": me.group, "mode": "0644", "reload": "nginx"})
    assert asked == []


def test_blogctl_can_restore_what_the_link_led_to(
    site: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(monkeypatch)
    switch(site, tmp_path, Machine())
    copy = contract.settings_copy("blog", site["scheme_link"])
    assert os.readlink(copy) == str(tmp_path / "schemes" / "http")
    assert live.is_noted(contract.pending_path("blog", "activate"))


def test_a_certificate_is_kept_until_nginx_serves_the_next_one(
    site: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {"scope": "site", "kind": "certificate", "reload": "nginx", "path": site["certificate"]}
    own |= {"folder": site["certificates"], "names": ["blog.test"]}
    (tmp_path / "certificates").mkdir()
    answers(monkeypatch)
    switch(site, tmp_path, Machine(), own)
    (first,) = (tmp_path / "certificates").iterdir()
    answers(monkeypatch, "no answer")
    with pytest.raises(module.Failure):
        switch(site, tmp_path, Machine(), {**own, "names": ["blog.test", "www.blog.test"]})
    assert os.readlink(site["certificate"]) == str(first)
    assert certificate.compare(own, []) is None
    answers(monkeypatch)
    switch(site, tmp_path, Machine(), {**own, "names": ["blog.test", "www.blog.test"]})
    (second,) = (tmp_path / "certificates").iterdir()
    assert second != first


def test_words_that_differ_between_platforms_are_replaced_on_the_host() -> None:
    from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import registry

    item = {"kind": "file", "path": "/x", "content": "listen 443 ssl@WORD@;"}
    marked = {**item, "platforms": {"Debian_12": {"@WORD@": " http2"}, "Debian_13": {"@WORD@": ""}}}
    assert registry.for_platform([marked], "Debian_12") == [{**item, "content": "listen 443 ssl http2;"}]
    assert registry.for_platform([marked, item], "Debian_13") == [{**item, "content": "listen 443 ssl;"}, item]
    assert host.platform_name('ID=debian\nVERSION_ID="13"\n') == "Debian_13"
