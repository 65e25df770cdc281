"""Rules for a repository and what opens it."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.rules import checks
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.source import repository
from good_input import GOOD


def private_key(kind: str = "OPENSSH PRIVATE KEY", cipher: bytes = b"none") -> str:
    """Return a text in the format of a private key."""
    content = base64.b64encode(b"openssh-key-v1\0" + len(cipher).to_bytes(4, "big") + cipher + b"the rest" * 20)
    return f"-----BEGIN {kind}-----\n{content.decode()}\n-----END {kind}-----"


GIT = {**GOOD, "source": "https://git.test/blog"}
SSH = {**GOOD, "source": "git@git.test:ada/blog.git", "deploy_key": private_key()}


@pytest.mark.parametrize(
    "chosen",
    [
        {**SSH, "version": "main", "known_hosts": ["git.test ssh-ed25519 AAAA", "@revoked * ssh-rsa AAAA"]},
        {**SSH, "source": "ssh://git@git.test:2222/ada/blog"},
        {**SSH, "deploy_key": private_key("RSA PRIVATE KEY").replace("\n", "\r\n")},
        {**GIT, "version": "feature/über-1.0+x"},
        {**GIT, "version": "refs/tags/v1.0"},
        {**GIT, "version": "0123456789" * 4},
    ],
)
def test_a_repository_and_what_opens_it_are_accepted(chosen: dict[str, Any]) -> None:
    assert checks.check(chosen) == []


@pytest.mark.parametrize(
    ("chosen", "start", "rule"),
    [
        ({**GIT, "version": "../main"}, "version: '../main'", "no name of a branch"),
        ({**GIT, "version": "--upload-pack=x"}, "version: '--upload-pack=x'", "no name of a branch"),
        ({**GIT, "version": "a b"}, "version: 'a b'", "no name of a branch"),
        ({**GIT, "version": "main.lock"}, "version: 'main.lock'", "no name of a branch"),
        ({**GIT, "version": "main:evil"}, "version: 'main:evil'", "no name of a branch"),
        ({**GIT, "include": ["dist"]}, "include: ['dist']", "a commit has no ignored files"),
        ({**GIT, "source_checksum": f"sha256:{'0' * 64}"}, "source_checksum: ", "a commit is its own checksum"),
        ({**GIT, "deploy_key": private_key()}, "deploy_key: '(hidden)'", "a key opens what SSH reaches"),
        ({**GIT, "known_hosts": ["git.test ssh-ed25519 AAAA"]}, "known_hosts: 'git.test ", "only SSH asks for one"),
        ({**SSH, "known_hosts": ["git.test"]}, "known_hosts: 'git.test'", "'host type key'"),
        ({**SSH, "deploy_key": ""}, "deploy_key: ''", "SSH lets nobody in without a key"),
        ({**SSH, "deploy_key": "~/.ssh/id_ed25519"}, "deploy_key: '(hidden)'", "it is no private key"),
        ({**SSH, "deploy_key": "ssh-ed25519 AAAA x"}, "deploy_key: '(hidden)'", "it is a public key"),
        (
            {**SSH, "deploy_key": private_key(cipher=b"aes256-ctr")},
            "deploy_key: '(hidden)'",
            "locked with a passphrase",
        ),
        ({**SSH, "deploy_key": private_key("ENCRYPTED PRIVATE KEY")}, "deploy_key: '(hidden)'", "locked with a pass"),
        ({**SSH, "deploy_key": private_key().replace("b3Blb", "XXXXX")}, "deploy_key: '(hidden)'", "damaged"),
    ],
)
def test_what_does_not_go_with_a_repository_is_refused(chosen: dict[str, Any], start: str, rule: str) -> None:
    (message,) = checks.check(chosen)
    assert message.startswith(f"flask_blog_{start}")
    assert rule in message
    assert "Blc3Q" not in message, "a key's text is never shown"
    assert chosen["deploy_key"] in ("", *message.split("'")) or chosen["deploy_key"] not in message


def test_a_token_in_an_address_is_never_shown() -> None:
    for source in ("http://me:hunter2@git.test/x", "https://hunter2@git.test/x y", "https://a:hunter2@git.test/b.zip"):
        (message,) = checks.check({**GIT, "source": source})
        assert "git.test" in message
        assert "hunter2" not in message


@pytest.mark.parametrize(
    ("source", "url", "credentials"),
    [
        ("https://git.test/blog", "https://git.test/blog", ""),
        ("https://me:t%40@git.test:8443/a/b", "https://git.test:8443/a/b", "https://me:t%40@git.test:8443"),
        ("https://token@git.test/b", "https://git.test/b", "https://token:@git.test"),
        ("ssh://git@git.test/b", "ssh://git@git.test/b", ""),
        ("git@git.test:b", "git@git.test:b", ""),
    ],
)
def test_what_opens_a_repository_is_taken_out_of_its_address(source: str, url: str, credentials: str) -> None:
    found = repository.parse(source)
    assert (found.url, found.credentials) == (url, credentials)


@pytest.mark.parametrize("source", ["~/blog", "blog.git", "/srv/git@home/blog", "C:blog", "./a@b:c/d", "blog.tar.gz"])
def test_a_path_is_not_taken_for_a_repository(source: str) -> None:
    assert not repository.is_git(source)
