"""Ask nginx for the site, as a visitor would, and which certificate it shows."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import ssl
import stat
import time
from pathlib import Path

from ..shared import bounded_http, contract, issued, redirects
from ..shared.printable import printable
from ..site import Site

#: The proxy's address on this host, as the collection's modules ask it (plugins/module_utils/probe.py says why).
ADDRESS = "127.0.0.2"
#: Seconds that one answer may take, and seconds between two attempts.
TIMEOUT, POLL_INTERVAL = 5.0, 0.1
#: Bytes of an answer, and of a file of root's, that are read at most.
LIMIT, FILE_LIMIT = 4096, 1024 * 1024

CERTIFICATE = re.compile("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


def read_small(path: Path) -> str:
    """Return the text of a small regular file.

    :raises OSError: if it is anything else.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as handle:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{path} is no regular file")
        return handle.read(FILE_LIMIT).decode("utf-8", "replace")


def first_certificate(chain: Path) -> bytes:
    """Return the first certificate of a chain, as DER.

    :raises OSError: if there is none.
    """
    found = CERTIFICATE.search(read_small(chain))
    if not found:
        raise OSError(f"{chain} holds no certificate")
    return ssl.PEM_cert_to_DER_cert(found[0])


def problem(site: Site, seconds: float = 0.0) -> str:
    """Return why nginx does not serve the site for all of its names, as its scheme and certificate say; or nothing.

    :param seconds: in which it is asked again. After a reload, processes of before still answer for a moment.
    """
    deadline = time.monotonic() + seconds
    while (found := _problem(site)) and time.monotonic() < deadline:
        time.sleep(POLL_INTERVAL)
    return found


def _problem(site: Site) -> str:
    scheme, names = site.scheme, [str(name) for name in site.settings["names"]]
    suffix = scheme.host[len(names[0]) :]
    try:
        certificate = first_certificate(site.path("certificate") / issued.CHAIN) if scheme.scheme == "https" else None
    except (OSError, ValueError) as error:
        return f"the certificate cannot be read: {error}"
    key = re.search('"([0-9a-f]{64})"', read_small(site.path("site_key")))
    right = hashlib.sha256(site.name.encode()).hexdigest()
    for name in names:
        one = redirects.host_for(name)
        host = f"{one}{suffix}"
        tls = bounded_http.Tls(one, certificate) if certificate else None
        headers = {"Host": host, contract.SITE_HEADER: key[1] if key else ""}
        try:
            answer = bounded_http.get(
                (ADDRESS, scheme.port),
                "/",
                headers,
                seconds=TIMEOUT,
                limit=LIMIT,
                tls=tls,
                proxy_protocol=scheme.proxy_protocol,
            )
        except (OSError, http.client.HTTPException) as error:
            return f"{scheme.scheme}://{host}: {printable(str(error))[:300] or type(error).__name__}"
        if answer.sha256 != right:
            return f"{scheme.scheme}://{host}: nginx answers {answer.status}, not with this site"
    return ""
