"""Manual changes of anything that the role manages are found, shown and corrected.

The role itself lists what it manages. All of it is changed at once, one kind of change after the other.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import installed_tool
import pytest

if TYPE_CHECKING:
    from molecule.conftest import Operator, Run, Visitor

FILES = Path(__file__).parents[2] / "roles" / "flask_blog" / "files"
SOURCE = Path(__file__).parents[2] / "tests" / "blogs" / "mirror"
RELEASE_PLAYBOOK = "../../playbooks/release.yml"
MIRROR = "mirror.example.com"
DATABASE = "/var/lib/flask-blog/database.db"

# -- code that runs on the machine --

LOOK = """
import glob, hashlib, os, pwd, re, subprocess

def look(path):
    try:
        found = os.lstat(path)
    except OSError:
        return "nothing"
    if os.path.islink(path):
        return f"-> {os.readlink(path)}"
    words = f"{found.st_mode:o} {found.st_uid}:{found.st_gid}"
    if not os.path.isfile(path) or path in others_write:
        return words
    content = open(path, "rb").read()
    if path in secret:
        # A generated value is as good as another; that it is kept is a question of its own.
        content = re.sub(rb'"[0-9a-f]{64}"', b"generated", content)
    return f"{words} {hashlib.sha256(content).hexdigest()}"

paths, folders, secret, others_write, units, user = args
for folder in folders:
    for parent, directories, files in os.walk(folder):
        paths += [os.path.join(parent, name) for name in [*directories, *files]]
seen = {path: look(path) for path in paths}
for unit in units:
    show = ["systemctl", "show", "--property=UnitFileState,ActiveState", unit]
    seen[unit] = subprocess.run(show, capture_output=True, text=True, check=True).stdout
try:
    seen["the account"] = repr(tuple(pwd.getpwnam(user))[2:])
except KeyError:
    seen["the account"] = "nothing"
print(json.dumps(seen))
"""
APPEND = """
for path in args[0]:
    with open(path, "a") as file:
        file.write("\\nthis line was never here\\n")
"""
#: Of the paths where nothing may be: those in a directory that is there. This site has no copies off-site.
IN_DIRECTORIES = """
import os
print(json.dumps([path for path in args[0] if os.path.isdir(os.path.dirname(path))]))
"""
LEAD_ASTRAY = """
import os
for path in args[0]:
    if os.path.lexists(path):
        os.unlink(path)
    os.symlink("/nowhere", path)
"""
# What a package enables, and nothing else, is removed there.
ENABLE = """
import os
for path in args[0]:
    os.symlink(path.replace("sites-enabled", "sites-available"), path)
"""
CHANGE_MODE = """
import os
for path in args[0]:
    os.chmod(path, os.stat(path).st_mode | 0o002)
"""
# A uid without an account: files of another account in the data folder are refused.
CHANGE_OWNER = """
import os
for path in args[0]:
    os.chown(path, 54321, 54321)
"""
REMOVE = """
import os, shutil
for path in args[0]:
    shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
"""
LET_LOG_IN = """
import subprocess
subprocess.run(["usermod", "--shell", "/bin/sh", args[0]], check=True)
"""
STOP = """
import subprocess
for unit in args[0]:
    subprocess.run(["systemctl", "disable", "--now", unit], check=True, stderr=subprocess.DEVNULL)
"""
EXPAND = """
from pathlib import Path
found = [path for folder in args[0] for path in [Path(folder), *Path(folder).rglob("*")]]
found = [path for path in found if "__pycache__" not in path.parts]
print(json.dumps([[str(path) for path in found if path.is_dir() is is_folder] for is_folder in (True, False)]))
"""
RELEASE = """
import os
release = os.path.realpath(args[0])
below = [os.path.join(parent, name) for parent, folders, files in os.walk(release) for name in [*folders, *files]]
print(json.dumps({
    "path": release,
    "venv": os.path.realpath(f"{release}/venv"),
    "links": [path for path in below if os.path.islink(path)],
    "others": [release, *(path for path in below if not os.path.islink(path))],
}))
"""


@dataclass(frozen=True)
class Managed:
    """The managed objects of a machine."""

    operator: Operator
    files: list[str]
    directories: list[str]
    #: folders that hold the role's modules and nothing else
    modules: list[str]
    links: list[str]
    absent: list[str]
    #: files whose owner and mode are managed, and whose content other programs write
    others_write: list[str]
    #: those of them that the role creates
    made_empty: list[str]
    secret: list[str]
    units: list[str]
    site: dict[str, Any]
    release: dict[str, Any]

    def look(self) -> dict[str, str]:
        """Return the state of each object, by path."""
        paths = [*self.files, *self.directories, *self.links, *self.absent, self.site["link"], DATABASE]
        folders = [self.release["path"], f"{self.site['data']}/static"]
        seen: dict[str, str] = self.operator.python(
            LOOK,
            [*paths, *self.others_write],
            folders,
            self.secret,
            self.others_write,
            self.units,
            self.site["user"],
        )
        return seen

    @property
    def changeable(self) -> list[str]:
        """Return the paths with a managed owner and mode."""
        return [*self.files, *self.directories, *self.others_write, DATABASE]


@pytest.fixture(scope="module")
def managed(host: Any, operator: Operator) -> Managed:
    assert operator.play(playbook="managed.yml").returncode == 0
    declared = json.loads(Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], "managed.json").read_text())
    # The name of the tool's folder is filled in when the files are rendered.
    (digest,) = installed_tool.folder(host).split("/")[-1:]
    for item in declared["objects"]:
        item["path"] = item["path"].replace("@DIGEST@", digest)
    # One object stands for a folder of modules and all that is in it.
    folders = [item["path"] for item in declared["objects"] if "file" in item and (FILES / item["file"]).is_dir()]
    paths: defaultdict[str, list[str]] = defaultdict(list)
    for item in declared["objects"]:
        paths[item["kind"]].append(item["path"])
    directories, files = operator.python(EXPAND, folders)
    assert len(files) > len(directories) > len(folders) > 0
    return Managed(
        operator=operator,
        files=[path for path in paths["file"] if path not in folders] + files,
        directories=paths["directory"] + directories,
        modules=folders,
        links=paths["link"],
        absent=operator.python(IN_DIRECTORIES, paths["absent"]),
        others_write=paths["attributes"],
        made_empty=[item["path"] for item in declared["objects"] if item.get("create")],
        secret=[item["path"] for item in declared["objects"] if item.get("generated")],
        # A timer that this site does not use is stopped already.
        units=[unit["name"] for unit in declared["units"] if unit.get("active", True)],
        site=declared["site"],
        release=operator.python(RELEASE, declared["site"]["link"]),
    )


def is_named(path: str, report: str) -> bool:
    """Return whether a report names a path, in the heading of a difference or at the start of a text."""
    return bool(re.search(rf"^\s*(--- before: |[-+] ?){re.escape(path)}(:| leads to |$)", report, re.MULTILINE))


# -- manual changes: each function returns the paths that a report must name --


def change_contents(managed: Managed) -> list[str]:
    release = managed.release["path"]
    added = [f"{folder}/stray.py" for folder in managed.modules] + [f"{release}/added.py"]
    managed.operator.python(APPEND, [*managed.files, f"{release}/app.py", *added])
    managed.operator.python(REMOVE, [f"{release}/static/mirror.css"])
    return [*managed.files, "stray.py", "app.py", "added.py", "static/mirror.css"]


def lead_links_astray(managed: Managed) -> list[str]:
    elsewhere = [*managed.links, managed.site["link"]]
    managed.operator.python(LEAD_ASTRAY, [*elsewhere, *managed.release["links"]])
    managed.operator.python(ENABLE, managed.absent)
    inside = [os.path.relpath(path, managed.release["path"]) for path in managed.release["links"]]
    return [*elsewhere, *managed.absent, *inside]


def change_modes_and_stop_units(managed: Managed) -> list[str]:
    managed.operator.python(STOP, managed.units)
    paths = managed.changeable
    managed.operator.python(CHANGE_MODE, [*paths, *managed.release["others"]])
    inside = [os.path.relpath(path, managed.release["path"]) for path in managed.release["others"]]
    return [*paths, *inside, *managed.units]


def change_owners(managed: Managed) -> list[str]:
    paths = managed.changeable
    managed.operator.python(CHANGE_OWNER, [*paths, *managed.release["others"]])
    managed.operator.python(LET_LOG_IN, managed.site["user"])
    return [*paths, *(os.path.relpath(path, managed.release["path"]) for path in managed.release["others"])]


def remove_files_and_links(managed: Managed) -> list[str]:
    paths = [*managed.files, *managed.made_empty, *managed.links, managed.site["link"]]
    paths.append(f"{managed.release['path']}/.release.json")
    managed.operator.python(REMOVE, paths)
    return [*paths[:-1], ".release.json"]


def remove_folders(managed: Managed) -> list[str]:
    """Remove all folders but the data, which only a backup can restore."""
    data = f"{managed.site['data']}/"
    folders = [path for path in managed.directories if path != "/var/www" and not f"{path}/".startswith(data)]
    outermost = [path for path in folders if not any(path.startswith(f"{other}/") for other in folders)]
    managed.operator.python(REMOVE, outermost)
    return folders


HANDS = (
    change_contents,
    lead_links_astray,
    change_modes_and_stop_units,
    change_owners,
    remove_files_and_links,
    remove_folders,
)


@pytest.mark.parametrize("hand", HANDS, ids=lambda hand: hand.__name__)
def test_a_manual_change_is_found_shown_and_corrected(
    managed: Managed, visit: Callable[..., Visitor], hand: Callable[[Managed], list[str]]
) -> None:
    before = managed.look()
    assert "nothing" not in {before[path] for path in [*managed.changeable, *managed.links]}
    expected = hand(managed)
    damaged = managed.look()
    assert [path for path in expected if path in before and damaged[path] == before[path]] == [], "the hand missed it"

    shown = managed.operator.play("--check", "--diff")
    assert shown.changed > 0
    assert [path for path in expected if not is_named(path, shown.output)] == []
    assert managed.look() == damaged, "check mode changes something"

    assert managed.operator.play().changed > 0
    after = managed.look()
    assert {path: after.get(path) for path in before if after.get(path) != before[path]} == {}
    assert after == before
    assert visit(MIRROR).ask("/").json()["host"] == MIRROR


def test_a_secret_is_kept_and_never_shown(host: Any, managed: Managed) -> None:
    before = {path: host.check_output("cat %s", path) for path in managed.secret}
    # The app's own, the one that nginx and gunicorn share, and the one by which a site shows that it answers.
    keys = [key for text in before.values() for key in re.findall(r"\b[0-9a-f]{64}\b", text)]
    assert len(keys) == 3
    managed.operator.python(APPEND, managed.secret)
    repair = managed.operator.play("--diff", "-vvv")
    assert repair.changed > 0
    assert [key for key in keys if key in repair.output] == []
    assert {path: host.check_output("cat %s", path) for path in managed.secret} == before


def test_a_release_of_code_alone_leaves_manual_changes_and_names_them(
    host: Any, managed: Managed, visit: Callable[..., Visitor], tmp_path: Path
) -> None:
    source = shutil.copytree(SOURCE, tmp_path / "mirror")
    (source / "static" / "mirror.css").write_text("body { color: green; }\n")
    settings = managed.site["gunicorn_config"]
    host.check_output("echo '# by hand' >>%s; systemctl stop flask-blog-backup.timer", settings)

    def release() -> Run:
        return managed.operator.play("--extra-vars", f"flask_blog_source={source}", playbook=RELEASE_PLAYBOOK)

    first = release()
    assert first.changed > 0
    assert f"{settings}, flask-blog-backup.timer on this host differ" in " ".join(first.output.split())
    assert visit(MIRROR).ask("/static/mirror.css").text == "body { color: green; }\n"
    assert release().changed == 0
    assert host.file(settings).contains("# by hand")
    host.check_output("echo '#' >>%s", f"{installed_tool.folder(host)}/blogctl/cli.py")
    assert "Run playbooks/site.yml once" in " ".join(release().output.split())
    assert managed.operator.play().changed > 0


def test_after_all_repairs_nothing_is_left_to_do(managed: Managed) -> None:
    assert managed.operator.play().changed == 0
