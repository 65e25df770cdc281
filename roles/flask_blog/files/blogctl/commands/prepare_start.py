"""blogctl prepare-start: called by systemd before the app starts.

It goes on with a site of any interface: a blog must not stay down because of the version of another blog of the host.
"""

from __future__ import annotations

import argparse

from ..data import transaction
from ..errors import OperationError
from ..host import environment, systemd
from ..host.locks import starts_held
from ..site import Site
from .command import Command, Result

#: Seconds that a start waits at most for programs of an operation that was killed.
ORPHANS_TIMEOUT = 15.0


def run(site: Site, _: argparse.Namespace) -> Result:
    """Wait while an operation holds back starts, and undo the change of the data of one that was killed.

    :raises OperationError: naming the remedy, if the live release's environment does not fit this host's Python: each
        start would end with the same traceback.
    """
    with starts_held(site, wait=float("inf")):
        if transaction.is_open(site):
            systemd.end_orphans(site, ORPHANS_TIMEOUT)
        undone = transaction.undo(site)
    if problem := environment.problem_of_live(site):
        raise OperationError(f"{site.name} cannot start: {problem}")
    return Result({"undone": undone}, "an interrupted change of the data was undone" if undone else "")


COMMAND = Command(
    "prepare-start",
    summary="wait until the service may start",
    description="Called by systemd before the app starts.",
    run=run,
    example="blogctl prepare-start",
)
