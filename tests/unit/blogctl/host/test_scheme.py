"""HTTP or HTTPS, as the link of a site says."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from blogctl.errors import OperationError
from blogctl.host import scheme, systemd
from blogctl.release import settings
from blogctl.shared import contract
from blogctl.site import Site


@pytest.fixture
def linked(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site with directories for both schemes, and a certificate, that serves HTTPS."""
    config = site.path("config")
    for name, port in (("http", 80), ("https", 443)):
        folder = config / "schemes" / name
        folder.mkdir(parents=True)
        (folder / "environment").write_text(f"FLASK_BLOG_SCHEME={name}\n")
        found = {"scheme": name, "host": "blog.test", "port": port, "public_schemes": [name], "redirect_port": None}
        (folder / "scheme.json").write_text(json.dumps(found))
    (config / "certificates" / "0123").mkdir(parents=True)
    (config / "certificate").symlink_to(config / "certificates" / "0123")
    (config / "scheme").symlink_to(config / "schemes" / "https")
    site.settings.update({name: str(config / name) for name in ("schemes", "certificate", "certificates")})
    site.settings.update(scheme_link=str(config / "scheme"), tls="self_signed")
    site.settings["scheme_environment"] = str(config / "scheme" / "environment")
    site.settings["settings_files"] = [str(config / "scheme" / "environment"), *site.settings["settings_files"]]
    for path in site.settings["settings_files"]:
        Path(path).touch()
    return site


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(contract, "REDIRECT_PAUSE", 0)
    given: list[str] = []
    monkeypatch.setattr(systemd, "systemctl", lambda *words: given.append(" ".join(words)))
    return given


def test_the_link_says_where_visitors_reach_the_site(linked: Site) -> None:
    assert (linked.scheme.scheme, linked.address) == ("https", "https://blog.test")
    contract.replace_link(linked.settings["scheme_link"], f"{linked.settings['schemes']}/http")
    assert (linked.scheme.scheme, linked.address) == ("http", "http://blog.test")


def test_a_site_of_an_older_role_is_where_its_settings_say(site: Site) -> None:
    site.settings.update(scheme="http", host="blog.test:8080", port=8080)
    assert site.address == "http://blog.test:8080"
    assert site.environments == [site.path("environment")]
    assert scheme.environment_files(site) == []
    scheme.remove_unused(site)


def test_what_the_scheme_says_comes_before_the_users_own_settings(linked: Site) -> None:
    assert linked.environments == [Path(linked.settings["scheme_link"], "environment"), linked.path("environment")]


def test_a_change_that_fails_is_undone_for_the_app_and_for_nginx(
    linked: Site, commands: list[str], ownerless: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environments of both schemes keep their own content: the link alone goes back."""
    copies = Path(contract.settings_copies(linked.name))
    copies.mkdir()
    held: list[bool] = []
    replace = contract.replace_link

    def seen(link: str, target: str) -> None:
        held.append(os.path.exists(contract.no_redirect(linked.name)))
        replace(link, target)

    monkeypatch.setattr(contract, "replace_link", seen)
    before = f"{linked.settings['schemes']}/http"
    os.symlink(before, contract.settings_copy(linked.name, linked.settings["scheme_link"]))
    Path(contract.settings_copy(linked.name, f"{before}/environment")).write_text("FLASK_BLOG_SCHEME=http # before\n")
    # A link leads to the file of either scheme, so nothing is restored by its name.
    Path(contract.settings_copy(linked.name, linked.settings["scheme_environment"])).write_text("of another scheme\n")
    assert settings.restore_settings(linked) is True
    assert os.readlink(linked.settings["scheme_link"]) == before
    assert commands == ["reload nginx.service"]
    assert held == [True]
    assert not os.path.exists(contract.no_redirect(linked.name))
    assert Path(before, "environment").read_text() == "FLASK_BLOG_SCHEME=http # before\n"
    assert Path(linked.settings["schemes"], "https", "environment").read_text() == "FLASK_BLOG_SCHEME=https\n"
    assert settings.restore_settings(linked) is True
    assert commands == ["reload nginx.service"], "nginx is left alone if nothing changes"


def test_nginx_that_does_not_reload_does_not_stop_what_is_restored(
    linked: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: str) -> None:
        raise OperationError("nginx.service is not active")

    monkeypatch.setattr(systemd, "systemctl", fail)
    monkeypatch.setattr(contract, "REDIRECT_PAUSE", 0)
    scheme.choose(linked, f"{linked.settings['schemes']}/http")
    assert linked.scheme.scheme == "http"


def test_without_https_no_key_is_left_once_the_change_is_loaded(linked: Site) -> None:
    config = linked.path("config")
    settings.settings_loaded(linked)
    assert (config / "certificates").is_dir(), "the site serves HTTPS"
    linked.settings["tls"] = "none"
    settings.settings_loaded(linked)
    assert (config / "certificates").is_dir(), "the link still leads to HTTPS"
    contract.replace_link(config / "scheme", str(config / "schemes" / "http"))
    settings.settings_loaded(linked)
    assert not os.path.lexists(config / "certificate")
    assert not (config / "certificates").exists()
    assert sorted(os.listdir(config / "schemes")) == ["http"]
    assert linked.scheme.scheme == "http"
