"""The collection's own version, which the role writes to each host."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from ansible.plugins.loader import lookup_loader
from ansible_collections.flaskblog.hosting.plugins.module_utils import contract
from ansible_collections.flaskblog.hosting.plugins.plugin_utils import collection


def test_a_checkout_has_the_version_of_galaxy_yml(root: Path) -> None:
    assert collection.version(root) == yaml.safe_load((root / "galaxy.yml").read_text())["version"]


def test_an_installed_collection_has_the_version_of_its_manifest(tmp_path: Path) -> None:
    (tmp_path / "galaxy.yml").write_text("version: 1.0.0\n")
    (tmp_path / "MANIFEST.json").write_text(json.dumps({"collection_info": {"version": "1.2.3"}}))
    assert collection.version(tmp_path) == "1.2.3"


@pytest.mark.parametrize(
    ("name", "text"), [("", ""), ("MANIFEST.json", "{}"), ("galaxy.yml", "- x"), ("galaxy.yml", "{")]
)
def test_a_collection_without_a_version_is_named_with_the_remedy(tmp_path: Path, name: str, text: str) -> None:
    if name:
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=rf"{tmp_path} has no version: .*Install the collection again"):
        collection.version(tmp_path)


def test_the_lookup_returns_what_is_written_to_a_host() -> None:
    (found,) = lookup_loader.get("flaskblog.hosting.tool").run([])
    assert found == {
        "version": collection.version(),
        "interface": contract.INTERFACE,
        "oldest_interface": contract.OLDEST_INTERFACE,
    }
