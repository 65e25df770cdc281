"""The settings of a site, as the role wrote them to C(/etc/NAME/site.json)."""

from __future__ import annotations

import getpass
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import OperationError
from .shared import contract

#: Each site has C(NAME/site.json) here.
CONFIGURATION = Path("/etc")

#: Paths that an older role with interface 1 did not write to C(site.json): the setting of the directory, and the name
#: below it. Remove this table and the next one when C(contract.OLDEST_INTERFACE) is 2.
OLDER_PATHS = {
    "next": ("root", "next"),
    "assets": ("root", "assets"),
    "maintenance": ("root", "maintenance"),
    "operations": ("root", "operations.jsonl"),
    "transaction": ("root", "transaction.json"),
    "snapshots": ("backups", "snapshots"),
    "rehearsal": ("backups", "rehearsal"),
    "environment": ("config", "environment"),
    "rehearsal_environment": ("config", "rehearsal-environment"),
    "gunicorn_config": ("config", "gunicorn.conf.py"),
}
#: Units that it did not write: what follows the site's name.
OLDER_UNITS = {
    "next_unit": "-next.service",
    "recovery_unit": "-recovery.service",
    "backup_unit": "-backup.service",
}


class Settings(dict[str, Any]):
    """The settings of a site. A missing one is reported with the remedy."""

    def __missing__(self, key: str) -> Any:
        """Refuse to go on without a setting.

        :raises OperationError: naming the setting; an older role did not write it.
        """
        raise OperationError(
            f"{CONFIGURATION}/{self.get('name', '')}/site.json lacks {key!r}; run playbooks/site.yml to write it again"
        )


@dataclass(frozen=True)
class Site:
    """One site of this host."""

    settings: dict[str, Any]

    @property
    def name(self) -> str:
        """The site's name."""
        return str(self.settings["name"])

    @property
    def scheme(self) -> contract.Scheme:
        """By what visitors reach the site, HTTP or HTTPS, and where."""
        return contract.Scheme.of(self.settings)

    @property
    def address(self) -> str:
        """The URL of the site without a path."""
        found = self.scheme
        return f"{found.scheme}://{found.host}"

    @property
    def environments(self) -> list[Path]:
        """The files with the environment of the app's programs. The last one takes precedence."""
        of_scheme = self.settings.get("scheme_environment")  # none of an older role
        return [*([Path(of_scheme)] if of_scheme else []), self.path("environment")]

    def path(self, key: str) -> Path:
        """Return one of the site's paths: C(link), C(releases), C(data), C(config), C(backups) ..."""
        if key not in self.settings and key in OLDER_PATHS:
            directory, name = OLDER_PATHS[key]
            return self.path(directory) / name
        return Path(self.settings[key])

    def unit(self, key: str) -> str:
        """Return the name of one of the site's units: C(service_unit), C(socket_unit), C(next_unit) ..."""
        if key not in self.settings and key in OLDER_UNITS:
            return f"{self.name}{OLDER_UNITS[key]}"
        return str(self.settings[key])

    def pending(self, what: str) -> Path:
        """Return the note that a change of C(contract.PENDING) is not loaded yet."""
        return Path(contract.pending_path(self.name, what))

    def require_interface(self) -> None:
        """Refuse a site that was deployed by a version of the collection that this blogctl cannot work with.

        :raises OperationError: nothing was changed.
        """
        found = self.settings.get("interface", 1)
        if type(found) is not int or not contract.OLDEST_INTERFACE <= found <= contract.INTERFACE:
            raise OperationError(
                f"{self.name} was deployed with interface {found!r} and this blogctl supports"
                f" {contract.OLDEST_INTERFACE} to {contract.INTERFACE}; nothing was changed. Run playbooks/site.yml"
                " with one version of the collection for all sites of this host."
            )


def load(name: str | None) -> Site:
    """Load a site by its name, or the only one of this host.

    :raises OperationError: if it does not exist, or the host has several and none is named.
    """
    found = {path.parent.name: path for path in CONFIGURATION.glob("*/site.json")}
    if not (found if name is None else name in found) and os.geteuid() != 0:
        raise OperationError(f"{getpass.getuser()} may not read the settings of the sites; use sudo")
    if name is None and len(found) == 1:
        (name,) = found
    if name is None:
        raise OperationError(
            f"this host has {len(found)} sites ({', '.join(sorted(found)) or 'none'}); choose one with --site NAME"
        )
    if name not in found:
        raise OperationError(f"this host has no site {name!r}; it has {', '.join(sorted(found)) or 'none'}")
    return Site(_settings(found[name], name))


def _settings(path: Path, name: str) -> Settings:
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except PermissionError:
        raise OperationError(f"{path} is readable for root alone; use sudo") from None
    except ValueError as error:
        raise OperationError(f"{path} is damaged ({error}); run playbooks/site.yml to write it again") from error
    if not isinstance(settings, dict) or settings.get("name") != name:
        raise OperationError(f"{path} is not that of {name}; run playbooks/site.yml to write it again")
    return Settings(settings)
