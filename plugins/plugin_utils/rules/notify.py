# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Rules for who is told about failures (flask_blog_notify) and for monitors (flask_blog_notify_ping)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.flaskblog.hosting.plugins.plugin_utils.rules.problem import CONTROL, HIDDEN, Rule, problem

#: An address in a header of a mail, without a name, quotes and comments (RFC 5322, dot-atom); the domain may be left
#: out for an account of the host, such as root.
ADDRESS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{0,63}(@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*)?")
#: Characters of a URL (RFC 3986).
URL = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]{1,2000}")
SCHEMES = ("http", "https")
#: Runs the command if nobody is named (meta/argument_specs.yml); a mapping without an account is checked with it.
DEFAULT_USER = "nobody"
ACCOUNT = re.compile(r"[a-z_][a-z0-9_-]{0,31}")


def _mail(values: Mapping[str, Any]) -> Iterator[str]:
    for address in values["notify"].get("mail") or []:
        if not ADDRESS.fullmatch(address):
            rule = "it is no mail address"
            yield problem("notify.mail", address, rule, "Write it as 'ada@example.com', one in each entry of the list")


def _urls(values: Mapping[str, Any]) -> Iterator[str]:
    given = {"notify.webhook": values["notify"].get("webhook")}
    given |= {f"notify_ping.{job}": url for job, url in values["notify_ping"].items()}
    for variable, url in given.items():
        if url and (rule := _url_rule(url)):
            # The rest of it may be a secret.
            yield problem(variable, HIDDEN, rule, "Copy it as the service shows it, such as 'https://example.com/...'")


def _url_rule(url: str) -> str:
    """Return the rule that a URL breaks; an empty one if it breaks none."""
    if not URL.fullmatch(url):
        return "a URL holds at most 2000 characters, no space, and letters of other scripts as %XX"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "its host or its port is not valid"
    if parts.scheme not in SCHEMES:
        return "it is no URL of http:// or https://"
    if not parts.hostname or port == 0:
        return "it names no host"
    return "a part after '#' is not sent" if parts.fragment else ""


def _command(values: Mapping[str, Any]) -> Iterator[str]:
    command, user = values["notify"].get("command") or [], values["notify"].get("command_user")
    if command and not command[0].startswith("/"):
        remedy = "Write it as ['/usr/local/bin/tell', 'argument']"
        yield problem("notify.command", command[0], "the program's path is absolute, and no shell looks for it", remedy)
    if any(CONTROL.search(word) for word in command):
        yield problem("notify.command", command, "it holds a control character", "Put it into a script")
    if not user:
        return
    if not ACCOUNT.fullmatch(user):
        yield problem("notify.command_user", user, "it is no valid name of an account", "Leave it out for 'nobody'")
    elif user == "root":
        rule = "the command gets text of the app, and a hole in it would be a hole in the server"
        yield problem("notify.command_user", user, rule, "Leave it out for 'nobody', or name another account")
    elif user == values["user"]:
        rule = "it is the app's account, and the app could read and stop what runs as it"
        yield problem("notify.command_user", user, rule, "Leave it out for 'nobody', or name another account")
    elif not command and user != DEFAULT_USER:
        yield problem("notify.command_user", user, "there is no command for it", "Set flask_blog_notify.command, too")


RULES: tuple[Rule, ...] = (_mail, _urls, _command)
