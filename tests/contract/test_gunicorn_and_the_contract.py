"""gunicorn.conf.py needs only the app's own environment, so it repeats parts of the contract: they are the same."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import contract
from loaded import load_file


@pytest.fixture
def settings(role: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """gunicorn.conf.py, loaded as gunicorn does."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLASK_BLOG_RELEASE", "of the test")
    return load_file(role / "files" / "gunicorn.conf.py")


@pytest.mark.parametrize("name", ["MANIFEST", "HEALTHY", "HEALTHY_OR_LOGIN"])
def test_a_constant_has_the_same_value_in_both(settings: Any, name: str) -> None:
    assert getattr(settings, name) == getattr(contract, name)


def test_a_database_begins_alike_in_both(settings: Any) -> None:
    assert settings.databases.SQLITE_MAGIC == contract.SQLITE_MAGIC


def test_the_revision_of_settings_is_computed_alike(settings: Any, tmp_path: Path) -> None:
    (tmp_path / "environment").write_bytes(b"A=\xff\n")
    (tmp_path / "empty").touch()
    paths = [str(tmp_path / name) for name in ("environment", "empty", "missing")]
    assert settings.settings_revision(paths) == contract.settings_revision(paths)
    assert settings.settings_revision([]) == contract.settings_revision([])


@pytest.mark.parametrize("header", ["KEY_HEADER", "PROBE_HEADER", "INSTANCE_HEADER"])
def test_a_header_has_the_same_name_in_both(settings: Any, header: str) -> None:
    assert getattr(settings, header) == getattr(contract, header)


def test_the_line_with_the_key_that_one_writes_the_other_reads(settings: Any, tmp_path: Path) -> None:
    file = tmp_path / "proxy-key.conf"
    file.write_text(f"# a comment\n{contract.KEY_LINE.format(value='5e' * 32)}\n")
    assert settings.read_key(str(file)) == "5e" * 32


def test_redirects_are_followed_by_the_same_code_in_both(role: Path, root: Path) -> None:
    """The file beside gunicorn.conf.py is the modules' own, and needs the standard library alone."""
    beside = role / "files" / "gunicorn_redirects.py"
    for link in (beside, role / "files" / "blogctl" / "shared" / "redirects.py"):
        assert link.resolve() == root / "plugins" / "module_utils" / "redirects.py"
    imported = re.findall(r"^(?:from|import) ([\w.]+)", beside.read_text(), re.MULTILINE)
    assert {name.partition(".")[0] for name in imported} <= sys.stdlib_module_names
