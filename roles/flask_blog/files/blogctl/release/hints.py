"""What the running app has written to the journal, and what that says about the variables to set."""

from __future__ import annotations

from collections.abc import Mapping

from ..host import journal
from ..host.undeclared_paths import database_in_memory, undeclared_write
from ..site import Site


def hints(site: Site, shown: Mapping[str, str]) -> list[str]:
    """Return a sentence for each known problem in the lines that the app has written since it was started.

    :param shown: C(InvocationID) of the service.
    """
    invocation = shown.get("InvocationID", "")
    if not invocation:
        return []
    try:
        lines = journal.lines_of_run(invocation)
    except OSError:  # without a journal
        return []
    return [found for found in (undeclared_write(lines, site), database_in_memory(lines)) if found]
