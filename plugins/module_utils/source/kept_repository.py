# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The repository that a host keeps from one release to the next, and how it is removed.

Separate from git.py, which an ordinary release has no use for: Ansible packs all imports of a module in each run.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils.source.git_account import discard_roots, git_as
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.limits import Limits

#: A file beside the repository with its commit; saves a unit if another commit is wanted.
COMMIT = "commit"


def forget(site: Mapping[str, Any]) -> None:
    """Remove the kept repository, if there is one.

    :raises SourceError: if something is left.
    """
    kept = Path(site["git"])
    if not kept.is_dir() or kept.is_symlink():
        return
    names = ("repository", "repository.old", "repository.incomplete")
    if fetched := [kept / name for name in names if not discard_roots(kept / name)]:
        with git_as(site["build_user"], Limits()) as git:
            for path in fetched:
                git.discard(path)
    for name in ("known_hosts", COMMIT):
        for path in (kept / name, kept / f"{name}.incomplete"):
            path.unlink(missing_ok=True)
    kept.rmdir()
