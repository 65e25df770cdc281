"""Passwords, hashed with bcrypt, which is imported only where one is at hand."""

from __future__ import annotations

from functools import cache

MIN_LENGTH = 12
MAX_BYTES = 72  # bcrypt takes no more


def problem_with(password: str) -> str | None:
    """Say why a password is not accepted, or None."""
    if len(password) < MIN_LENGTH:
        return f"The password has {len(password)} characters; use at least {MIN_LENGTH}."
    if len(password.encode()) > MAX_BYTES:
        return f"The password has {len(password.encode())} bytes; use at most {MAX_BYTES}."
    return None


def hash_password(password: str) -> str:
    import bcrypt

    if problem := problem_with(password):
        raise ValueError(problem)
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt()).decode()


@cache
def _nobodys_hash() -> str:
    return hash_password("not the password of anybody")


def matches(password: str, password_hash: str | None) -> bool:
    """Compare, taking as long for an unknown user (None) as for a known one."""
    import bcrypt

    candidate = password.encode()
    if len(candidate) > MAX_BYTES:
        return False
    return bcrypt.checkpw(candidate, (password_hash or _nobodys_hash()).encode()) and password_hash is not None
