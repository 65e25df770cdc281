# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A self-signed certificate for some names, made on the host, which keeps its key to itself.

C(path) is a link to a directory below C(folder) with C(fullchain.pem), C(privkey.pem), and C(made.json), which says
what was made. A new one has a directory of its own, and the link changes in one step: nginx never loads a key beside
the certificate of another one. Those of earlier ones are removed once nginx has loaded the new one (P(prune)).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils import contract
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import atomic
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources.difference import (
    Conflict,
    Difference,
    Undo,
    lstat,
)

OPENSSL = "/usr/bin/openssl"
#: Days that a certificate is valid (Mozilla recommends at most 366), and days before its end when it is made anew.
LIFETIME, RENEWAL = 365, 30
DAY = 24 * 3600

CHAIN, KEY, MADE = "fullchain.pem", "privkey.pem", "made.json"
#: Each file with its mode; all are root's.
MODES = {CHAIN: 0o644, KEY: 0o600, MADE: 0o600}


def compare(wanted: Mapping[str, Any], notes: list[str]) -> Difference | None:
    """Name why the certificate has to be made.

    :raises Conflict: if something other than a link is in its place.
    """
    path = wanted["path"]
    found = lstat(path)
    if found is not None and not stat.S_ISLNK(found.st_mode):
        raise Conflict(f"{path} should be a link to a certificate. Move it away (mv {path} {path}.before), run again.")
    reasons = ["missing"] if found is None else _reasons(path, wanted["names"])
    if not reasons:
        return None
    made = _made(path)
    before = _described(made.get("names") or [], made.get("expires")) if made else ""
    return Difference(path, reasons, before, _described(wanted["names"], None))


def _described(names: Sequence[str], expires: Any) -> str:
    until = "" if expires is None else f", until {_date(expires)}"
    return f"self-signed certificate for {', '.join(map(str, names))}{until}\n"


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))


def _made(path: str) -> dict[str, Any]:
    try:
        with open(os.path.join(path, MADE), encoding="utf-8") as handle:
            found = json.load(handle)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _reasons(path: str, names: Sequence[str]) -> list[str]:
    made = _made(path)
    if not made:
        return ["not made here"]
    reasons = []
    for name, mode in MODES.items():
        status = lstat(os.path.join(path, name))
        if status is None or not stat.S_ISREG(status.st_mode):
            return [f"{name} missing"]
        if name in (CHAIN, KEY) and made.get(name) != _digest(os.path.join(path, name)):
            reasons.append(f"{name} changed")
        if (stat.S_IMODE(status.st_mode), status.st_uid) != (mode, os.geteuid()):
            reasons.append(f"{name} has other rights")
    if made.get("names") != list(names):
        reasons.append("names changed")
    expires = made.get("expires")
    if not isinstance(expires, int) or expires - time.time() < RENEWAL * DAY:
        reasons.append(f"expires {_date(expires)}" if isinstance(expires, int) else "expires at an unknown time")
    return reasons


def _digest(path: str) -> str:
    with open(path, "rb") as handle:
        return hashlib.sha256(handle.read()).hexdigest()


def apply(wanted: Mapping[str, Any]) -> Undo:
    """Make a certificate and its key, and lead the link to them.

    :raises OSError: with openssl's message, if it fails.
    """
    undo = atomic.undo_of(wanted["path"])
    folder = tempfile.mkdtemp(dir=wanted["folder"], prefix="self-signed-")  # mode 0700
    try:
        expires = _make(folder, wanted["names"])
        made = {name: _digest(os.path.join(folder, name)) for name in (CHAIN, KEY)}
        atomic.write(
            os.path.join(folder, MADE),
            json.dumps({**made, "names": list(wanted["names"]), "expires": expires}, indent=2) + "\n",
            os.geteuid(),
            os.getegid(),
            MODES[MADE],
        )
        contract.replace_link(wanted["path"], folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return undo


def _make(folder: str, names: Sequence[str]) -> int:
    """Make a key and its certificate, and return the second at which that expires."""
    chain, key = os.path.join(folder, CHAIN), os.path.join(folder, KEY)
    alternatives = ",".join(f"{'IP' if re.fullmatch(r'[0-9.]+', name) else 'DNS'}:{name}" for name in names)
    expires = int(time.time()) + LIFETIME * DAY
    # A common name has at most 64 characters (RFC 5280); clients read the alternative names alone.
    command = [
        *(OPENSSL, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-sha256"),
        *("-days", str(LIFETIME), "-subj", f"/CN={names[0][:64]}", "-keyout", key, "-out", chain),
        *("-addext", f"subjectAltName={alternatives}", "-addext", "basicConstraints=critical,CA:FALSE"),
        *("-addext", "keyUsage=critical,digitalSignature", "-addext", "extendedKeyUsage=serverAuth"),
    ]
    mask = os.umask(0o077)
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    finally:
        os.umask(mask)
    if done.returncode:
        raise OSError(f"openssl makes no certificate: {done.stderr.strip()[-500:]}")
    for path, name in ((chain, CHAIN), (key, KEY)):
        os.chmod(path, MODES[name])
        with open(path, "rb") as handle:
            os.fsync(handle.fileno())
    return expires


def remove(wanted: Mapping[str, Any]) -> bool:
    """Remove the link and the certificate, if it was made here; return whether it was removed."""
    path = wanted["path"]
    if not os.path.islink(path) or not _made(path):
        return False
    folder = os.path.realpath(path)
    os.unlink(path)
    atomic.remove(folder)
    return True


def prune(path: str, folder: str) -> None:
    """Remove the directories of all certificates but the one that the link leads to.

    Not before nginx has loaded that one: until then, the one before may be put back.
    """
    kept = os.path.basename(os.path.realpath(path))
    if not os.path.isdir(path) or not os.path.isdir(folder):
        return
    for name in os.listdir(folder):
        if name != kept:
            atomic.remove(os.path.join(folder, name))
