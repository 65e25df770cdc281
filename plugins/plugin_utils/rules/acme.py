# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Rules for a certificate from an authority that speaks ACME (flask_blog_tls: acme)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.plugin_utils import dns_providers
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

WHOLE = "Copy it again, as the provider shows it"
#: What certbot's plugins read unquoted in their file of credentials, by the setting of flask_blog_acme_dns: the form,
#: the rule, and the remedy.
DNS_FORMS = {
    "key_name": (
        re.compile(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63}){0,9}\.?"),
        "it is no name of a key, of letters, digits, '.', '_' and '-'",
        "Write it as in the key's configuration, such as 'blog'",
    ),
    "key": (re.compile(r"[A-Za-z0-9+/]{8,512}={0,2}"), "it is no base64", "Copy what stands in the quotes of 'secret'"),
    "algorithm": (
        re.compile(r"(?i:HMAC-(MD5|SHA1|SHA224|SHA256|SHA384|SHA512))"),
        "certbot knows no such algorithm",
        "Write HMAC-SHA256, or HMAC- with MD5, SHA1, SHA224, SHA384 or SHA512",
    ),
    "api_token": (re.compile(r"[A-Za-z0-9_-]{8,512}"), "it is no token, of letters, digits, '_' and '-'", WHOLE),
    "access_key_id": (re.compile(r"[A-Z0-9]{8,128}"), "it is no identifier, of capital letters and digits", WHOLE),
    "secret_access_key": (
        re.compile(r"[A-Za-z0-9+/]{8,512}={0,2}"),
        "it is no such key, of base64's characters",
        WHOLE,
    ),
}
#: Settings of flask_blog_acme_dns that no message shows.
DNS_SECRETS = frozenset({"key", "api_token", "secret_access_key", "credentials"})
#: In the key of a service account.
ACCOUNT = ("client_email", "private_key", "project_id")
#: Seconds: blogctl waits twice, and its unit has half an hour (certificate/authority.py).
LONGEST_PROPAGATION = 600


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
        elif name.startswith("*.") and not _provider(values):
            rule = "an authority issues a certificate for a wildcard by a challenge in DNS alone"
            yield problem("server_names", name, rule, "Set flask_blog_acme_dns, or name each host")


def _provider(values: Mapping[str, Any]) -> str:
    return str(values["acme_dns"].get("provider") or "")


def _dns(values: Mapping[str, Any]) -> Iterator[str]:
    given = {key: value for key, value in values["acme_dns"].items() if value}
    if not given:
        return
    chosen, known = str(given.pop("provider", "")), dns_providers.known()
    if chosen not in known:
        rule = "there is no such provider" if chosen else "it says who takes the entries in DNS"
        yield problem("acme_dns.provider", chosen, rule, f"Choose one of {', '.join(known)}")
        return
    provider = known[chosen]
    seconds = given.pop("propagation_seconds", 0)
    if not 0 <= seconds <= LONGEST_PROPAGATION:
        rule = f"it is a number of seconds from 1 to {LONGEST_PROPAGATION}, or 0 for the provider's own"
        yield problem("acme_dns.propagation_seconds", seconds, rule, "Give the time that your name servers need")
    for name in [*provider.get("needed", ()), *(provider.get("together", ()) if given else ())]:
        if name not in given:
            yield problem(f"acme_dns.{name}", "", f"{chosen} needs it", "Give it; docs/https.md shows how")
    for name, value in given.items():
        shown = HIDDEN if name in DNS_SECRETS else value
        if name not in provider["settings"]:
            takes = ", ".join(provider["settings"])
            yield problem(f"acme_dns.{name}", shown, f"{chosen} takes {takes} alone", "Leave it out")
        elif name in DNS_FORMS and not DNS_FORMS[name][0].fullmatch(value):
            yield problem(f"acme_dns.{name}", shown, *DNS_FORMS[name][1:])
    yield from _name_server(given)
    account = given.get("credentials", {})
    if account and (account.get("type") != "service_account" or not all(account.get(key) for key in ACCOUNT)):
        rule = f"it is no key of a service account, with {', '.join(ACCOUNT)}"
        yield problem("acme_dns.credentials", HIDDEN, rule, "Give the JSON file's content as a mapping (from_json)")


def _name_server(given: Mapping[str, Any]) -> Iterator[str]:
    if "server" in given:
        try:
            # An address with a zone is none to certbot.
            if "%" in str(ipaddress.ip_address(given["server"])):
                raise ValueError
        except ValueError:
            rule = "certbot takes the address of a name server, and no name"
            yield problem("acme_dns.server", given["server"], rule, "Write it as '192.0.2.53'")
    if not 1 <= given.get("port", 1) <= 65535:
        yield problem("acme_dns.port", given["port"], "a port is a number from 1 to 65535", "Leave it out for port 53")


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


RULES: tuple[Rule, ...] = (_names, _dns, _authority, _account)
