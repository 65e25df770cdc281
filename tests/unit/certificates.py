"""Certificates for tests: a root, an intermediate authority, and what they issue."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime.now(UTC).replace(microsecond=0)


@dataclass(frozen=True)
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: Any

    @property
    def pem(self) -> str:
        """The certificate in PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def key_pem(self, passphrase: bytes = b"", traditional: bool = False) -> str:
        """The key in PEM, encrypted with a passphrase."""
        form = serialization.PrivateFormat.TraditionalOpenSSL if traditional else serialization.PrivateFormat.PKCS8
        encryption = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
        return bytes(self.key.private_bytes(serialization.Encoding.PEM, form, encryption)).decode()


@lru_cache
def rsa_key(bits: int) -> Any:
    """An RSA key, made once for each size: that takes a while."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def issue(
    name: str,
    names: Sequence[str] = (),
    issuer: Issued | None = None,
    *,
    days: float = 90,
    begins: float = -1,
    key: Any = None,
    authority: bool = False,
    usage: Any = ExtendedKeyUsageOID.SERVER_AUTH,
) -> Issued:
    """Issue a certificate; without an issuer it is self-signed.

    :param names: host names and addresses that it covers.
    :param days: from now until its end, and C(begins) until its beginning.
    """
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + timedelta(days=begins))
        .not_valid_after(NOW + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if names:
        alternatives: list[x509.GeneralName] = [
            x509.IPAddress(ipaddress.ip_address(one)) if re.fullmatch(r"[0-9.]+", one) else x509.DNSName(one)
            for one in names
        ]
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    if not authority:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    signer = issuer.key if issuer else key
    return Issued(builder.sign(signer, hashes.SHA256()), key)


@lru_cache
def root() -> Issued:
    """The root of the tests."""
    return issue("Root of tests", days=3650, authority=True)


@lru_cache
def intermediate() -> Issued:
    """The authority that issues certificates of sites."""
    return issue("Authority of tests", issuer=root(), days=1000, authority=True)


def site(*names: str, **more: Any) -> Issued:
    """A certificate of a site."""
    return issue(names[0], names, intermediate(), **more)


def chain(*issued: Issued) -> str:
    """Certificates as one text, after one another."""
    return "".join(one.pem for one in issued)
