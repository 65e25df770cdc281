# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the action plugins need of the role that calls them: its variables and its rendered files."""

from __future__ import annotations

import functools
import hashlib
import secrets
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.module_utils.common.yaml import yaml_load
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import lookup_loader
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.collection import ROOT
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.rules.problem import PREFIX

#: Debian's own interpreter. Looking for one would cost a round trip on every host.
INTERPRETER = "/usr/bin/python3"

#: Includes the templates that a run renders.
ALL_TEMPLATES = ROOT / "roles" / "flask_blog" / "templates" / "parts" / "all.j2"
NEWLINE = "\n"

#: Of the folders of Python modules: root writes, everybody reads.
DIRECTORY_MODE = "0755"

#: In an object with C(digest_of): stands for the digest of that folder's modules.
DIGEST = "@DIGEST@"
#: Hexadecimal digits of a digest; the folders of two versions must differ, and nobody gains from a collision.
DIGEST_LENGTH = 16

#: Chooses the hosts of the collection's playbooks; the role itself has no use for it.
PLAYBOOK_HOSTS = "flask_blog_hosts"


def role_path(task_vars: Mapping[str, Any]) -> Path:
    """Return the folder of the role whose task is running.

    :raises AnsibleError: outside a role.
    """
    if "role_path" not in task_vars:
        raise AnsibleError("this action belongs to the role flaskblog.hosting.flask_blog and works only inside it")
    return Path(str(task_vars["role_path"]))


def options(role: Path, entry_point: str = "main") -> dict[str, dict[str, Any]]:
    """Return the options of one of the role's entry points: the contract, by full variable name."""
    return _specs(role)[entry_point]["options"]


def known_names(role: Path) -> set[str]:
    """Return every variable that has a meaning: to one of the entry points, or to the playbooks."""
    return {name for specs in _specs(role).values() for name in specs["options"]} | {PLAYBOOK_HOSTS}


@functools.cache
def _specs(role: Path) -> dict[str, dict[str, Any]]:
    specs = yaml_load((role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
    return specs["argument_specs"]


def variables(action: ActionBase, task_vars: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """Return the templated values of some variables, without the role's prefix."""
    lookup = lookup_loader.get("ansible.builtin.vars", loader=action._loader, templar=action._templar)
    defined = [name for name in names if name in task_vars]
    values = lookup.run(defined, variables=task_vars)
    return {name.removeprefix(PREFIX): value for name, value in zip(defined, values, strict=True)}


def rendered(
    action: ActionBase,
    task_vars: dict[str, Any],
    objects: list[dict[str, Any]],
    site: dict[str, Any] | None = None,
    *,
    to_compare: bool = False,
) -> list[dict[str, Any]]:
    """Return the managed objects with the text of their template or file in C(content).

    A C(file) that is a folder stands for its Python modules, the folders below it, and nothing else beside them. In an
    object with C(digest_of), a folder of modules, C(@DIGEST@) becomes the digest of the folder.

    :param site: the value of C(__flask_blog_site), if it is known: each use in a template would compute it again.
    :param to_compare: whether modules have C(sha256) in the place of C(content), which suffices to compare them.
    """
    role = role_path(task_vars)
    known = {"__flask_blog_site": site} if site else {}
    texts = _texts(action, {**task_vars, **known}, role, {item["template"] for item in objects if "template" in item})
    result: list[dict[str, Any]] = []
    for wanted in objects:
        wanted = dict(wanted)
        folder = wanted.pop("digest_of", None)
        begin = len(result)
        if template := wanted.pop("template", None):
            wanted["content"] = texts[template]
        if file := wanted.pop("file", None):
            result += _files(role / "files" / file, wanted, to_compare)
        else:
            result.append(wanted)
        if folder:
            digest = _digest(role / "files" / folder)
            result[begin:] = [_with_digest(item, digest) for item in result[begin:]]
    return result


def _texts(action: ActionBase, task_vars: dict[str, Any], role: Path, templates: Collection[str]) -> dict[str, str]:
    """Return the text of each template, by its path below the role's C(templates).

    They are rendered as one: Ansible copies all variables for each template that it looks up.
    """
    if not templates:
        return {}
    lookup = lookup_loader.get("ansible.builtin.template", loader=action._loader, templar=action._templar)
    # A template includes others by their path below templates/.
    known = {**task_vars, "ansible_search_path": [str(role), *task_vars.get("ansible_search_path", [])]}
    names, between = sorted(templates), secrets.token_hex(16)
    wanted = {"__flask_blog_templates": names, "__flask_blog_between": between}
    (text,) = lookup.run([str(ALL_TEMPLATES)], variables=known, template_vars=wanted)
    parts = str(text).split(between)[: len(names)]
    return {name: f"{part.rstrip(NEWLINE)}{NEWLINE}" for name, part in zip(names, parts, strict=True)}


def _digest(folder: Path) -> str:
    """Return the start of the sha256 over the names and texts of a folder's modules."""
    total = hashlib.sha256()
    for name in _modules(folder):
        content = (folder / name).read_bytes()
        total.update(f"{name}\0{len(content)}\0".encode())
        total.update(content)
    return total.hexdigest()[:DIGEST_LENGTH]


def _with_digest(wanted: dict[str, Any], digest: str) -> dict[str, Any]:
    texts: dict[str, Any] = {key: wanted[key].replace(DIGEST, digest) for key in ("path", "content") if key in wanted}
    if "names" in wanted:
        texts["names"] = [name.replace(DIGEST, digest) for name in wanted["names"]]
    return {**wanted, **texts}


def _modules(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.py"))


def _files(source: Path, wanted: dict[str, Any], to_compare: bool) -> Iterator[dict[str, Any]]:
    if source.is_file():
        yield {**wanted, "content": source.read_text(encoding="utf-8")}
        return
    names = _modules(source)
    root = {**wanted, "kind": "directory", "mode": DIRECTORY_MODE}
    for folder in sorted({str(above) for name in names for above in Path(name).parents}):
        yield {**root, "path": wanted["path"] if folder == "." else f"{wanted['path']}/{folder}"}
    for name in names:
        content = (source / name).read_bytes()
        text = {"sha256": hashlib.sha256(content).hexdigest()} if to_compare else {"content": content.decode()}
        yield {**wanted, "path": f"{wanted['path']}/{name}", **text}
    shared: dict[str, Any] = {key: wanted[key] for key in ("scope", "reload") if key in wanted}
    yield {**shared, "kind": "contents", "path": wanted["path"], "names": names}


def without_secrets(objects: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Take the text of secret files out of the objects: it travels in an argument that no log shows."""
    texts = {wanted["path"]: wanted["content"] for wanted in objects if wanted.get("secret")}
    return [
        {key: value for key, value in wanted.items() if key != "content" or not wanted.get("secret")}
        for wanted in objects
    ], texts


def run_module(action: ActionBase, name: str, task_vars: dict[str, Any] | None) -> dict[str, Any]:
    """Run a module of the collection with the task's arguments, and return its result."""
    found: dict[str, Any] = action._execute_module(
        module_name=f"flaskblog.hosting.{name}",
        module_args=dict(action._task.args),
        task_vars=with_interpreter(task_vars or {}),
    )
    return found


def with_interpreter(task_vars: dict[str, Any]) -> dict[str, Any]:
    """Return the variables with Debian's interpreter, where the inventory names none."""
    if task_vars.get("ansible_python_interpreter"):
        return task_vars
    return {**task_vars, "ansible_python_interpreter": INTERPRETER}
