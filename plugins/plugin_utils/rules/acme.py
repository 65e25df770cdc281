# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Rules for a certificate from an authority that speaks ACME (flask_blog_tls: acme)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.plugin_utils.rules.problem import HIDDEN, Rule, problem

ACME = "acme"
ADDRESS = re.compile(r"[0-9.]+")
#: What certbot's settings take unquoted.
URL = re.compile(r"https://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~/%-]*)?")
MAIL = re.compile(r"[A-Za-z0-9._+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
PROFILE = re.compile(r"[A-Za-z0-9._-]{1,64}")
KEY_ID = re.compile(r"[A-Za-z0-9._~+/=-]{1,200}")
BASE64URL = re.compile(r"[A-Za-z0-9_-]{16,}={0,2}")
PATH = re.compile(r"(/[A-Za-z0-9_.@+-]+)+")


def _names(values: Mapping[str, Any]) -> Iterator[str]:
    if values["tls"] != ACME:
        return
    for name in map(str, values["server_names"]):
        if ADDRESS.fullmatch(name):
            rule = "no certificate is requested for an IP address: Debian's certbot cannot"
            remedy = "Give the site a name in DNS, or set flask_blog_tls: self_signed or provided"
            yield problem("server_names", name, rule, remedy)
        elif "." not in name:
            rule = "an authority issues certificates for names with a domain alone"
            remedy = "Write the whole name, or set flask_blog_tls: self_signed or provided"
            yield problem("server_names", name, rule, remedy)


def _authority(values: Mapping[str, Any]) -> Iterator[str]:
    directory, bundle = values["acme_directory"], values["acme_ca_bundle"]
    if directory and not URL.fullmatch(directory):
        remedy = "Write it as 'https://ca.example.com/acme/directory'"
        yield problem("acme_directory", directory, "it is the https:// URL of an authority's directory", remedy)
    if directory and values["acme_staging"]:
        rule = "flask_blog_acme_staging names an authority of its own, Let's Encrypt's for tests"
        yield problem("acme_directory", directory, rule, "Set one of the two")
    if bundle and not PATH.fullmatch(bundle):
        rule = "it is the absolute path of a file on the host, without spaces"
        yield problem("acme_ca_bundle", bundle, rule, "Write it as '/etc/ssl/certs/ca.pem'")


def _account(values: Mapping[str, Any]) -> Iterator[str]:
    mail, profile = values["acme_email"], values["acme_profile"]
    if mail and not MAIL.fullmatch(mail):
        yield problem("acme_email", mail, "it is no mail address", "Write it as 'ada@example.com', or leave it out")
    if profile and not PROFILE.fullmatch(profile):
        rule = "a profile is a word of letters, digits, '.', '_' and '-'"
        yield problem("acme_profile", profile, rule, "Take one that the authority's directory lists")
    number, key = values["acme_eab_key_id"], values["acme_eab_hmac_key"]
    if bool(number) != bool(key):
        missing = "acme_eab_hmac_key" if number else "acme_eab_key_id"
        other = "acme_eab_key_id" if number else "acme_eab_hmac_key"
        yield problem(missing, "", f"flask_blog_{other} needs it", "Give both, or none")
    if number and not KEY_ID.fullmatch(number):
        rule = "it holds a space, '#', ';' or another character that certbot's settings cannot hold"
        yield problem("acme_eab_key_id", number, rule, "Copy it again")
    if key and not BASE64URL.fullmatch(key):
        rule = "it is no base64url, of letters, digits, '_' and '-'"
        yield problem("acme_eab_hmac_key", HIDDEN, rule, "Copy the key as the authority shows it")


RULES: tuple[Rule, ...] = (_names, _authority, _account)
