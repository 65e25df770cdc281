"""Copies of the checkout in which mutants are tested, each command shut off from the rest of the computer.

A mutant is a defect, and tests of code that removes files are run on it. As root, every command gets a mount namespace
in which nothing but the copy and new temporary directories can be written, and a PID namespace that ends all its
processes with it. Another account has no such namespace; the permissions of its files are the limit then.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

#: Bytes of memory that one process of a mutant may have: one that never stops collecting must not stop the computer.
MEMORY = 8 << 30
LIMITED = f'ulimit -v {MEMORY >> 10}; exec "$@"'
#: Runs a command ("$@") in the namespaces of unshare(1), without /run: systemd and Docker listen there. The shell does
#: not exec the command: as PID 1 it has to wait for orphans, too. What cannot be made read-only stays as it is.
NAMESPACE = f"""
ulimit -v {MEMORY >> 10}
mount --make-rprivate / && mount --bind "$0" "$0" && mount -t tmpfs -o mode=755 tmpfs /run || exit 125
for place in /dev/shm /tmp /var/tmp; do
    case $0 in
        "$place"/*) ;; # an empty one would hide the checkout
        *) mount -t tmpfs -o size=4g,mode=1777 tmpfs "$place" || exit 125 ;;
    esac
done
for target in $(findmnt --raw --noheadings --output TARGET); do
    case $target in
        "$0" | /tmp | /var/tmp | /run | /proc | /proc/* | /sys | /sys/* | /dev | /dev/*) ;;
        *) mount -o remount,bind,ro "$target" 2>/dev/null || true ;;
    esac
done
cd "$0" && [ -w . ] && [ ! -w / ] || exit 125
"$@"
exit $?
"""
#: How the shell ends when the namespace cannot be made.
NO_NAMESPACE = 125


@dataclass(frozen=True)
class Done:
    """How a command ended; C(status) is None if its time was up."""

    status: int | None
    output: str


class Copy:
    """A copy of the checkout.

    :param python: the interpreter that tests the mutants.
    """

    def __init__(self, folder: Path, python: Path, names: Sequence[Path]) -> None:
        self.folder = folder
        self.python = python
        self._names = names
        self._running: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._is_stopped = False

    @classmethod
    def of(cls, root: Path, folder: Path, python: Path) -> Copy:
        """Copy the files that Git knows or would add, as they are now.

        The bytecode is compiled ahead and checked by its source's hash, not by a time: a mutant may be written in the
        same second as the original.
        """
        shutil.rmtree(folder, ignore_errors=True)
        names = _files_of(root)
        for name in names:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, target, follow_symlinks=False)
        (folder / "tmp").mkdir()
        copy = cls(folder, python, names)
        compiled = ["-m", "compileall", "-q", "--invalidation-mode", "checked-hash", "plugins", "roles", "tests"]
        copy.run([python, *compiled], seconds=300)
        return copy

    def files(self) -> list[Path]:
        """Return the paths of all files and links in the copy that came from the checkout."""
        return [self.folder / name for name in self._names]

    def run(self, command: Sequence[str | Path], seconds: float) -> Done:
        """Run a command in the copy, and end all its processes.

        :raises RuntimeError: if root's namespace cannot be made.
        """
        # A file, not a pipe: a process that outlives the command could hold a pipe open.
        with tempfile.TemporaryFile() as output:
            with self._lock:
                if self._is_stopped:
                    return Done(None, "")
                self._running = process = subprocess.Popen(
                    [*self._confined(), *map(str, command)],
                    cwd=self.folder,
                    env=self._environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            status: int | None
            try:
                status = process.wait(seconds)
            except subprocess.TimeoutExpired:
                status = None
            finally:
                _kill(process)
            output.seek(0)
            text = output.read().decode(errors="replace")
        if status == NO_NAMESPACE:
            raise RuntimeError(f"The tests cannot be shut off from this computer (unshare, mount): {text}")
        return Done(status, text)

    def stop(self) -> None:
        """End what runs, from another thread; nothing runs any more after this."""
        with self._lock:
            self._is_stopped = True
            if self._running:
                _kill(self._running)

    def write(self, file: str, source: str) -> None:
        """Replace one file's text, in place: what links to it sees the change."""
        (self.folder / file).write_text(source, encoding="utf-8")

    def _confined(self) -> list[str]:
        if os.geteuid() != 0:
            return ["sh", "-c", LIMITED, "sh"]
        unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        return [*unshare, "sh", "-c", NAMESPACE, str(self.folder)]

    def _environment(self) -> dict[str, str]:
        foreign = ("PYTHON", "ANSIBLE", "PYTEST")
        keep = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        temporary = "/dev/shm" if os.geteuid() == 0 else str(self.folder / "tmp")
        programs = f"{self.python.parent}{os.pathsep}{os.environ['PATH']}"
        return keep | {
            "HOME": temporary,
            "TMPDIR": temporary,
            "PATH": programs,
            "PYTHONDONTWRITEBYTECODE": "1",
        }


def _files_of(root: Path) -> list[Path]:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    names = (Path(name) for name in listed.split("\0") if name)
    return [name for name in names if (root / name).is_symlink() or (root / name).is_file()]


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
