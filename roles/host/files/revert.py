"""Revert changes of the firewall and of SSH that nobody has confirmed (flask-blog-host-revert.service).

C(pending.json) has what was there before: texts of files (null for one that did not exist), the former table of the
firewall (null for none), and the commands that load them. Standard library only, as it must work without Ansible.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import tempfile
import time
from typing import Any

STATE = "/var/lib/flask-blog-hosting/host"
TABLE = "inet flask_blog_host"
NFT = "/usr/sbin/nft"


def write(path: str, text: str, mode: int = 0o644) -> None:
    """Write a file in one step."""
    descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".flask-blog-host.")
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as handle:
        handle.write(text)
        os.fchmod(handle.fileno(), mode)
        os.fsync(handle.fileno())
    os.replace(temporary, path)


def put_back(pending: dict[str, Any]) -> list[str]:
    """Restore what was there before; return the steps that failed."""
    failed = []
    for path, text in pending["files"].items():
        try:
            if text is None:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
            else:
                write(path, text)
        except (OSError, ValueError) as error:
            failed.append(f"{path}: {error}")
    errors = [run(command, "") for command in pending["commands"]]
    if pending["firewall"]:
        # "table" makes sure that there is one to delete; all of it is one transaction.
        errors.append(run([NFT, "-f", "-"], f"table {TABLE}\ndelete table {TABLE}\n{pending['table'] or ''}\n"))
    return failed + [error for error in errors if error]


def run(command: list[str], given: str) -> str:
    """Run a command; return why it failed, or ""."""
    done = subprocess.run(command, input=given, text=True, capture_output=True, check=False)
    return f"{' '.join(command)}: {done.stderr.strip() or done.returncode}" if done.returncode else ""


def main() -> int:
    # The same lock as that of the confirmation: either one comes first, and the other finds nothing.
    with open(f"{STATE}/pending.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            with open(f"{STATE}/pending.json", encoding="utf-8") as handle:
                pending = json.load(handle)
        except FileNotFoundError:
            print("nothing to revert")
            return 0
        failed = put_back(pending)
        result = {"id": pending["id"], "time": time.time(), "failed": failed}
        write(f"{STATE}/reverted.json", json.dumps(result), 0o600)
        if not failed:
            os.unlink(f"{STATE}/pending.json")
    for line in failed:
        print(line, file=sys.stderr)
    if not failed:
        print(f"reverted {' and '.join(pending['features'])}: no new connection confirmed the change")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
