"""Keys, requests and certificates, made and read by OpenSSL."""

from __future__ import annotations

import calendar
import os
import re
import ssl
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from ..errors import OperationError
from ..shared import issued
from ..shared.issued import CHAIN, KEY, Issued
from ..shared.printable import printable

OPENSSL = "/usr/bin/openssl"
#: Seconds that a call may take.
TIMEOUT = 60.0

#: Seconds before its end in which a certificate of before, which nobody renews, is an alarm.
NOTICE = 14 * 24 * 3600.0

#: Lines of C(openssl x509), with options that P(inspect) gives.
LINE = re.compile(r"^(notBefore|notAfter|serial|issuer)=(.*)$", re.MULTILINE)
NAME = re.compile(r"DNS:([^\s,]+)")


def _openssl(*arguments: str) -> str:
    try:
        done = subprocess.run(
            [OPENSSL, *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=TIMEOUT,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise OperationError(f"openssl cannot run: {error}") from error
    if done.returncode:
        raise OperationError(f"'openssl {arguments[0]}' failed: {printable(done.stderr.strip())[-500:]}")
    return done.stdout


def make_request(folder: Path, request: Path, names: Sequence[str]) -> None:
    """Make a key, ECDSA P-256, and the request for its certificate.

    :param folder: a directory that only root can enter; gets the key.
    :param request: where the request is written.
    :raises OperationError: if openssl fails.
    """
    key = folder / KEY
    mask = os.umask(0o077)
    try:
        _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(key))
        # The subject stays empty: clients read the alternative names alone (RFC 6125), and a name may have more than
        # the 64 characters of a common name.
        alternatives = ",".join(f"DNS:{name}" for name in names)
        _openssl(
            *("req", "-new", "-sha256", "-key", str(key), "-subj", "/", "-out", str(request)),
            *("-addext", f"subjectAltName={alternatives}"),
        )
    finally:
        os.umask(mask)


def inspect(folder: Path, directory: str) -> Issued:
    """Read the first certificate of a chain beside its key.

    :param directory: the URL of the authority.
    :raises OperationError: if the key is not that of the certificate, or one of the two cannot be read.
    """
    chain, key = folder / CHAIN, folder / KEY
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(chain, key, password=_no_password)
    except (OSError, ValueError) as error:
        raise OperationError(f"the certificate and its key do not fit: {printable(str(error))}") from error
    text = _openssl(
        *("x509", "-in", str(chain), "-noout", "-dates", "-serial", "-issuer", "-nameopt", "RFC2253,utf8,-esc_msb"),
        *("-ext", "subjectAltName"),
    )
    found = {name: value.strip() for name, value in LINE.findall(text)}
    if missing := {"notBefore", "notAfter", "serial", "issuer"} - {*found}:
        raise OperationError(f"openssl says nothing about {', '.join(sorted(missing))} of the certificate")
    return Issued(
        names=[name.lower() for name in NAME.findall(text)],
        begins=_seconds(found["notBefore"]),
        ends=_seconds(found["notAfter"]),
        issuer=printable(found["issuer"])[:200],
        serial=found["serial"],
        directory=directory,
        digests={name: issued.digest(folder / name) for name in (CHAIN, KEY)},
    )


def ends_soon(folder: Path) -> str:
    """Say that a certificate that nobody renews ends soon or has ended; an empty text if it does not.

    It is one of before, self-signed or provided, which is served until the authority has issued one.
    """
    try:
        found = LINE.findall(_openssl("x509", "-in", str(folder / CHAIN), "-noout", "-enddate"))
        ends = _seconds(dict(found).get("notAfter", ""))
    except OperationError as error:
        return f"the certificate that is served cannot be read ({error})"
    return f"the certificate of before ends on {issued.date(ends)}" if ends - time.time() < NOTICE else ""


def _no_password() -> str:
    """Never ask a person: a key that is encrypted is refused."""
    return ""


def _seconds(date: str) -> int:
    """Return a date as openssl writes it, such as C(Nov 27 11:00:00 2026 GMT), in seconds since the epoch."""
    try:
        return calendar.timegm(time.strptime(date.removesuffix(" GMT"), "%b %d %H:%M:%S %Y"))
    except ValueError as error:
        raise OperationError(f"a date of the certificate cannot be read: {date!r}") from error


def check(found: Issued, names: Sequence[str], now: float) -> None:
    """Refuse a certificate that nginx or a browser would refuse.

    :raises OperationError: with the reason.
    """
    if lacks := [name for name in names if name.lower() not in found.names]:
        raise OperationError(f"it is for {', '.join(found.names) or 'no name'}, and not for {', '.join(lacks)}")
    if not found.begins <= now < found.ends:
        raise OperationError(
            f"it is valid from {issued.date(found.begins)} to {issued.date(found.ends)}, and this host's clock says"
            f" {issued.date(now)}"
        )
