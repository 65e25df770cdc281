# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Read the requirements of a release's virtual environment from an untrusted source.

Files outside of the source are not read, and sizes are limited, as root reads them on the host.
"""

from __future__ import annotations

import codecs
import os
import re
import stat
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils.source.entry import digest
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import SourceError

#: Bytes of a requirements or project file, and how many of them may include each other.
LARGEST_FILE = 1 << 20
MOST_FILES = 200

#: A line that includes another file (https://pip.pypa.io/en/stable/reference/requirements-file-format/).
INCLUDE = re.compile(r"^(?:-r|--requirement|-c|--constraint)[ =]?\s*(?P<file>\S+)")
#: A line that installs something from an index, which its text identifies (PEP 508): a name, extras, versions, a
#: marker, hashes. Anything else in a line may lead into the source: a path, an option of pip, a variable.
FROM_INDEX = re.compile(
    r"(?!\S*\.(?:whl|zip|tar|gz|bz2|xz|tgz|tbz|txz)\b)[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?\s*(?:\[[\w\s,.-]*\])?\s*(?:\(?\s*(?:[<>=!~]=?=?\s*[\w.*+!-]+\s*,?\s*)*\)?)"
    r"\s*(?:;[^@$]*?)?(?:\s*\\?\s*--hash[= ]\S+\s*\\?)*",
    re.ASCII,
)
#: Lines that name another server, or say where an index is and which kinds of files may come from it.
HARMLESS = re.compile(
    r"(?:[\w.-]+\s*(?:\[[\w\s,.-]*\])?\s*@\s*)?(?:git\+)?https?://[^\s$]+|"
    r"--hash[= ]\S+\s*\\?|(?:-i|--index-url|--extra-index-url)[= ]\s*https?://[^\s$]+"
    r"|--(?:pre|require-hashes|prefer-binary|(?:no-binary|only-binary|trusted-host)[= ]\s*[^\s/$]+)"
)


@dataclass(frozen=True)
class Requirements:
    """The requirements of a release's virtual environment."""

    #: relative to the app's folder
    file: str
    #: a C(pyproject.toml) with a build system: the project itself is installed
    is_project: bool
    #: static dependencies of a C(pyproject.toml); these alone are installed if the project cannot be built
    dependencies: tuple[str, ...] | None
    #: every requirement has a hash, so pip refuses any without one in the same call
    hashed: bool
    #: something in the source itself is installed, so the environment belongs to one release
    local: bool
    #: identifies the content of everything above
    identity: str


def find_requirements(source: Path, app_dir: str, wanted: str) -> str | None:
    """Return the requirements file relative to the app's folder, or None.

    :param wanted: what the user named, or C("") to look for C(requirements.txt) and then C(pyproject.toml), in the
        app's folder and then at the top of the source.
    """
    app = source / app_dir
    names = [wanted] if wanted else ["requirements.txt", "pyproject.toml"]
    for name in names:
        for folder in (app, source):
            if (folder / name).is_file():
                return os.path.relpath(folder / name, app)
    return None


def read_requirements(source: Path, app_dir: str, file: str, tree: str, importable: bool) -> Requirements:
    """Read the requirements, as far as needed to decide when to rebuild the environment.

    :param tree: the digest of the whole source, for what is installed from the source itself.
    :param importable: the app is imported from its release, never from an installed copy.
    """
    app = source / app_dir
    if file.endswith(".toml"):
        return _read_project(app / file, file, tree, importable)
    lines = requirement_lines(source, app_dir, file)
    local = any(map(is_local, lines))
    hashed = any("--hash" in line for line in lines)
    return Requirements(file, False, None, hashed, local, digest(lines, tree if local else None))


def requirement_lines(source: Path, app_dir: str, file: str) -> list[str]:
    """Return the lines that pip reads as requirements, or a project's static dependencies.

    :raises SourceError: if the file cannot be read.
    """
    path = source / app_dir / file
    if not file.endswith(".toml"):
        return _lines(source.resolve(), path)
    return list(_dependencies(parsed(read_text(path), file).get("project", {}), file) or ())


def is_local(line: str) -> bool:
    """Return whether a line of a requirements file may install something from the source.

    A line that is wrongly counted as local costs a build; the opposite would serve another source.
    """
    line = line.rstrip("\\").rstrip()
    include = INCLUDE.fullmatch(line)
    if include:
        return not re.fullmatch(r"[\w./-]+", include["file"], re.ASCII)
    return not (FROM_INDEX.fullmatch(line) or HARMLESS.fullmatch(line))


def _read_project(path: Path, file: str, tree: str, importable: bool) -> Requirements:
    """Read a C(pyproject.toml) (https://packaging.python.org/en/latest/specifications/pyproject-toml/).

    :raises SourceError: if it has neither dependencies nor a build system.
    """
    beside = [path.with_name(name) for name in (path.name, "setup.cfg", "setup.py")]
    contents = [read_text(other) for other in beside if other.is_file()]
    content = parsed(contents[0], file)
    dependencies = _dependencies(content.get("project", {}), file)
    build = content.get("build-system", {})
    is_project = bool(build) or path.with_name("setup.py").is_file() or not importable
    # Code of the source that runs in the build may import any of its files. If that code is fixed, the environment that
    # it made must not be reused.
    runs_code = path.with_name("setup.py").is_file() or (isinstance(build, dict) and "backend-path" in build)
    of_this_source = tree if runs_code or not importable else None
    if not is_project and dependencies is None:
        raise SourceError(
            f"its {file} names neither [project] dependencies nor a [build-system]; add one, or a requirements.txt"
        )
    return Requirements(file, is_project, dependencies, False, False, digest(contents, of_this_source))


def parsed(text: str, file: str) -> dict[str, Any]:
    """Return the content of a project file.

    :raises SourceError: if it is damaged.
    """
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SourceError(f"its {file} cannot be read: {str(error) or 'it is nested too deeply'}") from error


def _dependencies(project: Any, file: str) -> tuple[str, ...] | None:
    """Return the dependencies of a project's table; None if the build alone knows them.

    :raises SourceError: if these are no list of texts.
    """
    if not isinstance(project, dict):
        raise SourceError(f"its {file} cannot be read: [project] is no table")
    if "dependencies" not in project or "dependencies" in project.get("dynamic", []):
        return None
    found = project["dependencies"]
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise SourceError(f"its {file} cannot be read: the dependencies are no list of texts")
    return tuple(found)


def _lines(root: Path, path: Path) -> list[str]:
    """Return the meaningful lines of a requirements file and of all that it includes, in the order of the files.

    :param root: of the source, without links; a file elsewhere is not read.
    """
    waiting, seen, lines = [path.resolve()], set[Path](), list[str]()
    while waiting:
        path = waiting.pop()
        if path in seen or not path.is_relative_to(root) or not path.is_file():
            continue
        if len(seen) == MOST_FILES:
            raise SourceError(f"its requirements are spread over more than {MOST_FILES} files. Join some of them")
        seen.add(path)
        for raw in read_text(path).splitlines():
            line = re.sub(r"(^|\s)#.*$", "", raw).strip()
            if line:
                lines.append(line)
                if include := INCLUDE.match(line):
                    waiting.append((path.parent / include["file"]).resolve())
    return lines


def read_text(path: Path) -> str:
    """Read a requirements file as pip does: by its byte order mark, as PowerShell writes UTF-16, or else as UTF-8."""
    content = _limited(path)
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if content.startswith(mark):
            return content.decode(encoding, "replace")
    return content.decode("utf-8", "replace")


def _limited(path: Path) -> bytes:
    """Read a regular file up to a limit.

    :raises SourceError: if it is larger, or no file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as handle:
        content = handle.read(LARGEST_FILE + 1) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
    if content is None or len(content) > LARGEST_FILE:
        raise SourceError(f"its {path.name} has more than {LARGEST_FILE >> 20} MiB, or is no file. Shorten it")
    return content
