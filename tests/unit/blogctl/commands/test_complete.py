"""The Tab key: what is offered, and that bash really asks for it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from blogctl.commands import complete
from blogctl.host.releases import point_link
from blogctl.release.history import recorded
from blogctl.site import Site

Add = Callable[[str], Path]


@pytest.fixture(autouse=True)
def configured(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Site:
    (site.path("config") / "site.json").write_text(json.dumps(site.settings))
    monkeypatch.setattr(complete, "RELEASES", tmp_path / "elsewhere")
    return site


@pytest.fixture
def releases(site: Site, add_release: Add) -> Site:
    """Three releases: one was live, one is, one never was."""
    for name in ("one", "two"):
        point_link(site, str(add_release(name)))
        with recorded(site, "activate", None, name):
            pass
    add_release("three")
    (site.path("releases") / "four.incomplete").mkdir()
    (site.path("releases") / "five.removed").mkdir()
    return site


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["stat"], ["status"]),
        (["ma"], ["maintenance"]),
        (["--s"], ["--site"]),
        (["--json", "ro"], ["rollback"]),
        (["--site", ""], ["blog"]),
        (["--site", "=", "b"], ["blog"]),
        (["--site", "="], ["blog"]),
        (["--site", "blog", "ba"], ["backup", "backups"]),
        (["status", "--site", "b"], ["blog"]),
        (["maintenance", "o"], ["off", "on"]),
        (["maintenance", "on", ""], []),
        (["rollback", "--re"], ["--restore-data"]),
        (["activate", ""], ["one", "three"]),
        (["activate", "--retry", "t"], ["three"]),
        (["activate", "one", ""], []),
        (["rollback", ""], ["one"]),
        (["help", "act"], ["activate"]),
        (["logs", "--since", ""], []),
        (["logs", "-n", "4", "--f"], ["--follow"]),
        (["run", ""], ["--"]),
        (["run", "--", "gu"], ["gunicorn"]),
        (["run", "--", "flask", ""], []),
        (["unheard-of", ""], []),
        (["unheard-of", "--h"], []),
        (["--site", "other", "activate", ""], []),
    ],
)
def test_what_may_come_next_is_offered(releases: Site, words: list[str], offered: list[str]) -> None:
    assert complete.complete(words) == offered


def test_without_root_what_everybody_may_read_is_offered(
    releases: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (releases.path("config") / "site.json").unlink()
    (tmp_path / "opt").rename(tmp_path / "blog")
    monkeypatch.setattr(complete, "RELEASES", tmp_path)
    assert complete.complete(["activate", ""]) == ["one", "three", "two"]
    assert complete.complete(["--site", ""]) == ["blog"]


def test_bash_asks_with_the_words_up_to_the_cursor(role: Path, tmp_path: Path) -> None:
    program = tmp_path / "blogctl"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(role / 'files')!r})\n"
        "from blogctl.cli import main\nsys.exit(main())\n"
    )
    program.chmod(0o755)
    file = tmp_path / "completion"
    text = (role / "files" / "completion" / "blogctl.bash").read_text()
    assert "/usr/local/sbin/blogctl" in text
    file.write_text(text.replace("/usr/local/sbin/blogctl", str(program)))
    code = (
        f"source {file}; complete -p blogctl; COMP_WORDS=(blogctl maint on); COMP_CWORD=1; _blogctl;"
        ' printf "%s\\n" "${COMPREPLY[@]}"'
    )
    bash = shutil.which("bash") or "/bin/bash"
    said = subprocess.run([bash, "-c", code], capture_output=True, text=True, check=True, env={**os.environ})
    assert said.stdout.splitlines() == ["complete -F _blogctl blogctl", "maintenance"]
    assert said.stderr == ""
