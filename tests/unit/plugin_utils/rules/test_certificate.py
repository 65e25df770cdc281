"""What nginx or a browser would refuse of a certificate is refused on the controller."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.certificate import Material
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.rules import certificate
from certificates import NOW, Issued, chain, intermediate, issue, root, rsa_key, site
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID

NAMES = ["blog.example.com", "www.blog.example.com"]


@pytest.fixture(scope="module")
def good() -> Issued:
    return site(*NAMES)


def problems(text: str, key: str, names: list[str] | None = None) -> list[str]:
    return list(certificate.problems(text, key, Material.of(text, key), names or NAMES, NOW))


def only(found: list[str]) -> str:
    (problem,) = found
    return problem


def test_a_whole_chain_with_its_key_is_taken(good: Issued) -> None:
    for text in (chain(good, intermediate()), chain(good, intermediate(), root())):
        assert problems(text, good.key_pem()) == []
        assert problems(text, good.key_pem(traditional=True)) == []


def test_text_around_the_blocks_and_line_ends_of_windows_are_no_part_of_what_the_host_gets(good: Issued) -> None:
    text = f"Bag Attributes\n{good.pem}\nsubject=CN = x\n{intermediate().pem}".replace("\n", "\r\n")
    parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    key = parameters + good.key_pem(traditional=True)
    found = Material.of(text, key)
    assert problems(text, key) == []
    assert found.chain + "\n" == chain(good, intermediate())
    assert found.keys[0].startswith("-----BEGIN EC PRIVATE KEY-----\n")
    assert found.digest == Material.of(chain(good, intermediate()), "").digest


def test_a_self_signed_certificate_needs_no_issuer() -> None:
    own = issue("blog", NAMES)
    assert problems(own.pem, own.key_pem()) == []


@pytest.mark.parametrize("bits", [2048])
def test_rsa_of_2048_bits_is_enough(bits: int) -> None:
    found = site(*NAMES, key=rsa_key(bits))
    assert problems(chain(found, intermediate()), found.key_pem()) == []


def wrong_chains() -> dict[str, tuple[str, str]]:
    """A chain for each rule, and words of the message."""
    good = site(*NAMES)
    other = issue("Another authority", issuer=root(), authority=True)
    forged = issue("Authority of tests", days=10, authority=True)
    return {
        "no PEM": ("hello\nworld", "holds no certificate in PEM"),
        "a key alone": (good.key_pem(), "it holds a private key"),
        "a key beside it": (chain(good, intermediate()) + good.key_pem(), "it holds a private key"),
        "damaged": (chain(good).replace("MII", "AAA", 1) + intermediate().pem, "damaged"),
        "expired": (chain(site(*NAMES, days=-1, begins=-30), intermediate()), "has expired on"),
        "not yet valid": (chain(site(*NAMES, begins=2), intermediate()), "is not valid before"),
        "no issuer": (good.pem, "'CN=Authority of tests', is missing"),
        "another issuer": (chain(good, other), "after 'CN=blog.example.com', the certificate of its issuer"),
        "an issuer of the same name": (chain(good, forged), "the certificate of its issuer"),
        "issuer not in its place": (chain(good, root(), intermediate()), "the order is wrong"),
        "root first": (chain(root(), intermediate(), good), "the order is wrong"),
        "RSA too short": (chain(site(*NAMES, key=rsa_key(1024)), intermediate()), "is RSA with 1024 bits"),
        "Ed25519": (chain(site(*NAMES, key=ed25519.Ed25519PrivateKey.generate()), intermediate()), "neither RSA nor"),
        "not for servers": (
            chain(site(*NAMES, usage=ExtendedKeyUsageOID.CLIENT_AUTH), intermediate()),
            "not for servers",
        ),
        "a name missing": (chain(site(NAMES[0]), intermediate()), "and not www.blog.example.com of"),
        "no name at all": (chain(issue("blog.example.com", (), intermediate()), intermediate()), "covers no name"),
    }


@pytest.mark.parametrize("case", wrong_chains())
def test_a_certificate_that_would_not_work_is_refused_with_the_rule(case: str, good: Issued) -> None:
    text, words = wrong_chains()[case]
    found = [one for one in problems(text, good.key_pem()) if one.startswith("flask_blog_tls_certificate: '(text)'")]
    assert [one for one in found if words in one], found
    assert "BEGIN" not in "".join(found).replace("'-----BEGIN CERTIFICATE-----'", "")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda good: "", "no private key"),
        (lambda good: "hello\nworld", "no private key"),
        (lambda good: good.pem, "no private key"),
        (lambda good: good.key_pem() * 2, "holds 2 keys"),
        (lambda good: good.key_pem(b"secret"), "encrypted"),
        (lambda good: good.key_pem(b"secret", traditional=True), "encrypted"),
        (lambda good: good.key_pem().replace("M", "A"), "damaged"),
        (lambda good: site(*NAMES).key_pem(), "not the key of the certificate 'CN=blog.example.com'"),
    ],
)
def test_a_key_that_would_not_work_is_refused_and_never_shown(good: Issued, make: Any, words: str) -> None:
    key = make(good)
    found = only(problems(chain(good, intermediate()), key))
    assert found.startswith("flask_blog_tls_key: '")
    assert words in found
    lines = [line for line in key.splitlines() if line and not line.startswith("-----")]
    assert not [line for line in lines if line in found and line not in ("hello", "world")]
    assert "hello" not in found


def test_a_path_is_named_in_a_message() -> None:
    assert certificate.shown("/home/ada/key.pem", secret=True) == "/home/ada/key.pem"
    assert certificate.shown("-----BEGIN PRIVATE KEY-----\nMII", secret=True) == "(hidden)"
    assert certificate.shown("some\ntext", secret=True) == "(hidden)"


@pytest.mark.parametrize(
    ("name", "patterns", "covered"),
    [
        ("blog.example.com", ["blog.example.com"], True),
        ("BLOG.example.com", ["blog.example.com"], True),
        ("blog.example.com", ["*.example.com"], True),
        ("a.blog.example.com", ["*.example.com"], False),
        ("example.com", ["*.example.com"], False),
        ("blog.example.com", ["*.com", "example.com"], False),
        ("xn--bcher-kva.example", ["xn--bcher-kva.example"], True),
    ],
)
def test_a_wildcard_stands_for_one_label(name: str, patterns: list[str], covered: bool) -> None:
    assert certificate.is_covered(name, patterns) is covered


def test_an_address_is_covered_by_an_address_alone() -> None:
    found = site("192.0.2.7", "blog.example.com")
    text = chain(found, intermediate())
    assert problems(text, found.key_pem(), ["192.0.2.7"]) == []
    assert "not 192.0.2.8" in only(problems(text, found.key_pem(), ["192.0.2.8"]))


@pytest.mark.parametrize(("days", "warned"), [(20.5, True), (22.5, False)])
def test_an_end_within_three_weeks_is_a_warning(days: float, warned: bool) -> None:
    found = site(*NAMES, days=days)
    said = list(certificate.warnings(Material.of(chain(found, intermediate()), ""), NOW + timedelta(0)))
    assert bool(said) is warned
    assert not said or said[0].startswith("flask_blog_tls_certificate: the certificate ends in 20 days.")
