# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

from ansible_collections.flaskblog.hosting.plugins.plugin_utils.sha512_crypt import ALPHABET, sha512_crypt

DOCUMENTATION = r"""
name: htpasswd
short_description: Write users and passwords as nginx's C(auth_basic_user_file) reads them
version_added: 0.1.0
author:
  - The flaskblog.hosting maintainers (@flaskblog)
description:
  - Hashes each password with SHA-512 crypt. The same input has the same result, so that a second run changes nothing.
  - The salt comes from the site and the user. Nothing of the password is in it, because a salt is not secret.
  - Needs neither passlib nor Python's former module C(crypt).
positional: _input, site
options:
  _input:
    description: User to password.
    type: dict
    required: true
  site:
    description: Name of the site, so that equal passwords of two sites do not look equal.
    type: str
    required: true
"""

EXAMPLES = r"""
content: "{{ {'ada': 'a long password'} | flaskblog.hosting.htpasswd('blog') }}"
"""

RETURN = r"""
_value:
  description: One line for each user, sorted by name.
  type: str
"""

SALT_LENGTH = 16


def htpasswd(users: Mapping[str, str], site: str) -> str:
    """Return the lines of a password file."""
    return "\n".join(f"{user}:{sha512_crypt(str(users[user]), _salt(site, user))}" for user in sorted(users))


def _salt(site: str, user: str) -> str:
    digest = hashlib.sha256(f"{site}\0{user}".encode()).digest()
    return "".join(ALPHABET[byte % len(ALPHABET)] for byte in digest[:SALT_LENGTH])


class FilterModule:
    """Ansible's entry to the filter."""

    def filters(self) -> dict[str, Callable[..., str]]:
        """Return the filters of this file by name."""
        return {"htpasswd": htpasswd}
