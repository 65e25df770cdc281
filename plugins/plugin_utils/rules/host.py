# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Rules for the variables of the role flaskblog.hosting.host, C(flask_blog_host_*), given without C(flask_blog_)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.plugin_utils.rules.problem import DAY, Rule, between, problem
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.rules.proxy import network_of

OPEN_PORT = re.compile(r"([1-9][0-9]{0,4})(?:-([1-9][0-9]{0,4}))?(?:/(tcp|udp))?")
TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
SIZE = re.compile(r"([1-9][0-9]{0,5})([MG])")
#: A path of a URL that fail2ban's and Python's expressions can hold.
LOGIN_PATH = re.compile(r"/[\w.~/-]*")

MAX_PORT = 65535
MEGABYTES = {"M": 1, "G": 1024}

#: Ports that a blog needs from outside, by the variable that sets each, and without its HTTPS.
BLOG_PORTS = {"http_port": 80, "https_port": 443}
HTTPS, NO_HTTPS = "https_port", "none"


def _ports(values: Mapping[str, Any]) -> Iterator[str]:
    for port in values["host_firewall_ports"]:
        found = OPEN_PORT.fullmatch(port)
        if not found or not int(found[1]) <= int(found[2] or found[1]) <= MAX_PORT:
            yield problem(
                "host_firewall_ports",
                port,
                "it is neither a port from 1 to 65535 nor a range",
                "Write it as '443', '443/udp' or '8000-8010/tcp'",
            )


def _ports_of_the_blog(values: Mapping[str, Any]) -> Iterator[str]:
    """The blog's own ports are variables of the other role; they are there if it runs on this host."""
    if not values["host_firewall"]:
        return
    for variable in BLOG_PORTS:
        text = str(values.get(variable, ""))
        if text.isdigit() and not any(_covers(one, int(text)) for one in values["host_firewall_ports"]):
            yield problem(
                "host_firewall_ports",
                values["host_firewall_ports"],
                f"the firewall would close port {text} (flask_blog_{variable}), and nobody would reach the blog",
                f"Add '{text}'",
            )
    port = str(values.get(HTTPS, "")) if values.get("http3") else ""
    if port.isdigit() and not any(_covers(one, int(port), "udp") for one in values["host_firewall_ports"]):
        yield problem(
            "host_firewall_ports",
            values["host_firewall_ports"],
            f"the firewall would close port {port}/udp, and no visitor would get the HTTP/3 of flask_blog_http3",
            f"Add '{port}/udp'",
        )


def _covers(text: str, port: int, protocol: str = "tcp") -> bool:
    found = OPEN_PORT.fullmatch(text)
    return found is not None and (found[3] or "tcp") == protocol and int(found[1]) <= port <= int(found[2] or found[1])


def _ssh_from(values: Mapping[str, Any]) -> Iterator[str]:
    for network in values["host_firewall_ssh_from"]:
        try:
            network_of(network)
        except ValueError as error:
            yield problem("host_firewall_ssh_from", network, f"it is no network: {error}", "Write it as '192.0.2.0/24'")


def _reboot(values: Mapping[str, Any]) -> Iterator[str]:
    time = values["host_upgrades_reboot"]
    if time and not TIME.fullmatch(time):
        yield problem("host_upgrades_reboot", time, "it is no time of the day", "Write it as '04:00', in quotes")
    elif time and not values["host_upgrades"]:
        yield problem(
            "host_upgrades_reboot",
            time,
            "it has no effect without flask_blog_host_upgrades",
            "Set flask_blog_host_upgrades to true, or leave this out",
        )


def _login_paths(values: Mapping[str, Any]) -> Iterator[str]:
    paths = values["host_fail2ban_login_paths"]
    if not paths:
        yield problem("host_fail2ban_login_paths", paths, "there is no login form to watch", "Name at least one path")
    for path in paths:
        if not LOGIN_PATH.fullmatch(path):
            yield problem(
                "host_fail2ban_login_paths",
                path,
                "a path begins with '/' and has letters, digits and . _ ~ - / only",
                "Write it as '/login', without a query",
            )


def _fail2ban(values: Mapping[str, Any]) -> Iterator[str]:
    """How the blog logs addresses is a variable of the other role, like its ports."""
    if values["host_fail2ban"] and values.get("log_addresses") == "truncated":
        yield problem(
            "host_fail2ban",
            values["host_fail2ban"],
            "it bans the addresses in nginx's access log, and flask_blog_log_addresses: truncated leaves none whole",
            "Set flask_blog_log_addresses: full, or leave fail2ban out",
        )


def _size(variable: str, least: int, most: int) -> Rule:
    """Return the rule for a size in megabytes."""

    def rule(values: Mapping[str, Any]) -> Iterator[str]:
        size = values[variable]
        if not size:
            return
        found = SIZE.fullmatch(size)
        if not found:
            yield problem(variable, size, "it is no size", "Write a whole number and M or G, such as '500M'")
        elif not least <= int(found[1]) * MEGABYTES[found[2]] <= most:
            yield problem(variable, size, f"it must be from {least}M to {most // 1024}G", "Choose another size")

    return rule


RULES: tuple[Rule, ...] = (
    _ports,
    _ports_of_the_blog,
    _ssh_from,
    between("host_revert_after", 15, 600, "seconds"),
    _reboot,
    _login_paths,
    _fail2ban,
    between("host_fail2ban_attempts", 2, 1000, "attempts"),
    between("host_fail2ban_period", 10, 7 * DAY, "seconds"),
    between("host_fail2ban_ban", 10, 365 * DAY, "seconds"),
    _size("host_journal_max", 16, 1024 * 1024),
    _size("host_swap", 64, 64 * 1024),
)
