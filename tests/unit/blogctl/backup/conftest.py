"""A site with a repository, and what stands for restic."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from backups import day
from blogctl.backup import create, restic
from blogctl.site import Site
from fake_restic import SCRIPT, Restic


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Restic:
    folder = tmp_path / "restic"
    folder.mkdir()
    (folder / "restic").write_text(SCRIPT.format(python=sys.executable, here=str(folder)))
    (folder / "restic").chmod(0o755)
    monkeypatch.setattr(restic, "PROGRAM", str(folder / "restic"))
    found = Restic(folder)
    found.write()
    return found


@pytest.fixture
def blog(site: Site, program: Restic) -> Site:
    """A site with a backup and a repository that nobody has made yet."""
    folder = site.path("config") / "offsite"
    folder.mkdir()
    (folder / "repository").write_text("sftp:blog@host.example.com:/srv/blog\n")
    (folder / "password").write_text("correct horse battery\n")
    (folder / "credentials").write_text('AWS_SECRET_ACCESS_KEY="very \\"secret\\" key"\n')
    site.settings["offsite"] = str(folder)
    site.settings["offsite_unit"] = "blog-offsite.service"
    site.settings["repository"] = {"kind": "sftp", "append_only": False, "keep": {"daily": 2}}
    (site.path("data") / "notes.txt").write_text("12345")
    create.back_up(site, day(0))
    program.fails(
        "cat", "Fatal: unable to open config file: stat /srv/blog/config: no such file or directory\nIs there", 10
    )
    return site
