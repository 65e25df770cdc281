"""The names of a site's units. Those of transient units have no ending (systemd-run(1), C(--unit=))."""

from __future__ import annotations

from ..site import Site

#: The settings with the names of the units that the role installs and that write to the journal.
INSTALLED = ("service_unit", "socket_unit", "next_unit", "recovery_unit", "backup_unit")
#: Those that an older role did not install.
ADDED = ("proof_unit", "certificate_unit", "offsite_unit", "check_unit")


def units_of(site: Site) -> list[str]:
    """Return all units of a site that write to the journal. A pattern would match those of a site NAME-two, too."""
    return [
        *(site.unit(key) for key in INSTALLED),
        *(site.settings[key] for key in ADDED if key in site.settings),
        # The @ stands in no site's name.
        *([f"{site.name}-notify*@*.service"] if "check_unit" in site.settings else []),
        *(f"{unit}.service" for unit in (*transient_units(site), hold_unit(site), certbot_unit(site))),
    ]


def next_unit(site: Site) -> str:
    """Return the unit of the second instance, which serves while the first one changes its release."""
    return site.unit("next_unit")


def recovery_unit(site: Site) -> str:
    """Return the unit that completes or undoes an operation whose blogctl was killed."""
    return site.unit("recovery_unit")


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


def certbot_unit(site: Site) -> str:
    """Return the transient unit of the program that asks an authority for a certificate."""
    return f"{site.name}-certbot"


def retry_unit(site: Site) -> str:
    """Return the transient timer, and its service, of the next attempt to get a certificate."""
    return f"{site.name}-certificate-retry"


def transient_units(site: Site) -> tuple[str, ...]:
    """Return the transient units that an operation starts; they outlive a blogctl that is killed."""
    return command_unit(site), instance_unit(site), data_unit(site)
