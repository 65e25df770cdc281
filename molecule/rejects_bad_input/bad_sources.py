"""Invalid and hostile sources."""

from __future__ import annotations

import io
import stat
import subprocess
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

FILES = {"main.py": b"application = None\n" * 500, "requirements.txt": b"Flask\n"}


#: Folders that no server can install, by their name: the file that says what the app needs.
NOT_TO_INSTALL = {
    "from-conda": ("requirements.txt", "flask\ncertifi @ file:///croot/certifi_168/work/certifi\n"),
    "from-windows": ("requirements.txt", "flask\npywin32==306\n"),
    "locked-by-pipenv": ("Pipfile.lock", "{}\n"),
    "poetry-not-a-package": ("pyproject.toml", '[tool.poetry]\nname = "x"\npackage-mode = false\n'),
    "of-the-future": ("pyproject.toml", '[project]\nname = "x"\nrequires-python = ">=3.99"\ndependencies = []\n'),
}


def make(folder: Path) -> None:
    """Make one bad source for each case that names one."""
    (folder / "no-requirements").mkdir()
    (folder / "no-requirements" / "main.py").write_bytes(FILES["main.py"])
    _tar(folder / "above.tar.gz", {**FILES, "../evil.py": b"evil"})
    _tar(folder / "absolute.tar.gz", {**FILES, "/etc/cron.d/evil": b"evil"})
    _tar(folder / "link.tar.gz", {**FILES, "static": "/etc"})
    _tar(folder / "good.tar.gz", FILES)
    with tarfile.open(folder / "device.tar.gz", "w:gz") as tar:
        member = tarfile.TarInfo("disk")
        member.type = tarfile.BLKTYPE
        tar.addfile(member)
    with zipfile.ZipFile(folder / "link.zip", "w") as zipped:
        link = zipfile.ZipInfo("static")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        zipped.writestr(link, "../../etc")
    for name, (file, text) in NOT_TO_INSTALL.items():
        (folder / name).mkdir()
        (folder / name / "main.py").write_bytes(FILES["main.py"])
        (folder / name / file).write_text(text)
    (folder / "ignored").mkdir()
    for name, lines in {**FILES, ".gitignore": b"*.txt\n"}.items():
        (folder / "ignored" / name).write_bytes(lines)
    for name, passphrase in (("locked_key", "hunter2"), ("open_key", "")):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", str(folder / name)]
        subprocess.run(command, check=True)
    _zip(folder / "above.zip", {**FILES, "../../evil.py": b"evil"})
    _zip(folder / "absolute.zip", {**FILES, "/etc/cron.d/evil": b"evil"})
    _tar(folder / "cut-off.tar.gz", FILES)
    whole = (folder / "cut-off.tar.gz").read_bytes()
    (folder / "cut-off.tar.gz").write_bytes(whole[: len(whole) // 2])
    _zip(folder / "damaged.zip", FILES)
    content = bytearray((folder / "damaged.zip").read_bytes())
    content[50:60] = b"\xff" * 10
    (folder / "damaged.zip").write_bytes(content)
    for name in ("text.tar.gz", "text.zip"):
        (folder / name).write_text("This is no archive.\n")


def _tar(path: Path, members: Mapping[str, bytes | str]) -> None:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
                tar.addfile(member)
            else:
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def _zip(path: Path, members: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in members.items():
            zipped.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
