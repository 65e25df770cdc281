# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The managed state of a host as data: what is wanted, how the host differs, how it is put right.

An object is a plain mapping with a C(kind), as the role declares it in C(vars/main.yml):

========== ================================================= ==============================================
kind       keys beside C(layer)                              meaning
========== ================================================= ==============================================
directory  path, owner, group, mode                          the directory exists with these attributes
file       path, owner, group, mode, content[, generated]    the file holds exactly this text
setting    path, changes                                     lines of somebody else's file (setting.py)
link       path, target                                      a symbolic link with exactly this target
absent     path                                              no file or link stands here
tree       path, owner, group[, served, served_group]        everything below belongs to the app's account
========== ================================================= ==============================================

C(generated) names settings whose values are made once, on the host, and kept: a file with them is compared and
written with the values that it holds already. C(generated_line) says how the file holds one, with C({name}) and
C({value}).
"""

from __future__ import annotations

import grp
import os
import pwd
import re
import secrets as random_secrets
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils import setting

#: Kinds in the order in which they are put right: a file needs its directory, a link is worth its target.
ORDER = ("directory", "tree", "file", "setting", "link", "absent")

#: How a file holds a generated value, unless its object says otherwise (C(generated_line)): as systemd reads it.
GENERATED_LINE = '{name}="{value}"'
#: A value that this collection generated: 64 hexadecimal digits, 256 bits.
GENERATED_VALUE = "[0-9a-f]{64}"

HIDDEN = "(hidden: holds secrets)\n"


class Conflict(Exception):
    """Something stands where a managed object belongs, and replacing it could lose what somebody wrote."""


@dataclass
class Difference:
    """How one object differs: C(words) for people, C(before) and C(after) for C(--diff)."""

    layer: str
    path: str
    words: list[str] = field(default_factory=list)
    before: str = ""
    after: str = ""

    def as_diff(self) -> dict[str, str]:
        """Return the mapping that Ansible's C(--diff) prints."""
        return {"before_header": self.path, "after_header": self.path, "before": self.before, "after": self.after}


def user_id(name: str) -> int | None:
    """Return the uid of an account, or None where it does not exist (yet)."""
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


def group_id(name: str) -> int | None:
    """Return the gid of a group, or None where it does not exist (yet)."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None


def lstat(path: str) -> os.stat_result | None:
    """Return the status of a path itself, never of what a link points to; None where there is nothing."""
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def read_text(path: str) -> str | None:
    """Return a file's text, or None where there is none; undecodable bytes survive a round trip."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as handle:
            return handle.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _attributes(path: str, found: os.stat_result, wanted: Mapping[str, Any]) -> list[str]:
    """Say in words which of owner, group and mode differ."""
    words = []
    for what, actual, expected in (
        ("owner", found.st_uid, user_id(wanted["owner"])),
        ("group", found.st_gid, group_id(wanted["group"])),
    ):
        if actual != expected:
            words.append(f"{what} {_name(what, actual)} -> {wanted[what]}")
    mode = stat.S_IMODE(found.st_mode)
    if mode != int(wanted["mode"], 8):
        words.append(f"mode {mode:04o} -> {int(wanted['mode'], 8):04o}")
    return words


def _name(what: str, number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name if what == "owner" else grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


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


def compare(wanted: Mapping[str, Any]) -> Difference | None:
    """Compare one object with the host.

    :returns: None where it is as wanted.
    :raises Conflict: where putting it right would replace something that is not ours.
    """
    return _COMPARE[wanted["kind"]](wanted)


def _compare_directory(wanted: Mapping[str, Any]) -> Difference | None:
    path = wanted["path"]
    found = lstat(path)
    difference = Difference(wanted["layer"], path)
    if found is None:
        difference.words = ["missing"]
        difference.after = f"directory {wanted['owner']}:{wanted['group']} {wanted['mode']}\n"
    elif not stat.S_ISDIR(found.st_mode):
        raise Conflict(f"{path} should be a directory, but a file or link stands there. Move it away and run again.")
    else:
        difference.words = _attributes(path, found, wanted)
        _describe_attributes(difference)
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
        difference.words += _attributes(path, found, wanted)
    if wanted.get("secret"):
        difference.before = "" if existing is None else HIDDEN
        difference.after = HIDDEN if "content" not in difference.words else HIDDEN.replace("holds", "changed; holds")
    else:
        difference.before, difference.after = existing or "", text
    if difference.words and difference.before == difference.after:
        _describe_attributes(difference)
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


@dataclass
class _Entry:
    """One entry of a tree, reached without following a link: (directory descriptor, name) and what is wrong."""

    directory: int
    name: str
    path: str
    uid: int
    gid: int
    mode: int
    words: list[str]


def _wrong_entries(wanted: Mapping[str, Any]) -> Iterator[_Entry]:
    """Walk a tree that the app may write, and yield what does not belong to it.

    The app may swap a directory for a link at any moment, so everything goes through directory descriptors. Files
    with a second name are left alone: giving one away could give away a file outside the tree.
    """
    root = wanted["path"]
    owner, group = user_id(wanted["owner"]), group_id(wanted["group"])
    served_group = group_id(wanted.get("served_group") or wanted["group"])
    if owner is None or group is None or served_group is None or lstat(root) is None:
        return
    served = tuple(os.path.join(root, relative) + "/" for relative in wanted.get("served") or ())
    for folder, directories, files, descriptor in os.fwalk(root, follow_symlinks=False):
        for name in [*directories, *files]:
            path = os.path.join(folder, name)
            try:
                found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            except FileNotFoundError:
                continue  # SQLite's journal, or whatever the app removed meanwhile
            if stat.S_ISLNK(found.st_mode) or (stat.S_ISREG(found.st_mode) and found.st_nlink > 1):
                continue
            is_served = f"{path}/".startswith(served) if served else False
            gid = served_group if is_served else group
            needed = (0o700 if stat.S_ISDIR(found.st_mode) else 0o600) | (
                (0o050 if stat.S_ISDIR(found.st_mode) else 0o040) if is_served else 0
            )
            mode = (stat.S_IMODE(found.st_mode) | needed) & ~0o002
            words = []
            if found.st_uid != owner:
                words.append(f"owner {_name('owner', found.st_uid)} -> {wanted['owner']}")
            # The managed directories on the way have objects of their own; here only the owner counts for them.
            if found.st_gid != gid and stat.S_ISREG(found.st_mode):
                words.append(f"group {_name('group', found.st_gid)} -> {_name('group', gid)}")
            if mode != stat.S_IMODE(found.st_mode):
                words.append(f"mode {stat.S_IMODE(found.st_mode):04o} -> {mode:04o}")
            if words:
                yield _Entry(
                    descriptor, name, path, owner, gid if stat.S_ISREG(found.st_mode) else found.st_gid, mode, words
                )


def _compare_tree(wanted: Mapping[str, Any]) -> Difference | None:
    difference = Difference(wanted["layer"], wanted["path"])
    for entry in _wrong_entries(wanted):
        difference.words.append(f"{entry.path}: {', '.join(entry.words)}")
    _describe_attributes(difference)
    return difference if difference.words else None


def _describe_attributes(difference: Difference) -> None:
    """Show attributes in C(--diff), where the content has nothing to show."""
    changes = [word for word in difference.words if " -> " in word]
    difference.before = "".join(f"{word.rpartition(' -> ')[0]}\n" for word in changes) or difference.before
    difference.after = (
        "".join(f"{word.rpartition(' -> ')[0].rpartition(' ')[0]} {word.rpartition(' -> ')[2]}\n" for word in changes)
        or difference.after
    )


_COMPARE: dict[str, Callable[[Mapping[str, Any]], Difference | None]] = {
    "directory": _compare_directory,
    "file": _compare_file,
    "link": _compare_link,
    "absent": _compare_absent,
    "tree": _compare_tree,
    "setting": _compare_setting,
}


# -- putting right ------------------------------------------------------------------------------------------------


def put_right(wanted: Mapping[str, Any]) -> Callable[[], None]:
    """Make the host as wanted, each file and link in one atomic step.

    :returns: a function that puts back what stood there before.
    :raises KeyError: where the owner or group does not exist.
    """
    return _PUT_RIGHT[wanted["kind"]](wanted)


def _ids(wanted: Mapping[str, Any]) -> tuple[int, int]:
    return pwd.getpwnam(wanted["owner"]).pw_uid, grp.getgrnam(wanted["group"]).gr_gid


def _put_directory(wanted: Mapping[str, Any]) -> Callable[[], None]:
    path = wanted["path"]
    if lstat(path) is None:
        os.makedirs(path, mode=0o700)
    # The path may lie in a folder that the app writes: what is changed is what was opened, never a link's target.
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        os.fchown(descriptor, *_ids(wanted))
        os.fchmod(descriptor, int(wanted["mode"], 8))
    finally:
        os.close(descriptor)
    return _nothing


def _put_file(wanted: Mapping[str, Any]) -> Callable[[], None]:
    path = wanted["path"]
    found = lstat(path)
    is_file = found is not None and stat.S_ISREG(found.st_mode)
    existing = read_text(path) if is_file else None
    undo = _undo_for(path, found)
    text = with_generated(wanted, existing, make=lambda: random_secrets.token_hex(32))
    write_atomically(path, text, *_ids(wanted), int(wanted["mode"], 8))
    return undo


def _put_setting(wanted: Mapping[str, Any]) -> Callable[[], None]:
    """Change lines of somebody else's file, which keeps its owner and mode."""
    path, text = wanted["path"], _read_setting(wanted)
    if text is None:
        return _nothing
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
    os.makedirs(os.path.dirname(path), exist_ok=True)
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


def _put_tree(wanted: Mapping[str, Any]) -> Callable[[], None]:
    for entry in _wrong_entries(wanted):
        # Opened first, so that the change is made to what was looked at, even if the app swaps it meanwhile.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(entry.name, flags, dir_fd=entry.directory)
        except FileNotFoundError:
            continue
        try:
            os.fchown(descriptor, entry.uid, entry.gid)
            os.fchmod(descriptor, entry.mode)
        finally:
            os.close(descriptor)
    return _nothing


def _nothing() -> None:
    """Undo for what needs no undoing: attributes and new directories."""


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
        return _nothing
    return undo


_PUT_RIGHT: dict[str, Callable[[Mapping[str, Any]], Callable[[], None]]] = {
    "directory": _put_directory,
    "file": _put_file,
    "link": _put_link,
    "absent": _put_absent,
    "tree": _put_tree,
    "setting": _put_setting,
}
