# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Hash passwords as crypt(5) does with SHA-512 (https://www.akkadia.org/drepper/SHA-crypt.txt).

Python 3.13 has no module C(crypt) any more, and Ansible's filter C(password_hash) then needs passlib.
"""

from __future__ import annotations

import hashlib

ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#: crypt's own number, which a hash need not name.
ROUNDS = 5000
SIZE = 64


def sha512_crypt(password: str, salt: str) -> str:
    """Return the hash of a password.

    :param salt: at most 16 characters of P(ALPHABET).
    """
    secret, grain = password.encode(), salt.encode()
    digest = _mixed(secret, grain)
    known = _repeated(hashlib.sha512(secret * len(secret)).digest(), len(secret))
    salted = _repeated(hashlib.sha512(grain * (16 + digest[0])).digest(), len(grain))
    for number in range(ROUNDS):
        step = known if number % 2 else digest
        if number % 3:
            step += salted
        if number % 7:
            step += known
        digest = hashlib.sha512(step + (digest if number % 2 else known)).digest()
    return f"$6${salt}${_encoded(digest)}"


def _repeated(block: bytes, length: int) -> bytes:
    return (block * (length // len(block) + 1))[:length]


def _mixed(secret: bytes, grain: bytes) -> bytes:
    """Return the digest that the rounds start with."""
    other = hashlib.sha512(secret + grain + secret).digest()
    text = secret + grain + _repeated(other, len(secret))
    bits = len(secret)
    while bits:
        text += other if bits & 1 else secret
        bits >>= 1
    return hashlib.sha512(text).digest()


def _encoded(digest: bytes) -> str:
    """Return a digest in the order and the letters of crypt: three bytes make four letters, the last byte two."""
    text = ""
    first, second, third = 0, 21, 42
    for _ in range(SIZE // 3):
        text += _letters(digest[first] << 16 | digest[second] << 8 | digest[third], 4)
        first, second, third = second + 1, third + 1, first + 1
    return text + _letters(digest[SIZE - 1], 2)


def _letters(value: int, count: int) -> str:
    return "".join(ALPHABET[value >> 6 * place & 63] for place in range(count))
