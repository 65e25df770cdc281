# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: certificate
short_description: Read a certificate and its key for the role
version_added: 0.1.0
author:
  - The flaskblog.hosting maintainers (@flaskblog)
description:
  - Returns the certificate and the key as the host gets them, without what stands between the blocks of PEM.
  - The module M(flaskblog.hosting.validate) has checked them before.
options:
  _terms:
    description: The certificate with those of its issuers, and the key. Each is the text, or the path of a file.
    required: true
"""

EXAMPLES = r"""
- name: Show what tells a certificate from any other one
  ansible.builtin.debug:
    msg: "{{ lookup('flaskblog.hosting.certificate', 'fullchain.pem', 'privkey.pem').digest }}"
"""

RETURN = r"""
_raw:
  description: One dictionary with C(chain), C(key) and C(digest), which names the certificate's folder on the host.
  type: list
  elements: dict
"""

from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.certificate import Material, text_of


class LookupModule(LookupBase):
    """Ansible's entry to the lookup."""

    def run(self, terms: list[Any], variables: Any = None, **kwargs: Any) -> list[dict[str, Any]]:
        """Return the certificate, its key and its digest."""
        try:
            found = Material.of(*(text_of(str(term), self._loader) for term in terms))
        except OSError as error:
            raise AnsibleLookupError(f"flask_blog_tls_certificate, flask_blog_tls_key: {error}") from error
        return [{"chain": found.chain, "key": "\n".join(found.keys), "digest": found.digest}]
