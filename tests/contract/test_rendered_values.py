"""Every value that is rendered into a file of nginx or systemd, or onto a command line, has a rule.

A value that could mean something there is either refused, or the file that it ends in has the structure that it has for
a harmless value: the same directives with as many arguments, the same settings with as many words.
"""

from __future__ import annotations

import copy
import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.flaskblog.hosting.plugins.plugin_utils import role as role_files
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.rules import checks, types
from role_variables import role_variables as declared_by_role
from role_variables import vars_text

ROLE = Path(__file__).parents[2] / "roles" / "flask_blog"
SPECS = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
VARS = vars_text(ROLE)

#: A value for each variable whose default shows nothing of its shape.
EXAMPLES: dict[str, Any] = {
    "source": "/home/ada/blog",
    "user": "blog-user",
    "group": "blog-group",
    "server_names": ["blog.example.com", "www.example.com"],
    "app_dir": "web",
    "requirements": "requirements.txt",
    "include": ["dist"],
    "extra_packages": ["gunicorn<24"],
    "environment": {"SITE_NAME": "A blog"},
    "secrets": {"MAIL_PASSWORD": "x"},
    "init_commands": ["flask init-db"],
    "release_commands": ["flask db upgrade"],
    "after_release_commands": ["flask ping"],
    "wsgi": "blog:create_app('production')",
    "writable_paths": ["uploads"],
    "trusted_proxies": ["192.0.2.0/24", "2001:db8::/32"],
    # Behind a proxy, only other ports than the default ones are rendered.
    "http_port": 8080,
    "https_port": 8443,
    "client_max_body_sizes": {"/admin/upload": "64m"},
    "websockets": ["/chat"],
    "workers": 1,  # as WebSockets need it
    "maintenance_allow": ["198.51.100.0/24", "2001:db8:1::/48"],
    "health_path": "/healthz",
    "home_path": "/posts",
    "security_headers": {"Referrer-Policy": "no-referrer"},
    "content_security_policy_report_only": "default-src 'self'",
    "error_pages": "errors",
    "basic_auth": {"ada": "a long password"},
    "acme_directory": "https://ca.example.com/acme/directory",
    "acme_email": "ada@example.com",
    "acme_profile": "shortlived",
    "acme_eab_key_id": "kid-1",
    "acme_eab_hmac_key": "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W",
    "acme_ca_bundle": "/etc/ssl/certs/ca.pem",
    "acme_dns": {"provider": "rfc2136", "server": "192.0.2.53", "key_name": "blog", "key": "c2VjcmV0LXNlY3JldA=="},
}
#: Not text of the site's own: they choose an operation, or a source that the controller or Git reads (test_checks.py).
ELSEWHERE = {"source", "source_checksum", "include", "version", "deploy_key", "known_hosts", "git_timeout"}
ELSEWHERE |= {"initial_data", "requirements", "hide_secrets", "tls"}
#: Ansible refuses what is not among the choices of the specification.
ELSEWHERE |= {"access_log_format", "log_addresses"}
#: Lines of nginx's configuration, which nginx tests.
ELSEWHERE |= {"nginx_snippets"}
#: Read as certificates and a key, of which only the blocks of PEM are rendered (rules/test_certificate.py).
ELSEWHERE |= {"tls_certificate", "tls_key"}

NASTY = [
    "\n",
    "\r",
    "\0",
    "\x1b[2J",
    " ",
    ";",
    "; return 200 'evil';",
    "{",
    "}",
    '"',
    "'",
    "\\",
    "$",
    "$uri",
    "${HOME}",
    "%",
    "%n",
    "#",
    "`id`",
    "$(id)",
    "|",
    "&",
    "\nExecStartPre=+/bin/sh",
    "ü",
    "٣",
    "\u2028",
    "x" * 5000,
    "..",
    "/../..",
]
NUMBERS: list[Any] = [-1, 0, 1, 65536, 10**12, 10**30, True, "8\n", "8; evil", "٣", "08", "1_0", "+5", " 5", "0x10", ""]


def names_in(text: str) -> set[str]:
    """The role's variables that a text mentions, directly or through those of vars/."""
    found, seen = set(re.findall(r"(?<!_)flask_blog_(\w+)", text)), set[str]()
    internal = set(re.findall(r"__flask_blog_\w+", text))
    while internal - seen:
        name = min(internal - seen)
        seen.add(name)
        if declared := re.search(rf"^{name}:(.*?)(?=^\S)", VARS + "\nend", re.MULTILINE | re.DOTALL):
            found |= set(re.findall(r"(?<!_)flask_blog_(\w+)", declared[1]))
            internal |= set(re.findall(r"__flask_blog_\w+", declared[1]))
    return {name for name in found if f"flask_blog_{name}" in SPECS}


def template_text(path: Path) -> str:
    """A template with those that it includes."""
    text = path.read_text()
    for part in re.findall(r"{% include '([^']+)' %}", text):
        text += template_text(ROLE / "templates" / part)
    return text


#: What ends in a file, in a unit, or in what the modules run.
RENDERED = sorted(names_in("".join(path.read_text() for path in (ROLE / "templates").rglob("*.j2")) + VARS) - ELSEWHERE)


def test_what_is_rendered_is_known() -> None:
    assert {"wsgi", "bind", "maintenance_allow", "static", "workers", "extra_packages", "user"} <= set(RENDERED)
    missing = {name.removeprefix("flask_blog_") for name in SPECS} - set(RENDERED) - ELSEWHERE
    assert missing == {"hide_secrets"} - ELSEWHERE, "a new variable is rendered, or is named in ELSEWHERE"


# -- rendering ------------------------------------------------------------------------------------------------------


def defaults() -> dict[str, Any]:
    values = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    found = {name.removeprefix("flask_blog_"): value for name, value in values.items() if name in SPECS}
    return found | copy.deepcopy(EXAMPLES)


#: The pseudo file of what pip is given.
PIP = "pip's command line"


@functools.cache
def role_variables() -> tuple[DataLoader, dict[str, Any]]:
    """What the role declares, read once."""
    loader = DataLoader()
    variables: dict[str, Any] = {"inventory_hostname": "blog.test", "role_path": str(ROLE), "ansible_managed": "x"}
    return loader, variables | declared_by_role(loader, ROLE)


def render(values: dict[str, Any], changed: str = "") -> dict[str, str]:
    """The files that the role would write, by their templates; if C(changed) is given, those that mention it."""
    loader, declared = role_variables()
    variables = {**declared, **{f"flask_blog_{name}": value for name, value in values.items()}}
    templar = Templar(loader=loader, variables=variables)
    action: Any = SimpleNamespace(_loader=loader, _templar=templar)
    wanted = [{"path": name, "template": name} for name, names in TEMPLATES.items() if changed in names or not changed]
    found = {item["path"]: item["content"] for item in role_files.rendered(action, variables, wanted)}
    if changed in ("", "extra_packages"):
        found[PIP] = "\0".join(templar.template(variables["__flask_blog_source"])["packages"])
    return found


#: Every template of a file, with the variables that it mentions.
TEMPLATES = {
    str(path.relative_to(ROLE / "templates")): names_in(template_text(path))
    for path in sorted((ROLE / "templates").rglob("*.j2"))
    if path.parent.name not in ("parts", "certificates")
}


# -- structure ------------------------------------------------------------------------------------------------------


def structure(path: str, text: str) -> Any:
    """What a program reads in a file, without the values."""
    if "nginx/" in path or path.endswith("/site.conf.j2"):
        return nginx_structure(text)
    if "systemd/" in path:
        return unit_structure(text)
    if path.endswith(".json.j2"):
        return [type(value).__name__ for _, value in sorted(json.loads(text).items())]
    if path.endswith("/environment.j2"):
        return environment_structure(text)
    if "/acme/" in path:
        return [re.sub(r" = [^\s#]+$", " = value", line) for line in re.split(r"[\n\r\0\u2028]", text)]
    return len(text.split("\0"))


NGINX_TOKEN = re.compile(
    r"""\#[^\n]*|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[{};]|(?:[^\s{};"'\\]|\\.)+|[^\s]""", re.DOTALL
)


def nginx_structure(text: str) -> list[str]:
    """The directives of nginx's configuration, each with the number of its arguments and what ends it."""
    found, words = list[str](), list[str]()
    for token in NGINX_TOKEN.findall(text):
        if token.startswith("#"):
            continue
        if token in ("{", "}", ";"):
            variables = sum(word.count("$") for word in words)
            # A map begins its lines with values.
            name = words[0] if words and words[0][0] not in '"0123456789' else ""
            found.append(f"{name} {len(words)} {variables} {token}")
            words = []
        else:
            words.append(token)
    return found


def unit_structure(text: str) -> list[str]:
    """The settings of a unit, each with the number of its words (systemd.syntax(7)); a NUL or CR ends a line too."""
    found = []
    for line in re.split(r"[\n\r\0]", re.sub(r"\\\n\s*", "", text)):
        if not line or line.startswith(("#", ";")):
            continue
        key, equals, value = line.partition("=")
        quoted = re.sub(r'"(?:[^"\\]|\\.)*"', "quoted", value)
        special = len(re.findall(r"%%|\$\$", value))
        alone = len(re.findall(r"[%$]", value)) - 2 * special
        # A description is for people; an expression of calendar events is one value, whatever its spaces.
        words = 1 if key in ("Description", "OnCalendar") else len(quoted.split())
        if key == "Environment" and value.startswith('"'):
            alone -= value.count("$") - 2 * value.count("$$")  # Environment= expands no variables (systemd.exec(5))
        found.append(f"{key}{equals} {words} {alone}")
    return found


def environment_structure(text: str) -> int:
    """The number of settings in an environment file (systemd.exec(5), EnvironmentFile=)."""
    assert re.fullmatch(r'(\#[^\n]*\n|\n|\w+="(?:[^"\\]|\\.)*"\n)*', text, re.DOTALL), "something stands outside quotes"
    return len(re.findall(r'^\w+="(?:[^"\\]|\\.)*"$', text, re.MULTILINE | re.DOTALL))


# -- values ---------------------------------------------------------------------------------------------------------


def varied(value: Any, nasty: str) -> Iterator[Any]:
    """Yield the value with a nasty text in each of its places, at the end and before the last character."""
    if isinstance(value, str):
        yield value + nasty
        yield value[:-1] + nasty + value[-1:]
    elif isinstance(value, list):
        for place, item in enumerate(value):
            for other in varied(item, nasty):
                yield [*value[:place], other, *value[place + 1 :]]
    elif isinstance(value, dict):
        for key, item in value.items():
            rest = {name: other for name, other in value.items() if name != key}
            for other in varied(key, nasty):
                yield {**rest, other: item}
            for other in varied(item, nasty):
                yield {**rest, key: other}


def refused(values: dict[str, Any]) -> bool:
    """Whether the role says no before it touches a host, as the action does."""
    if any(list(types.problems(SPECS[f"flask_blog_{name}"], name, value)) for name, value in values.items()):
        return True
    converted = {name: types.converted(SPECS[f"flask_blog_{name}"], value) for name, value in values.items()}
    return bool(checks.check(converted))


@pytest.fixture(scope="module")
def harmless() -> dict[str, Any]:
    """The structure of every file for harmless values."""
    assert checks.check(defaults()) == []
    return {path: structure(path, text) for path, text in render(defaults()).items()}


#: A dict with options of its own holds numbers, under names that the specification checks; this one holds text.
WITH_TEXT = {"acme_dns"}
TEXTS = [
    name
    for name in RENDERED
    if SPECS[f"flask_blog_{name}"]["type"] in ("str", "list", "dict")
    and ("options" not in SPECS[f"flask_blog_{name}"] or name in WITH_TEXT)
]


@pytest.mark.parametrize("name", TEXTS)
def test_a_value_is_refused_or_changes_nothing_but_itself(harmless: dict[str, Any], name: str) -> None:
    values = defaults()
    for nasty in NASTY:
        for value in varied(values[name], nasty):
            chosen = {**values, name: value}
            if refused(chosen):
                continue
            for path, text in render(chosen, name).items():
                assert structure(path, text) == harmless[path], (path, value)


@pytest.mark.parametrize("name", [name for name in RENDERED if SPECS[f"flask_blog_{name}"]["type"] == "int"])
@pytest.mark.parametrize("value", NUMBERS, ids=repr)
def test_a_number_is_refused_or_rendered_as_one(harmless: dict[str, Any], name: str, value: Any) -> None:
    chosen = {**defaults(), name: value}
    if refused(chosen):
        return
    assert re.fullmatch(r"0|[1-9][0-9]{0,9}", str(value)), "a number that nginx and systemd read in the same way"
    if value == 0:
        return  # it may turn something off
    for path, text in render(chosen, name).items():
        assert structure(path, text) == harmless[path]
