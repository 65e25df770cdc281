"""What an environment is made with: pip's arguments, Debian's wheels, an account of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import host
from ansible_collections.flaskblog.hosting.plugins.module_utils.venv import build, make
from releases import make_release

PACKAGES = ["gunicorn", "gunicorn<24"]


@pytest.mark.parametrize(
    ("release", "steps"),
    [
        ({}, [["--requirement", "/app/requirements.txt", "gunicorn", "gunicorn<24"]]),
        ({"requirements_file": "../r.txt"}, [["--requirement", "/r.txt", "gunicorn", "gunicorn<24"]]),
        ({"hashed": True}, [["--requirement", "/app/requirements.txt"], ["gunicorn", "gunicorn<24"]]),
        (
            {"requirements_file": "pyproject.toml", "dependencies": ["flask", "pillow"]},
            [["flask", "pillow", "gunicorn", "gunicorn<24"]],
        ),
        (
            {"requirements_file": "pyproject.toml", "dependencies": ["flask"], "is_project": True},
            [["/app", "gunicorn", "gunicorn<24"]],
        ),
        (
            {"requirements_file": "../pyproject.toml", "is_project": True},
            [["/", "gunicorn", "gunicorn<24"]],
        ),
    ],
)
def test_pip_is_called_as_the_source_asks_for(release: dict[str, Any], steps: list[list[str]]) -> None:
    assert make.install_arguments(make_release(**{"packages": PACKAGES, **release}), "/app") == steps


def test_pip_is_unpacked_from_the_newest_of_debians_wheels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(make, "WHEELS", tmp_path)
    assert make.wheels() == [], "ensurepip does it then"
    for name in ("pip-23.0.1-py3-none-any.whl", "pip-25.1.1-py3-none-any.whl", "setuptools-66.1.1-py3-none-any.whl"):
        (tmp_path / name).touch()
    names = [Path(wheel).name for wheel in make.wheels()]
    assert names[0] == "pip-25.1.1-py3-none-any.whl"
    assert ("setuptools-66.1.1-py3-none-any.whl" in names) == (sys.version_info < (3, 12)), "as ensurepip does"


@pytest.mark.parametrize("uid", [0, 1000])
def test_a_build_account_with_the_uid_of_root_or_of_the_app_is_refused(
    uid: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "ensure_account", lambda _: False)
    accounts = {"blog": 1000, "blog-build": uid}
    monkeypatch.setattr(
        make.pwd, "getpwnam", lambda name: SimpleNamespace(pw_name=name, pw_uid=accounts[name], pw_gid=1)
    )
    with pytest.raises(build.BuildError, match="which is root's or the app's"):
        make.account_of({"user": "blog", "build_user": "blog-build"})


def test_the_programs_text_is_found_in_the_zip_file_that_ansible_brings(tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "modules.zip", "w") as archive:
        archive.writestr("carried.py", "print('carried')\n")
    code = "import carried; print(repr(carried.__loader__.get_source(carried.__name__)))"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(tmp_path / "modules.zip")}, capture_output=True, text=True
    )
    assert done.stdout.splitlines() == ["carried", repr("print('carried')\n")]
