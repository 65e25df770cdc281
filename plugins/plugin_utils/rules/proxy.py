# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Rules for the variables in nginx's configuration, and for the address that gunicorn listens on."""

from __future__ import annotations

import ipaddress
import posixpath
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils.source.entry import clean, is_below
from ansible_collections.flaskblog.hosting.plugins.plugin_utils import proxies
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.rules.problem import (
    DAY,
    Rule,
    between,
    problem,
    relative,
)

LABEL = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)")
URL_PREFIX = re.compile(r"/([\w.~-]+/)*")
#: What an HTTP request line may hold unquoted: no spaces, ASCII only.
URL_PATH = re.compile(r"/[!-~]*")
#: nginx computes with 64 bits: nine digits of gigabytes still fit.
SIZE = re.compile(r"[0-9]{1,9}[kKmMgG]?")
PORT = re.compile(r"[1-9][0-9]{0,4}")
ADDRESS = re.compile(r"[0-9.]+")
NETWORK = re.compile(r"[0-9A-Fa-f.:]+(/(0|[1-9][0-9]{0,2}))?")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: The Unix socket of the site instead of an address.
UNIX = "unix"
#: Where nginx looks for the app's error pages (sites-available/parts/error_pages.conf.j2).
RESERVED_PREFIX = "/-error-pages/"


def _server_names(values: Mapping[str, Any]) -> Iterator[str]:
    names = values["server_names"]
    if not names:
        yield problem("server_names", names, "a site needs a name", "Name at least the canonical one")
    for name in names:
        labels = str(name).split(".")
        if labels[0] == "*" and len(labels) > 2:
            del labels[0]
            if name == names[0]:
                rule = "the first name is the one that the others redirect to, and a wildcard names no host"
                yield problem("server_names", name, rule, "Write the name of a host before it")
        if len(str(name)) > 253 or not all(LABEL.fullmatch(label) for label in labels):
            yield problem(
                "server_names",
                name,
                "it is no host name: labels of letters, digits and hyphens, joined by dots, without scheme, port or"
                " path",
                f"Write it as {_as_dns_has_it(str(name))!r}",
            )
    if len({str(name).lower() for name in names}) != len(names):
        yield problem("server_names", names, "a name stands in it twice", "Name each once")


def _as_dns_has_it(name: str) -> str:
    """Return a name with letters beyond ASCII as DNS has it (RFC 3490), or an example."""
    try:
        found = "" if name.isascii() else name.encode("idna").decode()
    except UnicodeError:
        found = ""
    return found if found and all(LABEL.fullmatch(label) for label in found.split(".")) else "blog.example.com"


def split_bind(bind: str) -> tuple[str, str]:
    """Split C(address:port); an IPv6 address stands in brackets."""
    address, _, port = bind.rpartition(":")
    return address.removeprefix("[").removesuffix("]"), port


def _bind(values: Mapping[str, Any]) -> Iterator[str]:
    bind = values["bind"]
    if bind == UNIX:
        return
    address, port = split_bind(bind)
    try:
        found = ipaddress.ip_address(address)
        # A zone ("::1%lo") is a specifier for systemd.
        if "%" in address or bind != (f"[{address}]:{port}" if found.version == 6 else f"{address}:{port}"):
            raise ValueError
    except ValueError:
        yield problem("bind", bind, "it is no address:port", "Write it as '127.0.0.1:8000', '[::1]:8000' or 'unix'")
        return
    if not found.is_loopback:
        yield problem(
            "bind",
            bind,
            "the address is public, and visitors would get past nginx, its limits and its timeouts",
            "Use a loopback address such as '127.0.0.1:8000'; nginx faces the public",
        )
    yield from _port("bind", bind, port)


def _port(variable: str, value: Any, port: Any) -> Iterator[str]:
    if not PORT.fullmatch(str(port)) or int(port) > 65535:
        yield problem(variable, value, "a port is a number from 1 to 65535", "Choose one that is free, such as 8000")


def _ports(values: Mapping[str, Any]) -> Iterator[str]:
    for variable in ("http_port", "https_port"):
        port = values[variable]
        yield from _port(variable, port, port)
        if split_bind(values["bind"])[1] == str(port):
            yield problem(variable, port, "gunicorn has this port (flask_blog_bind)", "Give nginx another port")
    if values["tls"] != "none" and values["https_port"] == values["http_port"]:
        yield problem(
            "https_port", values["https_port"], "it is the port of HTTP (flask_blog_http_port)", "Choose another one"
        )


def _tls(values: Mapping[str, Any]) -> Iterator[str]:
    missing = [f"flask_blog_{name}" for name in ("tls_certificate", "tls_key") if not values[name].strip()]
    if values["tls"] == "provided" and missing:
        remedy = "Give the text in PEM, or the path of a file on the controller"
        yield problem("tls", values["tls"], f"it needs {' and '.join(missing)}", remedy)
    if values["tls"] != "none" and values["reject_unknown_hosts"]:
        for name in values["server_names"]:
            if ADDRESS.fullmatch(str(name)):
                yield problem(
                    "server_names",
                    name,
                    "a client that connects to an address names no host, and flask_blog_reject_unknown_hosts refuses"
                    " such a connection over HTTPS",
                    "Set flask_blog_reject_unknown_hosts: false, or leave the address out",
                )


def _http3(values: Mapping[str, Any]) -> Iterator[str]:
    if not values["http3"]:
        return
    if values["tls"] == "none":
        yield problem("http3", True, "it needs HTTPS", "Set flask_blog_tls, or leave it out")
    elif not values["reject_unknown_hosts"]:
        remedy = "Leave flask_blog_reject_unknown_hosts at true, or flask_blog_http3 out"
        yield problem("http3", True, "its sockets belong to the server that refuses unknown hosts", remedy)
    if values["trusted_proxies"]:
        rule = "visitors' connections end at flask_blog_trusted_proxies, which offer HTTP/3 themselves if they can"
        yield problem("http3", True, rule, "Leave it out")


def _hsts(values: Mapping[str, Any]) -> Iterator[str]:
    if not values["hsts_preload"]:
        return
    if not values["hsts_include_subdomains"]:
        rule = "browsers take a name into their lists only with all names below it"
        yield problem("hsts_preload", True, rule, "Set flask_blog_hsts_include_subdomains: true, or leave it out")
    if values["hsts_max_age"] < YEAR:
        rule = f"preload needs at least a year, {YEAR}"
        yield problem("hsts_max_age", values["hsts_max_age"], rule, "Choose 63072000, or leave preload out")


def _static(values: Mapping[str, Any]) -> Iterator[str]:
    for prefix, target in values["static"].items():
        yield from _url_prefix(str(prefix), str(target), values)
        yield from _served_folder(str(target), values)


def _url_prefix(prefix: str, target: str, values: Mapping[str, Any]) -> Iterator[str]:
    if not URL_PREFIX.fullmatch(prefix) or prefix == "/":
        yield problem(
            "static", prefix, "a URL prefix starts and ends with '/' and is not '/' itself", "Write '/static/'"
        )
    elif "/." in prefix:
        yield problem(
            "static", prefix, "nginx serves nothing whose name begins with a dot", "Write the prefix without it"
        )
    elif prefix.startswith(RESERVED_PREFIX):
        yield problem("static", prefix, "the role serves error pages there", "Choose another prefix")
    for path in values["writable_paths"]:
        folder, written = clean(target), clean(path)
        if written != folder and is_below(written, [folder]):
            implied = f"{prefix}{posixpath.relpath(written, folder)}/"
            if implied in values["static"]:
                yield problem("static", implied, f"{prefix!r} covers it already", "Leave it out")


def _served_folder(target: str, values: Mapping[str, Any]) -> Iterator[str]:
    if not target.endswith("/"):
        yield problem(
            "static",
            target,
            "without a slash at both ends nginx joins path and file name to something else",
            f"Write '{target}/'",
        )
    yield from relative("static", target, "a served folder")
    folder = clean(target)
    for path in values["databases"]:
        if is_below(clean(path), [folder]):
            yield problem(
                "databases", path, f"it lies in {target}, which nginx serves to everybody", "Move it elsewhere"
            )
    if (
        folder == "instance"
        or is_below(folder, ["templates", "venv"])
        or any(name.startswith(".") for name in folder.split("/"))
    ):
        yield problem("static", target, "it holds what must not be public", "Serve another folder")


def _health_path(values: Mapping[str, Any]) -> Iterator[str]:
    if not URL_PATH.fullmatch(values["health_path"]):
        yield problem("health_path", values["health_path"], "it is the path of a URL", "Write it as '/healthz'")


def _home_path(values: Mapping[str, Any]) -> Iterator[str]:
    path = values["home_path"]
    if path and not URL_PATH.fullmatch(path):
        yield problem("home_path", path, "it is the path of a URL", "Write it as '/posts', or '' for no such page")


def _body_size(values: Mapping[str, Any]) -> Iterator[str]:
    if not SIZE.fullmatch(values["client_max_body_size"]):
        yield problem(
            "client_max_body_size", values["client_max_body_size"], "nginx reads a number and k, m or g", "Write '8m'"
        )


def _trusted_proxies(values: Mapping[str, Any]) -> Iterator[str]:
    rule, remedy = "it trusts everybody's forwarded headers", "Name your proxy's own networks"
    yield from _networks("trusted_proxies", values, rule, remedy, proxies.known())
    if values["trusted_proxies"]:
        return
    for variable, needs in (
        ("proxy_protocol", "nginx takes a client's address from the proxies that it trusts alone"),
        ("only_through_proxies", "nobody else would see the site"),
    ):
        if values[variable]:
            rule = f"{needs}, and flask_blog_trusted_proxies names none"
            yield problem(variable, True, rule, "Name your proxy's networks there")


def _maintenance_allow(values: Mapping[str, Any]) -> Iterator[str]:
    rule, remedy = "everybody would see the site under maintenance", "Name the networks that you ask from"
    yield from _networks("maintenance_allow", values, rule, remedy)


def _networks(
    variable: str, values: Mapping[str, Any], everybody: str, remedy: str, names: Collection[str] = ()
) -> Iterator[str]:
    """Check a list of networks.

    :param everybody: why it cannot be all addresses.
    :param names: what may stand in it beside networks.
    """
    found = []
    for text in map(str, values[variable]):
        if text in names:
            continue
        try:
            found.append(network_of(text))
        except ValueError as error:
            more = f", or name one of {', '.join(names)}" if names else ""
            yield problem(variable, text, f"it is no network: {error}", f"Write it as '192.0.2.0/24'{more}")
    whole = [one for one in found if one.prefixlen == 0]
    for network in whole:
        yield problem(variable, str(network), everybody, remedy)
    if not whole and any(one.prefixlen == 0 for one in _joined(found)):
        yield problem(variable, [*map(str, values[variable])], f"together these are all addresses: {everybody}", remedy)


def network_of(text: str) -> Network:
    """Return a network.

    :raises ValueError: if nginx would not read it: Python reads masks and zones as well.
    """
    found = ipaddress.ip_network(text)
    if not NETWORK.fullmatch(text):
        raise ValueError("an address, or an address and the length of its prefix")
    return found


def _joined(networks: Sequence[Network]) -> list[Network]:
    """Return the fewest networks with the same addresses."""
    old = (one for one in networks if isinstance(one, ipaddress.IPv4Network))
    new = (one for one in networks if isinstance(one, ipaddress.IPv6Network))
    return [*ipaddress.collapse_addresses(old), *ipaddress.collapse_addresses(new)]


#: Seconds of a year, and of ten.
YEAR = 365 * 24 * 3600
TEN_YEARS = 10 * YEAR

RULES: tuple[Rule, ...] = (
    _server_names,
    _bind,
    _ports,
    between("proxy_read_timeout", 1, DAY, "seconds"),
    between("static_max_age", 0, TEN_YEARS, "seconds"),
    between("client_connections", 0, 65535, "requests"),
    between("hsts_max_age", 0, TEN_YEARS, "seconds"),
    _tls,
    _http3,
    _hsts,
    _static,
    _health_path,
    _home_path,
    _body_size,
    _trusted_proxies,
    _maintenance_allow,
)
