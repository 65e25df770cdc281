"""An editor with Chromium: what a browser refuses, no test that only sends requests would see."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from machines import machine
from pictures import png
from strangers import NEIGHBOUR

PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="module")
def seen(operator: Any) -> dict[str, Any]:
    """What the browser saw while an editor published a post with a picture."""
    browser = machine("browser")
    there = ["docker", "exec", "-i", browser]
    subprocess.run([*there, "sh", "-c", "cat > /root/red.png"], input=png(40), check=True, timeout=60)
    command = [*there, "timeout", "120", "/root/visit.py"]
    words = [operator.address(), NEIGHBOUR, PASSWORD, f"Red on {operator.machine[-8:]}", "/root/red.png"]
    run = subprocess.run([*command, *words], capture_output=True, text=True, check=False, timeout=180)
    assert run.returncode == 0, run.stderr[-3000:]
    found = subprocess.run([*there, "cat", "/root/seen.json"], capture_output=True, text=True, check=True, timeout=60)
    return dict(json.loads(found.stdout))


def test_an_editor_who_types_the_name_alone_logs_in_over_https(seen: dict[str, Any]) -> None:
    assert seen["login"] == f"https://{NEIGHBOUR}/admin/login"
    assert seen["cookies"]
    assert all(one["secure"] for one in seen["cookies"])


def test_a_reader_sees_the_post_with_its_picture_and_its_style(seen: dict[str, Any]) -> None:
    assert seen["post"].startswith(f"https://{NEIGHBOUR}/posts/red-on-debian")
    assert seen["widths"] == [40]
    assert seen["strong"] == ["strong"]
    assert seen["styled"]
    assert all(rules > 0 for rules in seen["styled"])


def test_the_feed_has_the_post_with_addresses_of_https(seen: dict[str, Any]) -> None:
    assert seen["post"] in seen["feed"]
    assert "http://neighbour" not in seen["feed"]


def test_the_browser_has_nothing_to_complain_about(seen: dict[str, Any]) -> None:
    """A blocked picture, a refused script or mixed content would be here."""
    assert seen["complaints"] == []
