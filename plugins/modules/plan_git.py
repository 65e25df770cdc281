#!/usr/bin/python
# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: plan_git
short_description: Compare a host with what a Flask blog's role declares, for a source in a Git repository
version_added: 0.1.0
author:
  - The flaskblog.hosting maintainers (@flaskblog)
description:
  - What M(flaskblog.hosting.plan) does, which runs this module where the source is a Git repository.
  - Asks and fetches the repository on the host, and names the release there. What was fetched is kept for the next run
    (not in check mode).
  - Makes the account that runs Git, before the repository is asked (not in check mode).
extends_documentation_fragment:
  - flaskblog.hosting.site
  - flaskblog.hosting.site.managed
  - flaskblog.hosting.site.planned
attributes:
  check_mode:
    support: full
    description: Reads only.
  diff_mode:
    support: none
    description: The tasks that change something show the difference.
"""

EXAMPLES = r"""
- name: Compare the host with what is declared
  flaskblog.hosting.plan:
    site: "{{ __flask_blog_site }}"
    platforms: [Debian_12, Debian_13]
    account: "{{ __flask_blog_account }}"
    objects: "{{ __flask_blog_objects }}"
    source: "{{ __flask_blog_source }}"  # https://..., git@...: the action runs plan_git
"""

RETURN = r"""
release:
  description:
    - Identity and paths of the wanted release, with its C(commit), C(ref) and C(repository). The rest is as
      M(flaskblog.hosting.plan) returns it.
  returned: always
  type: dict
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.flaskblog.hosting.plugins.module_utils import host, live, planning
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources.difference import Conflict
from ansible_collections.flaskblog.hosting.plugins.module_utils.source import git
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import SourceError


@contextlib.contextmanager
def wanted_release(params: dict[str, Any], keep: bool) -> Iterator[planning.Wanted]:
    """Yield the release, and the probes that it answers; None where the host cannot know it yet.

    :param keep: whether to keep what Git fetches, once all is well.
    :raises Conflict: for a repository that does not give what is wanted.
    """
    if planning.needed_first(params) or not has_build_account(params, keep):
        yield None, []
        return
    try:
        with (
            # Git has the deploy key, and the account of builds: no build may run beside it.
            live.building(params["site"]["name"]),
            git.described(params["source"], params["access"], params["site"], keep) as (found, databases),
        ):
            probes = [{"what": "a static file", **found.sample}] if found.sample else []
            yield (
                {
                    **found.release.to_dict(),
                    "databases": databases,
                    "missed": found.left_out,
                    "warnings": list(found.warnings),
                },
                probes,
            )
    except SourceError as error:
        raise Conflict(error.explain(params["source"]["url"])) from error


def has_build_account(params: dict[str, Any], keep: bool) -> bool:
    """Make the account that runs Git, but for check mode; say whether the host has it.

    :raises Conflict: if it cannot be made.
    """
    name = params["site"]["build_user"]
    try:
        if keep:
            host.ensure_account(name)
    except OSError as error:
        raise Conflict(f"{error}. It runs Git for the blog; make it, or free its name, and run again.") from error
    return host.has_account(name)


def main() -> None:
    planning.run(AnsibleModule(argument_spec=planning.OPTIONS, supports_check_mode=True), wanted_release)


if __name__ == "__main__":
    main()
