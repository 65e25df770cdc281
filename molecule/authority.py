"""The scenario tls_acme: the names of its site, its runs, and what is asked about its certificate."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from cryptography import x509
from https import served_certificate

NAME, OTHER, THIRD = "blog.example.com", "www.example.com", "new.example.com"
UNIT = "flask-blog-certificate.service"

Dns = Callable[..., None]


def play(operator: Any, **variables: Any) -> int:
    """Run the playbook, and return how many tasks changed something."""
    return int(operator.play("--extra-vars", json.dumps(variables)).changed)


def served(operator: Any) -> x509.Certificate:
    return x509.load_pem_x509_certificate(served_certificate(operator.address(), NAME).encode())


def names_of(certificate: x509.Certificate) -> list[str]:
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return sorted(found.get_values_for_type(x509.DNSName))


def status(host: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(host.check_output("blogctl status --json"))
    return found


def operations(host: Any) -> list[tuple[str, str]]:
    lines = host.file("/opt/flask-blog/operations.jsonl").content_string.splitlines()
    return [(entry["operation"], entry["result"]) for entry in map(json.loads, lines)]
