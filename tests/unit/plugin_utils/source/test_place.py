"""A relative path of the controller starts in the current directory, and a message shows the absolute one."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import SourceError
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.source import place


@pytest.fixture
def loader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataLoader:
    """A playbook in one folder, started from another one."""
    for name in ("playbooks", "here/below"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    loader = DataLoader()
    loader.set_basedir(str(tmp_path / "playbooks"))
    return loader


@pytest.mark.parametrize(
    ("path", "expected"),
    [(".", "here"), ("below", "here/below"), ("./below/", "here/below"), ("..", "."), ("x", "here/x")],
)
def test_a_relative_path_starts_in_the_current_directory(
    loader: DataLoader, tmp_path: Path, path: str, expected: str
) -> None:
    assert place.absolute(path, loader) == str((tmp_path / expected).resolve())


def test_a_path_that_only_the_playbooks_folder_has_starts_there(loader: DataLoader, tmp_path: Path) -> None:
    (tmp_path / "playbooks" / "blog").mkdir()
    assert place.absolute("blog", loader) == str(tmp_path / "playbooks" / "blog")
    (tmp_path / "here" / "blog").mkdir()
    assert place.absolute("blog", loader) == str(tmp_path / "here" / "blog")


def test_a_path_of_the_home_and_an_absolute_one_stay_as_they_are(
    loader: DataLoader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert place.absolute("~/blog", loader) == "/home/ada/blog"
    assert place.absolute("/srv/blog", loader) == "/srv/blog"


def test_a_refusal_shows_where_a_relative_path_leads() -> None:
    assert (
        SourceError("it is bad").explain("../x", "/home/ada/x") == "flask_blog_source: '../x' (/home/ada/x): it is bad."
    )
    assert SourceError("it is bad").explain("/srv/x", "/srv/x") == "flask_blog_source: '/srv/x': it is bad."
