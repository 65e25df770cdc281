"""The program inside the build account's unit: it unpacks the release, makes the environment and runs pip."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import cage
from ansible_collections.flaskblog.hosting.plugins.module_utils.venv import build_program
from ansible_collections.flaskblog.hosting.plugins.module_utils.venv import make as module


@pytest.fixture
def todo(tmp_path: Path) -> dict[str, Any]:
    """A plan; its steps are what a test puts in the place of pip."""
    folder = tmp_path / "venv"
    folder.mkdir()
    wheel = tmp_path / "pip-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("pip/__init__.py", "")
    return {
        "folder": str(folder),
        "wheels": [str(wheel)],
        "source": str(folder / "source"),
        "keep_source": False,
        "cwd": str(folder / "source"),
        "environment": {"PATH": "/usr/bin:/bin", "WORD": "given"},
        "steps": [],
        "fallback": None,
    }


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A release as it lies on a host: files and folders that the build account could not read, and links."""
    folder = tmp_path / "release"
    (folder / "web").mkdir(parents=True)
    (folder / "requirements.txt").write_text("flask\n")
    (folder / "web" / "tool.sh").write_text("true\n")
    (folder / "database.db").symlink_to("/var/lib/blog/database.db")
    os.link(folder / "requirements.txt", folder / "web" / "same.txt")
    (folder / "requirements.txt").chmod(0o640)
    (folder / "web" / "tool.sh").chmod(0o750)
    (folder / "web").chmod(0o751)
    return folder


def run(todo: dict[str, Any], release: Path) -> subprocess.CompletedProcess[bytes]:
    """Run the program's text as the unit does."""
    stream = io.BytesIO()
    module.feed(stream, todo, str(release))
    return subprocess.run(
        ["/usr/bin/python3", "-I", "-c", cage.source_of(build_program)],
        input=stream.getvalue(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_the_programs_text_has_nothing_that_systemd_would_replace_and_fits_into_one_argument() -> None:
    text = cage.source_of(build_program)
    assert "$" not in text
    assert len(text.encode()) < 100_000


def test_an_environment_is_made_with_debians_pip_and_the_release_beside_it(todo: dict[str, Any], release: Path) -> None:
    folder = Path(todo["folder"])
    done = run({**todo, "keep_source": True}, release)
    assert done.returncode == 0, done.stdout
    assert "include-system-site-packages = false" in (folder / "pyvenv.cfg").read_text()
    assert len(list(folder.glob("lib/python3.*/site-packages/pip/__init__.py"))) == 1
    assert (folder / "bin" / "pip").read_text().startswith(f"#!{folder}/bin/python3\n")
    assert (folder / "bin" / "pip").stat().st_mode & 0o111 == 0o111
    source = folder / "source"
    assert (source / "requirements.txt").read_text() == (source / "web" / "same.txt").read_text() == "flask\n"
    assert os.readlink(source / "database.db") == "/var/lib/blog/database.db"
    assert os.access(source / "web" / "tool.sh", os.X_OK)


def test_steps_run_in_the_releases_copy_with_the_given_environment_alone(todo: dict[str, Any], release: Path) -> None:
    code = "import json, os; print(json.dumps([os.getcwd(), sorted(os.environ)]))"
    done = run({**todo, "steps": [python(code)]}, release)
    cwd, names = json.loads(done.stdout)
    assert cwd == todo["cwd"]
    assert set(names) - {"LC_CTYPE"} == {"PATH", "WORD"}
    assert not Path(todo["source"]).exists(), "it was needed for the build alone"


def test_a_failed_step_ends_the_build_and_is_named_last(todo: dict[str, Any], release: Path) -> None:
    steps = [python("print('no such package'); raise SystemExit(3)"), python("print('never')")]
    done = run({**todo, "steps": steps}, release)
    assert done.returncode == 1
    lines = done.stdout.decode().splitlines()
    assert lines[-2] == "no such package"
    assert lines[-1].endswith("ended with status 3")
    assert b"never\n" not in done.stdout


def test_an_app_that_cannot_be_built_gets_what_it_depends_on(todo: dict[str, Any], release: Path) -> None:
    done = run({**todo, "steps": [python("raise SystemExit(1)")], "fallback": python("print('instead')")}, release)
    assert done.returncode == 0
    assert done.stdout.decode().splitlines()[-1] == "instead"


def test_an_archive_that_ends_too_early_is_an_error_and_no_traceback(
    todo: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(todo).encode() + b"\nrubbish")))
    assert build_program.main() == 1
    assert capsys.readouterr().out.strip()


def test_an_archive_cannot_write_through_a_file_that_is_there(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for _ in range(2):
            tar.addfile(tarfile.TarInfo("twice"), io.BytesIO())
    stream.seek(0)
    with pytest.raises(FileExistsError):
        build_program.unpack(stream, str(tmp_path / "source"))
