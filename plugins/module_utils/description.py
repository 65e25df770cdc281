# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Describe a release from its source: what it is called, what it holds, what it needs, where its links lead."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils import source
from ansible_collections.flaskblog.hosting.plugins.module_utils.limits import Limits
from ansible_collections.flaskblog.hosting.plugins.module_utils.releases import Entry, clean, digest, is_below

#: Flask's own place for what belongs to one installation; a release never contains it.
INSTANCE = "instance"


@dataclass(frozen=True)
class Commit:
    """Where Git had a source from."""

    #: 40 hexadecimal digits
    identity: str
    #: the branch or tag that led there, such as C(refs/heads/main); the commit itself where none did
    ref: str
    #: the repository, without credentials
    repository: str


@dataclass(frozen=True)
class Description:
    """A source that was read once."""

    folder: Path
    entries: list[Entry]
    #: what the modules on the host need to know of the release
    release: dict[str, Any]
    #: a static file to ask the running site for, with the sha256 of the right answer
    sample: dict[str, str] | None


def describe(
    folder: Path,
    wanted: Mapping[str, Any],
    site: Mapping[str, Any],
    leaves_out: source.LeavesOut = lambda *_: False,
    commit: Commit | None = None,
) -> Description:
    """Read a source and describe the release that it makes.

    :param wanted: C(app_dir), C(wsgi), C(requirements), C(packages), C(static), C(links), C(served), C(left_out),
        C(venv_link), C(limits), as the role derives them.
    :param site: C(releases) and C(data).
    :param leaves_out: what a folder's own rules leave out.
    :param commit: where Git had it from.
    :raises source.SourceError: where the source cannot become a release.
    """
    app_dir = wanted["app_dir"]
    if not (folder / app_dir).is_dir():
        raise source.SourceError(f"it has no folder {app_dir!r} (flask_blog_app_dir)")
    root = source.source_root(folder, app_dir, wanted["wsgi"])
    moved = package_folders(folder, wanted, root or "")
    links = {below(link, moved): target for link, target in wanted["links"].items()}
    if root:
        # Flask looks for instance/ beside the package (https://flask.palletsprojects.com/en/stable/config/).
        links[posixpath.join(app_dir, root, INSTANCE)] = f"{site['data']}/{INSTANCE}"
    left_out = [*wanted["left_out"], *(below(path, moved) for path in wanted["left_out"]), wanted["venv_link"], *links]
    served = sorted({below(path, moved) for path in wanted["served"]})
    entries = source.read(folder, left_out, leaves_out, Limits.of(wanted.get("limits", {})))
    check_managed_links(entries, links, moved, wanted["venv_link"])
    tree = source.identity(entries)
    file = source.find_requirements(folder, app_dir, wanted["requirements"])
    if file is None:
        looked_for = wanted["requirements"] or "requirements.txt or pyproject.toml"
        raise source.SourceError(f"it holds no {looked_for} (flask_blog_requirements)")
    if not any(entry.path == clean(posixpath.join(app_dir, file)) for entry in entries):
        raise source.SourceError(
            f"its {file} is left out by a .gitignore, and the host would lack it. Name it in flask_blog_include"
        )
    needs = source.read_requirements(folder, app_dir, file, tree, importable=root is not None)
    requirements = digest(needs.identity, wanted["packages"], needs.is_project)
    links |= relative_links(moved)
    identity = digest(tree, app_dir, root, links, served, requirements, *([commit.identity] if commit else []))
    path = f"{site['releases']}/{identity}"
    app_path = f"{path}/{app_dir}".rstrip("/")
    release = {
        "id": identity,
        "digest": tree,
        "path": path,
        "app_path": app_path,
        "live_path": app_path,
        "links": links,
        "served": served,
        "venv_link": wanted["venv_link"],
        "source_root": root or "",
        "requirements": requirements,
        "requirements_file": needs.file,
        "is_project": needs.is_project,
        "dependencies": None if needs.dependencies is None else list(needs.dependencies),
        "hashed": needs.hashed,
        "copy_source": needs.is_project or needs.local,
        "keep_source": needs.local,
        "packages": list(wanted["packages"]),
    }
    if commit:
        release |= {"commit": commit.identity, "ref": commit.ref, "repository": commit.repository, "left_out": left_out}
    folders = {prefix: below(posixpath.join(app_dir, clean(to)), moved) for prefix, to in wanted["static"].items()}
    return Description(folder, entries, release, source.sample(entries, folders))


def relative_links(moved: Mapping[str, str]) -> dict[str, str]:
    """Return the links from where served folders are looked for to the package."""
    return {link: posixpath.relpath(target, posixpath.dirname(link) or ".") for link, target in moved.items()}


def check_managed_links(
    entries: Iterable[Entry], data: Mapping[str, str], moved: Mapping[str, str], venv_link: str
) -> None:
    """Check that the links of the role and those of the source keep away from each other.

    :param data: the links to the blog's data.
    :raises source.SourceError: if a managed link would lie below a link of the source, or a link of the source leads
        through one to the data or the environment.
    """
    tree = source.tree_of(entries)
    for path in (*data, *moved, venv_link):
        tree.check_managed(path)
    tree.links |= relative_links(moved)
    tree.check_links(managed=[*data, venv_link])


def data_places(release: Mapping[str, Any], site: Mapping[str, Any]) -> dict[str, str]:
    """Return where an app's own files lie, relative to its folder, and where each lies in the data folder."""
    app_dir = posixpath.relpath(release["app_path"], release["path"])
    return {
        posixpath.relpath(link, app_dir): posixpath.relpath(target, site["data"])
        for link, target in release["links"].items()
        if is_below(target, [site["data"]])
    }


def package_folders(folder: Path, wanted: Mapping[str, Any], root: str) -> dict[str, str]:
    """Find the served folders that lie in the app's package instead of beside it.

    An app in a package keeps its C(static/) there. A link then leads from the place that nginx looks in, so that
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
    """Return a path, moved along where it lies in a folder that moved."""
    for missing, inside in moved.items():
        if is_below(path, [missing]):
            return inside + path.removeprefix(missing)
    return path
