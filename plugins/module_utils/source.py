# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The source of a blog as a folder: what of it belongs in a release, what that needs, what it is called.

Shared by the controller, which reads folders and archives, and by the host, which reads what Git has fetched.
"""

from __future__ import annotations

import codecs
import os
import re
import stat
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.flaskblog.hosting.plugins.module_utils.releases import (
    Entry,
    digest,
    file_digest,
    is_below,
    tree_digest,
)

#: Names that never belong in a release, wherever they stand.
NEVER = frozenset(
    {
        ".git",
        ".hg",
        ".svn",
        ".DS_Store",
        ".venv",
        ".tox",
        ".nox",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
        "__MACOSX",
        "__pycache__",
        "node_modules",
    }
)

#: What a first-level read of a requirements file looks for: other files, and things that lie in the source itself.
INCLUDE = re.compile(r"^(?:-r|--requirement|-c|--constraint)[ =]?\s*(?P<file>\S+)")
LOCAL = re.compile(r"^(?:-e\b|--editable\b|\.{0,2}/|\.(?:$|\[|\s)|file:|\S+\s*@\s*file:)")

SQLITE_MAGIC = b"SQLite format 3\0"


class SourceError(ValueError):
    """The source cannot become a release; the message names the rule and the remedy."""


@dataclass(frozen=True)
class Requirements:
    """What a release's virtual environment is built from."""

    #: relative to the app's folder
    file: str
    #: a C(pyproject.toml) that says how the project is built: the project itself is installed
    is_project: bool
    #: what a C(pyproject.toml) depends on, where it says so plainly; enough where the project cannot be built
    dependencies: tuple[str, ...] | None
    #: every requirement carries a hash, so that nothing without one may join the same call of pip
    hashed: bool
    #: something in the source itself is installed, so that the environment belongs to one release
    local: bool
    #: identifies the content of everything above
    identity: str


#: Says of a path relative to the source, and of whether it is a folder, that it does not belong in the release.
LeavesOut = Callable[[str, bool], bool]


def read(source: Path, left_out: Sequence[str] = (), leaves_out: LeavesOut = lambda *_: False) -> list[Entry]:
    """List what belongs into a release, with each file's identity.

    :param left_out: relative paths that a link takes the place of.
    :param leaves_out: what the folder's own rules say (C(.gitignore)).
    :raises SourceError: for a link that leaves the source, or a file that is no file.
    """
    entries: list[Entry] = []
    for folder, directories, files in os.walk(source):
        relative = os.path.relpath(folder, source)
        prefix = "" if relative == "." else f"{relative}/"
        directories[:] = sorted(
            name
            for name in directories
            if not _is_left_out(Path(folder, name), f"{prefix}{name}", left_out)
            and not leaves_out(f"{prefix}{name}", not os.path.islink(os.path.join(folder, name)))
            and not _take_link(Path(folder, name), f"{prefix}{name}", source, entries)
        )
        for name in sorted(files):
            path, full = f"{prefix}{name}", Path(folder, name)
            if _is_left_out(full, path, left_out) or leaves_out(path, False) or _take_link(full, path, source, entries):
                continue
            mode = full.stat().st_mode
            if not stat.S_ISREG(mode):
                raise SourceError(f"{path} is neither a file, a folder nor a link; remove it from the source")
            entries.append(Entry(path, "program" if mode & stat.S_IXUSR else "file", file_digest(str(full))))
    return sorted(entries)


def _is_left_out(full: Path, path: str, left_out: Sequence[str]) -> bool:
    return (
        full.name in NEVER
        or full.name.endswith((".pyc", ".egg-info"))
        or is_below(path, left_out)
        or (full / "pyvenv.cfg").is_file()
    )


def _take_link(full: Path, path: str, source: Path, entries: list[Entry]) -> bool:
    if not full.is_symlink():
        return False
    target = os.readlink(full)
    resolved = os.path.normpath(os.path.join(os.path.dirname(path), target))
    if os.path.isabs(target) or resolved.startswith(".."):
        raise SourceError(f"{path} is a link that leaves the source (to {target}); put a copy in its place")
    entries.append(Entry(path, "link", target))
    return True


def is_sqlite(path: Path) -> bool:
    """Say whether a file is a SQLite database, by its first bytes."""
    with path.open("rb") as handle:
        return handle.read(len(SQLITE_MAGIC)) == SQLITE_MAGIC


def databases(source: Path, entries: Sequence[Entry]) -> list[str]:
    """Return the SQLite databases among the entries: in a release, the app can read them and not write."""
    return [entry.path for entry in entries if entry.kind != "link" and is_sqlite(source / entry.path)]


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
    """Read what an environment is built from, far enough to know when it has to be built anew.

    :param tree: the digest of the whole source, for what is installed from the source itself.
    :param importable: the app is imported from its release, so that an installed copy of it never serves.
    """
    app = source / app_dir
    if file.endswith(".toml"):
        return _read_project(app / file, file, None if importable else tree)
    lines = _requirement_lines(app / file, set())
    local = any(LOCAL.match(line) for line in lines)
    hashed = any("--hash" in line for line in lines)
    return Requirements(file, False, None, hashed, local, digest(lines, tree if local else None))


def _read_project(path: Path, file: str, tree: str | None) -> Requirements:
    """Read a C(pyproject.toml) (https://packaging.python.org/en/latest/specifications/pyproject-toml/).

    :raises SourceError: where it says neither what it depends on nor how it is built.
    """
    beside = [path.with_name(name) for name in ("pyproject.toml", "setup.cfg", "setup.py")]
    contents = [other.read_text(encoding="utf-8") for other in beside if other.is_file()]
    try:
        content = tomllib.loads(contents[0])
    except tomllib.TOMLDecodeError as error:
        raise SourceError(f"its {file} cannot be read: {error}") from error
    project = content.get("project", {})
    plain = "dependencies" in project and "dependencies" not in project.get("dynamic", [])
    dependencies = tuple(project["dependencies"]) if plain else None
    is_project = "build-system" in content or (path.with_name("setup.py")).is_file() or tree is not None
    if not is_project and dependencies is None:
        raise SourceError(
            f"its {file} names neither [project] dependencies nor a [build-system]; add one, or a requirements.txt"
        )
    return Requirements(file, is_project, dependencies, False, False, digest(contents, tree))


def _requirement_lines(path: Path, seen: set[Path]) -> list[str]:
    """Return the meaningful lines of a requirements file and of all that it includes."""
    if path in seen or not path.is_file():
        return []
    seen.add(path)
    lines = []
    for raw in _text(path).splitlines():
        line = re.sub(r"(^|\s)#.*$", "", raw).strip()
        if line:
            lines.append(line)
            if include := INCLUDE.match(line):
                lines += _requirement_lines((path.parent / include["file"]).resolve(), seen)
    return lines


def _text(path: Path) -> str:
    """Read a requirements file as pip does: by its byte order mark, as PowerShell writes UTF-16, or else as UTF-8."""
    content = path.read_bytes()
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if content.startswith(mark):
            return content.decode(encoding, "replace")
    return content.decode("utf-8", "replace")


def source_root(source: Path, app_dir: str, wsgi: str) -> str | None:
    """Return the folder that the app is imported from, relative to the app's folder: C(""), C("src"), or None.

    None means that nothing in the source carries the module's name: an installed package does.
    """
    package = wsgi.partition(":")[0].partition(".")[0]
    for root in ("", "src"):
        folder = source / app_dir / root
        if (folder / f"{package}.py").is_file() or (folder / package).is_dir():
            return root
    return None


def sample(entries: Sequence[Entry], folders: Mapping[str, str]) -> dict[str, str] | None:
    """Choose a static file to ask the running site for: its URL path and the sha256 that must come back.

    :param folders: URL prefix to served folder, relative to the source.
    """
    for prefix, folder in folders.items():
        for entry in entries:
            plain = re.fullmatch(r"[\w./-]+", entry.path) and "/." not in entry.path
            if entry.kind == "file" and is_below(entry.path, [folder]) and plain:
                return {"path": f"{prefix}{os.path.relpath(entry.path, folder)}", "sha256": entry.identity}
    return None


def identity(entries: Sequence[Entry]) -> str:
    """Return the digest of a source's content."""
    return tree_digest(entries)
