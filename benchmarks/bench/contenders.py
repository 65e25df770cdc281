"""The contenders: the role, pyinfra and a shell script. Each deploys the same blog on a machine."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from .machines import (
    BENCHMARKS,
    BLOG,
    LEDGER,
    PAGES,
    ROOT,
    SITE_NAME,
    USER,
    BenchmarkError,
    Machine,
    run,
    ssh_key,
    ssh_options,
)

#: Files in the blog's folder that are not deployed.
NO_CODE = shutil.ignore_patterns("__pycache__", ".*_cache", "database.db*", "venv", ".venv")


@dataclass(frozen=True)
class Workplace:
    """Shared by the contenders: a folder for their files, a copy of the blog, and two secrets."""

    folder: Path
    secret_key: str
    admin_password: str

    @classmethod
    def prepare(cls, folder: Path) -> Workplace:
        """Copy the blog and make the secrets."""
        shutil.copytree(BLOG, folder / "blog", ignore=NO_CODE)
        (folder / "sockets").mkdir(mode=0o700)
        return cls(folder, secrets.token_hex(32), secrets.token_hex(12))

    @property
    def blog(self) -> Path:
        """The code to deploy."""
        return self.folder / "blog"

    @property
    def sockets(self) -> Path:
        """The folder of OpenSSH's control sockets."""
        return self.folder / "sockets"

    def close_connections(self) -> None:
        """Close the connections that an earlier round left open: each round starts by connecting."""
        for socket in self.sockets.iterdir():
            subprocess.run(
                ["ssh", "-F", "none", "-o", f"ControlPath={socket}", "-O", "exit", "any"],
                capture_output=True,
                check=False,
            )


@dataclass(frozen=True)
class Deployment:
    """One measured deployment."""

    seconds: float
    #: whether it reported a change
    changed: bool


class Contender(ABC):
    """Deploys the blog in its own way."""

    #: for the names of machines and logs
    key: str
    #: for the tables
    title: str
    #: pages that a deployment must serve before its time is taken
    pages: tuple[str, ...] = PAGES

    def __init__(self, place: Workplace) -> None:
        self.place = place

    @property
    @abstractmethod
    def version(self) -> str:
        """The name and version, for the report."""

    @abstractmethod
    def command(self, machine: Machine) -> list[str]:
        """Return the command that deploys, after writing the files that it needs."""

    def environment(self) -> dict[str, str]:
        """Return the command's environment."""
        return dict(os.environ)

    @abstractmethod
    def says_changed(self, output: str) -> bool:
        """Return whether the output reports a change."""

    def deploy(self, machine: Machine) -> Deployment:
        """Deploy once, starting without an open connection, and check that the blog is served.

        :raises BenchmarkError: if it is not.
        """
        command, environment = self.command(machine), self.environment()
        self.place.close_connections()
        log = ROOT / ".dev" / "bench" / f"{self.key}.log"
        begin = time.perf_counter()
        output = run(*command, environment=environment, log=log)
        seconds = time.perf_counter() - begin
        machine.must_serve(self.pages)
        return Deployment(seconds, self.says_changed(output))


class Role(Contender):
    """The collection's role, through its playbook."""

    key, title = "role", "the role"

    @property
    def version(self) -> str:
        first = run(ROOT / ".venv/bin/ansible-playbook", "--version").splitlines()[0]
        return f"ansible-core {re.sub(r'[^0-9.]', '', first)}"

    def variables(self) -> dict[str, object]:
        """Return the role's variables."""
        return {
            "flask_blog_source": str(self.place.blog),
            "flask_blog_init_commands": ["flask db upgrade", "flask create-admin admin", "flask seed"],
            "flask_blog_secrets": {"ADMIN_PASSWORD": self.place.admin_password},
        }

    def command(self, machine: Machine) -> list[str]:
        variables = {
            "ansible_host": machine.address,
            "ansible_user": USER,
            "ansible_ssh_private_key_file": str(ssh_key()),
            "ansible_ssh_common_args": " ".join(["-F none", *(f"-o {k}={v}" for k, v in ssh_options().items())]),
            "flask_blog_server_names": [SITE_NAME],
            "flask_blog_health_path": "/healthz",
            "flask_blog_rate_limit": 0,  # all clients have one address
            **self.variables(),
        }
        inventory = self.place.folder / "inventory.json"
        inventory.write_text(json.dumps({"flask_blogs": {"hosts": {machine.name: variables}}}))
        return [str(ROOT / ".venv/bin/ansible-playbook"), "-i", str(inventory), "playbooks/site.yml"]

    def environment(self) -> dict[str, str]:
        return {**os.environ, "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.place.sockets), "ANSIBLE_NOCOLOR": "1"}

    def says_changed(self, output: str) -> bool:
        return not re.search(r"\bchanged=0\b", output)


class RoleWithLedger(Role):
    """The role with the tests' blog, which reports its release and writes a row for each POST."""

    key = "ledger"
    pages = ("/", "/healthz", "/static/book.css")

    def __init__(self, place: Workplace) -> None:
        super().__init__(place)
        self.code = Path(shutil.copytree(LEDGER, place.folder / "ledger", ignore=NO_CODE))

    def variables(self) -> dict[str, object]:
        return {
            "flask_blog_source": str(self.code),
            "flask_blog_writable_paths": [],
            "flask_blog_init_commands": ["python migrate.py"],
            "flask_blog_release_commands": ["python migrate.py"],
        }


class Pyinfra(Contender):
    """The same deployment as a user of pyinfra would write it."""

    key, title = "pyinfra", "pyinfra"

    @property
    def version(self) -> str:
        words = run(ROOT / ".venv-bench/bin/pyinfra", "--version")
        return "pyinfra " + re.sub(r"[^0-9.]", "", words.split(":")[-1])

    @property
    def code(self) -> str:
        """The folder that is compared with the host's."""
        return str(self.place.blog)

    def command(self, machine: Machine) -> list[str]:
        data = {
            "ssh_user": USER,
            "ssh_key": str(ssh_key()),
            "ssh_known_hosts_file": "/dev/null",
            "ssh_strict_host_key_checking": "no",
            "code": self.code,
            "secret_key": self.place.secret_key,
            "admin_password": self.place.admin_password,
        }
        inventory = self.place.folder / f"{self.key}_inventory.py"
        inventory.write_text(f"hosts = [({machine.address!r}, {data!r})]\n")
        return [
            str(ROOT / ".venv-bench/bin/pyinfra"),
            "-y",
            "--chdir",
            str(BENCHMARKS),
            str(inventory),
            str(BENCHMARKS / "pyinfra_deploy.py"),
        ]

    def says_changed(self, output: str) -> bool:
        # Its last line: "Grand total   OPERATIONS   CHANGED   NO CHANGE ...", with a dash for none.
        totals = re.search(r"Grand total\s+(\S+)\s+(\S+)", output)
        if not totals:
            raise BenchmarkError(f"pyinfra's summary is missing:\n{output[-2000:]}")
        return totals[2] != "-"


class PyinfraWithoutCode(Pyinfra):
    """pyinfra without deploying the code, which leaves out its comparison of each file."""

    key, title = "pyinfra-settings", "pyinfra, code not compared"

    @property
    def code(self) -> str:
        return ""


class Shell(Contender):
    """The article's steps as a shell script over SSH."""

    key, title = "shell", "shell script"

    @property
    def version(self) -> str:
        return "the article's steps in bash"

    def command(self, machine: Machine) -> list[str]:
        settings = {
            **ssh_options(),
            "HostName": machine.address,
            "User": USER,
            "IdentityFile": str(ssh_key()),
            "ControlMaster": "auto",
            "ControlPersist": "60s",
            "ControlPath": f"{self.place.sockets}/%C",
        }
        config = self.place.folder / "ssh_config"
        config.write_text("\n".join(["Host blog", *(f"  {name} {value}" for name, value in settings.items()), ""]))
        return [str(BENCHMARKS / "article.sh"), str(config), "blog", str(self.place.blog)]

    def environment(self) -> dict[str, str]:
        return {**os.environ, "SECRET_KEY": self.place.secret_key, "ADMIN_PASSWORD": self.place.admin_password}

    def says_changed(self, output: str) -> bool:
        return output.rstrip().endswith("changed")
