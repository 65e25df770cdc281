"""What the running app has written to the journal, and what that says about the variables to set."""

from __future__ import annotations

from ..host import journal, systemd
from ..host.undeclared_paths import database_in_memory, undeclared_write
from ..site import Site


def hints(site: Site) -> list[str]:
    """Return a sentence for each known problem in the lines that the app has written since it was started."""
    try:
        shown = systemd.properties_of(site.settings["service_unit"], "InvocationID")
        invocation = shown.get("InvocationID", "")
        lines = journal.lines_of_run(invocation) if invocation else ""
    except OSError:  # without a journal
        return []
    return [found for found in (undeclared_write(lines, site), database_in_memory(lines)) if found]
