"""The names of a site's units. Those of transient units have no ending (systemd-run(1), C(--unit=))."""

from __future__ import annotations

from ..site import Site

#: Units of a site beside its service and its socket, by what follows its name.
KINDS = ("-next", "-rehearsal", "-command", "-recovery", "-backup", "-data", "-hold")


def units_of(site: Site) -> list[str]:
    """Return all units of a site that write to the journal. A pattern would match those of a site NAME-two, too."""
    return [
        site.settings["service_unit"],
        site.settings["socket_unit"],
        *(f"{site.name}{kind}.service" for kind in KINDS),
    ]


def next_unit(site: Site) -> str:
    """Return the unit of the second instance, which serves while the first one changes its release."""
    return f"{site.name}-next.service"


def recovery_unit(site: Site) -> str:
    """Return the unit that completes or undoes an operation whose blogctl was killed."""
    return f"{site.name}-recovery.service"


def instance_unit(site: Site) -> str:
    """Return the transient unit of an instance that no visitor reaches."""
    return f"{site.name}-rehearsal"


def command_unit(site: Site) -> str:
    """Return the transient unit of a release's command."""
    return f"{site.name}-command"


def data_unit(site: Site) -> str:
    """Return the transient unit of the process that works in the data folder."""
    return f"{site.name}-data"


def hold_unit(site: Site) -> str:
    """Return the transient unit that keeps the address to which the socket moves."""
    return f"{site.name}-hold"


def transient_units(site: Site) -> tuple[str, ...]:
    """Return the transient units that an operation starts; they outlive a blogctl that is killed."""
    return command_unit(site), instance_unit(site), data_unit(site)
