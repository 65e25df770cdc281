"""Who is told, as the role wrote it to C(/etc/NAME/notify.json): flask_blog_notify and flask_blog_notify_ping."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from ..errors import OperationError
from ..host.visitors import read_small
from ..site import Site

#: The channels, in the order in which they are tried; mail goes through a program of the host, in a step of its own.
WEBHOOK, COMMAND, MAIL = "webhook", "command", "mail"


@dataclass(frozen=True)
class Settings:
    """The receivers. The URLs are secrets: whoever knows one can send messages, or silence an alarm."""

    mail: tuple[str, ...] = ()
    webhook: str = ""
    command: tuple[str, ...] = ()
    #: the account that runs the command
    command_user: str = ""
    #: URL by the name of a job
    ping: dict[str, str] = field(default_factory=dict)

    @property
    def channels(self) -> list[str]:
        """The channels that are configured."""
        given = {WEBHOOK: self.webhook, COMMAND: self.command, MAIL: self.mail}
        return [name for name, value in given.items() if value]


def load(site: Site) -> Settings:
    """Read who is told; nobody, if the role wrote no file.

    :raises OperationError: if the file is damaged.
    """
    path = site.settings.get("notify_config", "")
    try:
        found = json.loads(read_small(site.path("notify_config"))) if path else {}
        return Settings(
            mail=tuple(map(str, found.get("mail", []))),
            webhook=str(found.get("webhook", "")),
            command=tuple(map(str, found.get("command", []))),
            command_user=str(found.get("command_user", "")),
            ping={str(job): str(url) for job, url in found.get("ping", {}).items()},
        )
    except FileNotFoundError:
        return Settings()
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise OperationError(
            f"{path} is damaged ({type(error).__name__}), so nobody can be told; run playbooks/site.yml to write it"
            " again"
        ) from error
