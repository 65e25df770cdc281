"""A repository is refused before the host is touched if it could not be reached, opened or kept."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.rules import checks
from good_input import GOOD

KEY = (
    "-----BEGIN OPENSSH PRIVATE KEY-----\n"
    "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZWQy\n"
    "-----END OPENSSH PRIVATE KEY-----\n"
)
PASSWORD = "correct horse battery"
LOCAL = {**GOOD, "backup_repository": "/mnt/disk/blog", "backup_password": PASSWORD}
SFTP = {
    **LOCAL,
    "backup_repository": "sftp:blog@host.example.com:/srv/blog",
    "backup_ssh_key": KEY,
    "backup_known_hosts": ["host.example.com ssh-ed25519 AAAA"],
}


@pytest.mark.parametrize(
    "values",
    [
        LOCAL,
        SFTP,
        {**SFTP, "backup_repository": "sftp://blog@[2001:db8::1]:2222//srv/blog"},
        {
            **LOCAL,
            "backup_repository": "s3:https://s3.example.com/bucket/blog",
            "backup_environment": {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"},
        },
        {**LOCAL, "backup_repository": "rest:https://ada:secret@host.example.com:8000/blog/"},
        {**LOCAL, "backup_repository": "b2:bucket:blog", "backup_append_only": True},
    ],
)
def test_a_repository_with_what_it_takes_is_accepted(values: dict[str, Any]) -> None:
    assert checks.check(values) == []


@pytest.mark.parametrize(
    ("change", "variable", "rule"),
    [
        ({"backup_password": ""}, "backup_password", "the copies are encrypted with it"),
        ({"backup_password": "short"}, "backup_password", "less than 12 characters"),
        ({"backup_password": f"{PASSWORD}\n"}, "backup_password", "a space at an end"),
        ({"backup_schedule": "never"}, "backup_repository", "no backup is made that could be copied"),
        ({"backup_repository_keep": {"daily": 0}}, "backup_repository_keep", "a copy that is not kept is none"),
        ({"backup_repository_keep": {"daily": -1}}, "backup_repository_keep", "is not negative"),
        ({"backup_ssh_key": ""}, "backup_ssh_key", "SSH lets nobody in without a key"),
        ({"backup_ssh_key": "ssh-ed25519 AAAA"}, "backup_ssh_key", "it is a public key"),
        ({"backup_known_hosts": []}, "backup_known_hosts", "anybody on the way could take the copies"),
        ({"backup_known_hosts": ["host"]}, "backup_known_hosts", "a line is 'host type key'"),
        ({"backup_environment": {"RESTIC_PASSWORD": "x"}}, "backup_environment", "it is no credential"),
        ({"backup_environment": {"LD_PRELOAD": "/x"}}, "backup_environment", "it is no credential"),
        ({"backup_environment": {"A-B": "x"}}, "backup_environment", "letters, digits and underscores"),
        ({"backup_environment": {"TOKEN": "a\nb"}}, "backup_environment", "text on one line"),
    ],
)
def test_what_would_not_work_is_refused_with_variable_rule_and_remedy(
    change: dict[str, Any], variable: str, rule: str
) -> None:
    (message,) = checks.check({**SFTP, **change})
    assert message.startswith(f"flask_blog_{variable}: ")
    assert rule in message
    assert message.endswith(".")


def test_a_key_for_another_kind_of_repository_is_refused() -> None:
    messages = checks.check({**SFTP, "backup_repository": "/mnt/disk/blog"})
    assert [message.split(":")[0] for message in messages] == [
        "flask_blog_backup_ssh_key",
        "flask_blog_backup_known_hosts",
    ]


def test_no_message_shows_a_password() -> None:
    values = {**LOCAL, "backup_repository": "rest:ftp://ada:sesame-street@host/", "backup_password": "sesame"}
    text = "\n".join(checks.check(values))
    assert "no address of a REST server" in text
    assert "sesame" not in text
