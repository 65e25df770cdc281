"""A release and the first data are packed on the controller and carried to the host."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from action_host import PRIVATE, Host, Run
from ansible import constants
from ansible.errors import AnsibleActionFail
from ansible_collections.flaskblog.hosting.plugins.action import plan, unpack, validate
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.source import archive


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
    code = ["app.py", "requirements.txt", "static/blog.css"]
    assert host.archived == [[*code, "static/uploads/cat.jpg"], ["static/uploads/cat.jpg"]]


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
