"""A site with flask_blog_tls: acme for tests, and an authority that issues its certificates without a network."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import certificates
from blogctl.certificate import authority, install, material
from blogctl.certificate.authority import Answer
from blogctl.certificate.preflight import WELL_KNOWN
from blogctl.host import visitors
from blogctl.shared import contract, issued
from blogctl.shared.issued import CHAIN, KEY, Issued
from blogctl.site import Site
from cryptography import x509
from cryptography.hazmat.primitives import serialization

NAMES = ("blog.example.com", "www.example.com")
DIRECTORY = "https://ca.test/directory"
DAY = 24 * 3600


def with_acme(site: Site, names: Sequence[str] = NAMES) -> Site:
    """Let a site have both schemes, HTTP served, and no certificate yet."""
    config = site.path("config")
    for name, port in (("http", 80), ("https", 443)):
        folder = config / "schemes" / name
        folder.mkdir(parents=True)
        (folder / "environment").write_text(f"FLASK_BLOG_SCHEME={name}\n")
        found = {"scheme": name, "host": names[0], "port": port, "public_schemes": [name], "redirect_port": None}
        (folder / "scheme.json").write_text(json.dumps(found))
    (config / "scheme").symlink_to(config / "schemes" / "http")
    for folder in ("certificates", "acme/config/accounts", "acme/exchange", f"challenges/{WELL_KNOWN}"):
        (config / folder).mkdir(parents=True)
    site.path("state").mkdir(parents=True, exist_ok=True)
    (config / "site-key.conf").write_text(f'"{"a" * 64}"')
    for key in ("schemes", "certificate", "certificates", "acme", "challenges", "site-key.conf"):
        site.settings[key.replace("-", "_").removesuffix(".conf")] = str(config / key)
    site.settings.update({"scheme_link": str(config / "scheme"), "tls": "acme", "names": list(names)})
    site.settings.update({"scheme_environment": str(config / "scheme" / "environment")})
    site.settings.update({"acme_directory": DIRECTORY, "acme_profile": "", "acme_ca_bundle": ""})
    for key in ("rehearsal_environment", "site_json"):
        site.settings[key] = str(config / key)
    site.settings.update({"certificate_unit": "blog-certificate.service"})
    site.settings["settings_files"] = [str(config / "scheme" / "environment"), *site.settings["settings_files"]]
    site.path("environment").touch()
    return site


def lay(site: Site, names: Sequence[str] = NAMES, *, days: float = 60, begins: float = -30, use: bool = True) -> Path:
    """Give a site a certificate of its authority, valid for some days."""
    one = certificates.site(*names, days=days, begins=begins)
    folder = site.path("certificates") / f"{one.certificate.serial_number:x}"[:16]
    folder.mkdir()
    (folder / CHAIN).write_text(certificates.chain(one, certificates.intermediate()))
    (folder / KEY).write_text(one.key_pem())
    material.inspect(folder, DIRECTORY).write(folder)
    if use:
        contract.replace_link(site.path("certificate"), str(folder))
    return folder


def serve_https(site: Site) -> None:
    contract.replace_link(site.path("config") / "scheme", f"{site.settings['schemes']}/https")


def used(site: Site) -> Issued:
    """The certificate that a site uses."""
    found, problem = issued.read(site.path("certificate"))
    assert found, problem
    assert problem == ""
    return found


@dataclass
class Authority:
    """Issues what is requested, unless a test says otherwise."""

    site: Site
    #: the names of each request
    asked: list[list[str]] = field(default_factory=list)
    #: names that it cannot validate
    unreachable: set[str] = field(default_factory=set)
    #: its answer to everything
    refusal: Answer | None = None
    days: float = 90
    #: names of the certificate instead of those of the request
    names: list[str] | None = None

    def ask(self, site: Site) -> Answer:
        request = x509.load_pem_x509_csr((authority.exchange(site) / authority.REQUEST).read_bytes())
        found = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = found.get_values_for_type(x509.DNSName)
        self.asked.append(names)
        if self.refusal:
            return self.refusal
        if bad := {name: "unauthorized wrong file" for name in names if name in self.unreachable}:
            return Answer("Some challenges have failed.", bad, refused=True)
        (folder,) = site.path("certificates").glob(f"{install.NEW}*")
        key = serialization.load_pem_private_key((folder / KEY).read_bytes(), None)
        one = certificates.site(*(self.names or names), days=self.days, begins=0, key=key)
        text = certificates.chain(one, certificates.intermediate())
        (authority.exchange(site) / authority.ISSUED).write_text(text)
        return Answer()


@dataclass
class Nginx:
    """Serves what it has loaded."""

    site: Site
    #: the target of the certificate's link, and the scheme, when it was reloaded last
    loaded: tuple[str, str] = ("", "http")
    reloads: int = 0
    #: schemes in which it does not answer, and whether it refuses to load
    dead: set[str] = field(default_factory=set)
    stuck: bool = False

    def load(self) -> None:
        self.reloads += 1
        if not self.stuck:
            self.loaded = (install.target_of(self.site), self.site.scheme.scheme)

    def problem(self, site: Site, seconds: float = 0.0) -> str:
        if self.site.scheme.scheme in self.dead or self.loaded[1] != self.site.scheme.scheme:
            return "no answer"
        if self.loaded[1] == "https" and self.loaded[0] != install.target_of(site):
            return "the server shows another certificate"
        return ""


def silent(*_: Any, **__: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.CompletedProcess([], 0, "", "")


__all__ = ["Answer", "Authority", "Nginx", "lay", "serve_https", "silent", "used", "visitors", "with_acme"]
