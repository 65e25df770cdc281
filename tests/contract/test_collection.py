"""The collection as somebody installs it: built, complete, without what is ours alone, and usable by its full names."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils import basic
from ansible.plugins.loader import fragment_loader
from ansible.utils.plugin_docs import get_docstring

MODULES = ("apply", "hardening", "operation", "plan", "plan_git", "remove", "unpack", "unpack_git", "venv", "verify")


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The collection's archive, built from this checkout."""
    root = Path(__file__).resolve().parents[2]
    output = tmp_path_factory.mktemp("built")
    subprocess.run(
        ["ansible-galaxy", "collection", "build", str(root), "--output-path", str(output)],
        check=True,
        capture_output=True,
        text=True,
    )
    (built,) = output.glob("flaskblog-hosting-*.tar.gz")
    return built


@pytest.fixture(scope="session")
def installed(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of collections that holds ours as somebody installs it."""
    folder = tmp_path_factory.mktemp("installed")
    (folder / "ansible.cfg").touch()  # nothing of this checkout's own: there the collection is "already installed"
    subprocess.run(
        ["ansible-galaxy", "collection", "install", "--offline", str(archive), "--collections-path", str(folder)],
        check=True,
        env={**os.environ, "ANSIBLE_CONFIG": str(folder / "ansible.cfg")},
        capture_output=True,
        text=True,
    )
    return folder


def collection(installed: Path) -> Path:
    """Return the folder of the installed collection."""
    return installed / "ansible_collections" / "flaskblog" / "hosting"


def test_the_archive_holds_the_collection_and_nothing_of_the_workshop(archive: Path, root: Path) -> None:
    with tarfile.open(archive) as tar:
        names = {member.name.removeprefix("./") for member in tar if not member.isdir()}
    top = {name.partition("/")[0] for name in names}
    assert top == {
        "CONTRIBUTING.md",
        "COPYING",
        "FILES.json",
        "MANIFEST.json",
        "README.md",
        "SECURITY.md",
        "changelogs",
        "docs",
        "examples",
        "inventories",
        "meta",
        "playbooks",
        "plugins",
        "roles",
    }
    unwanted = re.compile(r"(^|/)(\.git|\.venv|\.dev|__pycache__|\.pytest_cache|node_modules)(/|$)|\.(pyc|db|tar\.gz)$")
    assert [name for name in names if unwanted.search(name)] == []
    assert {name.split("/")[1] for name in names if name.startswith("inventories/")} == {"production"}
    needed = ["roles/flask_blog/files/bin/blogctl", "roles/flask_blog/README.md", "plugins/modules/plan.py"]
    for name in [*needed, *(f"playbooks/{path.name}" for path in playbooks(root))]:
        assert name in names


def test_files_that_blogctl_shares_with_the_modules_are_in_the_installed_collection(
    installed: Path, root: Path
) -> None:
    """The checkout has relative links in blogctl's folder; ansible-galaxy keeps a link that stays in the collection."""
    tool = root / "roles" / "flask_blog" / "files" / "blogctl"
    shared = [path for path in tool.rglob("*.py") if path.is_symlink()]
    assert {path.name for path in shared} >= {"bounded_http.py", "cage.py", "contract.py", "make.py", "printable.py"}
    for path in shared:
        assert path.resolve().is_relative_to(root / "plugins" / "module_utils"), path
        copy = collection(installed) / path.relative_to(root)
        assert copy.resolve().is_relative_to(collection(installed).resolve()), copy
        assert copy.is_file(), copy
        assert copy.read_bytes() == path.read_bytes(), copy


def test_every_installed_file_is_the_checkouts(installed: Path, root: Path) -> None:
    folder = collection(installed)
    files = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    for name in files - {Path("FILES.json"), Path("MANIFEST.json")}:
        assert (folder / name).read_bytes() == (root / name).read_bytes(), name
    for part in ("playbooks", "plugins", "roles"):
        sources = {path.relative_to(root) for path in (root / part).rglob("*") if path.is_file()}
        assert {name for name in sources - files if "__pycache__" not in name.parts} == set()


def run_installed(installed: Path, *command: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run one of Ansible's commands as somebody who has the installed collection and no checkout."""
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(installed),
        "ANSIBLE_CONFIG": str(installed / "ansible.cfg"),
    }
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=folder or installed, env=environment
    )


def test_ansible_doc_shows_each_module_and_each_entry_point_of_the_role(installed: Path, root: Path) -> None:
    modules = [f"flaskblog.hosting.{path.stem}" for path in (root / "plugins" / "modules").glob("*.py")]
    result = run_installed(installed, "ansible-doc", "--json", *modules)
    assert result.returncode == 0, result.stderr
    assert set(json.loads(result.stdout)) == set(modules)
    result = run_installed(installed, "ansible-doc", "--json", "--type", "role", "flaskblog.hosting.flask_blog")
    assert result.returncode == 0, result.stderr
    specs = yaml.safe_load((root / "roles" / "flask_blog" / "meta" / "argument_specs.yml").read_text())
    entry_points = json.loads(result.stdout)["flaskblog.hosting.flask_blog"]["entry_points"]
    assert set(entry_points) == set(specs["argument_specs"])


def test_a_link_of_a_page_leads_to_an_installed_file_or_heading(installed: Path) -> None:
    """README.md names tests and ./dev in words, as neither is installed."""
    pages = [path for path in collection(installed).rglob("*.md") if "changelogs" not in path.parts]
    assert len(pages) >= 8
    for page in pages:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            if target.startswith(("http://", "https://")):
                continue
            name, _, heading = target.partition("#")
            file = (page.parent / name).resolve() if name else page
            assert file.is_file(), f"{page.name}: {target}"
            headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text in headings}
            assert not heading or heading in slugs, f"{page.name}: {target}"


def test_nothing_names_an_address_that_the_collection_cannot_be_fetched_from(installed: Path) -> None:
    manifest = json.loads((collection(installed) / "MANIFEST.json").read_text())["collection_info"]
    for key in ("repository", "documentation", "homepage", "issues"):
        assert not manifest.get(key), key
    for path in collection(installed).rglob("*"):
        # The one exception recognises units that an earlier version wrote.
        if path.is_file() and path.name != "names.py":
            assert b"github.com/flaskblog" not in path.read_bytes(), path


def test_blogctl_of_the_installed_collection_is_whole(installed: Path) -> None:
    """What it shares with the modules are links in the repository, and files once they are on a host."""
    files = installed / "ansible_collections" / "flaskblog" / "hosting" / "roles" / "flask_blog" / "files"
    code = (
        "from blogctl import cli, commands; from blogctl.commands import complete;"
        " from blogctl.data.inside import main;"
        " [commands.load(name) for name in (*commands.NAMES, *commands.HIDDEN)]"
    )
    subprocess.run(
        [sys.executable, "-B", "-I", "-c", f"import sys; sys.path.insert(0, {str(files)!r}); {code}"], check=True
    )
    for name in ("bounded_http", "cage", "contract", "host", "printable", "source/release", "venv/make"):
        assert (files / "blogctl" / "shared" / f"{name}.py").is_file()
    assert (files / "man" / "blogctl.8").is_file()


def test_galaxy_yml_says_what_galaxy_asks_for(root: Path) -> None:
    galaxy = yaml.safe_load((root / "galaxy.yml").read_text())
    assert (galaxy["namespace"], galaxy["name"]) == ("flaskblog", "hosting")
    assert re.fullmatch(r"\d+\.\d+\.\d+", galaxy["version"])
    assert galaxy["license"] == ["GPL-3.0-or-later"]
    assert galaxy["dependencies"] == {}, "no collection is needed at run time"
    assert (root / galaxy["readme"]).is_file()
    assert "GNU GENERAL PUBLIC LICENSE" in (root / "COPYING").read_text()


def test_versions_agree(root: Path) -> None:
    role = yaml.safe_load((root / "roles" / "flask_blog" / "meta" / "main.yml").read_text())["galaxy_info"]
    runtime = yaml.safe_load((root / "meta" / "runtime.yml").read_text())
    assert runtime["requires_ansible"] == f">={role['min_ansible_version']}.0"


def check_syntax(installed: Path, playbook: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return run_installed(
        installed, "ansible-playbook", "--inventory", "web1,", "--syntax-check", playbook, folder=folder
    )


def test_the_role_is_found_by_its_full_name(installed: Path, tmp_path: Path) -> None:
    play = {"name": "x", "hosts": "all", "gather_facts": False, "roles": [{"role": "flaskblog.hosting.flask_blog"}]}
    (tmp_path / "mine.yml").write_text(yaml.safe_dump([play]))
    result = check_syntax(installed, "mine.yml", tmp_path)
    assert result.returncode == 0, result.stderr


def test_the_playbooks_are_found_by_their_full_names(installed: Path, root: Path, tmp_path: Path) -> None:
    names = [path.stem for path in playbooks(root)]
    assert "site" in names
    for name in names:
        result = check_syntax(installed, f"flaskblog.hosting.{name}", tmp_path)
        assert result.returncode == 0, result.stderr


def test_a_name_that_is_not_there_is_not_found(installed: Path, tmp_path: Path) -> None:
    assert check_syntax(installed, "flaskblog.hosting.unheard_of", tmp_path).returncode != 0


# -- YAML -----------------------------------------------------------------------------------------------------------


def playbooks(root: Path) -> list[Path]:
    return sorted((root / "playbooks").glob("*.yml"))


def test_every_play_and_task_has_a_name(root: Path, role: Path) -> None:
    for path in [*playbooks(root), *sorted(role.glob("tasks/**/*.yml"))]:
        for item in yaml.safe_load(path.read_text()):
            assert item.get("name"), path


def test_a_tasks_name_begins_with_its_file(role: Path) -> None:
    for path in role.glob("tasks/*.yml"):
        for item in yaml.safe_load(path.read_text()):
            # A line of a table of contents names what it imports; the tasks in there name their file.
            if "ansible.builtin.import_tasks" not in item:
                assert item["name"].startswith(f"{path.stem} | "), item["name"]


def test_main_is_a_table_of_contents(role: Path) -> None:
    for item in yaml.safe_load((role / "tasks" / "main.yml").read_text()):
        assert set(item) == {"name", "ansible.builtin.import_tasks", "tags"}
        assert (role / "tasks" / item["ansible.builtin.import_tasks"]).is_file()


def test_no_task_goes_through_a_shell_module(root: Path, role: Path) -> None:
    shells = {"shell", "raw", "ansible.builtin.shell", "ansible.builtin.raw"}
    for path in [*playbooks(root), *role.glob("tasks/**/*.yml")]:
        for item in yaml.safe_load(path.read_text()):
            assert not shells & set(item), path


def test_every_module_of_a_task_has_its_full_name(role: Path) -> None:
    keywords = {"name", "when", "register", "until", "retries", "delay", "vars", "tags", "environment", "become"}
    keywords |= {"changed_when", "failed_when", "check_mode", "no_log", "block", "rescue", "always", "notify", "loop"}
    keywords |= {"ignore_unreachable", "loop_control", "run_once"}
    for path in role.glob("tasks/**/*.yml"):
        for item in yaml.safe_load(path.read_text()):
            for key in set(item) - keywords:
                assert key.startswith(("ansible.builtin.", "flaskblog.hosting.")), f"{path.name}: {key}"


# -- modules --------------------------------------------------------------------------------------------------------


class Declared(Exception):
    """Raised in a module's place of work, once it has said what it takes."""


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What a module declares: its argument specification."""

    def ask(name: str) -> dict[str, Any]:
        module = importlib.import_module(f"ansible_collections.flaskblog.hosting.plugins.modules.{name}")

        def stop(*_: Any, argument_spec: dict[str, Any], **__: Any) -> None:
            raise Declared(argument_spec)

        monkeypatch.setattr(module, "AnsibleModule", stop)
        with pytest.raises(Declared) as caught:
            module.main()
        return dict(caught.value.args[0])

    return ask


def documented(name: str, what: int = 0) -> dict[str, Any]:
    """Return a module's documentation, with the fragments that it shares with others.

    :param what: 0 for the documentation itself, 2 for what the module returns.
    """
    path = Path(importlib.import_module(f"ansible_collections.flaskblog.hosting.plugins.modules.{name}").__file__ or "")
    return dict(get_docstring(str(path), fragment_loader, is_module=True, collection_name="flaskblog.hosting")[what])


@pytest.mark.parametrize("name", MODULES)
def test_a_module_takes_what_its_documentation_says(declared: Any, name: str) -> None:
    options = documented(name)["options"]
    specified = declared(name)
    assert set(specified) == set(options)
    for option, spec in specified.items():
        described = options[option]
        for key in ("type", "elements", "required", "default", "choices"):
            assert spec.get(key) == described.get(key), f"{option}.{key}"


@pytest.mark.parametrize("name", MODULES)
def test_a_modules_documentation_is_complete(name: str) -> None:
    documentation = documented(name)
    assert documentation["module"] == name
    for key in ("short_description", "description", "version_added", "author"):
        assert documentation[key], key
    for option in documentation["options"].values():
        assert option["description"]
    assert documentation["attributes"]["check_mode"]["support"] == "full"
    for value in documented(name, 2).values():
        assert value["description"]


def test_every_module_is_tested_here(root: Path) -> None:
    names = {path.stem for path in (root / "plugins" / "modules").glob("*.py")}
    assert names == {*MODULES, "validate"}, "validate is an action alone"
    assert basic.AnsibleModule is not None


def test_every_plugin_says_whose_it_is(root: Path) -> None:
    for path in (root / "plugins").rglob("*.py"):
        head = path.read_text()[:400]
        if path.name == "__init__.py":
            assert head == "", "as ansible-test wants it"
            continue
        assert "GNU General Public License v3.0+ (see COPYING" in head, path


def test_every_change_has_a_fragment_of_a_known_section(root: Path) -> None:
    sections = {name for name, _ in yaml.safe_load((root / "changelogs" / "config.yaml").read_text())["sections"]}
    fragments = list((root / "changelogs" / "fragments").glob("*.yml"))
    assert fragments
    for path in fragments:
        for section, entries in yaml.safe_load(path.read_text()).items():
            assert section in sections, path
            assert all(isinstance(entry, str) and entry for entry in entries), path
