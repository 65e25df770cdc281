"""The images of the test machines have what the role would install."""

from __future__ import annotations

from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def test_the_image_called_ready_has_the_packages_of_the_role() -> None:
    variables = [yaml.safe_load(file.read_text()) for file in (ROOT / "roles" / "flask_blog" / "vars").rglob("*.yml")]
    (packages,) = [found["__flask_blog_packages"] for found in variables if "__flask_blog_packages" in found]
    listed = (ROOT / "containers" / "role-packages.txt").read_text().splitlines()
    assert [line for line in listed if not line.startswith("#")] == packages
