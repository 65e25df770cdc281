"""The variables of the role host are refused with variable, value, rule and remedy."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.flaskblog.hosting.plugins.plugin_utils import host_role

ROLE = Path(__file__).parents[4] / "roles" / "host"


def action() -> Any:
    return SimpleNamespace(_loader=DataLoader(), _templar=Templar(loader=DataLoader(), variables={}))


def problems(**chosen: Any) -> list[str]:
    return host_role.problems(action(), {f"flask_blog_{name}": value for name, value in chosen.items()})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("firewall", "maybe", "it is neither true nor false. Write 'true' or 'false'."),
        ("firewall_ports", ["0"], "it is neither a port from 1 to 65535 nor a range. Write it as '443', '443/udp' or"),
        ("firewall_ports", ["65536"], "nor a range"),
        ("firewall_ports", ["90-80"], "nor a range"),
        ("firewall_ports", ["80/sctp"], "nor a range"),
        ("firewall_ports", ["80 } accept; tcp dport { 1-65535"], "nor a range"),
        ("firewall_ports", ["80\n"], "nor a range"),
        ("firewall_ports", [True], "a boolean where text belongs"),
        ("firewall_ports", "80", "it is text where a list belongs. Write it as ['80']."),
        ("firewall_ssh_from", ["192.0.2.1/24"], "it is no network: 192.0.2.1/24 has host bits set"),
        ("firewall_ssh_from", ["office"], "it is no network"),
        ("revert_after", 5, "it must be at least 15. Give a number of seconds."),
        ("revert_after", 601, "it must be at most 600"),
        ("upgrades_reboot", "4:00", "it is no time of the day. Write it as '04:00', in quotes."),
        ("upgrades_reboot", 14400, "it is no time of the day"),
        ("upgrades_reboot", "04:00", "it has no effect without flask_blog_host_upgrades"),
        ("fail2ban_login_paths", [], "there is no login form to watch"),
        ("fail2ban_login_paths", ["login"], "a path begins with '/'"),
        ("fail2ban_login_paths", ["/login%(x)s"], "a path begins with '/'"),
        ("fail2ban_attempts", 1, "it must be at least 2"),
        ("fail2ban_period", 5, "it must be at least 10"),
        ("fail2ban_ban", 0, "it must be at least 10"),
        ("journal_max", "500", "it is no size. Write a whole number and M or G, such as '500M'."),
        ("journal_max", "8M", "it must be from 16M to 1024G"),
        ("swap", "1T", "it is no size"),
        ("swap", "1G\nX", "it is no size"),
        ("swap", "65G", "it must be from 64M to 64G"),
    ],
    ids=str,
)
def test_a_wrong_value_is_refused(name: str, value: Any, message: str) -> None:
    (found,) = problems(**{f"host_{name}": value})
    assert found.startswith(f"flask_blog_host_{name}: ")
    assert message in found


def test_right_values_are_accepted_and_a_port_needs_no_quotes() -> None:
    assert problems() == []
    chosen: dict[str, Any] = {"host_firewall": "yes", "host_firewall_ports": [80, "443/udp", "8000-8010/tcp"]}
    chosen |= {"host_firewall_ssh_from": ["192.0.2.0/24", "2001:db8::1"], "host_swap": "1G", "host_journal_max": "64M"}
    assert problems(**chosen, host_upgrades=True, host_upgrades_reboot="23:59") == []


def test_a_firewall_that_would_close_the_blogs_port_is_refused() -> None:
    (found,) = problems(host_firewall=True, source="/blog", http_port=8080)
    assert "the firewall would close port 8080 (flask_blog_http_port)" in found
    assert found.endswith("Add '8080'.")
    assert problems(host_firewall=True, source="/blog", http_port=8080, host_firewall_ports=["8000-9000"]) == []
    assert problems(host_firewall=False, source="/blog", http_port=8080) == []
    assert "close port 80 " in problems(host_firewall=True, source="/blog", host_firewall_ports=["80/udp"])[0]
    assert problems(host_firewall=True, source="/blog", host_firewall_ports=["80"]) == []
    (found,) = problems(host_firewall=True, source="/blog", host_firewall_ports=["80"], tls="acme")
    assert "close port 443 (flask_blog_https_port)" in found
    assert problems(host_firewall=True, host_firewall_ports=["443"]) == [], "without a blog, any port will do"


def test_a_firewall_that_would_close_the_port_of_http3_is_refused() -> None:
    chosen: dict[str, Any] = {"host_firewall": True, "source": "/blog", "http3": "yes"}
    (found,) = problems(**chosen, tls="acme", https_port=8443, host_firewall_ports=["80", "8443"])
    assert "the firewall would close port 8443/udp" in found
    assert found.endswith("Add '8443/udp'.")
    assert problems(**chosen, tls="acme", host_firewall_ports=["80", "443", "443/udp"]) == []
    assert problems(**chosen, host_firewall_ports=["80"]) == [], "without HTTPS there is no HTTP/3"


def test_a_ban_needs_whole_addresses_in_the_log() -> None:
    (found,) = problems(host_fail2ban=True, source="/blog", log_addresses="truncated")
    assert found.startswith("flask_blog_host_fail2ban: True: it bans the addresses in nginx's access log")
    assert "Set flask_blog_log_addresses: full" in found
    assert problems(host_fail2ban=True, source="/blog") == []
    assert problems(host_fail2ban=False, source="/blog", log_addresses="truncated") == []
    assert problems(host_fail2ban=True, log_addresses="truncated") == [], "this host has no blog"


def test_a_feature_is_wanted_if_its_variable_is_on() -> None:
    def wanted(**chosen: Any) -> bool:
        return host_role.is_wanted(action(), {f"flask_blog_{name}": value for name, value in chosen.items()})

    assert not wanted(name="blog", hosts="all")
    for switch in host_role.SWITCHES:
        assert not wanted(**{switch: False}), switch
        assert not wanted(**{switch: "no"}), switch
        assert not wanted(**{switch: ""}), switch
        assert wanted(**{switch: "64M" if switch.endswith(("max", "swap")) else "yes"}), switch
    assert wanted(host_fail2ban=True)


def test_each_switch_has_a_default_that_is_off_and_no_other_variable_turns_anything_on() -> None:
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    off = {name.removeprefix("flask_blog_") for name, value in defaults.items() if value in (False, "")}
    assert off == {*host_role.SWITCHES, "host_upgrades_reboot"}
