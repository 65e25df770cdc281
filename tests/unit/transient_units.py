"""Transient units that run right here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Unit:
    """A transient unit that was started."""

    description: str
    properties: dict[str, Any]
    environment: dict[str, str]
    options: list[str]


@dataclass
class Units:
    """Transient units: the programs run right here, with the unit's variables."""

    started: list[Unit] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    #: what went to the journal
    logged: list[str] = field(default_factory=list)
    #: starts the command line of a unit
    prefix: str = "/usr/bin/env"

    def command(
        self, description: str, properties: dict[str, Any], environment: Sequence[str] = (), options: Sequence[str] = ()
    ) -> list[str]:
        variables = dict(one.split("=", 1) for one in environment)
        self.started.append(Unit(description, dict(properties), variables, list(options)))
        return [self.prefix, *environment]
