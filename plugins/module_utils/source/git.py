# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A Git repository as the source of a blog, listed and fetched on the host.

Git runs in a unit (git_unit.py), as an account that owns only the repository that is kept (git_account.py). Files come
from C(ls-tree) and C(cat-file) (git_export.py), so no hook, filter or attribute of the repository affects them.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils.source import read
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.description import (
    Commit,
    Description,
    describe,
)
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.git_account import (
    Git,
    git_as,
    work_folder,
)
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.git_export import export
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.git_remote import FULL_COMMIT, Access, Remote
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.git_unit import LOCAL_TIMEOUT, Reach
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.kept_repository import COMMIT
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.limits import Limits
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import GitError, VersionError

SHORT_COMMIT = re.compile(r"[0-9a-f]{7,39}")
#: How many of a repository's branches and tags a message lists.
NAMED = 8
#: Bytes of the file with host keys that are read.
LARGEST_KNOWN_HOSTS = 1 << 20

COPY = 'cp -R "$1/." "$2"'


def resolve(refs: dict[str, str], version: str) -> tuple[str, str]:
    """Find the ref and the commit that a version means.

    :param refs: what P(Remote.refs) returned.
    :raises GitError: if there is none, with some that exist; or more than one.
    """
    if not version:
        if "HEAD" not in refs:
            raise GitError("the repository has no HEAD: it is empty, or names a branch that is gone")
        return refs.get("->", "HEAD"), refs["HEAD"]
    names = [name for name in (version, f"refs/heads/{version}", f"refs/tags/{version}") if name in refs]
    if len(names) > 1:
        raise VersionError(
            version, f"the repository has a branch and a tag of this name. Write {names[0]!r} or {names[1]!r}"
        )
    if not names:
        short = " A commit is named by all of its 40 digits." if SHORT_COMMIT.fullmatch(version) else ""
        raise VersionError(version, f"the repository has no such branch, tag or commit.{short} {some_of(refs)}")
    return names[0], refs[names[0]]


def some_of(refs: dict[str, str]) -> str:
    """Return a sentence that names a few of the branches and tags."""
    heads = sorted(name.removeprefix("refs/heads/") for name in refs if name.startswith("refs/heads/"))
    tags = sorted((name.removeprefix("refs/tags/") for name in refs if name.startswith("refs/tags/")), reverse=True)
    names = [*heads[: NAMED - min(len(tags), NAMED // 2)], *tags]
    more = len(heads) + len(tags) - len(names[:NAMED])
    if not names:
        return "It has no branches and no tags"
    return f"It has {', '.join(names[:NAMED])}" + (f" and {more} more" if more > 0 else "")


@contextlib.contextmanager
def described(
    source: Mapping[str, Any], opening: Mapping[str, Any], site: Mapping[str, Any], keep: bool
) -> Iterator[tuple[Description, list[str]]]:
    """Fetch the wanted commit, describe the release that it makes, and yield it with the databases in it.

    :param source: what P(describe) takes, and C(url), C(version), C(timeout) and C(known_hosts).
    :param opening: C(key) for SSH, and C(credentials).
    :param site: what P(describe) and P(wanted) take.
    :param keep: false in check mode.
    :raises SourceError: if there is no such commit, or it cannot become a release.
    """
    access = Access(
        source["url"],
        source["version"],
        source["timeout"],
        opening["key"],
        opening["credentials"],
        source["known_hosts"],
    )
    limits = Limits.of(source.get("limits", {}))
    with (
        tempfile.TemporaryDirectory(prefix="flask-blog-", dir="/var/tmp") as folder,
        wanted(access, site, keep, folder, limits) as commit,
    ):
        found = describe(Path(folder), source, site, commit=commit)
        yield found, read.databases(found.folder, found.code)


@contextlib.contextmanager
def wanted(access: Access, site: Mapping[str, Any], keep: bool, folder: str, limits: Limits) -> Iterator[Commit]:
    """Write the files of the wanted commit into a folder, and yield the commit.

    If the body of the context succeeds, the repository is kept, without older commits, so that the next fetch
    transfers only new objects. Until then nothing on the host changes.

    :param site: C(git), the folder with C(repository) and C(known_hosts), the accepted host keys; and C(build_user).
    :param keep: false in check mode.
    :raises SourceError: if the commit cannot be fetched or written.
    """
    mirror, known = Path(site["git"], "repository"), Path(site["git"], "known_hosts")
    with git_as(site["build_user"], limits) as git, contextlib.ExitStack() as stack:
        remote = Remote(git, access, _read(known))
        held = mirror if _is_kept(git, mirror) else None
        if FULL_COMMIT.fullmatch(access.version):
            refs, commit = None, Commit(access.version, access.version, access.url)
        else:
            refs = remote.refs()
            ref, identity = resolve(refs, access.version)
            commit = Commit(identity, ref, access.url)
        work = None
        noted = _read(mirror.with_name(COMMIT))
        holds = held and noted in ("", commit.identity)
        if not (holds and held and export(git, held, commit.identity, folder)):
            work = stack.enter_context(work_folder(git))
            # The branch may have moved since the refs were listed.
            commit = Commit(_fetched(remote, work, held, commit), commit.ref, access.url)
            if not export(git, work, commit.identity, folder):
                raise GitError("the repository was fetched, and lacks the commit")
        yield commit
        if keep:
            if work:
                _keep(git, work, mirror, commit.identity)
            _keep_known_hosts(remote, known)


def _fetched(remote: Remote, work: Path, mirror: Path | None, commit: Commit) -> str:
    """Fetch a branch, a tag, or a commit by its digits; return the commit."""
    if commit.ref != commit.identity:
        return remote.fetch(work, mirror, commit.ref)
    try:
        found = remote.fetch(work, mirror, commit.identity)
    except GitError:
        refs = remote.refs()  # raises if the repository cannot be read at all
        try:
            found = remote.fetch(work, None, commit.identity, whole=True)
        except VersionError as error:
            raise VersionError(error.version, f"{error}. {some_of(refs)}") from error
    if found != commit.identity:
        raise VersionError(commit.identity, "it is no commit. Name the commit, not a tag's own object or a tree")
    return found


def _is_kept(git: Git, mirror: Path) -> bool:
    """Return whether a kept repository belongs to the account; older versions fetched as root."""
    try:
        return mirror.lstat().st_uid == git.uid
    except OSError:
        return False


def _keep(git: Git, work: Path, mirror: Path, commit: str) -> None:
    """Replace the kept repository; after an interruption it is fetched again."""
    for folder, mode in ((mirror.parent.parent, 0o755), (mirror.parent, 0o700)):
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
        folder.chmod(mode)
    old, new = mirror.with_name("repository.old"), mirror.with_name("repository.incomplete")
    for left in (old, new):
        git.discard(left)
    try:
        os.rename(work, new)
    except OSError:  # on another file system
        new.mkdir(0o700)
        os.chown(new, git.uid, git.gid)
        reach = Reach(readable=[str(work)], writable=[str(new)])
        if git.run(COPY, str(work), str(new), reach=reach, seconds=LOCAL_TIMEOUT).status:
            raise GitError(f"the repository cannot be copied to {new}; is the disk full?") from None
    mirror.with_name(COMMIT).unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        os.rename(mirror, old)
    os.rename(new, mirror)
    _write(mirror.with_name(COMMIT), commit)
    git.discard(old)


def _keep_known_hosts(remote: Remote, known: Path) -> None:
    """Keep the host keys that SSH accepted. It writes the file in a folder that only root can change."""
    found = _read(remote.known_hosts)
    if not found or remote.access.known_hosts or found == _read(known) or not known.parent.is_dir():
        return
    _write(known, found)


def _write(path: Path, text: str) -> None:
    """Write a file in a folder of root atomically."""
    new = path.with_name(f"{path.name}.incomplete")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        handle.write(text)
    os.rename(new, path)


def _read(path: Path) -> str:
    """Return the text of a file in a folder of root; "" if it is missing."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ""
    with os.fdopen(descriptor, encoding="utf-8", errors="replace") as handle:
        return handle.read(LARGEST_KNOWN_HOSTS)


def take(site: Mapping[str, Any], commit: str, folder: str, left_out: Sequence[str], limits: Limits) -> None:
    """Write the files of a kept commit into a folder.

    :raises SourceError: if the repository does not hold it, or as P(export).
    """
    mirror = Path(site["git"], "repository")
    with git_as(site["build_user"], limits) as git:
        if not (_is_kept(git, mirror) and export(git, mirror, commit, folder, left_out)):
            raise GitError(f"the repository that was kept in {mirror} lacks the commit. Run again")
