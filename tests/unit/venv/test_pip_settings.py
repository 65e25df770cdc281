"""A build sees the local folders that the host's pip settings name, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils.venv import pip_settings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[global]\nfind-links = {0}/wheels\n", ["wheels"]),
        ("[install]\nfind-links =\n  {0}/wheels\n  https://wheels.test/\n  file://{0}/more\n", ["more", "wheels"]),
        ("[global]\nindex-url = file://{0}/wheels/simple/\n", ["wheels/simple"]),
        ("[global]\ncert = {0}/ca.pem\n", ["ca.pem"]),
        ("[global]\nfind-links = {0}/missing relative/wheels\n", []),
        ("[global]\nfind-links = {0}/with:colon\n", []),
        ("[global]\ncert = /etc/ssl/certs\nfind-links = /usr/share\n", []),
        ("[global]\nindex-url = https://%(user)s@pypi.test/simple\n", []),
        ("no settings at all", []),
    ],
)
def test_local_paths_in_the_settings_of_pip_are_found(tmp_path: Path, text: str, expected: list[str]) -> None:
    for name in ("wheels/simple", "more", "with:colon"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "ca.pem").touch()
    file = tmp_path / "pip.conf"
    file.write_text(text.format(tmp_path))
    assert pip_settings.local_paths([str(file)]) == [f"{tmp_path}/{name}" for name in expected]


def test_a_host_without_settings_of_pip_shows_nothing(tmp_path: Path) -> None:
    assert pip_settings.local_paths([str(tmp_path / "pip.conf")]) == []
