# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Describe the release that a source makes: its name, its files and links, what its environment needs."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils.printable import printable
from ansible_collections.flaskblog.hosting.plugins.module_utils.source import (
    portability,
    project,
    read,
    refusals,
    seeds,
)
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.entry import (
    Entry,
    clean,
    digest,
    is_below,
    tree_digest,
)
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.limits import Limits
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.release import Release
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.requirements import (
    find_requirements,
    read_requirements,
    requirement_lines,
)

#: Flask's own place for what belongs to one installation; a release never contains it.
INSTANCE = "instance"


@dataclass(frozen=True)
class Commit:
    """The commit that a source was read from."""

    #: 40 hexadecimal digits
    identity: str
    #: the branch or tag that led to it, such as C(refs/heads/main); otherwise the commit itself
    ref: str
    #: the repository, without credentials
    repository: str


@dataclass(frozen=True)
class Description:
    """A source that was read once."""

    folder: Path
    #: the files and links of the code, and the files that the data folder gets once
    entries: list[Entry]
    release: Release
    #: a static file to request from the running site, with the sha256 of the right answer
    sample: dict[str, str] | None
    #: paths of the source that are not in the release and may be missed, with the reason
    left_out: dict[str, str]
    #: Debian packages that pip needs for the requirements
    packages: tuple[str, ...] = ()
    #: for the user
    warnings: tuple[str, ...] = ()

    @property
    def code(self) -> list[Entry]:
        """The entries that the app only reads."""
        return [entry for entry in self.entries if entry.path not in self.release.seeds]


def describe(
    folder: Path,
    wanted: Mapping[str, Any],
    site: Mapping[str, Any],
    leaves_out: read.LeavesOut = lambda *_: False,
    commit: Commit | None = None,
) -> Description:
    """Read a source and describe the release that it makes.

    :param wanted: C(app_dir), C(wsgi), C(requirements), C(packages), C(static), C(links), C(served), C(left_out),
        C(seeded), C(venv_link), C(limits), as the role derives them.
    :param site: C(releases) and C(data).
    :param leaves_out: the folder's own rules.
    :param commit: of a source from Git.
    :raises refusals.SourceError: if the source cannot become a release.
    """
    app_dir, venv_link = wanted["app_dir"], wanted["venv_link"]
    file, warnings = app_requirements(folder, app_dir, wanted["requirements"])
    root = read.source_root(folder, app_dir, wanted["wsgi"])
    moved = package_folders(folder, wanted, root or "")
    links = {below(link, moved): target for link, target in wanted["links"].items()}
    if root:
        # Flask looks for instance/ beside the package (https://flask.palletsprojects.com/en/stable/config/).
        links[posixpath.join(app_dir, root, INSTANCE)] = f"{site['data']}/{INSTANCE}"
    left_out = [*wanted["left_out"], *(below(path, moved) for path in wanted["left_out"]), venv_link, *links]
    served = sorted({below(path, moved) for path in wanted["served"]})
    missed: dict[str, str] = {}
    entries = read.read(folder, left_out, leaves_out, Limits.of(wanted.get("limits", {})), missed)
    seeds.refuse_own_name(entries)
    check_managed_links(entries, links, moved, venv_link)
    seeded = {below(path, moved) for path in wanted.get("seeded", ())} & links.keys()
    first = seeds.read_seeds(folder, seeded, leaves_out)
    missed = {path: reason for path, reason in missed.items() if not is_below(path, seeded)} | first.left_out
    if not any(entry.path == clean(posixpath.join(app_dir, file)) for entry in entries):
        raise refusals.ignored_requirements(file)
    tree = tree_digest([*entries, *first.entries])
    needs = read_requirements(folder, app_dir, file, tree, importable=root is not None)
    if root is None and not needs.local:
        warnings = [*warnings, printable(read.no_module(entries, app_dir, wanted["wsgi"])).replace("\n", " ")]
    requirements = digest(needs.identity, wanted["packages"], needs.is_project)
    links |= relative_links(moved)
    identity = digest(tree, app_dir, root, links, served, requirements, *([commit.identity] if commit else []))
    path = f"{site['releases']}/{identity}"
    release = Release(
        id=identity,
        digest=tree,
        path=path,
        app_path=f"{path}/{app_dir}".rstrip("/"),
        source_root=root or "",
        links=links,
        served=served,
        venv_link=venv_link,
        requirements=requirements,
        requirements_file=needs.file,
        is_project=needs.is_project,
        hashed=needs.hashed,
        keep_source=needs.local,
        packages=list(wanted["packages"]),
        dependencies=None if needs.dependencies is None else list(needs.dependencies),
        commit=commit.identity if commit else None,
        ref=commit.ref if commit else None,
        repository=commit.repository if commit else None,
        left_out=_left_out(left_out, seeded, first) if commit else None,
        requires_python=project.requires_python(folder, app_dir, file),
        seeds=seeds.places(first.entries, {link: links[link] for link in seeded}, site["data"]),
    )
    folders = {prefix: below(posixpath.join(app_dir, clean(to)), moved) for prefix, to in wanted["static"].items()}
    packages = ("git",) if portability.needs_git(requirement_lines(folder, app_dir, file)) else ()
    sample = read.sample(entries, folders)
    return Description(folder, [*entries, *first.entries], release, sample, missed, packages, tuple(warnings))


def _left_out(paths: Iterable[str], seeded: Iterable[str], first: seeds.Seeds) -> list[str]:
    """Return the paths of a commit that do not belong in its release, which the host writes again from Git."""
    if not first.entries:
        return list(paths)
    return [*(path for path in paths if path not in {*seeded}), *first.left_out]


def app_requirements(folder: Path, app_dir: str, wanted: str) -> tuple[str, list[str]]:
    """Return the requirements file of a source, relative to the app's folder, and warnings about it.

    :param wanted: as P(find_requirements) takes it.
    :raises refusals.SourceError: if the source lacks the app's folder or the file, or no server can install what it
        names.
    """
    if not (folder / app_dir).is_dir():
        raise refusals.no_app_dir(app_dir)
    file = find_requirements(folder, app_dir, wanted)
    if file is None:
        raise refusals.no_requirements(wanted, project.other_requirements(folder, app_dir))
    warnings = project.check_installable(folder, app_dir, file)
    portability.check(requirement_lines(folder, app_dir, file), os.path.basename(file))
    return file, warnings


def relative_links(moved: Mapping[str, str]) -> dict[str, str]:
    """Return the links that lead from the expected place of served folders into the package."""
    return {link: posixpath.relpath(target, posixpath.dirname(link) or ".") for link, target in moved.items()}


def check_managed_links(
    entries: Iterable[Entry], data: Mapping[str, str], moved: Mapping[str, str], venv_link: str
) -> None:
    """Check that no link of the role and no link of the source leads through the other.

    :param data: the links to the blog's data.
    :raises refusals.SourceError: if a managed link would lie below a link of the source, or a link of the source leads
        through one to the data or the environment.
    """
    tree = read.tree_of(entries)
    for path in (*data, *moved, venv_link):
        tree.check_managed(path)
    tree.links |= relative_links(moved)
    tree.check_links(managed=[*data, venv_link])


def data_places(release: Release, site: Mapping[str, Any]) -> dict[str, str]:
    """Return the path of each file or folder of data, relative to the app's folder and to the data folder."""
    return {
        posixpath.relpath(link, release.app_dir): posixpath.relpath(target, site["data"])
        for link, target in release.links.items()
        if is_below(target, [site["data"]])
    }


def package_folders(folder: Path, wanted: Mapping[str, Any], root: str) -> dict[str, str]:
    """Find the served folders that lie in the app's package instead of beside it.

    An app in a package keeps its C(static/) there. A link then leads to it from the place in which nginx looks, so
    C(/static/) means the same for every blog.

    :returns: each missing folder and the one in the package, both relative to the source.
    """
    app_dir = wanted["app_dir"]
    package = wanted["wsgi"].partition(":")[0].partition(".")[0]
    moved = {}
    for target in wanted["static"].values():
        missing = posixpath.join(app_dir, clean(target))
        inside = posixpath.join(app_dir, root, package, clean(target))
        if not os.path.lexists(folder / missing) and (folder / inside).is_dir():
            moved[missing] = inside
    return moved


def below(path: str, moved: Mapping[str, str]) -> str:
    """Return a path with the folder that it lies in replaced, if that folder moved."""
    for missing, inside in moved.items():
        if is_below(path, [missing]):
            return inside + path.removeprefix(missing)
    return path
