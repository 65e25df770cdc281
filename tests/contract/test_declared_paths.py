"""Each path and unit of a site is declared once, in C(__flask_blog_site); everything else reads the declared key.

The sources are searched for expressions that build a declared name again: a directory and a name below it, or the
site's name and the ending of a unit.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from blogctl.shared import contract
from blogctl.site import OLDER_PATHS, OLDER_UNITS, Site
from role_variables import role_variables

ROOT = Path(__file__).parents[2]
ROLE = ROOT / "roles" / "flask_blog"
DECLARATION = ROLE / "vars" / "main" / "paths.yml"
DECLARED = [text for text in yaml.safe_load(DECLARATION.read_text())["__flask_blog_site"].values() if type(text) is str]


def declared(pattern: str) -> str:
    """Return the declared texts that match, by the pattern's group, as a pattern of alternatives."""
    found = {match[1] for text in DECLARED if (match := re.fullmatch(pattern, text))}
    assert found
    return "|".join(map(re.escape, sorted(found)))


#: Names of paths below a directory of the site: /opt/{{ flask_blog_name }}/next
NAME = declared(r"/[\w/]+/\{\{ flask_blog_name \}\}/([\w.-]+)")
#: What follows the site's name in the name of a unit: {{ flask_blog_name }}-next.service
ENDING = declared(r"\{\{ flask_blog_name \}\}(-?\w*\.\w+)")

#: Directories with an entry of the site's name: /opt/{{ flask_blog_name }}
DIRECTORY = declared(r"(/[\w/-]+)/\{\{ flask_blog_name \}\}.*")

#: Stands for a part that is not known before the program runs, such as a directory.
UNKNOWN = "\0"
IN_PYTHON = re.compile(rf"{UNKNOWN}/({NAME})(?=/|{UNKNOWN}|$)|{UNKNOWN}({ENDING})$|^({DIRECTORY})/{UNKNOWN}(?=/|$)")
#: {{ ... }}/next, ... ~ '/next', {{ ... }}-next.service, /opt/{{ flask_blog_name }}
IN_TEMPLATE = re.compile(rf"(\}}\}}|~ *['\"])(/({NAME})(?![\w.-])|({ENDING})\b)|({DIRECTORY})/\{{\{{ flask_blog_name\b")

#: Expressions that do not have the settings of a site, or build no path or unit of one.
ALLOWED = {
    # What everybody may know: without root, site.json cannot be read.
    # systemd's own directory of transient units.
    ("systemd.py", "f'{TRANSIENT}/{unit}.service'"),
    ("complete.py", "root / 'releases'"),
    ("complete.py", "f'/var/www/{name}'"),
    # Transient units, which are passed without their ending.
    ("systemd.py", "f'{unit}.service'"),
    ("units.py", "f'{unit}.service'"),
    # It has the site's name alone.
    ("hold.py", "f'{name}.socket'"),
    ("hold.py", "f'{name}.service'"),
    # What differs between HTTP and HTTPS has the same name in the directory of each.
    ("scheme.py", "Path(site.settings['schemes'], name, 'environment')"),
    # Below a directory of Git's own.
    ("git_account.py", "self.private / 'environment'"),
}


def text_of(node: ast.AST, constants: dict[str, str]) -> str:
    """Return the text or path that an expression makes, with C(UNKNOWN) for each part that is not a constant."""

    def of(*nodes: ast.AST, separator: str = "") -> str:
        return separator.join(text_of(one, constants) for one in nodes)

    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.Name(id=name):
            return constants.get(name, UNKNOWN)
        case ast.FormattedValue(value=value):
            return of(value)
        case ast.JoinedStr(values=values):
            return of(*values)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return of(left, right)
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            return of(left, right, separator="/")
        case ast.Call(func=ast.Attribute(value=value, attr="joinpath"), args=args):
            return of(value, *args, separator="/")
        case ast.Call(func=ast.Attribute(attr="join" | "Path") | ast.Name(id="Path"), args=args):
            return of(*args, separator="/")
    return UNKNOWN


def built_in_python(source: str) -> Iterator[str]:
    """Yield the expressions of a module that build a declared name."""
    tree = ast.parse(source)
    constants = {}
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str(text))):
                constants[name] = text
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr | ast.BinOp | ast.Call) and IN_PYTHON.search(text_of(node, constants)):
            yield ast.unparse(node)


def built_in_template(source: str) -> Iterator[str]:
    """Yield the lines of a template, or of a file with variables or tasks, that build a declared name."""
    yield from (line.strip() for line in source.splitlines() if IN_TEMPLATE.search(line))


PYTHON = [path for folder in (ROOT / "plugins", ROLE / "files") for path in sorted(folder.rglob("*.py"))]
FOLDERS = ("templates", "vars", "tasks", "handlers")
TEMPLATES = [path for folder in FOLDERS for path in sorted((ROLE / folder).rglob("*")) if path.is_file()]
TEMPLATES.remove(DECLARATION)


def test_no_module_template_or_task_builds_a_path_or_unit_that_the_role_declares() -> None:
    found = {(path.name, text) for path in PYTHON for text in built_in_python(path.read_text())}
    assert found == ALLOWED, "read the key of __flask_blog_site: site.path(key), site.unit(key) or site[key]"
    found = {(path.name, text) for path in TEMPLATES for text in built_in_template(path.read_text())}
    assert found == set(), "read the key: {{ __flask_blog_site.KEY }}"
    assert PYTHON
    assert TEMPLATES


@pytest.mark.parametrize(
    "source",
    [
        'site.path("root") / "assets"',
        'site.path("root") / "assets" / release',
        'NOTE = "transaction.json"\nsite.path("root") / NOTE',
        'site.path("root").joinpath("next")',
        'Path(site["root"], "next")',
        'os.path.join(site["root"], "operations.jsonl")',
        "f\"{site['backups']}/snapshots/{release}\"",
        'settings["root"] + "/maintenance"',
        'f"/opt/{name}"',
        'f"{site.name}-next.service"',
        'site.name + "-recovery.service"',
        'SUFFIX = "-backup.timer"\nf"{site.name}{SUFFIX}"',
    ],
)
def test_a_name_that_a_module_builds_is_found(source: str) -> None:
    assert list(built_in_python(source))


@pytest.mark.parametrize(
    "source",
    [
        'site.path("assets") / release',
        'link.with_name("next")',
        'f"{unit}-rehearsal"',
        'f"{path}/site.json lacks a key"',
        'f"{folder}/nextcloud"',
        '"/next" in text',
        '", ".join(names)',
    ],
)
def test_other_expressions_of_a_module_are_not_found(source: str) -> None:
    assert not list(built_in_python(source))


@pytest.mark.parametrize(
    ("source", "is_built"),
    [
        ("WorkingDirectory={{ __flask_blog_site.root }}/next", True),
        ("alias {{ __flask_blog_site.root }}/assets/all/;", True),
        ("{% set folder = __flask_blog_site.root ~ '/next' %}", True),
        ("access_log /var/log/nginx/{{ flask_blog_name }}.access.log;", True),
        ("Sockets={{ flask_blog_name }}.socket", True),
        ("unit: \"{{ flask_blog_name ~ '-next.service' }}\"", True),
        ("WorkingDirectory={{ __flask_blog_site.next }}", False),
        ("alias {{ __flask_blog_site.assets }}/all/;", False),
        ("proxy_pass http://{{ flask_blog_name }};", False),
        ("path: /etc/nginx/sites-enabled/{{ flask_blog_name }}.conf", False),
        ("{{ __flask_blog_site.config }}/gunicorn_databases.py", False),
    ],
)
def test_a_name_that_a_template_builds_is_found(source: str, is_built: bool) -> None:
    assert bool(list(built_in_template(source))) is is_built


# -- a site.json of an older role --


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """What the role declares, rendered."""
    loader = DataLoader()
    given = {"inventory_hostname": "blog.test", "role_path": str(ROLE), "flask_blog_source": "/home/ada/blog"}
    variables = role_variables(loader, ROLE) | given
    found: dict[str, str] = Templar(loader=loader, variables=variables).template(variables["__flask_blog_site"])
    return found


@pytest.mark.parametrize("key", OLDER_PATHS)
def test_a_path_that_an_older_role_did_not_write_is_the_declared_one(settings: dict[str, str], key: str) -> None:
    older = {name: value for name, value in settings.items() if name not in OLDER_PATHS}
    assert str(Site(older).path(key)) == settings[key]
    assert Site({**older, key: "/elsewhere"}).path(key) == Path("/elsewhere"), "the declared key comes first"


@pytest.mark.parametrize("key", OLDER_UNITS)
def test_a_unit_that_an_older_role_did_not_write_is_the_declared_one(settings: dict[str, str], key: str) -> None:
    older = {name: value for name, value in settings.items() if name not in OLDER_UNITS}
    assert Site(older).unit(key) == settings[key]
    assert Site({**older, key: "other.service"}).unit(key) == "other.service", "the declared key comes first"


def test_the_names_of_an_older_role_are_kept_as_long_as_blogctl_supports_it() -> None:
    assert (contract.OLDEST_INTERFACE == 1) == bool(OLDER_PATHS or OLDER_UNITS), "remove both tables of site.py"
