"""How certbot is called, and how its words are read."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from blogctl.certificate import authority, install
from blogctl.site import Site

FAILED = """\
Saving debug log to /tmp/logs/letsencrypt.log
Requesting a certificate for blog.example.com and www.example.com

Certbot failed to authenticate some domains (authenticator: webroot). The Certificate Authority reported these problems:
  Domain: www.example.com
  Type:   unauthorized
  Detail: 192.0.2.9: Invalid response from http://www.example.com/.well-known/acme-challenge/x: 404

  Domain: old.example.com
  Type:   dns
  Detail: DNS problem: NXDOMAIN looking up A for old.example.com

Hint: The Certificate Authority failed to download the temporary challenge files created by Certbot.

Some challenges have failed.
Ask for help or search for solutions at https://community.letsencrypt.org.
"""
SECRET = "c2VjcmV0LXNlY3JldC1zZWNyZXQ"


def test_a_certificate_that_certbot_leaves_is_the_answer(acme: Site, started: dict[str, Any]) -> None:
    started["install"](f"echo chain > {authority.exchange(acme)}/fullchain.pem")
    assert authority.ask(acme) == authority.Answer()
    assert started["unit"] == "blog-certbot"


def test_one_of_an_earlier_request_is_not(acme: Site, started: dict[str, Any]) -> None:
    (authority.exchange(acme) / "fullchain.pem").write_text("old\n")
    started["install"]("echo nothing to do")
    assert authority.ask(acme).problem == "nothing to do"


def test_names_that_were_not_validated_are_told_apart(acme: Site, started: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "said").write_text(FAILED)
    started["install"](f"cat {tmp_path}/said; exit 1")
    answer = authority.ask(acme)
    assert answer.refused
    assert {*answer.names} == {"www.example.com", "old.example.com"}
    assert answer.names["old.example.com"] == "dns DNS problem: NXDOMAIN looking up A for old.example.com"
    assert "debug log" not in answer.problem
    assert "Ask for help" not in answer.problem


@pytest.mark.parametrize(
    ("said", "refused"),
    [
        ("An unexpected error occurred: urn:ietf:params:acme:error:rateLimited :: too many certificates", True),
        ("requests.exceptions.ConnectionError: Connection refused", False),
        ("", False),
    ],
)
def test_a_refusal_is_told_apart_from_an_authority_that_is_down(
    acme: Site, started: dict[str, Any], said: str, refused: bool
) -> None:
    started["install"](f"echo '{said}' >&2; exit 1")
    answer = authority.ask(acme)
    assert answer.refused is refused
    assert (said or "certbot wrote nothing and ended with status 1") in answer.problem


@pytest.mark.parametrize(
    "said",
    [
        "urn:ietf:params:acme:error:accountDoesNotExist",
        "An unexpected error occurred: Account https://localhost:14000/my-account/794b not found.",
        "An unexpected error occurred: AttributeError: can't set attribute",
    ],
)
def test_an_account_that_the_authority_has_forgotten_is_made_again_once(
    acme: Site, started: dict[str, Any], said: str
) -> None:
    account = acme.path("acme") / "config" / "accounts" / "ca.test"
    account.mkdir()
    folder = authority.exchange(acme)
    started["install"](f'[ -e {account} ] && {{ echo "{said}"; exit 1; }}\necho chain > {folder}/fullchain.pem')
    assert authority.ask(acme) == authority.Answer()
    assert started["runs"] == 2
    started["install"](f'echo "{said}"; exit 1')
    answer = authority.ask(acme)
    assert answer.problem
    assert answer.refused, "new accounts have a limit, too"
    assert started["runs"] == 4, "no more than a second time"


@pytest.mark.parametrize(
    "said",
    [
        "An unexpected error occurred: JWS has an invalid anti-replay nonce: LZ9kEdTTK2zFmyz-F0X5_g",
        "urn:ietf:params:acme:error:badNonce :: The client sent an unacceptable anti-replay nonce",
    ],
)
def test_a_request_that_came_too_late_for_its_number_is_sent_again_and_is_no_refusal(
    acme: Site, started: dict[str, Any], tmp_path: Path, said: str
) -> None:
    first = tmp_path / "first"
    first.touch()
    folder = authority.exchange(acme)
    started["install"](
        f'[ -e {first} ] && {{ rm {first}; echo "{said}"; exit 1; }}\necho chain > {folder}/fullchain.pem'
    )
    assert authority.ask(acme) == authority.Answer()
    started["install"](f'echo "{said}"; exit 1')
    answer = authority.ask(acme)
    assert (started["runs"], answer.refused) == (4, False)


def test_what_an_authority_wants_is_named_by_the_variables(acme: Site, started: dict[str, Any]) -> None:
    started["install"](
        'echo "Server requires external account binding. Please use --eab-kid and --eab-hmac-key."; exit 1'
    )
    problem = authority.ask(acme).problem
    assert problem.endswith("Please use flask_blog_acme_eab_key_id and flask_blog_acme_eab_hmac_key")


def test_escapes_and_the_hmac_key_reach_no_terminal_and_no_log(acme: Site, started: dict[str, Any]) -> None:
    (acme.path("acme") / "cli.ini").write_text(f"server = x\neab-kid = 1\neab-hmac-key = {SECRET}\n")
    started["install"](f"printf '\\033[2Jbad %s\\n' {SECRET}; exit 1")
    answer = authority.ask(acme)
    assert "\x1b" not in answer.problem
    assert SECRET not in "".join([answer.problem, *started["logged"]])
    assert SECRET not in " ".join(started["arguments"])
    assert "********" in answer.problem


def test_much_output_is_bounded(acme: Site, started: dict[str, Any]) -> None:
    started["install"]("yes 'no certificate today' | head -n 100000; exit 1")
    assert len(authority.ask(acme).problem) <= authority.MESSAGE_LIMIT


def test_certbot_runs_without_rights_and_sees_no_key_of_the_site(acme: Site, started: dict[str, Any]) -> None:
    started["install"]("exit 1")
    authority.ask(acme)
    properties = started["properties"]
    assert properties["CapabilityBoundingSet"] == ""
    assert properties["ProtectSystem"] == "strict"
    assert f"-{acme.settings['certificates']}" in properties["InaccessiblePaths"].split()
    writable = properties["ReadWritePaths"].split()
    acme_folder = acme.settings["acme"]
    assert set(writable) == {f"{acme_folder}/config", f"{acme_folder}/exchange", acme.settings["challenges"]}
    assert int(properties["RuntimeMaxSec"]) == authority.TIMEOUT
    words = started["arguments"]
    assert words[words.index("--config") + 1] == f"{acme_folder}/cli.ini", "with account, key and profile"
    assert words[words.index("--webroot-path") + 1] == acme.settings["challenges"]
    assert not any("privkey" in word for word in words)


def test_an_authority_of_ones_own_is_recognised_by_its_certificate(acme: Site, started: dict[str, Any]) -> None:
    started["install"]("echo $REQUESTS_CA_BUNDLE; exit 1")
    authority.ask(acme)
    assert not any("REQUESTS_CA_BUNDLE" in one for one in started["environment"])
    acme.settings["acme_ca_bundle"] = "/etc/ssl/own.pem"
    authority.ask(acme)
    assert "REQUESTS_CA_BUNDLE=/etc/ssl/own.pem" in started["environment"]
    assert "-/etc/ssl/own.pem" in started["properties"]["BindReadOnlyPaths"].split()


def test_the_key_of_a_request_is_roots_alone(acme: Site) -> None:
    folder = install.begin(acme, ["blog.example.com"])
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "privkey.pem").stat().st_mode) == 0o600
    install.remove_begun(acme)
    assert not folder.exists()
