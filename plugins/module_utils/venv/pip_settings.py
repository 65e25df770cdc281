# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Local directories and files that the host's settings of pip name, such as a folder of wheels."""

from __future__ import annotations

import configparser
import os
import re
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

#: pip's settings for all accounts (https://pip.pypa.io/en/stable/topics/configuration/).
FILES = ("/etc/xdg/pip/pip.conf", "/etc/pip.conf")

#: Options whose value can be a local path, or a file:// address of one.
OPTIONS = ("cert", "client-cert", "constraint", "extra-index-url", "find-links", "index-url", "requirement")

#: Paths that each build sees anyway.
SEEN = ("/etc", "/usr")

#: A path that systemd reads without quotes.
PLAIN = re.compile(r"/[\w.@+/-]+")


def local_paths(files: Iterable[str] = FILES) -> list[str]:
    """Return the paths of the host that pip's settings name, if they exist and a unit has to be shown them."""
    found = set[str]()
    for file in files:
        parser = configparser.RawConfigParser(strict=False)
        try:
            parser.read(file, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            continue  # pip itself reports the error
        values = [
            parser.get(section, name) for section in parser.sections() for name in OPTIONS if name in parser[section]
        ]
        found |= {_path(word) for value in values for word in value.split()}
    return sorted(path for path in found if PLAIN.fullmatch(path) and os.path.exists(path) and not _is_seen(path))


def _path(word: str) -> str:
    address = urlsplit(word)
    path = unquote(address.path) if address.scheme == "file" else word
    return os.path.normpath(path) if path.startswith("/") else ""


def _is_seen(path: str) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in SEEN)
