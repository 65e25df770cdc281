# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A Git repository as the source of a blog, asked and fetched on the host.

What talks to the repository runs in a sandbox of systemd's, with a time limit, with none of the host's own settings of
Git and SSH, and with a key that lies in /run for that time only. What is fetched becomes files through C(ls-tree) and
C(cat-file): no hook, no filter and no attribute of the repository has a say in it.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from ansible_collections.flaskblog.hosting.plugins.module_utils.description import Commit
from ansible_collections.flaskblog.hosting.plugins.module_utils.source import SourceError

GIT = "/usr/bin/git"
#: The only ways to a repository; others, such as C(ext::), would run commands.
PROTOCOLS = "https:ssh:git:file"
#: A file system in memory, for what must not be left on a disk; and one for what may be large.
PRIVATE = "/run"
LARGE = "/var/tmp"

FULL_COMMIT = re.compile(r"[0-9a-f]{40}")
SHORT_COMMIT = re.compile(r"[0-9a-f]{7,39}")
#: Where the wanted commit is kept in our own repository: what nothing refers to is pruned.
WANTED = "refs/blog/wanted"
#: What git-lfs leaves in the place of a file (https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md).
LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\n"
LFS_LARGEST = 1024

#: Lines that Git adds after the one that says what is wrong.
GENERIC = re.compile(
    r"fatal: Could not read from remote repository\.|Please make sure you have the correct access rights"
    r"|and the repository exists\.|fatal: the remote end hung up unexpectedly|Warning: Permanently added .*|\s*"
)
CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+(?=@)")

#: How many of a repository's branches and tags a message lists.
NAMED = 8

FILE, LINK, PROGRAM, SUBMODULE = "100644", "120000", "100755", "160000"


class GitError(SourceError):
    """The repository does not give what is wanted; the message has Git's own words and the remedy."""


class VersionError(GitError):
    """The repository can be read, and has not the version that is wanted."""


@dataclass(frozen=True)
class Access:
    """Which repository and version are wanted, and what is needed to get there."""

    #: without credentials
    url: str
    #: branch, tag, full name of a ref, or commit; empty for the repository's own HEAD
    version: str
    #: seconds for each question to the repository
    timeout: int
    #: text of a private key for SSH
    key: str = field(default="", repr=False)
    #: C(https://user:token@host), as git-credential-store(1) reads it
    credentials: str = field(default="", repr=False)
    #: lines of a known_hosts file; without them, the host's key is taken at the first contact and kept
    known_hosts: Sequence[str] = ()

    @property
    def is_local(self) -> bool:
        """Whether the repository lies on the host itself."""
        return self.url.startswith("file:")


def sandbox(access: Access, writable: Sequence[Path], names: Sequence[str]) -> list[str]:
    """Return the beginning of a command that runs in a sandbox of systemd's, and is ended with all its children.

    :param writable: the folders that it may write.
    :param names: what of its environment goes along.

    The account is root, as nobody else is known to be there and to have nothing: without capabilities, without what
    others listen on, with a file system that it cannot write. (ssh(1) needs an account that the host knows.)
    """
    reach = ["PrivateNetwork=yes", "ProtectHome=read-only", "CapabilityBoundingSet=CAP_DAC_READ_SEARCH"]
    if not access.is_local:
        reach = ["RestrictAddressFamilies=AF_INET AF_INET6", "ProtectHome=yes", "CapabilityBoundingSet="]
    properties = [
        *reach,
        *(f"ReadWritePaths={path}" for path in writable),
        f"RuntimeMaxSec={access.timeout}",
        "TimeoutStopSec=2",
        "UMask=0077",
        "ProtectSystem=strict",
        "PrivateDevices=yes",
        "NoNewPrivileges=yes",
        "ProtectKernelTunables=yes",
        "ProtectKernelModules=yes",
        "ProtectControlGroups=yes",
        "RestrictNamespaces=yes",
        "RestrictSUIDSGID=yes",
        "LockPersonality=yes",
    ]
    command = ["systemd-run", "--quiet", "--pipe", "--wait", "--collect", "--service-type=exec"]
    settings = [f"--setenv={name}" for name in names]
    return [*command, *(f"--property={line}" for line in properties), *settings, "--"]


def environment(**more: str) -> dict[str, str]:
    """Return all that Git finds in its environment: nothing of the host's settings but its proxies."""
    proxies = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    return {
        "PATH": "/usr/bin:/bin",
        "LC_ALL": "C.UTF-8",
        "HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": PROTOCOLS,
        **proxies,
        **more,
    }


class Remote:
    """A repository somewhere else, and how it is asked."""

    def __init__(self, access: Access, private: Path, work: Path) -> None:
        """Lay ready what Git and SSH need.

        :param private: a folder of root's own, in memory.
        :param work: the folder that is fetched into.
        """
        self.access = access
        self.known_hosts = private / "known_hosts"
        self._writable = [private, work]
        _write(private / "config", self._config(private))
        _write(private / "credentials", f"{access.credentials}\n")
        key = private / "key"
        if access.key:
            _write(key, access.key.strip().replace("\r\n", "\n") + "\n")
        if access.known_hosts:
            _write(self.known_hosts, "".join(f"{line}\n" for line in access.known_hosts))
        ssh = {
            "BatchMode": "yes",
            "ConnectTimeout": str(access.timeout),
            "GlobalKnownHostsFile": "/dev/null",
            "IdentitiesOnly": "yes",
            "IdentityFile": str(key) if access.key else "none",
            "StrictHostKeyChecking": "yes" if access.known_hosts else "accept-new",
            "UpdateHostKeys": "no",
            "UserKnownHostsFile": str(self.known_hosts),
        }
        options = " ".join(f"-o {name}={value}" for name, value in ssh.items())
        self._environment = environment(
            GIT_CONFIG_GLOBAL=str(private / "config"), GIT_SSH_COMMAND=f"ssh -F /dev/null {options}"
        )

    def _config(self, private: Path) -> str:
        lines = ["[core]", "hooksPath = /dev/null", "[gc]", "auto = 0", "[credential]", "helper ="]
        if self.access.credentials:
            lines.append(f"helper = store --file={private}/credentials")
        if self.access.is_local:
            # It may belong to the account that it is pushed to, and Git then asks whether that was meant: it was named.
            lines += ["[safe]", "directory = *"]
        return "".join(f"{line}\n" for line in lines)

    def ask(self, *arguments: str) -> str:
        """Run a command of Git that talks to the repository.

        :raises GitError: with Git's own words, where it fails or takes too long.
        """
        begun = time.monotonic()
        limit = self.access.timeout
        command = sandbox(self.access, self._writable, list(self._environment))
        try:
            done = subprocess.run(
                [*command, GIT, *arguments],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=limit + 30,
                check=False,
            )
        except subprocess.TimeoutExpired:
            done = None
        if done is None or (done.returncode and time.monotonic() - begun >= limit):
            raise GitError(
                f"the repository did not answer within {limit} s (flask_blog_git_timeout). Is it reachable from the"
                " server, through its firewall?"
            )
        if done.returncode:
            raise GitError(_explained(done.stderr))
        return done.stdout

    def refs(self) -> dict[str, str]:
        """Return the commit of C(HEAD) and of each branch and tag, and under C(->) the branch that HEAD is."""
        lines = self.ask("ls-remote", "--symref", "--", self.access.url, "HEAD", "refs/heads/*", "refs/tags/*")
        found = {}
        for line in lines.splitlines():
            value, _, name = line.partition("\t")
            if value.startswith("ref: "):
                found["->"] = value.removeprefix("ref: ")
            else:
                # What a tag with a message leads to stands on a line of its own.
                found[name.removesuffix("^{}")] = value
        return found

    def fetch(self, repository: Path, *refs: str, whole: bool = False) -> None:
        """Fetch refs, the last commit of each or the whole history, into a repository of ours."""
        depth = [] if whole else ["--depth=1"]
        how = [
            "--quiet",
            "--force",
            "--no-tags",
            "--no-recurse-submodules",
            "--no-auto-gc",
            "--no-write-fetch-head",
            *depth,
        ]
        self.ask("-C", str(repository), "fetch", *how, "--", self.access.url, *refs)


def _write(path: Path, text: str) -> None:
    """Write a file that only its owner may read, from its first byte on."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        handle.write(text)


def _explained(errors: str) -> str:
    """Return what Git, or SSH, said at last that says something, and what can be done about it."""
    lines = [line.strip() for line in errors.splitlines() if not GENERIC.fullmatch(line.strip())]
    words = CREDENTIALS.sub("********", lines[-1] if lines else "Git failed without a word")
    remedy = "Try the same address with 'git ls-remote'"
    if "Permission denied" in words:
        remedy = "Add the public half of flask_blog_deploy_key to the repository's deploy keys"
    elif "Host key verification failed" in words:
        remedy = "Name the key that the repository's server has now in flask_blog_known_hosts, if you trust it"
    elif "could not read Username" in words or "Authentication failed" in words:
        remedy = (
            "It is private, or not there: use its SSH address with flask_blog_deploy_key, or put a token into the URL"
        )
    return f"Git cannot read the repository: {words.rstrip('.')}. {remedy}."


def resolve(refs: dict[str, str], version: str) -> tuple[str, str]:
    """Find the ref and the commit that a version means.

    :param refs: what P(Remote.refs) returned.
    :raises GitError: where there is none, or more than one; with some that there are.
    """
    if not version:
        if "HEAD" not in refs:
            raise GitError("the repository has no HEAD: it is empty, or names a branch that is gone")
        return refs.get("->", "HEAD"), refs["HEAD"]
    names = [name for name in (version, f"refs/heads/{version}", f"refs/tags/{version}") if name in refs]
    if len(names) > 1:
        raise VersionError(f"the repository has a branch and a tag of this name. Write {names[0]!r} or {names[1]!r}")
    if not names:
        short = " A commit is named by all of its 40 digits." if SHORT_COMMIT.fullmatch(version) else ""
        raise VersionError(f"the repository has no such branch, tag or commit.{short} {some_of(refs)}")
    return names[0], refs[names[0]]


def some_of(refs: dict[str, str]) -> str:
    """Name a few of the branches and tags that there are."""
    heads = sorted(name.removeprefix("refs/heads/") for name in refs if name.startswith("refs/heads/"))
    tags = sorted((name.removeprefix("refs/tags/") for name in refs if name.startswith("refs/tags/")), reverse=True)
    names = [*heads[: NAMED - min(len(tags), NAMED // 2)], *tags]
    more = len(heads) + len(tags) - len(names[:NAMED])
    if not names:
        return "It has no branches and no tags"
    return f"It has {', '.join(names[:NAMED])}" + (f" and {more} more" if more > 0 else "")


@contextlib.contextmanager
def wanted(access: Access, folder: str, keep: bool) -> Iterator[tuple[Commit, Path]]:
    """Yield the commit that is wanted and a bare repository that holds it.

    Nothing is changed while it is asked and fetched. Where what follows succeeds, the repository is kept, without
    older commits, so that the next fetch brings only what is new.

    :param folder: where it is kept: C(repository), and C(known_hosts) with the keys of hosts met before.
    :param keep: false in check mode.
    :raises GitError: where it cannot be had.
    """
    mirror, known = Path(folder, "repository"), Path(folder, "known_hosts")
    with (
        tempfile.TemporaryDirectory(prefix="flask-blog-git-", dir=PRIVATE) as private,
        tempfile.TemporaryDirectory(prefix="flask-blog-git-", dir=LARGE) as work,
    ):
        remote = Remote(access, Path(private), Path(work))
        if known.is_file() and not access.known_hosts:
            shutil.copyfile(known, remote.known_hosts)
        commit, repository = _found(remote, mirror, Path(work, "repository"))
        yield commit, repository
        if keep:
            _keep(repository, mirror)
            if remote.known_hosts.exists() and not access.known_hosts and not _same(remote.known_hosts, known):
                shutil.copyfile(remote.known_hosts, known)
                known.chmod(0o600)


def _same(one: Path, other: Path) -> bool:
    return other.is_file() and one.read_bytes() == other.read_bytes()


def _keep(repository: Path, mirror: Path) -> None:
    """Put a repository in the place of the one that was kept before."""
    if repository == mirror:
        return
    mirror.parent.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    mirror.parent.mkdir(exist_ok=True)
    mirror.parent.chmod(0o700)
    aside = mirror.with_name("repository.incomplete")
    shutil.rmtree(aside, ignore_errors=True)
    shutil.move(repository, aside)
    # What an interruption leaves out here is fetched again.
    shutil.rmtree(mirror, ignore_errors=True)
    aside.rename(mirror)


def _found(remote: Remote, mirror: Path, work: Path) -> tuple[Commit, Path]:
    """Find the commit in the repository that was kept, or fetch it into a new one."""
    access = remote.access
    if FULL_COMMIT.fullmatch(access.version):
        commit = Commit(access.version, access.version, access.url)
        if holds(mirror, commit.identity):
            return commit, mirror
        _fetch_commit(remote, mirror, work, commit.identity)
        return commit, work
    ref, identity = resolve(remote.refs(), access.version)
    if not holds(mirror, identity):
        _begun_with(mirror, work, lambda: remote.fetch(work, f"+{ref}:{WANTED}"))
        # The branch may have moved since it was asked for.
        identity = local(work, "rev-parse", "--verify", f"{WANTED}^{{commit}}").strip()
        _prune(work)
        return Commit(identity, ref, access.url), work
    return Commit(identity, ref, access.url), mirror


def _begun_with(mirror: Path, work: Path, fetch: Callable[[], None]) -> None:
    """Fetch into a copy of what was kept, so that only what is new travels; or into nothing, where that fails."""
    if holds(mirror, WANTED):
        shutil.copytree(mirror, work, copy_function=_link)
        with contextlib.suppress(GitError):
            return fetch()
        shutil.rmtree(work)
    _make(work)
    return fetch()


def _link(one: str, other: str) -> None:
    """Give an object of a repository a second name, as Git never changes one; copy what is no object."""
    try:
        os.link(one, other) if "/objects/" in one else shutil.copy2(one, other)
    except OSError:  # on another file system
        shutil.copy2(one, other)


def _make(repository: Path) -> None:
    repository.mkdir()
    local(repository, "init", "--quiet", "--bare", "--template=", "--initial-branch=none", ".")


def _fetch_commit(remote: Remote, mirror: Path, work: Path, commit: str) -> None:
    """Fetch a commit by its digits. Many servers give one that is no branch's last only with all of the history."""
    try:
        _begun_with(mirror, work, lambda: remote.fetch(work, f"+{commit}:{WANTED}"))
    except GitError:
        refs = remote.refs()  # where the repository cannot be read at all, it says so here
        shutil.rmtree(work, ignore_errors=True)
        _make(work)
        remote.fetch(work, "+refs/heads/*:refs/all/heads/*", "+refs/tags/*:refs/all/tags/*", whole=True)
        if not holds(work, commit):
            raise VersionError(f"the repository has no such commit on a branch or tag. {some_of(refs)}") from None
        local(work, "update-ref", WANTED, commit)
        for name in local(work, "for-each-ref", "--format=%(refname)", "refs/all").split():
            local(work, "update-ref", "-d", name)
        (work / "shallow").write_text(f"{commit}\n")
    if local(work, "rev-parse", "--verify", f"{WANTED}^{{commit}}").strip() != commit:
        raise VersionError("it is no commit. Name the commit, not a tag's own object or a tree")
    _prune(work)


def _prune(repository: Path) -> None:
    """Drop what the wanted commit does not need, so that the repository does not grow from release to release."""
    local(repository, "gc", "--quiet", "--prune=now")


def holds(repository: Path, commit: str) -> bool:
    """Say whether a repository of ours is whole enough to have a commit."""
    if not (repository / "HEAD").is_file():
        return False
    try:
        local(repository, "rev-parse", "--quiet", "--verify", f"{commit}^{{tree}}")
    except GitError:
        return False
    return True


def local(repository: Path, *arguments: str) -> str:
    """Run a command of Git that stays in a repository of ours.

    :raises GitError: with Git's last words.
    """
    done = subprocess.run(
        [GIT, "-C", str(repository), *arguments],
        env=environment(GIT_DIR=str(repository)),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        check=False,
    )
    if done.returncode:
        words = done.stderr.strip().splitlines()
        raise GitError(f"'git {arguments[0]}' failed in {repository}: {words[-1] if words else done.returncode}")
    return done.stdout


def export(repository: Path, commit: str, folder: Path) -> None:
    """Write the files and links of a commit into a folder, byte by byte as they were committed.

    :raises GitError: for a submodule or a file of Git LFS, which are not in the repository; for a full disk.
    """
    files, links = _listed(repository, commit)
    try:
        _write_all(repository, [*files, *links], folder)
    except OSError as error:
        raise GitError(f"the commit cannot be written on the host: {error}") from error


#: Path, object and mode of one file or link of a commit.
Listed = tuple[str, str, str]


def _listed(repository: Path, commit: str) -> tuple[list[Listed], list[Listed]]:
    files, links = list[Listed](), list[Listed]()
    for line in local(repository, "ls-tree", "-r", "-z", "--full-tree", commit).split("\0"):
        if not line:
            continue
        attributes, _, path = line.partition("\t")
        mode, _, identity = attributes.split()
        if any(part in ("", ".", "..") for part in path.split("/")):
            raise GitError(f"the commit would write outside its folder: {path}")
        if mode == SUBMODULE:
            raise GitError(
                f"{path} is a submodule, which is not fetched, and the app would lack it. Commit its files instead, or"
                " deploy a folder in which it is checked out"
            )
        (links if mode == LINK else files).append((path, identity, mode))
    return files, links


def _write_all(repository: Path, listed: Sequence[Listed], folder: Path) -> None:
    """Write files, and then links, so that no file is written through one."""
    with tempfile.TemporaryFile() as identities:
        identities.write("".join(f"{identity}\n" for _, identity, _ in listed).encode())
        identities.seek(0)
        with subprocess.Popen(
            [GIT, "-C", str(repository), "cat-file", "--batch"],
            env=environment(GIT_DIR=str(repository)),
            stdin=identities,
            stdout=subprocess.PIPE,
        ) as process:
            output = process.stdout
            if output is None:
                raise GitError("'git cat-file' has no output")
            for path, _, mode in listed:
                header = output.readline().split()
                if len(header) != 3:
                    process.kill()
                    raise GitError(f"the repository lacks {path}. Remove {repository}, so that it is fetched anew")
                try:
                    _take(output, int(header[2]), folder / path, path, mode)
                except (GitError, OSError):
                    process.kill()
                    raise
                output.read(1)  # a newline follows each object


def _take(stream: IO[bytes], size: int, place: Path, path: str, mode: str) -> None:
    """Write one object from C(git cat-file --batch) as a file, a program or a link."""
    place.parent.mkdir(parents=True, exist_ok=True)
    first = stream.read(min(size, LFS_LARGEST))
    if mode == LINK:
        os.symlink(os.fsdecode(first + stream.read(size - len(first))), place)
        return
    if first.startswith(LFS_POINTER) and size <= LFS_LARGEST:
        raise GitError(
            f"{path} lies in Git LFS, which is not fetched, and its visitors would get a few lines of text. Commit the"
            " file itself, or deploy a folder or an archive that holds it"
        )
    descriptor = os.open(
        place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o700 if mode == PROGRAM else 0o600
    )
    with os.fdopen(descriptor, "wb") as target:
        target.write(first)
        left = size - len(first)
        while left:
            block = stream.read(min(left, 1 << 20))
            if not block:
                raise GitError(f"the repository ends in the middle of {path}")
            target.write(block)
            left -= len(block)
