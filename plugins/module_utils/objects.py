# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The managed state of a host as data: what is wanted, how the host differs, how it is put right.

An object is a plain mapping with a C(kind), as the role declares it in C(vars/main.yml):

========== ================================================= ==============================================
kind       keys beside C(layer)                              meaning
========== ================================================= ==============================================
directory  path, owner, group, mode[, beneath]               the directory exists with these attributes
file       path, owner, group, mode, content[, generated]    the file holds exactly this text
attributes path, owner, group, mode, create                  the file has these attributes, and any content
setting    path, changes                                     lines of somebody else's file (setting.py)
link       path, target                                      a symbolic link with exactly this target
absent     path                                              no file or link stands here
contents   path, names                                       the directory holds these files and no others
tree       path, owner, group[, served, served_group]        everything below belongs to the app's account
========== ================================================= ==============================================

C(generated) names settings whose values are made once, on the host, and kept: a file with them is compared and
written with the values that it holds already. C(beneath) names the folder of the app that a directory lies in: it is
reached from there without following a link (M(beneath)). C(create) says whether a file that is missing is made empty,
or left to the program that writes it.
written with the values that it holds already. C(generated_line) says how the file holds one, with C({name}) and
C({value}).
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets as random_secrets
import stat
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils import app_data, contents, setting
from ansible_collections.flaskblog.hosting.plugins.module_utils.difference import (
    Conflict,
    Difference,
    describe_attributes,
    group_id,
    ids,
    lstat,
    nothing_to_undo,
    user_id,
    wrong_attributes,
)

__all__ = ["ORDER", "Conflict", "Difference", "compare", "group_id", "lstat", "put_right", "read_text", "user_id"]


#: Kinds in the order in which they are put right: a file needs its directory, a link is worth its target.
ORDER = ("directory", "tree", "attributes", "file", "setting", "link", "absent", "contents")

#: How a file holds a generated value, unless its object says otherwise (C(generated_line)): as systemd reads it.
GENERATED_LINE = '{name}="{value}"'
#: A value that this collection generated: 64 hexadecimal digits, 256 bits.
GENERATED_VALUE = "[0-9a-f]{64}"

HIDDEN = "(hidden: holds secrets)\n"


def read_text(path: str) -> str | None:
    """Return a file's text, or None where there is none; undecodable bytes survive a round trip."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as handle:
            return handle.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def with_generated(wanted: Mapping[str, Any], existing: str | None, make: Callable[[], str] | None = None) -> str:
    """Return a file's text with the generated settings in it.

    Values found in C(existing) are kept. A value that is missing is made by C(make), or stands as C(<generated>)
    where C(make) is None, so that check mode neither invents nor shows a secret.
    """
    text = wanted["content"]
    for name in wanted.get("generated") or []:
        before, after = wanted.get("generated_line", GENERATED_LINE).replace("{name}", name).split("{value}")
        # Only a line of exactly this form counts: a value that somebody damaged is made anew.
        line = f"^{re.escape(before)}({GENERATED_VALUE}){re.escape(after)}$"
        kept = re.search(line, existing or "", re.MULTILINE)
        text += f"{before}{kept[1] if kept else make() if make else '<generated>'}{after}\n"
    return text


def compare(wanted: Mapping[str, Any], notes: list[str] | None = None) -> Difference | None:
    """Compare one object with the host.

    :param notes: takes a sentence about each thing that is left alone, and why.
    :returns: None where it is as wanted.
    :raises Conflict: where putting it right would replace something that is not ours.
    """
    if wanted["kind"] == "tree":
        return app_data.compare_tree(wanted, [] if notes is None else notes)
    return _COMPARE[wanted["kind"]](wanted)


def _compare_directory(wanted: Mapping[str, Any]) -> Difference | None:
    if "beneath" in wanted:
        return app_data.compare_directory(wanted)
    path = wanted["path"]
    found = lstat(path)
    difference = Difference(wanted["layer"], path)
    if found is None:
        difference.words = ["missing"]
        difference.after = f"directory {wanted['owner']}:{wanted['group']} {wanted['mode']}\n"
    elif not stat.S_ISDIR(found.st_mode):
        raise Conflict(f"{path} should be a directory, but a file or link stands there. Move it away and run again.")
    else:
        difference.words = wrong_attributes(found, wanted)
        describe_attributes(difference)
    return difference if difference.words else None


def _compare_file(wanted: Mapping[str, Any]) -> Difference | None:
    path = wanted["path"]
    found = lstat(path)
    difference = Difference(wanted["layer"], path)
    if found is not None and stat.S_ISDIR(found.st_mode):
        raise Conflict(f"{path} should be a file, but a directory stands there. Move it away and run again.")
    existing = read_text(path) if found is not None and stat.S_ISREG(found.st_mode) else None
    text = with_generated(wanted, existing)
    if found is None:
        difference.words = ["missing"]
    elif not stat.S_ISREG(found.st_mode):
        difference.words = ["not a regular file"]
    else:
        if existing != text:
            difference.words.append("content")
        difference.words += wrong_attributes(found, wanted)
    if wanted.get("secret"):
        difference.before = "" if existing is None else HIDDEN
        difference.after = HIDDEN if "content" not in difference.words else HIDDEN.replace("holds", "changed; holds")
    else:
        difference.before, difference.after = existing or "", text
    if difference.words and difference.before == difference.after:
        describe_attributes(difference)
    return difference if difference.words else None


def _compare_link(wanted: Mapping[str, Any]) -> Difference | None:
    path, target = wanted["path"], wanted["target"]
    found = lstat(path)
    difference = Difference(wanted["layer"], path, after=f"-> {target}\n")
    if found is None:
        difference.words = ["missing"]
    elif not stat.S_ISLNK(found.st_mode):
        if stat.S_ISDIR(found.st_mode) and not os.listdir(path):
            difference.words = ["an empty directory stands there"]
        else:
            raise Conflict(
                f"{path} should be a link to {target}, but a real"
                f" {'directory' if stat.S_ISDIR(found.st_mode) else 'file'} stands there. Move it away"
                f" (mv {path} {path}.before) and run again; a database and uploads in it come along with"
                " flask_blog_initial_data."
            )
    else:
        actual = os.readlink(path)
        if actual != target:
            difference.words = [f"target {actual} -> {target}"]
            difference.before = f"-> {actual}\n"
    return difference if difference.words else None


def _compare_absent(wanted: Mapping[str, Any]) -> Difference | None:
    path = wanted["path"]
    found = lstat(path)
    if found is None:
        return None
    if stat.S_ISDIR(found.st_mode):
        raise Conflict(f"{path} should not be there, but is a directory. Move it away and run again.")
    return Difference(wanted["layer"], path, ["present"], before="present\n", after="absent\n")


def _compare_attributes(wanted: Mapping[str, Any]) -> Difference | None:
    path = wanted["path"]
    found = lstat(path)
    difference = Difference(wanted["layer"], path)
    if found is None:
        if not wanted["create"]:
            return None
        difference.words = ["missing"]
        difference.after = f"empty file {wanted['owner']}:{wanted['group']} {wanted['mode']}\n"
    else:
        _refuse_other_than_file(path, found)
        difference.words = wrong_attributes(found, wanted)
        describe_attributes(difference)
    return difference if difference.words else None


def _read_setting(wanted: Mapping[str, Any]) -> str | None:
    """Return the text of somebody else's file; None for one that its package has not brought yet, and for a link."""
    found = lstat(wanted["path"])
    return read_text(wanted["path"]) if found is not None and stat.S_ISREG(found.st_mode) else None


def _compare_setting(wanted: Mapping[str, Any]) -> Difference | None:
    text = _read_setting(wanted)
    if text is None or (after := setting.changed(text, wanted["changes"])) == text:
        return None
    return Difference(wanted["layer"], wanted["path"], ["content"], text, after)


def setting_warnings(wanted: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each of an administrator's own values that is too low; only a setting has any."""
    text = _read_setting(wanted) if wanted["kind"] == "setting" else None
    return [] if text is None else list(setting.warnings(wanted["path"], text, wanted["changes"]))


def _refuse_other_than_file(path: str, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        raise Conflict(
            f"{path} should be a regular file with one name, but something else stands there. Move it away and run"
            " again."
        )


_COMPARE: dict[str, Callable[[Mapping[str, Any]], Difference | None]] = {
    "directory": _compare_directory,
    "file": _compare_file,
    "link": _compare_link,
    "attributes": _compare_attributes,
    "absent": _compare_absent,
    "setting": _compare_setting,
    "contents": contents.compare,
}


# -- putting right ------------------------------------------------------------------------------------------------


def put_right(wanted: Mapping[str, Any]) -> Callable[[], None]:
    """Make the host as wanted, each file and link in one atomic step.

    :returns: a function that puts back what stood there before.
    :raises KeyError: where the owner or group does not exist.
    """
    return _PUT_RIGHT[wanted["kind"]](wanted)


def make_directories(path: str) -> None:
    """Make a directory of root's, and what is missing above it. Everybody may pass through, whatever the umask is."""
    if os.path.isdir(path):
        return
    make_directories(os.path.dirname(path))
    with contextlib.suppress(FileExistsError):  # another site's run was faster
        os.mkdir(path, 0o700)
        os.chmod(path, 0o755)  # noqa: S103


def _put_directory(wanted: Mapping[str, Any]) -> Callable[[], None]:
    if "beneath" in wanted:
        return app_data.put_directory(wanted)
    path = wanted["path"]
    if lstat(path) is None:
        make_directories(os.path.dirname(path))
        os.mkdir(path, 0o700)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchown(descriptor, *ids(wanted))
        os.fchmod(descriptor, int(wanted["mode"], 8))
    finally:
        os.close(descriptor)
    return nothing_to_undo


def _put_attributes(wanted: Mapping[str, Any]) -> Callable[[], None]:
    """Set the attributes of a file, and make it empty where it is missing; it is not taken away again."""
    path = wanted["path"]
    flags = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    if lstat(path) is None:
        descriptor = os.open(path, flags | os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    else:
        descriptor = os.open(path, flags | os.O_RDONLY)
    try:
        _refuse_other_than_file(path, os.fstat(descriptor))
        os.fchown(descriptor, *ids(wanted))
        os.fchmod(descriptor, int(wanted["mode"], 8))
    finally:
        os.close(descriptor)
    return nothing_to_undo


def _put_file(wanted: Mapping[str, Any]) -> Callable[[], None]:
    path = wanted["path"]
    found = lstat(path)
    is_file = found is not None and stat.S_ISREG(found.st_mode)
    existing = read_text(path) if is_file else None
    undo = _undo_for(path, found)
    text = with_generated(wanted, existing, make=lambda: random_secrets.token_hex(32))
    uid, gid = ids(wanted)
    write_atomically(path, text, uid, gid, int(wanted["mode"], 8))
    return undo


def _put_setting(wanted: Mapping[str, Any]) -> Callable[[], None]:
    """Change lines of somebody else's file, which keeps its owner and mode."""
    path, text = wanted["path"], _read_setting(wanted)
    if text is None:
        return nothing_to_undo
    found = os.lstat(path)
    undo = _undo_for(path, found)
    changed = setting.changed(text, wanted["changes"])
    write_atomically(path, changed, found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode))
    return undo


def write_atomically(path: str, text: str, uid: int, gid: int, mode: int) -> None:
    """Write a text file so that a reader, and a crash, see the old content or the new one, never a part."""
    descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=f".{os.path.basename(path)}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as handle:
            handle.write(text)
            handle.flush()
            os.fchown(handle.fileno(), uid, gid)
            os.fchmod(handle.fileno(), mode)
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _put_link(wanted: Mapping[str, Any]) -> Callable[[], None]:
    path = wanted["path"]
    found = lstat(path)
    undo = _undo_for(path, found)
    if found is not None and stat.S_ISDIR(found.st_mode):
        os.rmdir(path)  # fails where it is not empty, which compare() has refused already
    make_directories(os.path.dirname(path))
    link_atomically(path, wanted["target"])
    return undo


def link_atomically(path: str, target: str) -> None:
    """Point a link somewhere in one step: at no moment is it missing."""
    temporary = f"{path}.{random_secrets.token_hex(4)}"
    os.symlink(target, temporary)
    try:
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _put_absent(wanted: Mapping[str, Any]) -> Callable[[], None]:
    path = wanted["path"]
    undo = _undo_for(path, lstat(path))
    os.unlink(path)
    return undo


def _undo_for(path: str, found: os.stat_result | None) -> Callable[[], None]:
    if found is None:

        def undo() -> None:
            if lstat(path) is not None:
                os.unlink(path)

    elif stat.S_ISLNK(found.st_mode):
        target = os.readlink(path)

        def undo() -> None:
            link_atomically(path, target)

    elif stat.S_ISREG(found.st_mode):
        text = read_text(path) or ""
        status = found

        def undo() -> None:
            write_atomically(path, text, status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode))

    else:
        return nothing_to_undo
    return undo


_PUT_RIGHT: dict[str, Callable[[Mapping[str, Any]], Callable[[], None]]] = {
    "directory": _put_directory,
    "file": _put_file,
    "link": _put_link,
    "attributes": _put_attributes,
    "absent": _put_absent,
    "tree": app_data.put_tree,
    "setting": _put_setting,
    "contents": contents.apply,
}
