#!/usr/bin/python
# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: venv
short_description: Build the virtual environment of a release, beside the one in use
version_added: 0.1.0
author:
  - The flaskblog.hosting maintainers (@flaskblog)
description:
  - Builds one virtual environment for each set of requirements and Python. One that is complete is reused.
  - pip runs as the app's account, so that a package's build script is never root; the result belongs to root.
  - Where the installation fails, what was built is removed and the environment in use stays in use.
extends_documentation_fragment:
  - flaskblog.hosting.site
  - flaskblog.hosting.site.release
  - flaskblog.hosting.site.announced
  - flaskblog.hosting.site.without_diff
options:
  timeout:
    description: Seconds that one call of pip may take.
    type: int
    default: 1800
"""

EXAMPLES = r"""
- name: Build the virtual environment
  flaskblog.hosting.venv:
    site: "{{ __flask_blog_site }}"
    release: "{{ __flask_blog_plan.release }}"
"""

RETURN = r"""
packages:
  description: What is installed, as C(name-version).
  returned: when changed
  type: list
  elements: str
"""

import grp
import json
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.flaskblog.hosting.plugins.module_utils import releases
from ansible_collections.flaskblog.hosting.plugins.module_utils import site as live

#: A failed pip says why in its last lines.
LAST_LINES = 25

PYTHON = "/usr/bin/python3"

#: The wheels that Debian's ensurepip installs from (packages python3-pip-whl and python3-setuptools-whl).
WHEELS = Path("/usr/share/python-wheels")

#: What C(bin/pip) of an environment does (https://packaging.python.org/en/latest/specifications/entry-points/).
PIP_SCRIPT = """from pip._internal.cli.main import main

raise SystemExit(main())
"""

#: Where a copy of the source lies while, or as long as, pip needs one that it may write.
SOURCE = "source"


class BuildError(Exception):
    """The environment could not be built; the message holds the last lines of what was said."""


class Builder:
    """Runs Python's tools as the app's account."""

    def __init__(self, site: dict[str, Any], timeout: int, lock: int) -> None:
        self.lock = lock
        self.account = pwd.getpwnam(site["user"])
        self.group = grp.getgrnam(site["group"]).gr_gid
        self.timeout = timeout
        self.environment = {
            "HOME": site["cache"],
            "LANG": "C.UTF-8",
            "PATH": "/usr/bin:/bin",
            "PIP_CACHE_DIR": f"{site['cache']}/pip",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_INPUT": "1",
            "PIP_PROGRESS_BAR": "off",
        } | {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}

    def run(self, *command: str, cwd: str = "/") -> None:
        """Run a command as the app's account.

        :raises BuildError: where it fails or takes too long.
        """
        try:
            result = subprocess.run(
                command,
                cwd=cwd,
                env=self.environment,
                user=self.account.pw_uid,
                group=self.group,
                extra_groups=[],
                umask=0o022,
                pass_fds=(self.lock,),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=self.timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise BuildError(f"'{' '.join(command[:4])} ...' took longer than {self.timeout} s") from None
        if result.returncode:
            last = "\n".join(result.stdout.splitlines()[-LAST_LINES:])
            raise BuildError(f"'{' '.join(command)}' failed:\n{last}")


def make(builder: Builder, folder: str) -> None:
    """Make an environment with what C(python3 -m venv) puts into it, in a third of its time.

    ensurepip starts a pip of its own to install pip from a wheel of Debian's, which is unpacking it. Where the wheels
    are not, ensurepip does it.
    """
    names = ["pip"] if sys.version_info >= (3, 12) else ["pip", "setuptools"]
    wheels = [wheel for name in names for wheel in sorted(WHEELS.glob(f"{name}-*.whl"))[-1:]]
    if len(wheels) < len(names):
        builder.run(PYTHON, "-m", "venv", folder)
        return
    builder.run(PYTHON, "-m", "venv", "--without-pip", folder)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for wheel in wheels:
        builder.run(PYTHON, "-m", "zipfile", "--extract", str(wheel), f"{folder}/lib/{version}/site-packages")
    script = Path(folder, "bin", "pip")
    script.write_text(f"#!{folder}/bin/python3\n{PIP_SCRIPT}", encoding="utf-8")
    script.chmod(0o755)


def install(builder: Builder, folder: str, release: dict[str, Any]) -> list[str]:
    """Install what a release requires and return what is there then, as C(name-version)."""
    make(builder, folder)
    pip = [f"{folder}/bin/python", "-m", "pip", "install"]
    source = release["app_path"]
    if release["copy_source"]:
        shutil.copytree(release["path"], f"{folder}/{SOURCE}", symlinks=True, ignore_dangling_symlinks=True)
        give(f"{folder}/{SOURCE}", builder.account.pw_uid, builder.group)
        source = os.path.normpath(f"{folder}/{SOURCE}/{os.path.relpath(release['app_path'], release['path'])}")
    try:
        for step in install_arguments(release, source):
            builder.run(*pip, *step, cwd=source)
    except BuildError:
        # Many an application names a build system and cannot be built, as it was never meant to be a package. Its
        # code comes from the release in any case, so what it depends on is enough.
        if release["dependencies"] is None or not release["is_project"]:
            raise
        builder.run(*pip, *release["dependencies"], *release["packages"], cwd=source)
    if not release["keep_source"]:
        shutil.rmtree(f"{folder}/{SOURCE}", ignore_errors=True)
    return sorted(path.stem for path in Path(folder).glob("lib/python*/site-packages/*.dist-info"))


def install_arguments(release: dict[str, Any], source: str) -> list[list[str]]:
    """Return the arguments of each call of pip.

    One call resolves everything together. Requirements with hashes refuse whatever has none, so then our own
    additions get a call of their own.
    """
    file = os.path.normpath(os.path.join(source, release["requirements_file"]))
    if release["is_project"]:
        wanted = [os.path.dirname(file)]
    elif release["dependencies"] is not None:
        wanted = release["dependencies"]
    else:
        wanted = ["--requirement", file]
    if release["hashed"]:
        return [wanted, release["packages"]]
    return [[*wanted, *release["packages"]]]


def give(folder: str, uid: int, gid: int) -> None:
    """Give a whole tree to an account, without following a link."""
    os.lchown(folder, uid, gid)
    for parent, directories, files, descriptor in os.fwalk(folder):
        del parent
        for name in [*directories, *files]:
            os.chown(name, uid, gid, dir_fd=descriptor, follow_symlinks=False)


def build(site: dict[str, Any], release: dict[str, Any], timeout: int) -> list[str] | None:
    """Build an environment in its final place, where its scripts must find it, and mark it complete at the end.

    :returns: what is installed, or None where another run has built it meanwhile.
    :raises BuildError: after what was built has been removed.
    """
    with live.building(site["name"]) as lock:
        if os.path.exists(f"{release['venv_path']}/{releases.COMPLETE}"):
            return None
        return build_locked(site, release, Builder(site, timeout, lock))


def build_locked(site: dict[str, Any], release: dict[str, Any], builder: Builder) -> list[str]:
    """Build an environment while no other run does."""
    folder = release["venv_path"]
    shutil.rmtree(folder, ignore_errors=True)
    for path in (site["cache"], folder):
        os.makedirs(path, mode=0o755, exist_ok=True)
        os.chown(path, builder.account.pw_uid, builder.group)
    try:
        packages = install(builder, folder, release)
        give(folder, 0, 0)
        temporary = f"{folder}/{releases.COMPLETE}.new"
        with open(temporary, "w", encoding="utf-8") as handle:
            json.dump({"packages": packages}, handle, indent=1)
        live.note_pending(f"{site['name']}.activate")
        os.rename(temporary, f"{folder}/{releases.COMPLETE}")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return packages


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "site": {"type": "dict", "required": True},
            "release": {"type": "dict", "required": True},
            "timeout": {"type": "int", "default": 1800},
        },
        supports_check_mode=True,
    )
    site, release = module.params["site"], module.params["release"]
    if os.path.exists(f"{release['venv_path']}/{releases.COMPLETE}"):
        module.exit_json(changed=False)
    if module.check_mode:
        module.exit_json(changed=True)
    os.nice(releases.YIELDING)
    try:
        packages = build(site, release, module.params["timeout"])
    except (BuildError, OSError, KeyError) as problem:
        module.fail_json(
            msg=f"The virtual environment {release['venv_path']} cannot be built; the one in use stays in use."
            f"\n{problem}"
        )
    if packages is None:
        module.exit_json(changed=False)
    module.exit_json(changed=True, packages=packages)


if __name__ == "__main__":
    main()
