"""blogctl: which site, its lock, its live link, and the settings from before a change."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from blogctl import site as site_module
from blogctl.errors import OperationError
from blogctl.site import Site


def configure(name: str) -> None:
    folder = site_module.CONFIGURATION / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "site.json").write_text(json.dumps({"name": name}))


def test_the_only_site_of_a_host_needs_no_name(site: Site) -> None:
    configure("blog")
    assert site_module.load(None).name == "blog"


def test_one_of_several_needs_its_name(site: Site) -> None:
    configure("blog")
    configure("other")
    with pytest.raises(OperationError, match=r"2 sites \(blog, other\); choose one with --site NAME"):
        site_module.load(None)
    assert site_module.load("other").name == "other"


def test_a_host_without_sites_says_so(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)  # others are told to use sudo
    with pytest.raises(OperationError, match=r"0 sites \(none\)"):
        site_module.load(None)
    with pytest.raises(OperationError, match="no site 'blog'; it has none"):
        site_module.load("blog")


def test_settings_that_only_root_may_read_are_not_a_traceback(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    configure("blog")

    def refuse(*_: object, **__: object) -> str:
        raise PermissionError

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(OperationError, match="use sudo"):
        site_module.load("blog")


def test_without_root_a_site_that_is_not_seen_may_be_there(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for name in (None, "blog"):
        with pytest.raises(OperationError, match="may not read the settings of the sites; use sudo"):
            site_module.load(name)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "site.json is damaged"),
        ("[]", "is not that of blog; run playbooks/site.yml"),
        ('{"name": "other"}', "is not that of blog; run playbooks/site.yml"),
    ],
)
def test_settings_that_are_damaged_name_the_remedy(site: Site, text: str, words: str) -> None:
    configure("blog")
    (site_module.CONFIGURATION / "blog" / "site.json").write_text(text)
    with pytest.raises(OperationError, match=words):
        site_module.load("blog")


def test_a_setting_that_an_older_role_did_not_write_names_the_remedy(site: Site) -> None:
    configure("blog")
    with pytest.raises(OperationError, match=r"blog/site.json lacks 'rehearse'; run playbooks/site.yml"):
        site_module.load("blog").settings["rehearse"]
