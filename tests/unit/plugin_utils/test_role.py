"""What the actions share: the role's files, rendered, and the interpreter of the host."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.flaskblog.hosting.plugins.plugin_utils import role as role_files


def test_outside_the_role_the_actions_say_where_they_belong() -> None:
    with pytest.raises(AnsibleError, match=r"belongs to the role flaskblog\.hosting\.flask_blog"):
        role_files.role_path({})


def test_an_interpreter_of_the_inventory_is_kept() -> None:
    assert role_files.with_interpreter({"ansible_python_interpreter": "/opt/python"}) == {
        "ansible_python_interpreter": "/opt/python"
    }


def test_a_folder_stands_for_its_modules_the_folders_below_it_and_nothing_else(tmp_path: Path) -> None:
    for name in ("tool/__init__.py", "tool/data/store/one.py", "tool/data/notes.txt"):
        (tmp_path / "files" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "files" / name).write_text("x = 1\n")
    action = SimpleNamespace(_loader=DataLoader(), _templar=Templar(loader=DataLoader(), variables={}))
    wanted = {"scope": "host", "kind": "file", "path": "/x", "file": "tool", "mode": "0644"}
    found = role_files.rendered(action, {"role_path": str(tmp_path)}, [wanted])
    assert [(item["kind"], item["path"], item.get("mode")) for item in found] == [
        ("directory", "/x", "0755"),
        ("directory", "/x/data", "0755"),
        ("directory", "/x/data/store", "0755"),
        ("file", "/x/__init__.py", "0644"),
        ("file", "/x/data/store/one.py", "0644"),
        ("contents", "/x", None),
    ]
    assert found[3]["content"] == "x = 1\n"
    assert found[-1]["names"] == ["__init__.py", "data/store/one.py"]
    found = role_files.rendered(action, {"role_path": str(tmp_path)}, [wanted], to_compare=True)
    assert found[3]["sha256"] == hashlib.sha256(b"x = 1\n").hexdigest()
    assert "content" not in found[3], "to compare it, its text need not travel"


def test_blogctl_is_installed_with_the_files_that_it_shares_with_the_modules(role: Path) -> None:
    action = SimpleNamespace(_loader=DataLoader(), _templar=Templar(loader=DataLoader(), variables={}))
    wanted = {"scope": "host", "kind": "file", "path": "/x", "file": "blogctl"}
    texts = {
        item["path"]: item.get("content") for item in role_files.rendered(action, {"role_path": str(role)}, [wanted])
    }
    for name in ("contract", "cage", "printable", "bounded_http"):
        (path,) = [path for path in texts if path.endswith(f"/{name}.py")]
        assert texts[path] == (role.parent.parent / "plugins" / "module_utils" / f"{name}.py").read_text()
