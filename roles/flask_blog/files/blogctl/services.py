"""Talk to systemd: units, the journal, and commands that run as the app does."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from .site import OperationError, Site


def systemctl(*arguments: str) -> None:
    """Run systemctl.

    :raises OperationError: with what it said, where it fails.
    """
    result = subprocess.run(["systemctl", *arguments], capture_output=True, text=True, check=False)
    if result.returncode:
        raise OperationError(f"'systemctl {' '.join(arguments)}' failed: {(result.stderr or result.stdout).strip()}")


def is_active(unit: str) -> bool:
    """Say whether a unit is running."""
    return subprocess.run(["systemctl", "is-active", "--quiet", unit], check=False).returncode == 0


def main_pid(unit: str) -> str:
    """Return the process id of a service's main process; C(0) where it does not run."""
    result = subprocess.run(
        ["systemctl", "show", "--property=MainPID", "--value", unit], capture_output=True, text=True, check=False
    )
    return result.stdout.strip() or "0"


def journal(unit: str, lines: int = 120) -> str:
    """Return a unit's last lines in the journal.

    An app that cannot be imported makes gunicorn write about 95 lines at each attempt, and the app's own error stands
    in the middle of them.
    """
    result = subprocess.run(
        ["journalctl", "--quiet", "--no-pager", "--output=short-iso", f"--unit={unit}", f"--lines={lines}"],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    return result.stdout.strip() or "(the journal holds nothing)"


def run_as_app(site: Site, folder: Path, source_root: str, command: str, data: Path) -> None:
    """Run a shell command the way the app runs: its account, environment, release and limits, its output shown.

    :param folder: the folder of the release's app.
    :param data: what the command finds in the place of the data folder.
    :raises OperationError: where it fails or takes longer than the site's C(command_timeout) seconds.
    """
    settings = site.settings
    properties = {
        "User": settings["user"],
        "Group": settings["group"],
        "WorkingDirectory": str(folder),
        "EnvironmentFile": f"{settings['config']}/environment",
        "BindPaths": f"{data}:{settings['data']}",
        "RuntimeMaxSec": str(settings["command_timeout"]),
        "ProtectSystem": "strict",
        "ReadWritePaths": settings["data"],
        "ProtectHome": "yes",
        "PrivateTmp": "yes",
        "PrivateDevices": "yes",
        "NoNewPrivileges": "yes",
        "CapabilityBoundingSet": "",
        "UMask": "0027",
        "SyslogIdentifier": settings["name"],
    }
    environment = {
        "PATH": f"{folder}/venv/bin:/usr/bin:/bin",
        "PYTHONPATH": os.path.normpath(folder / source_root),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "HOME": settings["data"],
        "FLASK_BLOG_RELEASE": folder.relative_to(settings["releases"]).parts[0],
    }
    arguments = ["systemd-run", "--quiet", "--collect", "--wait", "--pipe", "--service-type=exec"]
    arguments += [f"--property={name}={value}" for name, value in properties.items()]
    arguments += [f"--setenv={name}={value}" for name, value in environment.items()]
    result = subprocess.run(
        [*arguments, "/bin/sh", "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if result.returncode:
        said = "\n".join(result.stdout.strip().splitlines()[-30:])
        raise OperationError(f"the command '{command}' failed (status {result.returncode}):\n{said}")
