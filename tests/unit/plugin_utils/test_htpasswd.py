"""The file of users and passwords: as crypt(3) hashes them, and the same in each run."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from ansible_collections.flaskblog.hosting.plugins.filter.htpasswd import htpasswd
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.sha512_crypt import sha512_crypt

PASSWORDS = ["a", "Hello world!", "a long password", "x" * 63, "y" * 64, "z" * 65, "0123456789" * 20, "b\u00fccher"]


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("salt", ["saltstring", "./09AZaz", "0123456789abcdef"])
def test_a_hash_is_the_one_of_openssl(password: str, salt: str) -> None:
    program = shutil.which("openssl")
    assert program
    command = [program, "passwd", "-6", "-salt", salt, "-stdin"]
    made = subprocess.run(command, input=f"{password}\n", capture_output=True, text=True, check=True)
    assert sha512_crypt(password, salt) == made.stdout.strip()


def test_a_second_run_writes_the_same_file() -> None:
    users = {"grace": "a long password", "ada": "another password"}
    lines = htpasswd(users, "blog").splitlines()
    assert [line.partition(":")[0] for line in lines] == ["ada", "grace"]
    assert htpasswd(dict(reversed(users.items())), "blog").splitlines() == lines


def test_equal_passwords_do_not_look_equal() -> None:
    lines = htpasswd({"ada": "a long password", "grace": "a long password"}, "blog").splitlines()
    lines += htpasswd({"ada": "a long password"}, "other").splitlines()
    assert len({line.partition(":")[2] for line in lines}) == 3


def test_a_salt_says_nothing_of_the_password() -> None:
    """A salt made of the password could be tried much faster than the hash."""
    salts = {htpasswd({"ada": password}, "blog").split("$")[2] for password in PASSWORDS}
    assert len(salts) == 1
