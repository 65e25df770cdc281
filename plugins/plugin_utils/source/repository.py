# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Parse the address of a Git repository on the controller; the host fetches it (module_utils/source/git.py)."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field

#: C(scheme://...), or C(user@host:path) as ssh(1) and scp(1) write it. pip's C(git+https://) is recognised as well.
ADDRESS = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<rest>.*)|(?P<ssh>[\w.-]+@[\w.-]+:.+)", re.DOTALL)
CREDENTIALS = re.compile(r"(?P<userinfo>[^/@]*)@(?P<rest>.*)", re.DOTALL)

#: Packages that each transport needs on the host. Debian's git only recommends the others.
PACKAGES = {
    "https": ["ca-certificates", "git"],
    "ssh": ["git", "openssh-client"],
    "git": ["git"],
    "file": ["git"],
}

#: The first line of a private key, PKCS#8, PKCS#1, SEC1 or OpenSSH's own.
KEY = re.compile(r"-----BEGIN ((?:[A-Z]+ )?PRIVATE KEY)-----\n(.*)-----END \1-----", re.DOTALL)
OPENSSH = b"openssh-key-v1\0"


@dataclass(frozen=True)
class Repository:
    """The address of a repository."""

    #: C(https), C(ssh), C(git), C(file), or one that is refused
    scheme: str
    #: the address without credentials
    url: str
    #: C(https://user:token@host), or nothing
    credentials: str = field(default="", repr=False)

    @property
    def packages(self) -> list[str]:
        """Debian packages that the host needs to read it."""
        return PACKAGES.get(self.scheme, ["git"])


def is_git(source: str) -> bool:
    """Return whether a source is the address of a repository, not a folder or an archive."""
    return ADDRESS.fullmatch(source) is not None


def parse(source: str) -> Repository:
    """Read an address.

    :raises ValueError: if it is invalid.
    """
    match = ADDRESS.fullmatch(source)
    if match is None:
        raise ValueError(f"{source} is no address of a repository")
    if match["ssh"]:
        return Repository("ssh", source)
    scheme, rest = match["scheme"], match["rest"]
    userinfo = CREDENTIALS.fullmatch(rest)
    if userinfo is None or scheme == "ssh":
        return Repository(scheme, source)
    # git-credential-store(1) wants both parts; of a token alone, the password is empty.
    user, _, password = userinfo["userinfo"].partition(":")
    host = userinfo["rest"].partition("/")[0]
    return Repository(scheme, f"{scheme}://{userinfo['rest']}", f"{scheme}://{user}:{password}@{host}")


def masked(source: str) -> str:
    """Return a source as it may be printed: without credentials."""
    return parse(source).url if is_git(source) else source


def key_problem(key: str) -> str | None:
    """Return why a text is no private key that can be used without a passphrase, or None."""
    text = key.strip().replace("\r\n", "\n")
    match = KEY.search(text)
    if match is None:
        if text.startswith(("ssh-", "ecdsa-", "sk-")):
            return "it is a public key"
        return "it is no private key, whose text begins with '-----BEGIN' and has lines"
    if "ENCRYPTED" in match[1] or "Proc-Type: 4,ENCRYPTED" in match[2]:
        return "it is locked with a passphrase, which nobody is there to type"
    if match[1].startswith("OPENSSH"):
        try:
            content = base64.b64decode(match[2], validate=False)
        except binascii.Error:
            return "its lines are no base64: it is damaged"
        # The name of the cipher follows, after its length; "none" means that there is no passphrase.
        if not content.startswith(OPENSSH):
            return "it is damaged"
        if content[len(OPENSSH) + 4 :][:4] != b"none":
            return "it is locked with a passphrase, which nobody is there to type"
    return None
