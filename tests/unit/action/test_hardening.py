"""The action renders the features, refuses bad input first, and confirms a change over a new connection."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from action_host import Host
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.action import ActionBase
from ansible.template import Templar
from ansible_collections.flaskblog.hosting.plugins.action import hardening
from role_variables import role_variables

ROLE = Path(__file__).parents[3] / "roles" / "host"


class Connection:
    """SSH, as the action sees it: its options, and how a command over it ends."""

    transport = "ssh"

    def __init__(self) -> None:
        self.options: dict[str, Any] = {"ssh_args": "-o ControlMaster=auto", "remote_user": "ada"}
        self.commands: list[tuple[str, str]] = []
        self.answer: tuple[int, bytes, bytes] | Exception = (0, b"", b"")
        self._shell = SimpleNamespace(tmpdir="/tmp/remote")

    def get_option(self, name: str) -> Any:
        return self.options[name]

    def set_option(self, name: str, value: Any) -> None:
        self.options[name] = value

    def exec_command(self, command: str, sudoable: bool) -> tuple[int, bytes, bytes]:
        assert not sudoable
        self.commands.append((command, self.options["ssh_args"]))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Hosts(Host):
    """A host that also notes over which connection each module came, and that may be out of reach."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.connection = connection
        self.over: list[str] = []

    def module(self, module_name: str, module_args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        self.over.append(self.connection.options["ssh_args"])
        found = super().module(module_name, module_args, task_vars)
        if found.get("lost"):
            raise AnsibleConnectionFailure("Connection timed out")
        return found


class World:
    """One run of the action."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.connection = Connection()
        self.host = Hosts(self.connection)
        self.now = 0.0
        monkeypatch.setattr(ActionBase, "run", lambda *_, **__: {})
        monkeypatch.setattr(hardening.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(hardening.time, "sleep", self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.now += seconds

    def run(self, operation: str, check_mode: bool = False, **chosen: Any) -> dict[str, Any]:
        loader = DataLoader()
        variables = {"inventory_hostname": "blog.test", "role_path": str(ROLE), **role_variables(loader, ROLE)}
        variables |= {f"flask_blog_{name}": value for name, value in chosen.items()}
        templar = Templar(loader=loader, variables=variables)
        arguments = {
            "operation": operation,
            "features": variables["__flask_blog_host_features"],
            "revert_after": variables["flask_blog_host_revert_after"],
        }
        action = hardening.ActionModule(
            task=SimpleNamespace(args=templar.template(arguments), check_mode=check_mode, async_val=0, _role=None),
            connection=self.connection,
            play_context=None,
            loader=loader,
            templar=templar,
            shared_loader_obj=None,
        )
        action._execute_module = self.host.module
        return dict(action.run(task_vars=variables))

    def features(self, **chosen: Any) -> dict[str, Any]:
        """Return the features that the host is sent, by name."""
        self.run("compare", **chosen)
        return {feature["name"]: feature for feature in self.host.modules[-1][1]["features"]}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def text_of(feature: dict[str, Any], ending: str) -> str:
    (found,) = [str(item["content"]) for item in feature["objects"] if item["path"].endswith(ending)]
    return found


EVERYTHING: dict[str, Any] = {
    "host_firewall": True,
    "host_firewall_ports": [80, "443", "443/udp", "8000-8010"],
    "host_ssh_keys_only": True,
    "host_upgrades": True,
    "host_upgrades_reboot": "04:00",
    "host_fail2ban": True,
    "host_journal_max": "64M",
    "host_swap": "1G",
}


def test_without_a_variable_nothing_is_wanted(world: World) -> None:
    assert [feature for feature in world.features().values() if feature["wanted"]] == []


def test_a_variable_turns_its_feature_on_and_the_way_back_with_those_that_need_it(world: World) -> None:
    for chosen, wanted in (
        ({"host_firewall": True}, {"revert", "firewall"}),
        ({"host_ssh_keys_only": "yes"}, {"revert", "ssh"}),
        ({"host_upgrades": True}, {"upgrades"}),
        ({"host_fail2ban": True}, {"fail2ban"}),
        ({"host_journal_max": "1G"}, {"journal"}),
        ({"host_swap": "1G"}, {"swap"}),
    ):
        found = world.features(**chosen)
        assert {name for name, feature in found.items() if feature["wanted"]} == wanted, json.dumps(found)


def test_each_file_of_a_wanted_feature_has_its_text(world: World) -> None:
    found = world.features(**EVERYTHING)
    for feature in found.values():
        assert feature["wanted"]
        for item in feature["objects"]:
            assert item["content"].endswith("\n"), item["path"]
            assert {"owner", "group", "mode"} <= set(item)
            assert not {"template", "file", "feature"} & set(item)


def test_the_firewall_opens_the_ports_by_protocol_and_replaces_its_own_table_alone(world: World) -> None:
    rules = text_of(world.features(**EVERYTHING)["firewall"], "firewall.nft")
    assert "tcp dport { 80, 443, 8000-8010 } accept\n" in rules
    assert "udp dport { 443 } accept\n" in rules
    assert "        tcp dport { @SSH_PORTS@ } accept\n" in rules
    lines = [line for line in rules.splitlines() if not line.startswith("#")]
    assert "flush ruleset" not in rules
    assert [line for line in lines if "table" in line] == [
        "table inet flask_blog_host",
        "delete table inet flask_blog_host",
        "table inet flask_blog_host {",
    ]


def test_ssh_is_open_to_the_networks_that_are_named_of_either_version(world: World) -> None:
    chosen = {"host_firewall": True, "host_firewall_ssh_from": ["192.0.2.0/24", "2001:db8::/32"]}
    rules = text_of(world.features(**chosen)["firewall"], "firewall.nft")
    assert "        ip saddr { 192.0.2.0/24 } tcp dport { @SSH_PORTS@ } accept\n" in rules
    assert "        ip6 saddr { 2001:db8::/32 } tcp dport { @SSH_PORTS@ } accept\n" in rules
    assert "        tcp dport { @SSH_PORTS@ } accept\n" not in rules


def test_fail2ban_counts_failed_logins_of_the_paths_that_are_named(world: World) -> None:
    feature = world.features(host_fail2ban=True, host_fail2ban_login_paths=["/sign.in", "/a"])["fail2ban"]
    text = text_of(feature, "flask-blog-login.conf")
    assert r"_paths = /+(?:sign\.in|a)/*" in text
    assert text.count("%(_paths)s") == 2, "a line of JSON, and a combined one"
    jail = text_of(feature, "flask-blog-host.conf")
    assert "port = 80,443\n" in jail
    assert jail.count("ignoreip = 127.0.0.0/8 ::1 @IGNORED@\n") == 2


def test_an_upgrade_reboots_at_its_time_or_never(world: World) -> None:
    chosen = {"host_upgrades": True, "host_upgrades_reboot": "04:00"}
    text = text_of(world.features(**chosen)["upgrades"], "60flask-blog-host")
    assert 'Automatic-Reboot "true";\nUnattended-Upgrade::Automatic-Reboot-Time "04:00";\n' in text
    text = text_of(world.features(host_upgrades=True)["upgrades"], "60flask-blog-host")
    assert 'Automatic-Reboot "false";\n' in text
    assert "Reboot-Time" not in text


def test_bad_input_is_refused_before_the_host_is_asked(world: World) -> None:
    with pytest.raises(AnsibleActionFail, match="host_firewall_ports: 'http': it is neither a port"):
        world.run("compare", host_firewall_ports=["http"])
    with pytest.raises(AnsibleActionFail, match="Did you mean flask_blog_host_firewall"):
        world.run("compare", host_firewal=True)
    assert world.host.modules == []


# -- a key, before passwords are turned off ---------------------------------------------------------------------------

DIFFERS = {"features": ["ssh"], "differences": ["x"], "missing_packages": []}


def test_passwords_are_turned_off_only_if_a_key_opens_a_connection_of_its_own(world: World) -> None:
    world.host.answers = [dict(DIFFERS)]
    world.run("compare", host_ssh_keys_only=True)
    ((command, arguments),) = world.connection.commands
    assert command == "true"
    assert arguments.startswith("-o ControlMaster=no -o ControlPath=none -o PasswordAuthentication=no")
    assert arguments.endswith("-o ControlMaster=auto")
    assert world.connection.options["ssh_args"] == "-o ControlMaster=auto", "the shared connection is as it was"


@pytest.mark.parametrize(
    "answer",
    [AnsibleConnectionFailure("Permission denied (publickey)."), (255, b"", b"Permission denied (publickey).")],
    ids=["raises", "returns"],
)
def test_an_account_without_a_key_is_refused_with_the_remedy(world: World, answer: Any) -> None:
    world.host.answers = [dict(DIFFERS)]
    world.connection.answer = answer
    with pytest.raises(AnsibleActionFail, match=r"ada cannot log in with a key .*publickey.*ssh-copy-id"):
        world.run("compare", host_ssh_keys_only=True)


def test_passwords_stay_if_the_run_does_not_come_over_ssh(world: World) -> None:
    world.host.answers = [dict(DIFFERS)]
    world.connection.transport = "community.docker.docker"
    with pytest.raises(AnsibleActionFail, match="not over SSH"):
        world.run("compare", host_ssh_keys_only=True)


def test_a_run_that_changes_nothing_of_ssh_opens_no_connection(world: World) -> None:
    world.host.answers = [{"features": ["firewall"], "differences": ["x"]}]
    world.run("compare", host_ssh_keys_only=True)
    assert world.connection.commands == []


# -- the confirmation -------------------------------------------------------------------------------------------------


def test_a_change_is_confirmed_over_a_new_connection(world: World) -> None:
    world.host.answers = [{"changed": True, "number": "1f"}, {"changed": True}]
    assert world.run("apply", host_firewall=True)["changed"]
    (_, first, _), (_, second, _) = world.host.modules
    assert (first["operation"], second["operation"], second["number"]) == ("apply", "confirm", "1f")
    assert world.host.over == [
        "-o ControlMaster=auto",
        "-o ControlMaster=no -o ControlPath=none  -o ControlMaster=auto",
    ]


def test_what_needs_no_confirmation_is_one_round_trip(world: World) -> None:
    world.host.answers = [{"changed": True, "number": ""}]
    world.run("apply", host_journal_max="64M")
    assert len(world.host.modules) == 1


def test_a_lost_connection_is_tried_again_before_the_change_reverts(world: World) -> None:
    world.host.answers = [{"changed": True, "number": "1f"}, {"lost": True}, {"lost": True}, {"changed": True}]
    assert world.run("apply", host_firewall=True)["changed"]
    assert [arguments["operation"] for _, arguments, _ in world.host.modules] == ["apply", *["confirm"] * 3]


def test_a_change_that_cuts_the_way_in_is_reported_once_it_has_reverted(world: World) -> None:
    lost = [{"lost": True}] * 28
    world.host.answers = [{"changed": True, "number": "1f"}, *lost, {"pending": True}, {"pending": False}]
    with pytest.raises(
        AnsibleActionFail, match="within 60 s: Connection timed out\nThe host has reverted it by itself"
    ):
        world.run("apply", host_firewall=True)
    assert world.now > 60
    assert world.host.modules[-1][1]["operation"] == "compare"


def test_a_revert_that_failed_is_reported_with_its_cause_and_the_remedy(world: World) -> None:
    failed = {"pending": True, "failed_revert": ["nft -f -: no memory"]}
    world.host.answers = [{"changed": True, "number": "1f"}, *[{"lost": True}] * 28, failed]
    with pytest.raises(AnsibleActionFail, match=r"not all could be reverted: nft -f -: no memory\. Run"):
        world.run("apply", host_firewall=True)


def test_a_host_that_stays_out_of_reach_is_reported_as_such(world: World) -> None:
    world.host.answers = [{"changed": True, "number": "1f"}, *[{"lost": True}] * 100]
    with pytest.raises(AnsibleActionFail, match="It cannot be reached yet"):
        world.run("apply", host_firewall=True)
