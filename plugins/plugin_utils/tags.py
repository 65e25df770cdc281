# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What C(--tags) and C(--skip-tags) choose of the role, and which choices cannot work.

Ansible runs tasks with the tag C(always) whatever the tags are, and it accepts tags that no task has. A run with such a
tag would succeed and do nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible import constants, context
from ansible.playbook.block import Block
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.collection import ROOT

#: The layers of C(tasks/main.yml) in their order, each with the layers that it needs to be done. Each is a tag.
LAYERS: Mapping[str, tuple[str, ...]] = {
    "packages": (),
    "account": (),
    "unpack": ("account",),
    "venv": ("packages", "account", "unpack"),
    "state": ("packages", "account"),
    "activate": ("packages", "account", "unpack", "venv", "state"),
    "certificate": ("packages", "account", "unpack", "venv", "state", "activate"),
    # It requests what is live, whatever that is.
    "verify": (),
}
ALWAYS = "always"
#: Of the role flaskblog.hosting.host in playbooks/site.yml.
HOST = "host"
#: Tags with a meaning for Ansible itself.
SPECIAL = frozenset({"all", "tagged", "untagged", "always", "never"})


def is_chosen(tags: Iterable[str], run: Iterable[str], skip: Iterable[str]) -> bool:
    """Return whether Ansible runs a task with these tags (ansible/playbook/taggable.py)."""
    own, only, without = set(tags) or {"untagged"}, set(run) or {"all"}, set(skip)
    tagged = own != {"untagged"}
    if ALWAYS not in own and not ("all" in only or own & only or ("tagged" in only and tagged)):
        return False
    if "all" in without:
        return ALWAYS in own - without
    return not (own & without or ("tagged" in without and tagged))


class Choice:
    """What the command line chooses of the role, seen from one of its tasks.

    :param task: one with the tag C(always), which always runs.
    :param variables: with Ansible's own C(ansible_run_tags) and C(ansible_skip_tags).
    """

    def __init__(self, task: Any, variables: Mapping[str, Any]) -> None:
        self._task = task
        self._run = list(variables.get("ansible_run_tags") or ["all"])
        self._skip = list(variables.get("ansible_skip_tags") or [])
        own = set(getattr(task, "tags", ()))
        #: tags of the whole role, such as those that a playbook gives it
        self._inherited = own - {ALWAYS}
        self._is_main = ALWAYS in own

    @property
    def is_whole(self) -> bool:
        """Whether there are neither C(--tags) nor C(--skip-tags)."""
        return self._run == ["all"] and not self._skip

    @property
    def layers(self) -> list[str]:
        """The chosen layers of C(tasks/main.yml)."""
        return [layer for layer in LAYERS if is_chosen({layer, *self._inherited}, self._run, self._skip)]

    @property
    def chooses_layers(self) -> bool:
        """Return whether any layer runs; those of C(tasks/release.yml) have no tags."""
        return bool(self.layers) or not self._is_main

    def chooses(self, entry_point: str) -> bool:
        """Return whether anything of an entry point runs; only C(main) has tags."""
        return bool(self.layers) if entry_point == "main" else is_chosen(self._inherited, self._run, self._skip)

    @property
    def options(self) -> str:
        """The options of the command line."""
        parts = [f"--tags {','.join(self._run)}"] if self._run != ["all"] else []
        return " ".join(parts + ([f"--skip-tags {','.join(self._skip)}"] if self._skip else []))

    def refusal(self, entry_point: str) -> str:
        """Return why the tags cannot work; an empty text if they can, or if they are another role's matter."""
        if self.is_whole:
            return ""
        if not self.chooses(entry_point) and set(self._run) & self._tags_of_include():
            return (
                f"{self.options}: the tag chooses include_role, and not the tasks in it, so that nothing would be done."
                " Write it below 'apply: {tags: [...]}' of include_role as well, or use import_role."
            )
        if entry_point != "main":
            return (
                "" if self.chooses(entry_point) else f"{self.options}: {entry_point} has no tags. Leave the option out."
            )
        unknown = sorted(set(self._run) - set(LAYERS) - SPECIAL - self._inherited)
        if is_own_playbook():
            unknown = [tag for tag in unknown if tag != HOST]
        else:
            unknown = sorted({*unknown} - _tags_of_play(self._task)) if unknown and _is_only_play(self._task) else []
        if unknown:
            return f"{self.options}: there is no tag {', '.join(unknown)}. The tags are {', '.join(LAYERS)}."
        return ""

    def warning(self) -> str:
        """Return a warning about tags that no task of the play has; an empty text if there are none."""
        unknown = set(self._run) - SPECIAL - set(LAYERS) - _tags_of_play(self._task)
        if self.chooses("main") or not unknown:
            return ""
        return (
            f"{self.options}: no task of this play has the tag {', '.join(sorted(unknown))}, and nothing of the role"
            f" flask_blog runs. Its tags are {', '.join(LAYERS)}."
        )

    def partial(self, needed: Iterable[str]) -> tuple[str, list[str]]:
        """Return why the chosen layers cannot work without the others, and which layers are left out.

        :param needed: the layers that have something to do.
        """
        if self.is_whole or not self._is_main:
            return "", []
        chosen, needed = set(self.layers), set(needed)
        for layer in (layer for layer in LAYERS if layer in chosen & needed):
            if missing := [other for other in LAYERS[layer] if other in needed - chosen]:
                tags = ",".join(other for other in LAYERS if other in {*missing, *chosen})
                reason = (
                    f"{self.options}: {layer} needs {', '.join(missing)}, where something has to be done as well and"
                    f" which this run would leave out. Nothing was changed. Run with --tags {tags}, or without tags."
                )
                return reason, []
        return "", [layer for layer in LAYERS if layer in needed - chosen]

    def _tags_of_include(self) -> set[str]:
        """Return the tags of C(include_role) and C(include_tasks) around the task, which do not reach it."""
        found: set[str] = set()
        parent = getattr(self._task, "_parent", None)
        while parent is not None:
            if not getattr(parent, "statically_loaded", True):
                found |= set(parent.tags)
            parent = getattr(parent, "_parent", None)
        return found - {ALWAYS}


def is_own_playbook() -> bool:
    """Return whether the command line names playbooks of this collection alone, so that no other role has tags."""
    names = context.CLIARGS.get("args") or ()
    folder = (ROOT / "playbooks").resolve()
    return bool(names) and all(
        str(name).startswith("flaskblog.hosting.") or Path(str(name)).resolve().parent == folder for name in names
    )


def _is_only_play(task: Any) -> bool:
    """Return whether the command line names one playbook with one play, all of whose tasks are known."""
    names = context.CLIARGS.get("args") or ()
    try:
        plays = [play for name in names for play in yaml.safe_load(Path(str(name)).read_text(encoding="utf-8"))]
    except (OSError, TypeError, ValueError, yaml.YAMLError):
        return False
    if len(plays) != 1 or "hosts" not in plays[0]:
        return False
    return not any(
        one.action in constants._ACTION_ALL_INCLUDES and not one.statically_loaded for one in _tasks_of_play(task)
    )


def _tags_of_play(task: Any) -> set[str]:
    """Return the tags of all tasks of a task's play that are known before it runs."""
    return {tag for one in _tasks_of_play(task) for tag in one.tags}


def _tasks_of_play(task: Any) -> Iterator[Any]:
    parent = getattr(task, "_parent", None)
    while parent is not None and not isinstance(parent, Block):
        parent = getattr(parent, "_parent", None)
    play = getattr(parent, "_play", None)
    for block in play.compile() if play else []:
        yield from _tasks_of_block(block)


def _tasks_of_block(block: Block) -> Iterator[Any]:
    for item in [*block.block, *block.rescue, *block.always]:
        if isinstance(item, Block):
            yield from _tasks_of_block(item)
        else:
            yield item
