"""What runs on the controller: input is checked, files are rendered, archives are carried, a bare host gets Python."""

from __future__ import annotations

import copy
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible import constants
from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.action import ActionBase
from ansible.template import Templar
from ansible_collections.flaskblog.hosting.plugins.action import apply, operation, plan, unpack, validate
from ansible_collections.flaskblog.hosting.plugins.module_utils.contract import SQLITE_MAGIC
from ansible_collections.flaskblog.hosting.plugins.plugin_utils import role as role_files
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.source import archive
from releases import make_release
from role_variables import role_variables

Run = Callable[..., dict[str, Any]]

#: What the blog's release holds.
CODE = ["app.py", "requirements.txt", "static/blog.css"]


@pytest.fixture
def variables(role: Path, tmp_path: Path) -> dict[str, Any]:
    """The variables of a task in the role, for a blog in a temporary folder."""
    blog = tmp_path / "blog"
    (blog / "static").mkdir(parents=True)
    (blog / "app.py").write_text("app\n")
    (blog / "requirements.txt").write_text("flask\n")
    (blog / "static" / "blog.css").write_text("body {}\n")
    loader = DataLoader()
    found: dict[str, Any] = {"inventory_hostname": "blog.test", "role_path": str(role)}
    found |= role_variables(loader, role)
    return {**found, "flask_blog_source": str(blog)}


class Host:
    """A host as the actions see it: what its modules and commands are asked, and what they answer."""

    def __init__(self) -> None:
        self.modules: list[tuple[str, dict[str, Any], dict[str, Any]]] = []
        self.answers: list[dict[str, Any]] = []
        self.commands: list[str] = []
        self.outputs: list[dict[str, Any]] = []
        self.carried: list[str] = []
        self.archived: list[list[str]] = []

    def module(self, module_name: str, module_args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        self.modules.append((module_name, module_args, task_vars))
        return self.answers.pop(0) if self.answers else {"changed": False}

    def command(self, command: str) -> dict[str, Any]:
        self.commands.append(command)
        return {"rc": 0, "stdout": "", "stderr": "", **(self.outputs.pop(0) if self.outputs else {})}

    def transfer(self, local: str, remote: str) -> str:
        self.carried.append(remote)
        with tarfile.open(local) as tar:
            self.archived.append(sorted(tar.getnames()))
        return remote


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def run(host: Host, variables: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run an action with arguments, some of the role's variables changed (without their prefix)."""

    def act(module: Any, arguments: dict[str, Any], check_mode: bool = False, **chosen: Any) -> dict[str, Any]:
        task_vars = {**variables, **{f"flask_blog_{name}": value for name, value in chosen.items()}}
        loader = DataLoader()
        loader.set_basedir("/nonexistent/playbooks")
        templar = Templar(loader=loader, variables=task_vars)
        shell = SimpleNamespace(tmpdir="/tmp/remote", join_path=lambda *parts: "/".join(parts))
        action = module.ActionModule(
            task=SimpleNamespace(args=templar.template(arguments), check_mode=check_mode, async_val=0, _role=None),
            connection=SimpleNamespace(_shell=shell),
            play_context=None,
            loader=loader,
            templar=templar,
            shared_loader_obj=None,
        )
        monkeypatch.setattr(ActionBase, "run", lambda *_, **__: {})
        monkeypatch.setattr(action, "_execute_module", host.module)
        monkeypatch.setattr(action, "_low_level_execute_command", host.command)
        monkeypatch.setattr(action, "_transfer_file", host.transfer)
        monkeypatch.setattr(action, "_remove_tmp_path", lambda _: None)
        return dict(action.run(task_vars=task_vars))

    return act


# -- validate -------------------------------------------------------------------------------------------------------


def test_good_input_is_accepted_without_a_word(run: Run) -> None:
    assert run(validate, {}) == {"changed": False}


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"workers": 0}, "flask_blog_workers: 0: it must be at least 1"),
        ({"server_name": "x.test"}, "Did you mean flask_blog_server_names?"),
        ({"server_names": "x.test"}, "flask_blog_server_names: 'x.test': it is text where a list belongs"),
        ({"source": "/nonexistent/blog"}, "there is no such folder or archive on the controller"),
        ({"app_dir": "web"}, "flask_blog_app_dir: 'web': the source has no such folder"),
        ({"requirements": "prod.txt"}, "flask_blog_requirements: 'prod.txt': the source holds no such file"),
        ({"initial_data": "/nonexistent"}, "flask_blog_initial_data: '/nonexistent': there is no such folder"),
    ],
)
def test_bad_input_is_refused_in_words(run: Run, chosen: dict[str, Any], words: str) -> None:
    result = run(validate, {}, **chosen)
    assert result["failed"] is True
    assert result["msg"].startswith("Nothing was touched, as the input is not right:\n")
    assert words in result["msg"]


def test_a_source_without_requirements_is_refused(run: Run, variables: dict[str, Any]) -> None:
    (Path(variables["flask_blog_source"]) / "requirements.txt").unlink()
    assert "neither requirements.txt nor pyproject.toml" in run(validate, {})["msg"]


def test_numbers_from_the_command_line_are_numbers(run: Run) -> None:
    assert run(validate, {}, workers="3", http_port="8080") == {"changed": False}
    assert "at least 1" in run(validate, {}, workers="0")["msg"]


@pytest.mark.parametrize("value", ["8\n", "08", "٣", "1_0", "+5", True])
def test_what_python_takes_for_a_number_and_nginx_does_not_is_refused(run: Run, value: Any) -> None:
    assert run(validate, {}, workers=value)["msg"].endswith(
        f"flask_blog_workers: {value!r}: it is no number. Write it with the digits 0 to 9."
    )


ENTRY_POINTS: list[tuple[str, dict[str, Any]]] = [
    ("main", {}),
    ("release", {}),
    ("rollback", {"rollback_release": "3f2a9c1e", "rollback_data": "ask"}),
    ("maintenance", {"maintenance": True}),
]


@pytest.mark.parametrize(("entry_point", "chosen"), ENTRY_POINTS)
def test_every_entry_point_refuses_a_misspelt_variable(run: Run, entry_point: str, chosen: dict[str, Any]) -> None:
    arguments = {"entry_point": entry_point}
    assert run(validate, arguments, **chosen) == {"changed": False}
    result = run(validate, arguments, **chosen, rolback_release="3f2a9c1e")
    assert result["failed"] is True
    assert "Did you mean flask_blog_rollback_release?" in result["msg"]


@pytest.mark.parametrize(("entry_point", "chosen"), ENTRY_POINTS)
def test_every_entry_point_checks_the_sites_name(run: Run, entry_point: str, chosen: dict[str, Any]) -> None:
    result = run(validate, {"entry_point": entry_point}, **{**chosen, "name": "sshd"})
    assert "flask_blog_name: 'sshd': it is the name of a service" in result["msg"]


@pytest.mark.parametrize("release", ["--keep-data", "../other", "a b", "a\nb", "."])
def test_a_rollback_refuses_what_is_no_release(run: Run, release: str) -> None:
    result = run(validate, {"entry_point": "rollback"}, rollback_release=release)
    assert f"flask_blog_rollback_release: {release!r}: it is no id of a release" in result["msg"]


def test_a_rollback_does_not_need_what_only_a_deployment_needs(run: Run, host: Host) -> None:
    chosen = {"source": "/nonexistent/blog", "workers": 0, "rollback_release": ""}
    assert run(validate, {"entry_point": "rollback"}, **chosen) == {"changed": False}
    assert (host.modules, host.commands) == ([], []), "the host is not touched"


# -- plan -----------------------------------------------------------------------------------------------------------

PLAN: dict[str, Any] = {"platforms": ["Debian_12", "Debian_13"], "packages": ["nginx"], "probes": []}


@pytest.fixture
def arguments(variables: dict[str, Any]) -> dict[str, Any]:
    names = {"site": "__flask_blog_site", "source": "__flask_blog_source", "objects": "__flask_blog_objects"}
    return {**PLAN, **{key: variables[name] for key, name in names.items()}}


def test_the_plan_gets_a_named_release_rendered_files_and_a_file_to_ask_for(
    run: Run, host: Host, arguments: dict[str, Any]
) -> None:
    host.answers = [{"layers": []}]
    result = run(plan, arguments, secrets={"API_KEY": "hunter2"})
    ((name, sent, task_vars),) = host.modules
    assert name == "flaskblog.hosting.plan"
    assert sent["release"]["path"] == f"/opt/flask-blog/releases/{sent['release']['id']}"
    assert [probe["path"] for probe in sent["probes"]] == ["/static/blog.css"]
    assert "source" not in sent
    assert task_vars["ansible_python_interpreter"] == "/usr/bin/python3"
    assert "API_KEY" in sent["secrets"]["/etc/flask-blog/environment"]
    assert "hunter2" not in str(sent["objects"])
    assert result["probes"] == sent["probes"]


def test_a_source_that_cannot_be_a_release_is_named(run: Run, arguments: dict[str, Any]) -> None:
    with pytest.raises(AnsibleActionFail, match=r"flask_blog_source: '/nonexistent/x': there is no such folder"):
        run(plan, arguments, source="/nonexistent/x")


def test_initial_data_without_any_data_is_refused_while_the_blog_is_new(
    run: Run, host: Host, arguments: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    host.answers = [{"data_is_new": True, "layers": []}]
    with pytest.raises(AnsibleActionFail, match="it holds none of the blog's databases"):
        run(plan, {**arguments, "initial_data": str(tmp_path / "empty")})
    host.answers = [{"data_is_new": False, "layers": []}]
    run(plan, {**arguments, "initial_data": str(tmp_path / "empty")})


NO_PYTHON = {"failed": True, "module_stderr": "/bin/sh: 1: /usr/bin/python3: not found"}
WHO = {"stdout": 'sudo: unable to resolve host\nuid=0\nID=debian\nVERSION_ID="12"\n'}


def test_a_bare_host_gets_python_and_is_asked_again(run: Run, host: Host, arguments: dict[str, Any]) -> None:
    host.answers = [dict(NO_PYTHON), {"layers": ["packages"]}]
    host.outputs = [dict(WHO)]
    assert run(plan, arguments)["layers"] == ["packages"]
    assert "install python3" in host.commands[1]
    assert len(host.modules) == 2


def test_a_bare_host_is_waited_for_while_apt_is_busy(
    run: Run, host: Host, arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(plan.time, "sleep", slept.append)
    host.answers = [dict(NO_PYTHON), {"layers": []}]
    busy = {"rc": 100, "stderr": "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 7"}
    host.outputs = [dict(WHO), dict(busy), dict(busy), {}]
    run(plan, arguments)
    assert len(slept) == 2


def test_a_bare_host_whose_apt_fails_is_a_failure_with_apts_words(
    run: Run, host: Host, arguments: dict[str, Any]
) -> None:
    host.answers = [dict(NO_PYTHON)]
    host.outputs = [dict(WHO), {"rc": 100, "stderr": "E: Unable to locate package python3"}]
    with pytest.raises(AnsibleActionFail, match="cannot be installed:\nE: Unable to locate"):
        run(plan, arguments)


@pytest.mark.parametrize(
    ("who", "words"),
    [
        ('uid=0\nID=alpine\nVERSION_ID="3.20"\n', "Alpine 3 is not supported"),
        ('uid=1000\nID=debian\nVERSION_ID="12"\n', "become: true"),
    ],
)
def test_nothing_is_installed_on_a_host_that_is_refused(
    run: Run, host: Host, arguments: dict[str, Any], who: str, words: str
) -> None:
    host.answers = [dict(NO_PYTHON)]
    host.outputs = [{"stdout": who}]
    with pytest.raises(AnsibleActionFail, match=words):
        run(plan, arguments)
    assert len(host.commands) == 1


def test_check_mode_leaves_a_bare_host_bare(run: Run, host: Host, arguments: dict[str, Any]) -> None:
    host.answers = [dict(NO_PYTHON)]
    result = run(plan, arguments, check_mode=True)
    assert result["changed"] is True
    assert result["missing_packages"] == ["python3", "nginx"]
    assert host.commands == []


def test_another_failure_is_not_taken_for_a_missing_python(run: Run, host: Host, arguments: dict[str, Any]) -> None:
    host.answers = [{"failed": True, "msg": "port 80 is taken by apache2.service"}]
    assert run(plan, arguments)["failed"] is True
    assert host.commands == []


# -- databases in the source, and what a release lacks --


def put_database(variables: dict[str, Any], name: str) -> None:
    """Put a database into the blog's source."""
    path = Path(variables["flask_blog_source"], name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(SQLITE_MAGIC + bytes(84))


FIRST: dict[str, Any] = {"layers": ["unpack"], "release": {"id": "abc", "live": None}}
LATER: dict[str, Any] = {"layers": ["unpack"], "release": {"id": "abc", "live": "/opt/flask-blog/releases/old"}}


@pytest.mark.parametrize("answer", [FIRST, NO_PYTHON])
def test_an_undeclared_database_of_the_source_fails_the_first_deployment_with_the_line_to_set(
    run: Run, host: Host, arguments: dict[str, Any], variables: dict[str, Any], answer: dict[str, Any]
) -> None:
    put_database(variables, "data/blog.db")
    host.answers = [copy.deepcopy(answer)]
    with pytest.raises(AnsibleActionFail, match=r"\nflask_blog_databases: \[database\.db, data/blog\.db\]\n") as error:
        run(plan, arguments)
    assert "flask_blog_initial_data" in str(error.value)
    assert host.commands == [], "nothing was touched"


def test_it_is_a_warning_once_the_blog_is_there(
    run: Run, host: Host, arguments: dict[str, Any], variables: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(plan.display, "warning", said.append)
    put_database(variables, "data/blog.db")
    host.answers = [copy.deepcopy(LATER)]
    run(plan, arguments)
    assert "data/blog.db" in said[0]


def test_an_undeclared_database_of_a_repository_fails_the_first_deployment_as_well(
    run: Run, host: Host, arguments: dict[str, Any]
) -> None:
    host.answers = [{"layers": ["unpack"], "release": {"id": "abc", "live": None, "databases": ["posts.db"]}}]
    with pytest.raises(AnsibleActionFail, match=r"flask_blog_databases: \[database\.db, posts\.db\]"):
        run(plan, arguments, **PRIVATE)


@pytest.mark.parametrize("layers", [["unpack", "verify"], []])
def test_what_a_new_release_lacks_is_named_once(
    run: Run,
    host: Host,
    arguments: dict[str, Any],
    variables: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    layers: list[str],
) -> None:
    said: list[str] = []
    monkeypatch.setattr(plan.display, "display", said.append)
    folder = Path(variables["flask_blog_source"])
    (folder / "instance").mkdir()
    (folder / "instance" / "config.py").write_text("SECRET = 1\n")
    (folder / ".env").write_text("A=1\n")
    (folder / ".gitignore").write_text(".env\n")
    host.answers = [{**copy.deepcopy(LATER), "layers": layers}]
    run(plan, arguments)
    assert ("instance/config.py" in "\n".join(said), ".env" in "\n".join(said)) == (bool(layers), bool(layers))


PRIVATE = {"source": "https://me:hunter2@git.test/blog", "version": "main", "git_timeout": "7"}
UNKNOWN = {"layers": ["packages"], "needed_first": ["git"], "release": {"id": "unknown", "live": None}}
KNOWN = {"layers": [], "release": {"id": "abc", "databases": ["posts.db"]}, "probes": [{"path": "/x.css"}]}


def test_a_repository_is_the_hosts_to_read_and_what_opens_it_travels_apart(
    run: Run, host: Host, arguments: dict[str, Any]
) -> None:
    host.answers = [dict(KNOWN)]
    result = run(plan, {**arguments, "access": {"key": "the key"}}, **PRIVATE)
    ((_, sent, _),) = host.modules
    assert sent["source"]["url"] == "https://git.test/blog"
    assert (sent["source"]["version"], sent["source"]["timeout"]) == ("main", 7)
    assert sent["access"] == {"key": "the key", "credentials": "https://me:hunter2@git.test"}
    assert "hunter2" not in str({**sent, "access": {}})
    assert "release" not in sent
    assert result["probes"] == [{"path": "/x.css"}]
    assert "changed" not in result


def test_git_is_installed_where_the_release_cannot_be_known_without_it(
    run: Run, host: Host, arguments: dict[str, Any]
) -> None:
    host.answers = [dict(UNKNOWN), dict(KNOWN)]
    result = run(plan, arguments, **PRIVATE)
    assert host.commands[0].endswith("install git")
    assert len(host.modules) == 2
    assert (result["release"]["id"], result["changed"]) == ("abc", True)


def test_a_bare_host_gets_python_and_git_at_once(run: Run, host: Host, arguments: dict[str, Any]) -> None:
    host.answers = [dict(NO_PYTHON), dict(KNOWN)]
    host.outputs = [dict(WHO)]
    run(plan, arguments, **PRIVATE)
    assert host.commands[1].endswith("install python3 ca-certificates git")


def test_check_mode_says_that_the_account_of_git_is_missing(
    run: Run, host: Host, arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(plan.display, "warning", said.append)
    host.answers = [{"layers": ["packages"], "needed_first": [], "release": {"id": "unknown", "live": None}}]
    arguments["site"] = {**arguments["site"], "build_user": "blog-build"}
    assert run(plan, arguments, check_mode=True, **PRIVATE)["release"]["id"] == "unknown"
    assert "has no account blog-build yet" in said[0]


@pytest.mark.parametrize("answer", [NO_PYTHON, UNKNOWN])
def test_check_mode_installs_no_git_and_says_that_the_release_is_unknown(
    run: Run, host: Host, arguments: dict[str, Any], answer: dict[str, Any]
) -> None:
    host.answers = [dict(answer)]
    result = run(plan, arguments, check_mode=True, **PRIVATE)
    assert result["release"]["id"] == "unknown"
    assert result["layers"] == ["packages"]
    assert host.commands == []


def test_initial_data_is_looked_at_for_a_blog_from_git_as_well(
    run: Run, host: Host, arguments: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    release = make_release(path="/r/abc", app_path="/r/abc", links={"database.db": "/var/lib/flask-blog/database.db"})
    host.answers = [{"data_is_new": True, "layers": [], "release": release.to_dict()}]
    with pytest.raises(AnsibleActionFail, match="it holds none of the blog's databases"):
        run(plan, {**arguments, "initial_data": str(tmp_path / "empty")}, **PRIVATE)


# -- apply and release ----------------------------------------------------------------------------------------------


def test_secret_texts_travel_apart_from_the_objects(run: Run, host: Host, arguments: dict[str, Any]) -> None:
    run(apply, {"site": arguments["site"], "objects": arguments["objects"]}, secrets={"API_KEY": "hunter2"})
    ((_, sent, _),) = host.modules
    assert "hunter2" in sent["secrets"]["/etc/flask-blog/environment"]
    assert "hunter2" not in str(sent["objects"])


def test_a_release_and_the_first_data_are_carried_over(
    run: Run, host: Host, arguments: dict[str, Any], variables: dict[str, Any]
) -> None:
    blog = Path(variables["flask_blog_source"])
    (blog / "static" / "uploads").mkdir()
    (blog / "static" / "uploads" / "cat.jpg").write_text("cat")
    run(plan, arguments)
    described = host.modules[0][1]["release"]
    carried = {"site": arguments["site"], "source": arguments["source"], "release": described}
    run(unpack, {**carried, "initial_data": str(blog)})
    _, sent, _ = host.modules[1]
    assert sent["archive"] == "/tmp/remote/release.tar.gz"
    assert sent["initial_data"] == "/tmp/remote/data.tar.gz"
    assert host.archived == [[*CODE, "static/uploads/cat.jpg"], ["static/uploads/cat.jpg"]]


def test_a_run_unpacks_an_archive_once(
    run: Run, host: Host, arguments: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "local").mkdir(mode=0o700)
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path / "local"))
    unpack_archive, unpacked = archive.unpack, list[str]()

    def counting(*arguments: Any) -> None:
        unpacked.append(arguments[2])
        unpack_archive(*arguments)

    monkeypatch.setattr(archive, "unpack", counting)
    source = shutil.make_archive(str(tmp_path / "packed"), "gztar", tmp_path / "blog")
    run(validate, {}, source=source)
    run(plan, arguments, source=source)
    described = host.modules[0][1]["release"]
    run(unpack, {"site": arguments["site"], "source": arguments["source"], "release": described}, source=source)
    assert len(unpacked) == 1
    assert unpacked[0].startswith(str(tmp_path / "local"))
    assert host.archived == [["app.py", "requirements.txt", "static/blog.css"]]


def test_check_mode_carries_nothing(run: Run, host: Host, arguments: dict[str, Any]) -> None:
    run(unpack, {"site": arguments["site"], "source": arguments["source"], "release": {}}, check_mode=True)
    assert host.carried == []
    assert len(host.modules) == 1


def test_a_release_from_git_is_on_the_host_already(run: Run, host: Host, arguments: dict[str, Any]) -> None:
    run(unpack, {"site": arguments["site"], "source": arguments["source"], "release": {}}, **PRIVATE)
    ((_, sent, _),) = host.modules
    assert host.carried == []
    assert "archive" not in sent
    assert "hunter2" not in str(sent)


def test_a_source_that_vanished_meanwhile_is_named(run: Run, arguments: dict[str, Any]) -> None:
    source = {"site": arguments["site"], "source": arguments["source"], "release": {}}
    with pytest.raises(AnsibleActionFail, match="flask_blog_source: '/nonexistent/x'"):
        run(unpack, source, source="/nonexistent/x")


# -- what they share ------------------------------------------------------------------------------------------------


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


def test_blogctl_is_installed_with_the_files_that_it_shares_with_the_modules(role: Path) -> None:
    action = SimpleNamespace(_loader=DataLoader(), _templar=Templar(loader=DataLoader(), variables={}))
    wanted = {"scope": "host", "kind": "file", "path": "/x", "file": "blogctl"}
    texts = {
        item["path"]: item.get("content") for item in role_files.rendered(action, {"role_path": str(role)}, [wanted])
    }
    for name in ("contract", "cage", "printable", "bounded_http"):
        (path,) = [path for path in texts if path.endswith(f"/{name}.py")]
        assert texts[path] == (role.parent.parent / "plugins" / "module_utils" / f"{name}.py").read_text()


# -- operation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation_name", "check_mode", "shown"),
    [("activate", False, False), ("activate", True, True), ("rollback", False, True), ("maintenance", True, True)],
)
def test_the_result_of_an_operation_is_shown_if_a_person_asked_for_it(
    run: Run, host: Host, operation_name: str, check_mode: bool, shown: bool
) -> None:
    host.answers = [{"changed": True, "msg": "abc is served"}]
    arguments = {"site": "flask-blog", "operation": operation_name}
    result = run(operation, arguments, check_mode=check_mode)
    assert result.pop("_ansible_verbose_always", False) is shown
    assert result == {"changed": True, "msg": "abc is served"}
    ((name, sent, variables),) = host.modules
    assert (name, sent) == ("flaskblog.hosting.operation", arguments)
    assert variables["ansible_python_interpreter"] == "/usr/bin/python3"
