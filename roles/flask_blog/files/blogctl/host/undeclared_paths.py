"""Find in an app's output that it wrote to a path that no variable declares, and name the variable to set.

The output is the app's: it may be forged, so the result is text for people and nothing else.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..shared.contract import is_writable_file
from ..shared.printable import printable
from ..site import Site

#: Characters of the output that are searched, from its end.
OUTPUT_LIMIT = 1 << 17
#: Characters of a path in a message.
PATH_LIMIT = 300
#: Characters before an error that belong to its traceback.
TRACEBACK_LIMIT = 4000

#: strerror(3) of a write that the sandbox or a file's mode refuses, and of a file in a folder that does not exist.
REFUSED = "Read-only file system|Permission denied"
MISSING = "No such file or directory|Directory nonexistent"
#: Python's OSError: its number, its text, and one path, or two of a rename.
PYTHON_ERROR = re.compile(
    rf"\[Errno \d+\] (?P<reason>{REFUSED}|{MISSING}): b?['\"](?P<path>[^\n]{{1,1024}}?)['\"]"
    r"(?: -> b?['\"](?P<to>[^\n]{1,1024}?)['\"])?[ \t]*$",
    re.MULTILINE,
)
#: A message of the shell, mkdir(1), touch(1), cp(1).
SHELL_ERROR = re.compile(
    r"(?P<what>[Cc]annot (?:create|touch|open|remove|move|mkdir)(?: (?:directory|regular file))?)"
    rf" ['\u2018\"]?(?P<path>[^\n'\u2019\"]{{1,1024}}?)['\u2019\"]?: (?P<reason>{REFUSED}|{MISSING})[ \t]*$",
    re.MULTILINE,
)
#: SQLite's messages, which name no path.
SQLITE_ERROR = re.compile(r"unable to open database file|attempt to write a readonly database|readonly database")
#: What a worker logs for a database outside the data folder (gunicorn_databases.py).
OPENED = re.compile(r"opens the database '(?P<path>[^'\n]{1,1024})'")

#: What it logs for a database in memory.
IN_MEMORY = re.compile(r"keeps a database in memory")

#: These files are read more often than written, or are no files of an app: sockets, devices.
FOREIGN = ("/dev/", "/proc/", "/run/", "/sys/", "/var/run/")
#: A line of a traceback that opens a file to write.
WRITES = re.compile(r"open\w*\([^\n]*['\"][wax]b?\+?['\"]|\.write_(text|bytes)\(|\b(mkdir|makedirs)\b")
LOG = re.compile(r"\.log(\.\d+)?$|(^|/)logs?/")
#: What a variable's value may hold (plugin_utils/rules/problem.py: PLAIN_PATH).
PLAIN = re.compile(r"[\w.@+-]+(/[\w.@+-]+)*", re.ASCII)
#: Folders of nearly every app that hold code, templates or assets: one file in them is declared alone.
CODE = ("static", "templates")

DATABASES, PATHS = "flask_blog_databases", "flask_blog_writable_paths"
RUN_AGAIN = "and run the playbook again"


def undeclared_write(output: str, site: Site) -> str | None:
    """Return a sentence on the first refused write to an undeclared path, with the variable and its value.

    :param output: what the app wrote, such as a traceback; only its end is read.
    :returns: None if the output shows no such write.
    """
    text = output[-OUTPUT_LIMIT:]
    searches = (_python_errors(text, site), _shell_errors(text, site), _sqlite_errors(text, site))
    found = [first for search in searches if (first := next(search, None))]
    return min(found)[1] if found else None


def database_remedy(path: str, site: Site) -> str:
    """Return what to set for a database at a path that is not in the data folder.

    :param path: as the app's processes see it.
    """
    relative = _relative(path, site.settings)
    if relative is None:
        example = "instance/blog.db"
        return (
            f"Point the app's own setting for its database, such as SQLALCHEMY_DATABASE_URI or DATABASE in"
            f" flask_blog_environment, to a file below {_data(site)}, such as {_data(site)}/{example}; or name a file"
            f" of the app's folder in {DATABASES} or its folder in {PATHS}, and use that, {RUN_AGAIN}"
        )
    if not PLAIN.fullmatch(relative):
        return _rename(relative)
    return f"Set {_value(DATABASES, site, relative)} {RUN_AGAIN}"


def database_in_memory(output: str) -> str | None:
    """Return a sentence if a worker has logged a database in memory; None if none has."""
    if not IN_MEMORY.search(output[-OUTPUT_LIMIT:]):
        return None
    return (
        "The app keeps a database in memory: each worker has its own, and a restart loses it. If it holds data, point"
        " the app's own setting for it, such as SQLALCHEMY_DATABASE_URI or DATABASE in flask_blog_environment, to a"
        f" file that {DATABASES} names, {RUN_AGAIN}."
    )


def _python_errors(text: str, site: Site) -> Iterator[tuple[int, str]]:
    """Yield the position of each refused write and the sentence on it."""
    for match in PYTHON_ERROR.finditer(text):
        before = text[max(0, match.start() - TRACEBACK_LIMIT) : match.start()]
        # A program that is not executable.
        if "subprocess.py" in before and "_execute_child" in before:
            continue
        path = match["to"] or match["path"]
        if re.search(MISSING, match["reason"]) and not (LOG.search(path) or WRITES.search(before)):
            continue  # a file that is read
        makes_folder = bool(re.search(r"\b(mkdir|makedirs)\b", before))
        if found := _file_sentence(path, site, makes_folder=makes_folder, renames=match["to"] is not None):
            yield match.start(), found


def _shell_errors(text: str, site: Site) -> Iterator[tuple[int, str]]:
    for match in SHELL_ERROR.finditer(text):
        if found := _file_sentence(match["path"], site, makes_folder="directory" in match["what"]):
            yield match.start(), found


def _sqlite_errors(text: str, site: Site) -> Iterator[tuple[int, str]]:
    for match in SQLITE_ERROR.finditer(text):
        yield match.start(), _database_sentence(text, match.start(), site)


def _file_sentence(path: str, site: Site, *, makes_folder: bool = False, renames: bool = False) -> str | None:
    """Return the sentence on one file or folder; None if the app may write there, or it is none of its own."""
    absolute = posixpath.join(str(site.settings.get("link", "/")), path)
    if absolute.startswith(FOREIGN):
        return None
    shown = printable(path)[:PATH_LIMIT].replace("\n", " ")
    relative = _relative(path, site.settings)
    if relative is None:
        if posixpath.normpath(absolute).startswith((f"{_data(site)}/", "/tmp/", "/var/tmp/")):
            return None  # it may write there, so the reason is another one
        return (
            f"The app writes to {shown!r}, outside its folder, which its sandbox does not allow. Point the app's own"
            f" setting for it to a path below {_data(site)}, such as {_data(site)}/instance/, {RUN_AGAIN}."
        )
    if relative.split("/")[0] == "venv":
        return (
            f"The app writes to {shown!r}, in its virtual environment, which is read-only. Point the package's own"
            f" setting for this file or cache to a path below {_data(site)}/instance/, {RUN_AGAIN}."
        )
    if _is_below(relative, ["instance", *_declared(PATHS, site)]) or relative in _declared(DATABASES, site):
        return None
    in_code = _is_code(posixpath.dirname(relative), site)
    if beside := _declared_file_beside(relative, site) or (relative if renames and in_code else ""):
        return (
            f"The app replaces the file {beside!r} by writing {shown!r} and renaming it, which needs a writable folder:"
            f" a file in {PATHS} can be written in place alone. Write it in place, or keep it in a folder of its own"
            f" and name that folder in {PATHS}, {RUN_AGAIN}."
        )
    if in_code and not makes_folder and not is_writable_file(relative):
        return (
            f"The app writes to {shown!r}, in a folder of its code, which is read-only. Write it to a folder of its"
            f" own, such as instance/, or name that folder in {PATHS}, {RUN_AGAIN}."
        )
    entry = _entry(relative, in_code=in_code, makes_folder=makes_folder)
    if not PLAIN.fullmatch(entry):
        return f"The app writes to {shown!r}, which no variable declares. {_rename(entry)}."
    return (
        f"The app writes to {shown!r}, which no variable declares, so it is read-only. Set"
        f" {_value(PATHS, site, entry)} {RUN_AGAIN}; what the app writes there is then kept in {_data(site)}/{entry}."
    )


def _database_sentence(text: str, position: int, site: Site) -> str:
    """Return the sentence on a database that SQLite could not open or write; its message names no path."""
    path = ""
    for opened in OPENED.finditer(text):
        if path and opened.start() > position:
            break
        path = opened["path"]  # the last one before the error, or the first one after it
    if path:
        return (
            f"The app cannot write its database {printable(path)[:PATH_LIMIT]!r}: it lies outside {_data(site)}."
            f" {database_remedy(path, site)}."
        )
    databases, paths = (", ".join(_declared(name, site)) or "nothing" for name in (DATABASES, PATHS))
    return (
        "The app opens an SQLite database that it cannot write. Writable are the files in"
        f" {DATABASES} ({databases}), the folders in {PATHS} ({paths}) and instance/, all in the app's folder. Name the"
        f" app's database in {DATABASES}, relative to the app's folder, {RUN_AGAIN}. Flask-SQLAlchemy 3 looks for"
        " 'sqlite:///blog.db' in instance/, which is always writable; other libraries in the app's folder."
    )


def _relative(path: str, settings: Mapping[str, Any]) -> str | None:
    """Return a path relative to the app's folder; None if it lies outside."""
    if not path.startswith("/"):
        normal = posixpath.normpath(path)
        return None if normal.startswith("..") or normal == "." else normal
    path = posixpath.normpath(path)
    venvs, link, following = (str(settings.get(key, "")) for key in ("venvs", "link", "next"))
    app_dir = posixpath.normpath(str(settings.get("app_dir") or "."))
    inside = re.fullmatch(rf"{re.escape(str(settings.get('releases', '')))}/[^/]+/(.+)", path, re.DOTALL)
    if inside:
        found = posixpath.relpath(inside[1], app_dir)
        return None if found.startswith("..") or found == "." else found
    if venvs and path.startswith(f"{venvs}/"):
        return "venv/" + path.removeprefix(f"{venvs}/").partition("/")[2]
    for folder in (link, following):
        if folder and path.startswith(f"{folder}/"):
            return posixpath.relpath(path, folder)
    return None


def _is_code(folder: str, site: Site) -> bool:
    """Say whether a folder of the app holds code, templates or assets beside what the app writes."""
    package = str(site.settings.get("wsgi", "")).partition(":")[0].split(".")[0]
    return folder in ("", package, f"src/{package}") or posixpath.basename(folder) in CODE or "templates/" in folder


def _entry(relative: str, *, in_code: bool, makes_folder: bool) -> str:
    """Return the folder or file to declare for a path: a folder of code would be replaced as a whole."""
    return relative if makes_folder or in_code else posixpath.dirname(relative)


def _declared(variable: str, site: Site) -> list[str]:
    """Return a variable's value; an older role did not write it."""
    found = site.settings.get(variable.removeprefix("flask_blog_"), [])
    return [str(path) for path in found] if isinstance(found, list) else []


def _declared_file_beside(relative: str, site: Site) -> str:
    """Return the declared file that a path seems to be the temporary neighbour of; an empty text if there is none."""
    folder, name = posixpath.split(relative)
    for path in _declared(PATHS, site):
        place, file = posixpath.split(posixpath.normpath(path))
        stem = posixpath.splitext(file)[0]
        if is_writable_file(path) and place == folder and (stem in name or name.startswith(("tmp", "."))):
            return path
    return ""


def _is_below(path: str, folders: Sequence[str]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in map(posixpath.normpath, folders))


def _value(variable: str, site: Site, entry: str) -> str:
    """Return a variable with its present entries and one more, as an inventory holds it."""
    return f"{variable}: [{', '.join([*_declared(variable, site), entry])}]"


def _rename(path: str) -> str:
    shown = printable(path)[:PATH_LIMIT].replace("\n", " ")
    return f"Rename {shown!r} in the app: {PATHS} and {DATABASES} hold letters, digits and . _ - + @ alone"


def _data(site: Site) -> str:
    return os.path.normpath(str(site.settings.get("data", "/var/lib/NAME")))
