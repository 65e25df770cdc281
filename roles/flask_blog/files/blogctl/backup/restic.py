"""A restic repository: run Debian's restic (0.14 and 0.18) on it, and say what went wrong."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ..errors import Busy, OperationError
from ..shared import mask, restic_address
from ..shared.printable import printable
from ..site import Site

PROGRAM, SSH = "/usr/bin/restic", "ssh"
#: Seconds until a repository has answered. restic itself tries for a quarter of an hour.
PROBE_TIMEOUT = 60.0
#: Seconds of one run of restic.
RUN_TIMEOUT = 11 * 3600.0
#: Bytes of its output that are read.
OUTPUT_LIMIT, ERRORS_LIMIT = 32 << 20, 1 << 16
#: Snapshots of one repository that are looked at.
SNAPSHOTS_LIMIT = 20_000

#: restic's exit statuses (since 0.17), and what 0.14 writes instead.
NO_REPOSITORY, LOCKED, WRONG_PASSWORD = 10, 11, 12
SAYS_NO_REPOSITORY = re.compile(
    r"unable to open config file: .*(no such file or directory|does not exist|doesn't exist|NoSuchKey|NoSuchBucket"
    r"|BlobNotFound|ContainerNotFound|Object Not Found)",
    re.IGNORECASE,
)
SAYS_LOCKED = re.compile(r"repository is already locked|unable to create lock in backend")
SAYS_WRONG_PASSWORD = re.compile(r"wrong password or no key found")
#: A line about an attempt that is repeated, or of ssh; it has the reason why a repository does not answer.
RETRY = re.compile(r"returned error, retrying|operation .* failed|request failed|^subprocess ")

#: Names of the files in the site's folder of off-site settings (templates/etc/flask-blog/offsite).
ADDRESS_FILE, PASSWORD_FILE, CREDENTIALS_FILE = "repository", "password", "credentials"
KEY_FILE, KNOWN_HOSTS_FILE = "ssh-key", "known-hosts"

#: Snapshots of a site are found by these tags.
SITE_TAG, BACKUP_TAG = "site", "backup"


class RepositoryError(OperationError):
    """The repository does not answer, or restic failed."""


class NoRepository(RepositoryError):
    """There is no repository at this address, which answers."""


class WrongPassword(RepositoryError):
    """The password opens no key of the repository."""


class Damaged(RepositoryError):
    """The repository's content is not what was written."""


@dataclass(frozen=True)
class Snapshot:
    """A backup in a repository."""

    id: str
    #: when the backup was begun, by restic (RFC 3339)
    time: str
    host: str
    #: C(backup), C(release), C(bytes) and C(lacks), as blogctl tagged it
    tags: dict[str, str]

    @property
    def backup(self) -> str:
        """The name of the backup; empty for a snapshot that is not of blogctl."""
        return self.tags.get(BACKUP_TAG, "")

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {"id": self.id, "time": self.time, "host": self.host, "tags": self.tags}

    @classmethod
    def of(cls, found: object) -> Snapshot | None:
        """Read an entry of C(restic snapshots --json), or of P(to_dict)."""
        if not isinstance(found, dict) or not isinstance(found.get("id"), str) or not found["id"].isalnum():
            return None
        tags = found.get("tags") or {}
        if isinstance(tags, list):
            tags = dict(tag.partition("=")[::2] for tag in tags if isinstance(tag, str))
        if not isinstance(tags, dict):
            return None
        text = {printable(str(name))[:50]: printable(str(value))[:200] for name, value in list(tags.items())[:50]}
        host, time = (printable(str(found.get(key) or ""))[:200] for key in ("hostname", "time"))
        return cls(found["id"][:64], time, host or printable(str(found.get("host") or ""))[:200], text)


class Repository:
    """A site's repository, or another one that is opened with the same password and credentials."""

    def __init__(self, site: Site, address: str | None = None) -> None:
        """Read the settings.

        :param address: of another repository. C(RESTIC_PASSWORD) or C(RESTIC_PASSWORD_FILE) in blogctl's environment
            then takes precedence over the site's password.
        :raises OperationError: if there is none, or the address is none.
        """
        folder = site.path("offsite") if "offsite" in site.settings else Path("/nonexistent")
        own = _read(folder / ADDRESS_FILE)
        self.address = (address or own).strip()
        if not self.address:
            raise OperationError(
                f"{site.name} has no repository for its backups; set flask_blog_backup_repository and run"
                " playbooks/site.yml, or name one"
            )
        self.kind = restic_address.kind_of(self.address)
        if not self.kind:
            raise OperationError(
                f"{self.shown!r} is no address of a restic repository; it is a path, or begins with"
                f" {', '.join(f'{kind}:' for kind in restic_address.KINDS)}"
            )
        self._folder = folder
        self._cache = site.settings.get("offsite_cache", "")
        variables = mask.parsed(_read(folder / CREDENTIALS_FILE))
        self._mask = mask.Mask({*variables.values(), _read(folder / PASSWORD_FILE).strip()})
        self._environment = self._settings(variables, is_own=self.address == own.strip())

    @property
    def shown(self) -> str:
        """The address without a password in it."""
        return printable(mask.without_credentials(self.address))

    def _settings(self, variables: dict[str, str], *, is_own: bool) -> dict[str, str]:
        given = {
            name: os.environ[name]
            for name in ("RESTIC_PASSWORD", "RESTIC_PASSWORD_FILE")
            if not is_own and os.environ.get(name)
        }
        return {
            "PATH": "/usr/bin:/bin",
            "LC_ALL": "C.UTF-8",
            # The moment of a snapshot is given in this zone.
            "TZ": "UTC",
            **variables,
            "RESTIC_REPOSITORY": self.address,
            **(given or {"RESTIC_PASSWORD_FILE": str(self._folder / PASSWORD_FILE)}),
            "RESTIC_PROGRESS_FPS": "0.001",
        }

    def _options(self) -> list[str]:
        cache = ["--cache-dir", self._cache] if self._cache else ["--no-cache"]
        return [*cache, "-o", f"sftp.command={' '.join(self._ssh())}"] if self.kind == restic_address.SFTP else cache

    def _ssh(self) -> list[str]:
        """Return the command that reaches a repository on SFTP."""
        server = restic_address.sftp_of(self.address)
        if server is None:
            raise OperationError(f"{self.shown!r} is no address of a repository on SFTP: write sftp://USER@HOST/PATH")
        return [
            # Nobody's settings but these; an unknown host is refused.
            *(SSH, "-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"),
            *("-o", f"IdentityFile={self._folder / KEY_FILE}", "-o", "StrictHostKeyChecking=yes"),
            *("-o", f"UserKnownHostsFile={self._folder / KNOWN_HOSTS_FILE}", "-o", "GlobalKnownHostsFile=/dev/null"),
            *("-o", "UpdateHostKeys=no", "-o", "ConnectTimeout=20", "-o", "ServerAliveInterval=30"),
            *("-o", "ServerAliveCountMax=4", "-o", "LogLevel=ERROR"),
            *(("-p", str(server.port)) if server.port else ()),
            *("-l", server.user, server.host, "-s", "sftp"),
        ]

    def ask_restic(self, *arguments: str, folder: Path | None = None, seconds: float = RUN_TIMEOUT) -> str:
        """Run restic and return its output.

        :param folder: the working directory.
        :raises RepositoryError: saying why it failed; C(Busy) if another program has locked the repository.
        """
        if not os.access(PROGRAM, os.X_OK):
            raise OperationError(f"{PROGRAM} is missing; run playbooks/site.yml, which installs it")
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            try:
                status = subprocess.run(
                    [PROGRAM, *self._options(), *arguments],
                    env=self._environment,
                    cwd=folder or "/",
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=errors,
                    timeout=seconds,
                    check=False,
                ).returncode
            except subprocess.TimeoutExpired:
                status = None
            text = _tail(output, OUTPUT_LIMIT) if status == 0 else ""
            if status != 0:
                said = _tail(errors, ERRORS_LIMIT)
                raise self._repository_error(arguments[0], status, f"{said}\n{self._said_by_ssh(said)}", seconds)
        return text

    def _said_by_ssh(self, errors: str) -> str:
        """Return why ssh fails, if restic has ended before it read that; empty if that is not the reason."""
        if "sftp session" not in errors or "subprocess ssh" in errors:
            return ""
        try:
            done = subprocess.run(
                self._ssh(),
                env=self._environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=60,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return ""
        lines = done.stderr[-ERRORS_LIMIT:].decode(errors="replace").strip().splitlines()
        return f"subprocess ssh: {lines[-1]}" if done.returncode and lines else ""

    def _repository_error(self, command: str, status: int | None, errors: str, seconds: float) -> OperationError:
        reason = self._mask.text(printable(_message(errors))) or f"it ended with status {status} and wrote nothing"
        where = f"the repository {self.shown}"
        if status == WRONG_PASSWORD or SAYS_WRONG_PASSWORD.search(errors):
            return WrongPassword(
                f"the password does not open {where}: it belongs to another repository, or flask_blog_backup_password"
                f" was changed. restic key passwd changes a repository's password. ({reason})"
            )
        if status == NO_REPOSITORY or (status == 1 and SAYS_NO_REPOSITORY.search(errors)):
            return NoRepository(f"there is no repository at {self.shown}: {reason}")
        if status == LOCKED or SAYS_LOCKED.search(errors):
            return Busy(f"another program uses {where}; it is tried again later: {reason}")
        if status is None:
            return RepositoryError(f"{where} does not answer within {seconds:.0f} s: {reason}")
        return RepositoryError(f"'restic {command}' failed on {where}: {reason}")

    # -- what blogctl does with it --

    def probe(self, seconds: float = PROBE_TIMEOUT) -> None:
        """See that the repository answers and the password opens it.

        :raises RepositoryError: C(NoRepository) or C(WrongPassword) if that is the reason.
        """
        self.ask_restic("cat", "config", "--no-lock", seconds=seconds)

    def create(self) -> None:
        """Make the repository; restic refuses a place that has one."""
        self.ask_restic("init")

    def snapshots(self, site: str, seconds: float = RUN_TIMEOUT) -> list[Snapshot]:
        """Return the snapshots of a site, the oldest first."""
        text = self.ask_restic("snapshots", "--json", "--no-lock", "--tag", f"{SITE_TAG}={site}", seconds=seconds)
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise RepositoryError(f"restic's list of {self.shown} cannot be read: {error}") from error
        entries = filter(None, map(Snapshot.of, found if isinstance(found, list) else []))
        return sorted(entries, key=lambda one: (one.backup, one.time))[-SNAPSHOTS_LIMIT:]

    def add(self, folder: Path, names: Sequence[str], host: str, time: str, tags: Iterable[str], parent: str) -> None:
        """Copy what lies in a folder; in the snapshot it lies at the top.

        :param time: of the snapshot, C(YYYY-MM-DD HH:MM:SS) in UTC.
        :param parent: the snapshot to compare with; empty for none.
        """
        self.ask_restic(
            *("backup", "--quiet", "--host", host, "--time", time),
            *(word for tag in tags for word in ("--tag", tag)),
            *(("--parent", parent) if parent else ()),
            # A hard link to a copy changes its ctime. Nobody writes to a copy: inode, size and mtime are enough.
            *("--ignore-ctime", "--", *names),
            folder=folder,
        )

    def forget(self, ids: Sequence[str]) -> None:
        """Remove snapshots; what they hold alone is removed by P(prune)."""
        self.ask_restic("forget", "--quiet", *ids)

    def prune(self) -> None:
        """Remove what no snapshot needs any more."""
        self.ask_restic("prune", "--quiet")

    def unlock(self) -> None:
        """Remove the locks of programs that were killed; those of others stay."""
        self.ask_restic("unlock", "--quiet")

    def check(self, part: int, of: int) -> None:
        """Check the structure of the repository, and read one part of its content.

        :raises Damaged: if something is not as it was written.
        """
        try:
            self.ask_restic("check", f"--read-data-subset={part}/{of}")
        except (WrongPassword, NoRepository, Busy):
            raise
        except RepositoryError as error:
            self.probe()  # it does not answer any more, rather than being damaged
            raise Damaged(str(error)) from error

    def restore(self, snapshot: str, target: Path) -> None:
        """Write the content of a snapshot, C(data/), C(settings/) and C(manifest.json), to an empty directory."""
        self.ask_restic("restore", snapshot, "--target", str(target))


def _read(path: Path) -> str:
    """Return the text of a file of root's; empty if there is none."""
    try:
        with path.open("rb") as handle:
            return handle.read(ERRORS_LIMIT).decode(errors="replace")
    except OSError:
        return ""


def _tail(file: IO[bytes], limit: int) -> str:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - limit))
    return file.read(limit).decode(errors="replace")


def _message(errors: str) -> str:
    """Return what restic says last, which is why it failed; since 0.17 some of its messages are JSON."""
    lines = []
    for line in errors.splitlines():
        try:
            found = json.loads(line)
            line = str(found.get("message") or found.get("error") or "") if isinstance(found, dict) else line
        except (ValueError, RecursionError):
            pass
        if line.strip() and not line.startswith("Is there a repository"):
            lines.append(line.strip())
    fatal = [line for line in lines if line.startswith("Fatal:")]
    retries = [line for line in lines if RETRY.search(line)]
    return "; ".join([*retries[-1:], *(fatal[-1:] or lines[-2:])][:2]).removeprefix("Fatal: ")[:1000]
