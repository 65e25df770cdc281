"""Root never works by name below a directory that the app's account can write (docs/security.md).

The exceptions are the mechanism. Everything else passes such a path on to it, or only computes with it.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from app_paths import Code, read

ROOT = Path(__file__).parents[2]

PLUGINS = ("plugins/modules/*.py", "plugins/module_utils/**/*.py")
BLOGCTL = ("roles/flask_blog/files/blogctl/**/*.py",)

#: The process that has the app's uid.
INSIDE = ("__init__", "common", "exchange", "limited", "loss", "main", "read", "sqlite", "tables", "write")

#: The mechanism: a walk by descriptors; and a program that runs with the app's uid, with its client.
MECHANISM = (
    "plugins/module_utils/beneath.py",
    *(
        f"roles/flask_blog/files/blogctl/data/{name}.py"
        for name in ("process", "tree", *(f"inside/{one}" for one in INSIDE))
    ),
)

#: Functions that may work by name with such a path, and why.
ALLOWED_PLUGINS = {
    "_owner": "looks at /var/lib/NAME or /run/NAME itself, which lie in directories of root's, and changes nothing",
    "prepare": "makes the cache's folder itself, which lies in a directory of root's",
    "_give": "makes a folder for the build account in a directory of root's, and gives it away while it is empty",
    "_is_folder_of": "looks at a folder itself that lies in a directory of root's",
    "make_folders": "makes the directories above the cache, which are root's",
    "remove_tree": "walks through descriptors; by name it handles what lies in a directory of root's",
}
ALLOWED_BLOGCTL = {
    "_places": "asks for the file system of /var/lib/NAME itself, which lies in a directory of root's",
    "output_of": "starts a program as the account that a check is about, which looks at the folder itself",
    "started": "starts a unit of the app's account; a folder is an argument of the program that it runs",
    "attach": "starts a unit of the app's account; a folder is an argument of the program that it runs",
}

#: Files in which every path lies in the app's folder, also those that come in objects.
ONLY_DESCRIPTORS = tuple(f"plugins/module_utils/resources/{name}.py" for name in ("data_directory", "tree"))

#: What such a file may call of os: descriptors, and computing with paths.
BY_DESCRIPTOR = {"close", "fstat", "path"}


def test_the_modules_work_by_descriptors_alone_in_the_apps_folders() -> None:
    assert Code(read(ROOT, PLUGINS, MECHANISM), ALLOWED_PLUGINS).findings() == []


def test_blogctl_works_by_descriptors_alone_in_the_apps_folders() -> None:
    checked = read(ROOT, BLOGCTL, MECHANISM)
    assert {name.split("/")[4] for name in checked} >= {"cli.py", "backup", "commands", "data", "host", "release"}
    assert {*read(ROOT, MECHANISM)} == {*MECHANISM}, "each of them exists"
    assert Code(read(ROOT, BLOGCTL, MECHANISM), ALLOWED_BLOGCTL).findings() == []


@pytest.mark.parametrize("file", ONLY_DESCRIPTORS)
def test_what_handles_the_data_folders_objects_calls_nothing_that_takes_a_name(file: str) -> None:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert imported <= {"os", "stat"}
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os"
    }
    assert used <= BY_DESCRIPTOR | {"stat_result"}
    assert not {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} & {"open", "Path", "lstat"}


def test_the_reasons_of_exceptions_are_of_functions_that_exist() -> None:
    for files, allowed in ((PLUGINS, ALLOWED_PLUGINS), (BLOGCTL, ALLOWED_BLOGCTL)):
        text = "\n".join(read(ROOT, files).values())
        assert [name for name in allowed if f"def {name}(" not in text] == []


# -- the check itself -----------------------------------------------------------------------------------------------

FORBIDDEN = [
    'def f(site): open(site["data"])',
    "def f(site): os.chown(f\"{site['data']}/x\", 0, 0)",
    'def f(site): os.chmod(os.path.join(site["data"], "x"), 0)',
    'def f(site): (site.path("data") / "x").read_text()',
    'def f(site): site.path("data").joinpath("x").unlink()',
    'def f(site): Path(site["run_directory"], "served.json").exists()',
    'def f(site): Path(site.get("data")).mkdir()',
    'def f(settings): shutil.rmtree(settings["cache"])',
    'def f(self): shutil.move("x", self.site.settings["data"])',
    'def f(wanted): os.open(wanted["beneath"], 0)',
    'def f(site):\n data = site["data"]\n place = data + "/x"\n os.rename("y", place)',
    'def f(site):\n for a, b in os.walk(site["data"]):\n  pass',
    'def f(site):\n for path in sorted(g(site["data"])):\n  path.unlink()\ndef g(data):\n yield data / "x"',
    'def f(site): g("x", site["data"])\ndef g(name, place): os.remove(place)',
    'def f(site): g(place=site["data"])\ndef g(name="", place=""): os.remove(place)',
    'def f(site): g(1, 2, site["data"])\ndef g(*places): os.remove(places[2])',
    'def f(site): Site().g(site["data"])\nclass Site:\n def g(self, place): os.remove(place)',
    'def f(site): g(h(site["data"]))\ndef g(place): return os.stat(place)\ndef h(place): return place.parent',
    'def f(site):\n if (place := site.path("data")):\n  tarfile.open(place)',
    'def f(site): return [path.stat() for path in [site.path("data")]]',
    'def f(site): subprocess.run(["rm", site["data"]])',
    'def f(site):\n with sqlite3.connect(site.path("data") / "x"):\n  pass',
]

FINE = [
    'def f(site): beneath.open_directory(site["data"], "x")',
    "def f(site): return f\"{site['data']}/x\"",
    'def f(site): return os.path.join(site["data"], "x")',
    "def f(site): raise OperationError(f\"{site['data']} is full\")",
    'def f(site): open(site["releases"])',
    'def f(site): return site.path("data").relative_to("/var")',
    'def f(site): g(site["data"])\ndef g(place): return beneath.walk(place)',
    'def f(site):\n found = g(site["data"])\n open(found)\ndef g(place): return beneath.read_small(place, "x", 5)',
    'def f(site): trusted(site["data"])',
]


@pytest.mark.parametrize("text", FORBIDDEN)
def test_a_path_of_the_app_in_a_call_that_takes_a_name_is_found(text: str) -> None:
    assert len(Code({"file.py": text}).findings()) == 1


@pytest.mark.parametrize("text", FINE)
def test_what_only_computes_or_goes_through_the_mechanism_is_fine(text: str) -> None:
    assert Code({"file.py": text}, {"trusted": "a reason"}).findings() == []
