# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The certificate and the key of flask_blog_tls_certificate and flask_blog_tls_key, as text or as files."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass

from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.source import place

#: A block of PEM with its label (RFC 7468).
BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
LABEL = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----")
CERTIFICATE, KEY = "CERTIFICATE", "PRIVATE KEY"
#: Bytes of a file that are read: a chain has a few kilobytes.
FILE_LIMIT = 1024 * 1024
#: Hexadecimal digits that name the folder of a certificate on the host.
DIGEST_LENGTH = 16


@dataclass(frozen=True)
class Material:
    """The blocks of PEM that nginx needs, without what stands between them."""

    #: of the site's certificate, and of its issuers'
    certificates: tuple[str, ...]
    #: of all private keys; there should be one
    keys: tuple[str, ...]
    #: whether the certificate's text holds a key
    is_mixed: bool = False

    @classmethod
    def of(cls, certificate: str, key: str) -> Material:
        """Read two texts."""
        return cls(
            tuple(_blocks(certificate, CERTIFICATE)),
            tuple(_blocks(key, KEY)),
            any(label.endswith(KEY) for label in LABEL.findall(certificate)),
        )

    @property
    def chain(self) -> str:
        """The certificates as one text."""
        return "\n".join(self.certificates)

    @property
    def digest(self) -> str:
        """What tells this certificate from any other one."""
        return hashlib.sha256(self.chain.encode()).hexdigest()[:DIGEST_LENGTH]


def _blocks(text: str, label: str) -> list[str]:
    lines = "\n".join(line.strip() for line in text.splitlines())
    return [found[0] for found in BLOCK.finditer(lines) if found[1].endswith(label)]


def is_path(value: str) -> bool:
    """Say whether a value is the path of a file: one line that is no PEM."""
    return bool(value.strip()) and "-----BEGIN" not in value and "\n" not in value.strip()


def text_of(value: str, loader: DataLoader) -> str:
    """Return a value's text: the value itself, or that of the file that it names, decrypted if it is from a vault.

    :raises OSError: if the file cannot be read.
    """
    if not is_path(value):
        return value
    path = place.absolute(value.strip(), loader)
    if not os.path.isfile(path):
        raise OSError("there is no such file on the controller")
    if os.path.getsize(path) > FILE_LIMIT:
        raise OSError("the file is too large for a certificate or a key")
    try:
        real = loader.get_real_file(path)
    except AnsibleError as error:
        raise OSError(f"the file cannot be read ({error})") from error
    try:
        with open(real, encoding="utf-8", errors="replace") as handle:
            return handle.read()
    finally:
        loader.cleanup_tmp_file(real)
