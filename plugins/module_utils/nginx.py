# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What nginx serves on a host, as its configuration says, and whether a site of ours would get in its way.

nginx only warns of a name that two sites have, and sends its visitors to one of the two. Two default servers of a port
are an error that C(nginx -t) reports once the files are written.
"""

from __future__ import annotations

import glob
import os
import re
import stat
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils import addresses, names
from ansible_collections.flaskblog.hosting.plugins.module_utils.nginx_grammar import Directive, address, parse
from ansible_collections.flaskblog.hosting.plugins.module_utils.printable import printable
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import registry

NGINX = "/etc/nginx"
PROGRAM = "/usr/sbin/nginx"
MAIN = "nginx.conf"

#: A wildcard of a site of ours (sites-available/parts/other_names.conf.j2).
WILDCARD = re.compile(r"~\^\[\^\.\]\+\\\.(.+)\$")
#: How nginx names the file that it refuses.
FAULT = re.compile(r" in (\S+):\d+$", re.MULTILINE)
TEST_TIMEOUT = 30.0

#: Most bytes of one file, most files, and most files that include each other. What lies beyond is left unread.
FILE_LIMIT = 2**20
MAX_FILES = 1000
MAX_DEPTH = 10


@dataclass
class Server:
    """A server block: the C(file) with it, its names in small letters, and its addresses and ports."""

    file: str
    names: set[str] = field(default_factory=set)
    #: address (empty for all of IPv4, C(::) for all of IPv6) and port
    listens: set[tuple[str, int]] = field(default_factory=set)
    #: those of them whose default server this is
    default_of: set[tuple[str, int]] = field(default_factory=set)
    #: those of them on which nginx expects the PROXY protocol
    proxied: set[tuple[str, int]] = field(default_factory=set)

    @property
    def ports(self) -> set[int]:
        """Its ports, whatever the address: nginx prefers a server with the exact address to one with all of them."""
        return {port for _, port in self.listens}


def server_of(file: str, block: Sequence[Directive]) -> Server:
    """Return what a server block says."""
    found = Server(file)
    for (name, *words), _ in block:
        if name == "server_name":
            for word in map(str.lower, words):
                if own := WILDCARD.fullmatch(word):
                    found.names.add(re.sub(r"\\(.)", r"\1", f"*.{own[1]}"))
                elif word.startswith("*.") or (not word.startswith("~") and "*" not in word and word.strip("_")):
                    # ".example.com" stands for "example.com" and for all names below it.
                    found.names |= {word[1:], f"*{word}"} if word.startswith(".") else {word}
        elif name == "listen" and words and "quic" not in words and (at := address(words[0])):  # QUIC's ports are UDP's
            found.listens.add(at)
            if {"default_server", "default"} & set(words[1:]):
                found.default_of.add(at)
            if "proxy_protocol" in words[1:]:
                found.proxied.add(at)
    if not any(words[0] == "listen" for words, _ in block):
        found.listens = {("", 80)}
    return found


class _Reader:
    """Follows the includes of a configuration."""

    def __init__(self, folder: str, without: Iterable[str]) -> None:
        self.folder = folder
        self.without = {os.path.realpath(path) for path in without} | set(without)
        self.left = MAX_FILES
        self.servers: list[Server] = []

    def expand(self, file: str, above: tuple[str, ...] = ()) -> Iterator[tuple[str, Directive]]:
        """Yield the directives of a file and of those that it includes, each with its file.

        :param above: the files that include this one.
        """
        if self.left <= 0 or len(above) > MAX_DEPTH or file in above:
            return
        if file not in self.without and os.path.realpath(file) not in self.without:
            self.left -= 1
            yield from self.included(file, parse(_read(file)), above)

    def included(
        self, file: str, directives: Iterable[Directive], above: tuple[str, ...] = ()
    ) -> Iterator[tuple[str, Directive]]:
        """Yield directives, with those of a file in the place of its C(include)."""
        for words, block in directives:
            if words[0] == "include" and len(words) > 1 and block is None:
                for path in sorted(glob.glob(os.path.join(self.folder, words[1]))):
                    yield from self.expand(path, (*above, file))
            else:
                yield file, (words, block)

    def collect(self) -> None:
        """Collect the servers of the block C(http)."""
        for file, (words, block) in self.expand(os.path.join(self.folder, MAIN)):
            if words == ["http"]:
                for where, (inner, server) in self.included(file, block or []):
                    if inner == ["server"]:
                        expanded = [directive for _, directive in self.included(where, server or [])]
                        self.servers.append(server_of(where, expanded))


def _read(path: str) -> str:
    """Return the text of a configuration file; an empty text for anything that is no file, is large or unreadable."""
    try:
        # Not blocking: a FIFO must not keep the run waiting. A link is followed, as nginx does.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError:
        return ""
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > FILE_LIMIT:
            return ""
        return os.read(descriptor, FILE_LIMIT).decode("utf-8", "replace")
    finally:
        os.close(descriptor)


def servers(folder: str, without: Iterable[str]) -> list[Server]:
    """Return the servers of a host's configuration, but for those in some files."""
    reader = _Reader(folder, without)
    reader.collect()
    return reader.servers


def wanted_servers(objects: Iterable[Mapping[str, Any]]) -> list[Server]:
    """Return the servers in the managed files of nginx, and in those that its managed links lead to."""
    managed = list(objects)
    contents = {str(item["path"]): item.get("content") for item in managed if item["kind"] == "file"}
    links = {str(item["path"]): str(item["target"]) for item in managed if item["kind"] == "link"}
    texts = {path: contents.get(resolved(path, links)) for path in (*contents, *links)}
    return [
        server_of(path, block or [])
        for path, text in texts.items()
        if text and path.startswith(f"{NGINX}/")
        for words, block in parse(str(text))
        if words == ["server"]
    ]


def resolved(path: str, links: Mapping[str, str]) -> str:
    """Return where a path leads by links, which may stand for any folder above it."""
    for _ in range(MAX_DEPTH):
        for link, target in links.items():
            if path == link or path.startswith(f"{link}/"):
                path = f"{target}{path[len(link) :]}"
                break
        else:
            break
    return path


def conflicts(objects: Iterable[Mapping[str, Any]], notes: list[str]) -> list[str]:
    """Return why nginx cannot have a site beside the others of this host.

    :param objects: the managed objects, files with their C(content).
    :param notes: takes a sentence about a default site that is kept, and about an address that is another site's.
    """
    managed = list(objects)
    mine = wanted_servers(managed)
    if not mine:
        return []
    removed = [item["path"] for item in managed if item["kind"] == "absent" and registry.compare(item)]
    others = servers(NGINX, [*(server.file for server in mine), *removed])
    reasons = [reason for server in mine for other in others for reason in _shared_names(server, other)]
    reasons += _proxy_protocol(mine, others)
    reasons += _default_servers(mine, others)
    reasons += _taken_addresses(mine, others, notes)
    if not any(os.path.lexists(server.file) for server in mine):
        notes += _kept_defaults(managed)
    return list(dict.fromkeys(reasons))


def fault_of_others(objects: Iterable[Mapping[str, Any]]) -> str | None:
    """Return why nginx refuses the configuration that the host has already, because of a file of somebody else.

    It would refuse ours as well. A fault in one of the role's own files, or in no file, such as an address that cannot
    be bound, is left to the run: what it changes may correct it.

    :param objects: the managed objects.
    """
    if not os.path.exists(PROGRAM):
        return None
    try:
        done = subprocess.run(
            [PROGRAM, "-t", "-q"], capture_output=True, check=False, stdin=subprocess.DEVNULL, timeout=TEST_TIMEOUT
        )
    except (OSError, subprocess.TimeoutExpired):
        return None  # it is tested again with the new files
    output = done.stderr.decode("utf-8", "replace").strip()
    managed = {place for item in objects for place in (item["path"], os.path.realpath(item["path"]))}
    files = FAULT.findall(output)
    if done.returncode == 0 or not files or any(file in managed or os.path.realpath(file) in managed for file in files):
        return None
    return (
        "nginx refuses the configuration that this host has already, and not because of this run:\n"
        f"{printable(output)}\n"
        "Nothing was changed. nginx serves what it has loaded until it is restarted, and nothing after that. Correct"
        " this (nginx -t), and run again."
    )


def _shared_names(mine: Server, other: Server) -> Iterator[str]:
    for port in sorted(mine.ports & other.ports):
        for name in sorted(mine.names & other.names):
            said = f"flask_blog_server_names: {name!r}: {printable(other.file)} serves this name on port {port}"
            yield f"{said}, and nginx would send all of its visitors to one of the two. {_remedy(other.file)}"


def _proxy_protocol(mine: Sequence[Server], others: Iterable[Server]) -> Iterator[str]:
    """Yield a reason for each port that others have with the PROXY protocol, and we without it, or the reverse.

    nginx expects it on an address and port if one of their servers says so, and the others then answer nobody.
    """
    wanted = {at for server in mine for at in server.proxied}
    listens = {at for server in mine for at in server.listens}
    for other in others:
        different = (at for at in other.listens & listens if (at in wanted) != (at in other.proxied))
        for port in sorted({port for _, port in different}):
            there = any(at[1] == port for at in other.proxied)
            yield (
                f"flask_blog_proxy_protocol: {not there}: {printable(other.file)} has port {port}"
                f" {'with' if there else 'without'} the PROXY protocol, and nginx has it for all sites of a port or for"
                " none. Give all of them the same value, or this blog another port. To change it for all blogs of a"
                f" port, first take the others out of nginx (rm {printable(other.file)}); the next run of each brings"
                " it back."
            )


def _taken_addresses(mine: Iterable[Server], others: Iterable[Server], notes: list[str]) -> Iterator[str]:
    """Yield a reason for each port on which other sites have all addresses of the host for themselves.

    nginx asks the servers with the exact address of a connection, and the others only if there are none. What the run
    requests of the site itself goes to another address.

    :param notes: takes a sentence if only some of the addresses are taken.
    """
    for port in sorted({port for server in mine for _, port in server.listens}):
        files = {host: other.file for other in others for host, at in other.listens if at == port and host}
        present = addresses.of_host() if files else set()
        if not (taken := sorted(present.intersection(files))):
            continue
        where = ", ".join(f"{printable(files[host])} listens on {host}:{port}" for host in taken)
        text = (
            f"flask_blog_http_port: {port}: {where}, and nginx sends all visitors of such an address to the servers"
            f" that name it, whatever host name they ask for. Replace the address there by 'listen {port};' and reload"
            " nginx, or give the blog another port."
        )
        if present.issubset(taken):
            yield text
        else:
            notes.append(f"{text} Leave it if visitors reach the blog at another address of the host.")


def _remedy(file: str) -> str:
    """Return what to do about a site that has our name."""
    blog = os.path.basename(file).removesuffix(".conf")
    settings = names.settings_called(blog)
    if settings is None:
        return "Give the blog another name, or remove the name from that file, or the file, and reload nginx."
    units = " ".join(str(settings[key]) for key in ("socket_unit", "service_unit", "backup_timer") if key in settings)
    return (
        f"That is the blog {blog!r} of this role. If it is another blog, give one of the two another name. If it is"
        f" this blog under its former name, set flask_blog_name: {blog} again; or take it out of service (systemctl"
        f" disable --now {units}; rm {file}; systemctl reload nginx). Nothing of it is lost; to go on with its data,"
        f" copy {settings.get('data')} to the controller, and name the copy in flask_blog_initial_data."
    )


def _default_servers(mine: Iterable[Server], others: Iterable[Server]) -> Iterator[str]:
    """Yield a reason for each foreign default server of a port that has, or is to have, one of the role's."""
    wanted = {at for server in mine for at in server.default_of}
    present = {at for server in others if _is_unknown_hosts(server.file) for at in server.default_of}
    for other in others:
        if _is_unknown_hosts(other.file):
            continue
        for port in sorted({port for _, port in other.default_of & (wanted | present)}):
            ours = f"{NGINX}/conf.d/unknown-hosts-{port}.conf"
            off = "set flask_blog_reject_unknown_hosts: false for all blogs of the host"
            if os.path.lexists(ours):
                off += f", and remove {ours}, which an earlier run wrote"
            yield (
                f"flask_blog_reject_unknown_hosts: {printable(other.file)} is the default server of port {port}, and"
                f" nginx takes one for each port. Either {off}; that site then answers for unknown names, too. Or take"
                " default_server out of the listen directives of that file."
            )


def _is_unknown_hosts(file: str) -> bool:
    return re.fullmatch(r".*/conf\.d/unknown-hosts-\d+\.conf", file) is not None


def _kept_defaults(objects: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for item in objects:
        if item["kind"] == "absent" and os.path.lexists(item["path"]) and registry.compare(item) is None:
            yield f"{item['path']} is not the unchanged default site of Debian's nginx, so it is kept and still served."
