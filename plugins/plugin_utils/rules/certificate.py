# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Rules for a certificate and its key: what nginx or browsers would refuse is refused before the host is touched."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils.addresses import is_address
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.certificate import Material, is_path
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.rules.problem import HIDDEN, problem

# ansible-core brings it; the bare environment in which ansible-test imports every file does not have it.
with contextlib.suppress(ImportError):
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

#: P-256 and P-384 by their names in OpenSSL.
CURVES = ("secp256r1", "secp384r1")
LEAST_RSA_BITS = 2048
#: Days before the end of a certificate at which each run warns.
WARNING_DAYS = 21
#: Hashes that OpenSSL, and with it nginx, accepts in no signature any more.
BROKEN_HASHES = frozenset({"md5", "sha1"})

#: Stands for the text of a certificate in a message.
TEXT = "(text)"
FULL_CHAIN = (
    "Give the whole chain: the site's certificate, then those of its issuers, as 'fullchain.pem' of an ACME client"
)


def shown(value: str, *, secret: bool = False) -> str:
    """Return how a message names a value: a path as it is, a text never."""
    return value if is_path(value) or not value else HIDDEN if secret else TEXT


def problems(certificate: str, key: str, found: Material, names: Sequence[str], now: datetime) -> Iterator[str]:
    """Yield what is wrong with a certificate and its key.

    :param certificate: the value of the variable, for messages.
    :param key: the same of the key's.
    :param found: what the two hold.
    :param names: that the site is served for.
    """
    chain = yield from _chain(shown(certificate), found, now)
    private = yield from _key(shown(key, secret=True), found)
    if not chain:
        return
    yield from _names(shown(certificate), chain[0], names)
    if private is not None and _public(private.public_key()) != _public(chain[0].public_key()):
        yield problem(
            "tls_key",
            shown(key, secret=True),
            f"it is not the key of the certificate {chain[0].subject.rfc4514_string()!r} in flask_blog_tls_certificate",
            "Give the key that the certificate was requested with",
        )


def warnings(found: Material, now: datetime) -> Iterator[str]:
    """Yield a sentence on a certificate without problems that ends soon."""
    left = (_end(x509.load_pem_x509_certificate(found.certificates[0].encode())) - now).days
    if left < WARNING_DAYS:
        yield f"flask_blog_tls_certificate: the certificate ends in {left} days. Renew it, and run the playbook again."


def _chain(value: str, found: Material, now: datetime) -> Any:
    """Check the certificates; return them, or none if they cannot be read."""

    def wrong(rule: str, remedy: str) -> str:
        return problem("tls_certificate", value, rule, remedy)

    if found.is_mixed:
        yield wrong("it holds a private key", "Give the key in flask_blog_tls_key alone, where no message shows it")
        return []
    if not found.certificates:
        rule = "it holds no certificate in PEM, which begins with '-----BEGIN CERTIFICATE-----'"
        yield wrong(rule, "Give the text of such a file, or its path on the controller")
        return []
    try:
        chain = [x509.load_pem_x509_certificate(text.encode()) for text in found.certificates]
        keys = [one.public_key() for one in chain]
    except (ValueError, UnsupportedAlgorithm) as error:
        yield wrong(f"it holds a certificate that is damaged ({error})", "Copy it again, from its beginning to its end")
        return []
    for one in chain:
        who = f"the certificate {one.subject.rfc4514_string()!r}"
        if _end(one) < now:
            yield wrong(f"{who} has expired on {_end(one):%Y-%m-%d}", "Renew it")
        elif _begin(one) > now:
            rule = f"{who} is not valid before {_begin(one):%Y-%m-%d %H:%M} UTC"
            yield wrong(rule, "Wait until then, or set the clock of the controller")
        if one.issuer != one.subject and (broken := _hash(one)) in BROKEN_HASHES:
            yield wrong(f"{who} is signed with {broken}, which nginx refuses", "Ask the issuer for another one")
    if rule := _key_rule(keys[0]):
        yield wrong(f"its key {rule}", "Request a certificate for another key, such as ECDSA P-256")
    elif rule := next(filter(None, map(_key_rule, keys[1:])), ""):
        yield wrong(f"the key of an issuer {rule}", "Ask the issuer for another chain")
    yield from (wrong(rule, FULL_CHAIN) for rule in _order(chain))
    return chain


def _order(chain: Sequence[x509.Certificate]) -> Iterator[str]:
    """Yield why the certificates are no chain: each is issued by the next one."""
    leaf = chain[0]
    if leaf.issuer == leaf.subject:
        if len(chain) > 1:
            yield f"it begins with {leaf.subject.rfc4514_string()!r}, which nobody else has issued; the order is wrong"
        return
    if len(chain) == 1:
        issuer_name = leaf.issuer.rfc4514_string()
        yield f"the certificate of its issuer, {issuer_name!r}, is missing, and browsers may not know it"
        return
    for one, issuer in itertools.pairwise(chain):
        if _has_issued(issuer, one):
            continue
        who, wanted = one.subject.rfc4514_string(), one.issuer.rfc4514_string()
        if any(_has_issued(other, one) for other in chain):
            yield f"{who!r} is not followed by the certificate of its issuer, {wanted!r}; the order is wrong"
        else:
            yield f"after {who!r}, the certificate of its issuer, {wanted!r}, is missing"
        return


def _has_issued(issuer: x509.Certificate, one: x509.Certificate) -> bool:
    if issuer.subject != one.issuer:
        return False
    try:
        one.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    except AttributeError:  # cryptography before 40
        pass
    return True


def _key_rule(key: Any) -> str:
    if isinstance(key, rsa.RSAPublicKey):
        return f"is RSA with {key.key_size} bits; at least {LEAST_RSA_BITS} are needed" * (
            key.key_size < LEAST_RSA_BITS
        )
    if not isinstance(key, ec.EllipticCurvePublicKey):
        return "is neither RSA nor ECDSA, and browsers take no other"
    return "" if key.curve.name in CURVES else f"has the curve {key.curve.name}; browsers take {' and '.join(CURVES)}"


def _key(value: str, found: Material) -> Any:
    """Check the private key; return it, or None if it cannot be used."""

    def wrong(rule: str, remedy: str) -> str:
        return problem("tls_key", value, rule, remedy)

    if len(found.keys) != 1:
        rule = f"it holds {len(found.keys)} keys" if found.keys else "it holds no private key in PEM"
        yield wrong(rule, "Give the text or the path of one that begins with '-----BEGIN PRIVATE KEY-----'")
        return None
    (text,) = found.keys
    try:
        return serialization.load_pem_private_key(text.encode(), password=None)
    except TypeError:
        rule = "it is encrypted, and nginx could not start without a person who knows the passphrase"
        yield wrong(rule, "Decrypt it with 'openssl pkey', and keep it in a vault")
    except (ValueError, UnsupportedAlgorithm):
        yield wrong("it is damaged, or of a kind that is not known", "Copy it again, from its beginning to its end")
    return None


def _names(value: str, leaf: x509.Certificate, names: Sequence[str]) -> Iterator[str]:
    hosts: list[str] = []
    addresses: list[str] = []
    for extension in leaf.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            hosts += [name.lower() for name in extension.value.get_values_for_type(x509.DNSName)]
            addresses += map(str, extension.value.get_values_for_type(x509.IPAddress))
        if isinstance(extension.value, x509.ExtendedKeyUsage):
            used = {usage.dotted_string for usage in extension.value}
            if not used & {"1.3.6.1.5.5.7.3.1", "2.5.29.37.0"}:
                rule = "the certificate is not for servers (its extended key usage lacks serverAuth)"
                yield problem("tls_certificate", value, rule, "Request one for a web server")
    missing = [name for name in names if not (name in addresses if is_address(name) else is_covered(name, hosts))]
    if missing:
        covered = ", ".join([*hosts, *addresses]) or "no name"
        yield problem(
            "tls_certificate",
            value,
            f"it covers {covered}, and not {', '.join(missing)} of flask_blog_server_names",
            "Request one for all names of the site, or leave the name out of flask_blog_server_names",
        )


def is_covered(name: str, patterns: Sequence[str]) -> bool:
    """Say whether a name is one of a certificate's; a wildcard stands for one label (RFC 6125, 6.4.3)."""
    name = name.lower()
    return name in patterns or f"*.{name.partition('.')[2]}" in patterns


def _public(key: Any) -> bytes:
    return bytes(key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))


def _hash(one: x509.Certificate) -> str:
    try:
        algorithm = one.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return ""
    return algorithm.name if algorithm else ""


def _begin(one: x509.Certificate) -> datetime:
    # cryptography before 42 has the time without its zone.
    return getattr(one, "not_valid_before_utc", None) or one.not_valid_before.replace(tzinfo=UTC)


def _end(one: x509.Certificate) -> datetime:
    return getattr(one, "not_valid_after_utc", None) or one.not_valid_after.replace(tzinfo=UTC)
