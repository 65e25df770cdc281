"""Defaults, specification, documentation and design say the same about every variable."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

Options = dict[str, dict[str, Any]]

#: The public interface as the design fixed it: names that inventories lean on, with their defaults.
DESIGN: dict[str, Any] = {
    "name": "flask-blog",
    "server_names": ["{{ inventory_hostname }}"],
    "app_dir": "",
    "wsgi": "app:app",
    "requirements": "",
    "extra_packages": [],
    "environment": {},
    "secrets": {},
    "generated_secrets": ["SECRET_KEY"],
    "init_commands": [],
    "release_commands": [],
    "databases": ["database.db"],
    "writable_paths": ["static/uploads"],
    "static": {"/static/": "static/"},
    "workers": 2,
    "threads": 4,
    "bind": "127.0.0.1:8000",
    "health_path": "/",
    "client_max_body_size": "8m",
    "proxy_read_timeout": 60,
    "static_max_age": 604800,
    "trusted_proxies": [],
    "tls": "none",
    "backup_schedule": "daily",
    "backup_keep": {"daily": 7, "weekly": 4, "monthly": 6},
}


@pytest.fixture
def options(role: Path) -> Options:
    specs = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text())
    found: Options = {}
    for entry_point in specs["argument_specs"].values():
        for name, option in entry_point["options"].items():
            assert found.get(name, option)["type"] == option["type"], name
            found.setdefault(name, option)
    return found


@pytest.fixture
def defaults(role: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((role / "defaults" / "main.yml").read_text()))


def all_options(options: Options, prefix: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Every option with the options inside it."""
    found = []
    for name, option in options.items():
        found.append((f"{prefix}{name}", option))
        found += all_options(option.get("options", {}), f"{prefix}{name}.")
    return found


def test_a_default_is_the_same_in_both_places_and_in_the_same_order(options: Options, defaults: dict[str, Any]) -> None:
    specified = {name: option["default"] for name, option in options.items() if not option.get("required")}
    assert specified == defaults
    assert list(specified) == list(defaults)


def test_a_required_variable_has_no_default_but_a_comment(role: Path, options: Options) -> None:
    required = [name for name, option in options.items() if option.get("required")]
    assert required == ["flask_blog_source", "flask_blog_maintenance", "flask_blog_remove"]
    for name in required:
        assert f"# {name}: required" in (role / "defaults" / "main.yml").read_text()


def test_both_files_have_the_same_headings_over_the_same_variables(role: Path) -> None:
    def outline(path: str) -> list[str]:
        lines = (line.strip() for line in (role / path).read_text().splitlines())
        found = (re.match(r"# -- .+ --|#? ?flask_blog_\w+(?=:)", line) for line in lines)
        # An operation repeats the site's name, as it needs it as well.
        return list(dict.fromkeys(match[0].removeprefix("# flask").removeprefix("flask") for match in found if match))

    assert outline("meta/argument_specs.yml") == outline("defaults/main.yml")


def test_every_variable_says_what_it_means(options: Options) -> None:
    for name, option in all_options(options):
        description = option.get("description", "")
        words = description if isinstance(description, str) else " ".join(description)
        assert len(words.split()) > 4, name
        assert words.endswith((".", ")")), name


def test_every_variable_has_a_type_and_every_list_the_type_of_what_is_in_it(options: Options) -> None:
    for name, option in all_options(options):
        assert option["type"], name
        assert (option["type"] == "list") == ("elements" in option), name


@pytest.mark.parametrize("name", DESIGN)
def test_a_name_that_inventories_lean_on_stays_with_its_default(defaults: dict[str, Any], name: str) -> None:
    assert defaults[f"flask_blog_{name}"] == DESIGN[name]


def test_the_design_s_source_is_required(options: Options) -> None:
    assert options["flask_blog_source"]["required"] is True


def test_a_variable_that_nobody_reads_does_not_exist(role: Path, root: Path, options: Options) -> None:
    files = [*role.glob("tasks/*.yml"), *role.glob("vars/**/*.yml"), *role.glob("templates/**/*.j2")]
    text = "\n".join(path.read_text() for path in files)
    assert [name for name in options if not re.search(rf"\b{name}\b", text)] == []


def test_internal_variables_are_told_by_their_underscores(role: Path) -> None:
    for path in role.glob("vars/**/*.yml"):
        for name in yaml.safe_load(path.read_text()):
            assert name.startswith("__flask_blog_"), name
    for path in role.glob("tasks/*.yml"):
        for name in re.findall(r"register: (\w+)", path.read_text()):
            assert name.startswith("__flask_blog_"), name


def test_the_tables_of_the_roles_readme_are_fresh(root: Path) -> None:
    tool = [sys.executable, str(root / "docs" / "tools" / "variables.py"), "--check"]
    result = subprocess.run(tool, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_a_stale_table_of_the_roles_readme_is_noticed(root: Path, role: Path, tmp_path: Path) -> None:
    for name in ("docs/tools/variables.py", "roles/flask_blog/README.md", "roles/flask_blog/tasks/main.yml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / name, tmp_path / name)
    specs = (role / "meta" / "argument_specs.yml").read_text().replace("default: 100000", "default: 100001")
    (tmp_path / "roles" / "flask_blog" / "meta").mkdir()
    (tmp_path / "roles" / "flask_blog" / "meta" / "argument_specs.yml").write_text(specs)
    tool = [sys.executable, str(tmp_path / "docs" / "tools" / "variables.py")]
    result = subprocess.run([*tool, "--check"], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr == "roles/flask_blog/README.md is stale: run docs/tools/variables.py\n"
    subprocess.run(tool, check=True)
    assert "| `flask_blog_source_max_files` | `100001` |" in (tmp_path / "roles/flask_blog/README.md").read_text()
    assert subprocess.run([*tool, "--check"], check=False).returncode == 0


def test_the_roles_readme_names_every_variable_once_in_its_tables(role: Path, options: Options) -> None:
    rows = re.findall(r"^\| `(flask_blog_\w+)` \|", (role / "README.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(options)


def test_the_readme_of_the_role_host_names_every_variable_once_in_its_tables(root: Path) -> None:
    role = root / "roles" / "host"
    specs = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    rows = re.findall(r"^\| `(flask_blog_\w+)` \|", (role / "README.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(specs)
    assert {name: option["default"] for name, option in specs.items()} == yaml.safe_load(
        (role / "defaults" / "main.yml").read_text()
    )


def test_the_variables_stand_in_one_readme_alone(root: Path) -> None:
    for path in [root / "README.md", *root.glob("docs/*.md")]:
        assert re.findall(r"^\| `(flask_blog_\w+)` \|", path.read_text(), re.MULTILINE) == [], path


def test_the_readmes_and_the_example_inventory_name_no_variable_that_is_not_there(
    root: Path, role: Path, options: Options
) -> None:
    of_host = yaml.safe_load((root / "roles" / "host" / "defaults" / "main.yml").read_text())
    paths = [root / "README.md", role / "README.md", *root.glob("docs/*.md")]
    paths += [*root.glob("inventories/*/group_vars/*/*"), root / "CONTRIBUTING.md"]
    paths += [*root.glob(".github/**/*.yml"), *root.glob("changelogs/fragments/*.yml")]
    for path in paths:
        named = set(re.findall(r"(?<![\w/])flask_blog_(?!hosts\b)\w+", path.read_text()))
        # The table of nftables has a name like that of a variable.
        assert named <= {*options, *of_host, "flask_blog_", "flask_blog_host", "flask_blog_swapfile"}, path


def test_the_example_inventory_is_what_the_playbook_looks_for(root: Path) -> None:
    folder = root / "inventories" / "production"
    assert list(yaml.safe_load((folder / "hosts.yml").read_text())) == ["flask_blogs"]
    assert "flask_blogs" in (root / "playbooks" / "site.yml").read_text()


def test_the_example_inventorys_values_are_ones_that_the_role_accepts(root: Path, defaults: dict[str, Any]) -> None:
    from ansible_collections.flaskblog.hosting.plugins.plugin_utils import host_role
    from ansible_collections.flaskblog.hosting.plugins.plugin_utils.rules import checks

    action: Any = SimpleNamespace(_loader=DataLoader(), _templar=Templar(loader=DataLoader(), variables={}))
    folder = root / "inventories" / "production" / "group_vars" / "flask_blogs"
    text = (folder / "main.yml").read_text()
    uncommented = re.sub(r"^# (?=flask_blog_|  )", "", text, flags=re.MULTILINE)
    for chosen in (yaml.safe_load(text), yaml.safe_load(uncommented)):
        values: dict[str, Any] = {"flask_blog_user": "flask-blog", "flask_blog_group": "flask-blog"}
        values = {**defaults, **values, **chosen, "flask_blog_secrets": {"MAIL_PASSWORD": "x"}}
        assert checks.unknown_names(values, [*defaults, *host_role.options(), "flask_blog_source"]) == []
        assert host_role.problems(action, values) == []
        assert checks.check({name.removeprefix("flask_blog_"): value for name, value in values.items()}) == []
