"""Ordinary blogs work with the defaults: the sandbox does not restrict what their requests usually do."""

from __future__ import annotations

import secrets
import struct
import urllib.parse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from molecule.conftest import Visitor


@pytest.fixture
def ordinary(visit: Callable[..., Visitor]) -> Visitor:
    """A client of the ordinary blog."""
    return visit("ordinary.example.com")


def bitmap(side: int) -> bytes:
    """Return a black picture with 24 bits a pixel (BITMAPINFOHEADER); the side must be a multiple of 4."""
    pixels = bytes(side * side * 3)
    head = struct.pack("<2sIHHI", b"BM", 54 + len(pixels), 0, 0, 54)
    return head + struct.pack("<IiiHHIIiiII", 40, side, side, 1, 24, 0, len(pixels), 2835, 2835, 0, 0) + pixels


def test_it_writes_to_sqlite(ordinary: Visitor) -> None:
    before = ordinary.ask("/").json()["posts"]
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert ordinary.ask("/posts", form, "POST", urllib.parse.urlencode({"title": "One"}).encode()).status == 200
    assert ordinary.ask("/").json()["posts"] == before + 1


def test_a_large_picture_is_spooled_to_the_disk_and_made_small_with_pillow(ordinary: Visitor) -> None:
    picture, boundary = bitmap(3200), secrets.token_hex(16)
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="picture"; filename="a.bmp"\r\n\r\n'
    body = head.encode() + picture + f"\r\n--{boundary}--\r\n".encode()
    answer = ordinary.ask("/upload", {"Content-Type": f"multipart/form-data; boundary={boundary}"}, "POST", body, 60)
    assert answer.status == 200, answer.text
    assert answer.json() == {"bytes": len(picture), "size": [64, 64], "on_disk": True}
    small = ordinary.ask("/static/uploads/small.jpg")
    assert (small.status, small.headers["Content-Type"]) == (200, "image/jpeg")


def test_it_hashes_passwords_with_bcrypt(ordinary: Visitor) -> None:
    assert ordinary.ask("/password").json() == {"right": True}


def test_it_counts_with_numpy_on_every_core(ordinary: Visitor) -> None:
    answer = ordinary.ask("/numbers").json()
    assert answer["right"] is True
    assert answer["cores"] >= 1


def test_it_starts_processes_and_programs(ordinary: Visitor) -> None:
    assert ordinary.ask("/workers").json() == {"counted": [3, 2, 1], "told": "Linux"}


def test_it_sends_mail(host: Any, ordinary: Visitor) -> None:
    subject = secrets.token_hex(8)
    assert ordinary.ask(f"/mail?subject={subject}").json() == {"sent": True}
    host.check_output("grep --fixed-strings %s /root/mails", f"Subject: {subject}")


@pytest.mark.parametrize(("way", "user"), [("tcp", "remote"), ("socket", "ordinary")])
def test_it_uses_postgresql_over_tcp_and_as_its_own_account_over_the_socket(
    ordinary: Visitor, way: str, user: str
) -> None:
    first = ordinary.ask(f"/server/{way}").json()
    assert first["user"] == user
    assert ordinary.ask(f"/server/{way}").json()["visits"] == first["visits"] + 1
