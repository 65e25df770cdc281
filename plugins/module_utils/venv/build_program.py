# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The program that creates a virtual environment inside the build account's unit.

Its text is passed to C(python3 -I -c), so it needs only the standard library. It has no dollar sign, which systemd
would expand. Standard input has the plan as a line of JSON, followed by the release as a tar archive.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from typing import IO, Any

#: What C(bin/pip) of an environment does (https://packaging.python.org/en/latest/specifications/entry-points/).
PIP_SCRIPT = """from pip._internal.cli.main import main

raise SystemExit(main())
"""


class CommandError(Exception):
    """A command failed; its own output has the cause."""


def unpack(stream: IO[bytes], folder: str) -> None:
    """Write a tar archive of directories, files and links; every file becomes writable for this account."""
    os.mkdir(folder)
    with tarfile.open(fileobj=stream, mode="r|") as tar:
        for member in tar:
            path = os.path.join(folder, member.name)
            if member.isdir():
                os.makedirs(path, exist_ok=True)
            elif member.issym():
                os.symlink(member.linkname, path)
            elif member.islnk():
                shutil.copy(os.path.join(folder, member.linkname), path)
            else:
                content = tar.extractfile(member)
                if content is None:
                    raise CommandError(f"{member.name} cannot be read from the archive")
                with content, open(path, "xb") as target:
                    shutil.copyfileobj(content, target)
                os.chmod(path, 0o755 if member.mode & 0o100 else 0o644)


def make(folder: str, wheels: list[str]) -> None:
    """Make the same environment as C(python3 -m venv), in a third of the time.

    ensurepip runs pip to install pip from a wheel; unpacking the wheel is enough.

    :param wheels: of pip and setuptools; if there are none, ensurepip is used.
    """
    venv.EnvBuilder(symlinks=True, with_pip=not wheels).create(folder)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(f"{folder}/lib/{version}/site-packages")  # noqa: S202  (Debian's)
    if wheels:
        script = os.path.join(folder, "bin", "pip")
        with open(script, "w", encoding="utf-8") as handle:
            handle.write(f"#!{folder}/bin/python3\n{PIP_SCRIPT}")
        os.chmod(script, 0o755)  # noqa: S103  (a program)


def run(command: list[str], folder: str, environment: dict[str, str]) -> None:
    """Run a command in a folder, with nothing but the given environment.

    :raises CommandError: if it fails.
    """
    sys.stdout.flush()
    done = subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT, check=False
    )
    if done.returncode:
        raise CommandError(f"'{' '.join(command)}' ended with status {done.returncode}")


def build(plan: dict[str, Any], stream: IO[bytes]) -> None:
    """Make the environment that a plan describes.

    :param plan: C(folder), C(wheels), C(source) (for the release's copy), C(keep_source), C(cwd), C(environment),
        C(steps) (commands), and C(fallback), the command that takes their place if one fails, or None.
    :raises CommandError: if a command fails.
    """
    unpack(stream, plan["source"])
    make(plan["folder"], plan["wheels"])
    try:
        for step in plan["steps"]:
            run(step, plan["cwd"], plan["environment"])
    except CommandError as error:
        if plan["fallback"] is None:
            raise
        print(f"{error}; trying without the project itself")
        run(plan["fallback"], plan["cwd"], plan["environment"])
    if not plan["keep_source"]:
        shutil.rmtree(plan["source"])


def main() -> int:
    """Read the plan and build.

    :returns: the exit status. The last line of the output is the error.
    """
    try:
        build(json.loads(sys.stdin.buffer.readline()), sys.stdin.buffer)
    except (
        CommandError,
        OSError,
        ValueError,
        tarfile.TarError,
        zipfile.BadZipFile,
        subprocess.SubprocessError,
    ) as error:
        print(error, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
