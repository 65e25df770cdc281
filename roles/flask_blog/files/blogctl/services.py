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


def state_of(unit: str) -> tuple[str, str]:
    """Return a unit's state and sub-state, such as C(("activating", "start-pre"))."""
    result = subprocess.run(
        ["systemctl", "show", "--property=ActiveState,SubState", unit], capture_output=True, text=True, check=False
    )
    values = dict(line.split("=", 1) for line in result.stdout.splitlines() if "=" in line)
    return values.get("ActiveState", "unknown"), values.get("SubState", "unknown")


def cursor() -> str:
    """Return the journal's present end, to read on from there later."""
    result = subprocess.run(
        ["journalctl", "--quiet", "--no-pager", "--lines=0", "--show-cursor"],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    return result.stdout.rpartition("-- cursor: ")[2].strip()


def journal(unit: str, lines: int = 120, since: str = "") -> str:
    """Return a unit's last lines in the journal, after a cursor where one is given.

    An app that cannot be imported makes gunicorn write about 95 lines at each attempt, and the app's own error stands
    in the middle of them.
    """
    command = ["journalctl", "--quiet", "--no-pager", "--output=short-iso", f"--unit={unit}", f"--lines={lines}"]
    if since:
        command.append(f"--after-cursor={since}")
    result = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    return result.stdout.strip() or "(the journal holds nothing)"


#: What the app's own unit has, for everything else that runs the app.
SANDBOX = {
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "",
    "RestrictSUIDSGID": "yes",
    "RestrictNamespaces": "yes",
    "LockPersonality": "yes",
    "SystemCallArchitectures": "native",
    "UMask": "0027",
}


def _as_app(
    site: Site, folder: Path, place: Path, properties: dict[str, str], environment: dict[str, str]
) -> list[str]:
    """Return the options of systemd-run for something that runs as the app does, on the data in C(place)."""
    settings = site.settings
    all_properties = {
        **SANDBOX,
        "User": settings["user"],
        "Group": settings["group"],
        "WorkingDirectory": str(folder),
        "EnvironmentFile": f"{settings['config']}/environment",
        "ReadWritePaths": settings["data"],
        "SyslogIdentifier": settings["name"],
        **properties,
    }
    if place != site.path("data"):
        all_properties["BindPaths"] = f"{place}:{settings['data']}"
        # Nobody waits for what happens on a copy, so it must not slow down those who wait for a page.
        all_properties |= {"Nice": "10", "IOSchedulingClass": "idle"}
    all_environment = {
        "PATH": f"{folder}/venv/bin:/usr/bin:/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "HOME": settings["data"],
        "FLASK_BLOG_RELEASE": folder.relative_to(settings["releases"]).parts[0],
        **environment,
    }
    return [f"--property={name}={value}" for name, value in all_properties.items()] + [
        f"--setenv={name}={value}" for name, value in all_environment.items()
    ]


def command_unit(site: Site) -> str:
    """Return the transient unit of a command of the site, without its ending."""
    return f"{site.name}-command"


def run_as_app(site: Site, folder: Path, source_root: str, command: str, data: Path) -> str:
    """Run a shell command the way the app runs: its account, environment, release and limits.

    What it says is returned, and goes to the journal as well.

    :param folder: the folder of the release's app.
    :param data: what the command finds in the place of the data folder.
    :raises OperationError: where it fails or takes longer than the site's C(command_timeout) seconds.
    """
    seconds = site.settings["command_timeout"]
    options = _as_app(
        site,
        folder,
        data,
        {"RuntimeMaxSec": str(seconds)},
        {"PYTHONPATH": os.path.normpath(folder / source_root)},
    )
    unit = command_unit(site)
    # It has a name, as it outlives a blogctl that is killed: whoever undoes what it did stops it first.
    stop_transient(unit)
    words = ["systemd-run", "--quiet", "--collect", "--wait", "--pipe", "--service-type=exec", f"--unit={unit}"]
    try:
        result = subprocess.run(
            [*words, *options, "/bin/sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
    except BaseException:
        stop_transient(unit)
        raise
    said = result.stdout.strip()
    log(site, f"{command}\n{said}")
    if result.returncode:
        last = "\n".join(said.splitlines()[-30:])
        raise OperationError(f"the command '{command}' failed (status {result.returncode}):\n{last}")
    return said


def attach_as_app(site: Site, folder: Path, source_root: str, words: list[str]) -> int:
    """Run a command as the app does, on this terminal, and return its exit status."""
    terminal = "--pty" if os.isatty(0) and os.isatty(1) else "--pipe"
    options = _as_app(site, folder, site.path("data"), {}, {"PYTHONPATH": os.path.normpath(folder / source_root)})
    command = ["systemd-run", "--quiet", "--collect", "--wait", terminal, "--service-type=exec", *options]
    return subprocess.run([*command, "/usr/bin/env", *words], check=False).returncode


def log(site: Site, text: str) -> None:
    """Write to the journal under the site's name."""
    subprocess.run(["systemd-cat", f"--identifier={site.name}"], input=text, text=True, errors="replace", check=False)


def start_transient(
    site: Site,
    unit: str,
    folder: Path,
    place: Path,
    properties: dict[str, str],
    environment: dict[str, str],
    command: list[str],
) -> None:
    """Start a unit that lasts until it is stopped, and runs as the app does."""
    options = _as_app(site, folder, place, properties, environment)
    result = subprocess.run(
        ["systemd-run", "--quiet", "--collect", f"--unit={unit}", "--service-type=exec", *options, *command],
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise OperationError(f"'{command[0]}' cannot be started: {result.stderr.strip()}")


def stop_transient(unit: str) -> None:
    """Stop a transient unit, if it is there, and forget that it failed."""
    for verb in ("stop", "reset-failed"):
        subprocess.run(["systemctl", verb, f"{unit}.service"], capture_output=True, check=False)
