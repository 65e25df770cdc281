"""Tags that cannot work are refused or warned of; those of other roles are left alone."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible import context
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.play import Play
from ansible.utils.context_objects import CLIArgs
from ansible_collections.flaskblog.hosting.plugins.plugin_utils import tags

ROOT = Path(__file__).parents[3]
OWN = str(ROOT / "playbooks" / "site.yml")


def choice(
    run: list[str], skip: list[str] | None = None, own: tuple[str, ...] = ("always",), parent: Any = None
) -> Any:
    variables = {"ansible_run_tags": run, "ansible_skip_tags": skip or []}
    return tags.Choice(SimpleNamespace(tags=list(own), _parent=parent), variables)


@pytest.fixture
def playbooks(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Set the playbooks of the command line."""

    def name(*paths: str) -> None:
        monkeypatch.setattr(context, "CLIARGS", CLIArgs({"args": paths}))

    name("/home/ada/site.yml")
    return name


def test_the_layers_are_the_tags_of_the_role_in_their_order() -> None:
    tasks = yaml.safe_load((ROOT / "roles" / "flask_blog" / "tasks" / "main.yml").read_text())
    assert [tag for task in tasks for tag in task["tags"] if tag != "always"] == list(tags.LAYERS)
    for layer, needed in tags.LAYERS.items():
        assert set(needed) <= set(list(tags.LAYERS)[: list(tags.LAYERS).index(layer)])


@pytest.mark.parametrize("own", [[], ["always"], ["state"], ["state", "always"]])
def test_what_is_chosen_is_what_ansible_runs(own: list[str]) -> None:
    play = Play.load({"hosts": "all", "tasks": [{"ansible.builtin.debug": {}, "tags": own}]}, loader=DataLoader())
    (task,) = play.tasks[0].block
    for run in (["all"], ["state"], ["tagged"], ["untagged"], ["other"], ["always"]):
        for skip in ([], ["state"], ["always"], ["tagged"], ["other"], ["all"], ["all", "always"]):
            assert tags.is_chosen(own, run, skip) == task.evaluate_tags(run, skip, {}), (run, skip)


@pytest.mark.parametrize("run", [["proxy"], ["state", "proxy"]])
@pytest.mark.parametrize("playbook", [OWN, "flaskblog.hosting.site"])
def test_an_unknown_tag_of_the_collections_own_playbook_is_refused(
    playbooks: Any, playbook: str, run: list[str]
) -> None:
    playbooks(playbook)
    refusal = choice(run).refusal("main")
    assert refusal.startswith(f"--tags {','.join(run)}: there is no tag proxy. The tags are packages, account, unpack,")


@pytest.mark.parametrize(
    ("run", "skip"),
    [(["all"], []), (["state"], []), (["all"], ["verify"]), (["tagged"], []), (["packages", "account"], ["other"])],
)
def test_tags_of_the_role_are_accepted(playbooks: Any, run: list[str], skip: list[str]) -> None:
    playbooks(OWN)
    assert choice(run, skip).refusal("main") == ""
    assert choice(run, skip).chooses("main")


def test_the_tag_of_the_role_host_is_one_of_the_collections_own_playbook(playbooks: Any) -> None:
    playbooks(OWN)
    assert choice(["host"]).refusal("main") == ""
    assert not choice(["host"]).chooses("main")
    (play,) = yaml.safe_load(Path(OWN).read_text())
    assert [task["tags"] for task in play["tasks"]] == [[tags.HOST]]


def test_a_tag_of_another_role_is_no_matter_of_this_one(playbooks: Any) -> None:
    assert choice(["database"]).refusal("main") == ""
    assert not choice(["database"]).chooses("main")
    assert not choice(["database"]).chooses_layers


def test_a_tag_that_nothing_in_the_play_has_is_warned_of(playbooks: Any) -> None:
    assert choice(["database"]).warning() == (
        "--tags database: no task of this play has the tag database, and nothing of the role flask_blog runs. Its tags"
        " are packages, account, unpack, venv, state, activate, certificate, verify."
    )
    assert choice(["state", "database"]).warning() == ""
    assert choice(["all"], ["packages"]).warning() == ""


def test_a_tag_that_the_playbook_gives_the_role_chooses_all_of_it(playbooks: Any) -> None:
    found = choice(["blog"], own=("always", "blog"))
    assert (found.refusal("main"), found.layers) == ("", list(tags.LAYERS))


@pytest.mark.parametrize("entry_point", ["main", "rollback"])
def test_a_tag_of_include_role_that_does_not_reach_the_tasks_is_refused(playbooks: Any, entry_point: str) -> None:
    include = SimpleNamespace(statically_loaded=False, tags=["blog"], _parent=None)
    assert "and not the tasks in it" in choice(["blog"], parent=include).refusal(entry_point)
    assert choice(["blog"], own=("always", "blog"), parent=include).refusal(entry_point) == ""


@pytest.mark.parametrize("entry_point", ["release", "rollback", "maintenance"])
def test_an_operation_has_no_tags(playbooks: Any, entry_point: str) -> None:
    assert choice(["state"]).refusal(entry_point) == f"--tags state: {entry_point} has no tags. Leave the option out."
    assert choice(["all"]).refusal(entry_point) == ""
    assert choice(["all"], ["verify"]).refusal(entry_point) == ""


def test_a_layer_without_the_ones_that_it_needs_is_refused_with_the_tags() -> None:
    refusal, _ = choice(["activate"]).partial(["unpack", "venv", "activate", "verify"])
    assert refusal == (
        "--tags activate: activate needs unpack, venv, where something has to be done as well and which this run would"
        " leave out. Nothing was changed. Run with --tags unpack,venv,activate, or without tags."
    )
    refusal, _ = choice(["all"], ["packages"]).partial(["packages", "venv"])
    assert refusal.startswith("--skip-tags packages: venv needs packages,")


def test_what_a_run_leaves_out_is_named() -> None:
    assert choice(["unpack"]).partial(["unpack", "venv", "activate"]) == ("", ["venv", "activate"])
    assert choice(["all"], ["verify"]).partial(["state", "verify"]) == ("", ["verify"])
    assert choice(["activate"]).partial(["activate"]) == ("", [])
    assert choice(["all"]).partial(["unpack", "activate"]) == ("", [])


def test_the_tasks_of_a_release_have_no_tags_to_leave_out() -> None:
    found = choice(["all"], ["unpack"], own=())
    assert found.chooses_layers
    assert found.partial(["unpack", "activate"]) == ("", [])
