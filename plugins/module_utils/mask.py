# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Mask the secrets of a site in messages, as its app, its commands or a traceback may print them.

Secret are the values of flask_blog_secrets and of generated secrets, those of settings whose name tells that they are
(such as C(API_KEY)), and passwords in URLs. A value is found as it is, and as Python, JSON, URLs, HTML, a shell and an
environment file write it. One that the app encodes in another way, or prints in pieces, is not found.

blogctl shares this file (roles/flask_blog/files/blogctl/shared/mask.py is a link to it).
"""

from __future__ import annotations

import contextlib
import functools
import html
import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, unquote, urlsplit

MASKED = "********"

#: Characters of the shortest value that is masked, and of the shortest line of one that has several. A shorter one,
#: such as a port, is a part of too many other words.
LEAST_VALUE, LEAST_LINE = 6, 8

#: Names of settings that are secret although nobody declared them so.
SECRET_NAME = re.compile(
    r"(^|_)(SECRETS?|TOKEN|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?)(_|$)"
    r"|(^|_)(SECRET|API|ACCESS|PRIVATE|SIGNING|ENCRYPTION)_?KEY(_|$)|_(PASS|PWD)$",
    re.IGNORECASE,
)

#: User and password in a URL; of HTTP also a token alone.
CREDENTIALS = re.compile(r"(://)[^\s/?#@:'\"]*:[^\s/?#'\"]+(?=@)|(https?://)[^\s/?#@:'\"]+(?=@)")

#: A setting in an environment file of the role (the filter C(environment_file)).
SETTING = re.compile(r'^(\w+)="((?:[^"\\]|\\.)*)"$', re.MULTILINE | re.DOTALL)


class Mask:
    """Replaces values in texts."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        forms = {form for value in values for form in _forms(value)}
        # The longest first: one may be a part of another.
        ordered = sorted(forms, key=lambda form: (-len(form), form))
        self._pattern = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def text(self, text: str) -> str:
        """Return a text in which each value, and each password in a URL, is C(MASKED)."""
        return without_credentials(self._pattern.sub(MASKED, text) if self._pattern else text)

    def all_texts(self, value: Any) -> Any:
        """Return a value of JSON in which all texts but the keys are masked."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {key: self.all_texts(item) for key, item in value.items()}
        return [self.all_texts(item) for item in value] if isinstance(value, list | tuple) else value


class NoMask(Mask):
    """Replaces nothing: flask_blog_hide_secrets is false."""

    def text(self, text: str) -> str:
        """Return the text."""
        return text


def without_credentials(text: str) -> str:
    """Mask the users and passwords in URLs, such as those of a package index."""
    return CREDENTIALS.sub(lambda match: f"{match[1] or match[2]}{MASKED}", text)


def _forms(value: str) -> Iterator[str]:
    """Yield the texts that stand for a value: in several notations, and each of its lines."""
    lines = [line.strip() for line in value.splitlines()]
    # The first and last line of a key in PEM are no secret.
    lines = [line for line in lines if len(line) >= LEAST_LINE and not line.startswith("-----")] if lines[1:] else []
    for text in {value, value.strip(), *lines}:
        if len(text.strip()) < LEAST_VALUE:
            continue
        yield text
        yield repr(text)[1:-1]
        yield repr(text.encode(errors="surrogateescape"))[2:-1]
        yield json.dumps(text)[1:-1]
        yield json.dumps(text, ensure_ascii=False)[1:-1]
        for escaped in (quote(text, errors="replace"), quote(text, safe="", errors="replace"), quote_plus(text)):
            yield escaped
            yield re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), escaped)
        yield html.escape(text)
        yield shlex.quote(text)
        yield re.sub(r'([\\"`$])', r"\\\1", text)
        # Lines in the journal (blogctl's host/journal.py).
        yield text.replace("\n", " | ")


def parsed(text: str) -> dict[str, str]:
    """Return the settings in an environment file of the role."""
    return {name: re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL) for name, value in SETTING.findall(text)}


def secret_values(settings: Mapping[str, str], names: Iterable[str]) -> set[str]:
    """Return the values of settings that are secret, and the passwords in URLs of all.

    :param names: of settings that are declared as secret.
    """
    declared = set(names)
    found = set()
    for name, value in settings.items():
        if name in declared or (SECRET_NAME.search(name) and not value.isdecimal()):
            found.add(value)
        with contextlib.suppress(ValueError):
            if password := urlsplit(value).password:
                found |= {password, unquote(password)}
    return found


def values_of_site(site: Mapping[str, Any]) -> set[str]:
    """Return the secret values of a site; none if they need not be hidden.

    :param site: what C(site.json) holds. Of an older role, it does not name the secrets.
    """
    if not is_hidden(site):
        return set()
    found = set()
    for key, name in (("environment", "environment"), ("rehearsal_environment", "rehearsal-environment")):
        with contextlib.suppress(OSError):
            text = Path(site.get(key) or f"{site.get('config', '')}/{name}").read_text("utf-8", "surrogateescape")
            found |= secret_values(parsed(text), site.get("secret_settings", []))
    # A setting that repeats the site's name, say as a mail account, would hide it in every message.
    return found - {str(value) for value in site.values() if isinstance(value, str)}


def is_hidden(site: Mapping[str, Any]) -> bool:
    """Return the value of flask_blog_hide_secrets."""
    return bool(site.get("hide_secrets", True))


@functools.lru_cache(maxsize=2)
def mask_of(values: frozenset[str]) -> Mask:
    """Return the mask of some values, which is made only once for the same ones."""
    return Mask(values)


def of_site_file(path: str) -> Mask:
    """Return the mask of the site with this C(site.json); one that masks only URLs if it cannot be read."""
    try:
        site = json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError):
        return Mask()
    if not isinstance(site, dict):
        return Mask()
    return Mask(values_of_site(site)) if is_hidden(site) else NoMask()
