"""Malicious commits, made object by object: nothing is written, and the message names the path."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils.source import (
    git,
    git_export,
    git_remote,
    git_unit,
    kept_repository,
)
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.limits import Limits
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import GitError, LimitError, SourceError
from repositories import BLOG, commit, exported, get, mirror_of, run, site_of, upstream

__all__ = ["upstream"]

pytestmark = pytest.mark.skipif(not os.path.exists(git_unit.GIT), reason="it is about what Git does")

FILE, LINK, FOLDER = "100644", "120000", "40000"
Members = list[tuple[str, str, "str | Members"]]


def write_object(upstream: Path, kind: str, content: bytes) -> str:
    """Write an object without Git's checks; return its name."""
    command = ["git", "hash-object", "-t", kind, "--literally", "-w", "--stdin"]
    done = subprocess.run(command, cwd=upstream, input=content, capture_output=True, check=True)
    return done.stdout.decode().strip()


def write_tree(upstream: Path, members: Members) -> str:
    """Write a tree by hand: names in any order, twice, and of any kind."""
    content = b""
    for mode, name, what in members:
        identity = (
            write_object(upstream, "blob", what.encode()) if isinstance(what, str) else write_tree(upstream, what)
        )
        content += f"{mode} {name}\0".encode() + bytes.fromhex(identity)
    return write_object(upstream, "tree", content)


def commit_tree(upstream: Path, members: Members) -> None:
    """Commit a tree to the branch main."""
    identity = run(upstream, "commit-tree", "-m", "x", write_tree(upstream, members))
    run(upstream, "update-ref", "refs/heads/main", identity)


HOSTILE: dict[str, tuple[Members, str]] = {
    "one name as a link and as a folder": (
        [(LINK, "evil", "../outside"), (FOLDER, "evil", [(FILE, "planted", "x")])],
        "it holds evil",
    ),
    "one name as a link and as a folder with a link": (
        [(LINK, "evil", "../outside"), (FOLDER, "evil", [(LINK, "planted", "x")])],
        "it holds evil",
    ),
    "one name as a folder and as a link": (
        [(FOLDER, "evil", [(FILE, "planted", "x")]), (LINK, "evil", "../outside")],
        "it holds evil",
    ),
    "one name twice as a file": ([(FILE, "a.py", "1"), (FILE, "a.py", "2")], "it holds a.py twice"),
    "one name as a file and as a link": ([(LINK, "a.py", "b"), (FILE, "a.py", "2")], "it holds a.py"),
    "a link and a path through it": (
        [(FOLDER, "a", [(FOLDER, "b", [(LINK, "D", "../..")]), (LINK, "leak", "b/D/../outside")])],
        "a/leak is a link that leaves the source",
    ),
    "the manifest as a link": ([(LINK, ".release.json", "a.py"), (FILE, "a.py", "")], "own manifest"),
    "the manifest as a file": ([(FOLDER, "web", [(FILE, ".release.json", "{}")])], "own manifest"),
    "a link to the manifest": ([(FOLDER, "static", [(LINK, "x", "../.release.json")])], "own manifest"),
    "a name that goes up": ([(FOLDER, "..", [(FILE, "planted", "x")])], "outside its folder"),
    "a name with a slash": ([(FILE, "../planted", "x")], "outside its folder"),
    "an absolute link": ([(LINK, "leak", "/etc/passwd")], "leaves the source"),
    "an endless link": ([(LINK, "a", "b"), (LINK, "b", "a")], "without an end"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_tree_is_refused_before_anything_is_written(upstream: Path, case: str) -> None:
    outside = upstream.parent / "outside"
    outside.mkdir()
    members, words = HOSTILE[case]
    commit_tree(upstream, [*members, (FILE, "zz.py", "x")])
    with pytest.raises(SourceError) as refused:
        exported(upstream)
    assert words in str(refused.value)
    assert list(outside.iterdir()) == []
    assert list((upstream.parent / "exported").iterdir()) == []
    assert not (upstream.parent / "planted").exists()
    assert not mirror_of(upstream).exists(), "and nothing of it is kept"


def test_a_thousand_trees_inside_each_other_are_refused(upstream: Path) -> None:
    identity = write_tree(upstream, [(FILE, "x", "x")])
    for _ in range(1100):
        identity = write_object(upstream, "tree", b"40000 d\0" + bytes.fromhex(identity))
    run(upstream, "update-ref", "refs/heads/main", run(upstream, "commit-tree", "-m", "x", identity))
    with pytest.raises(SourceError, match="inside each other"):
        exported(upstream)


def test_a_tree_that_names_itself_ten_times_on_each_level_is_refused(upstream: Path) -> None:
    """Ten objects, and ten thousand million files."""
    identity = write_tree(upstream, [(FILE, f"f{number}", "x") for number in range(10)])
    for _ in range(9):
        entries = b"".join(f"40000 d{number}\0".encode() + bytes.fromhex(identity) for number in range(10))
        identity = write_object(upstream, "tree", entries)
    run(upstream, "update-ref", "refs/heads/main", run(upstream, "commit-tree", "-m", "x", identity))
    with pytest.raises(LimitError, match="flask_blog_source_max_files"):
        exported(upstream, Limits(files=5000))


@pytest.mark.parametrize(
    ("limits", "variable"),
    [
        (Limits("10k", "9k", 99), "flask_blog_source_max_size"),
        (Limits("1m", "1k", 99), "flask_blog_source_max_file_size"),
        (Limits("1m", "1m", 5), "flask_blog_source_max_files"),
    ],
)
def test_a_commit_has_the_same_limits_as_an_archive(upstream: Path, limits: Limits, variable: str) -> None:
    commit(upstream, {f"static/{number}.txt": "x" * 3000 for number in range(5)})
    with pytest.raises(LimitError) as refused:
        exported(upstream, limits)
    assert refused.value.variable == variable
    assert list((upstream.parent / "exported").iterdir()) == []


def test_an_environment_that_was_committed_is_not_written_and_no_reason_to_refuse(upstream: Path) -> None:
    commit(upstream, {"env/pyvenv.cfg": "home = /usr\n", "env/bin/x": "", "node_modules/x": "", "app.pyc": ""})
    (upstream / "env" / "bin" / "python").symlink_to("/usr/bin/python3")
    commit(upstream, {})
    assert {path.name for path in exported(upstream).iterdir()} == set(BLOG)


def test_what_the_release_does_not_hold_is_not_written(upstream: Path) -> None:
    commit(upstream, {"database.db": "x", "static/uploads/cat": "x", "static/a.css": "x"})
    identity, _ = get(upstream)
    folder = upstream.parent / "taken"
    folder.mkdir()
    git.take(site_of(upstream), identity, str(folder), ["database.db", "static/uploads"], Limits())
    assert {path.name for path in folder.rglob("*")} == {*BLOG, "static", "a.css"}


@pytest.mark.parametrize("damage", ["another content", "cut off", "another kind"])
def test_what_the_unit_prints_is_data_that_is_checked(
    upstream: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    """Git itself may be compromised by its input."""
    pipe = {
        "another content": "sed 's/^flask/fl4sk/'",
        "cut off": "head -c 60",
        "another kind": "sed 's/ blob / tree /'",
    }
    monkeypatch.setattr(
        git_export, "SCRIPT", git_export.SCRIPT.replace("exec", "").replace("--batch", f"--batch | {pipe[damage]}")
    )
    commit(upstream, {"static/large.txt": "x" * 100_000})
    with pytest.raises(GitError, match=r"damaged|lacks|in the middle"):
        exported(upstream)


def test_a_mirror_that_root_fetched_before_is_thrown_away_without_following_links(
    upstream: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    get(upstream)
    mirror, kept = mirror_of(upstream), upstream.parent / "kept"
    kept.mkdir()
    (kept / "file").touch()
    (mirror / "objects" / "link").symlink_to(kept)
    (mirror / "marked").touch()
    monkeypatch.setattr(git, "_is_kept", lambda *_: False)
    get(upstream)
    assert (kept / "file").exists()
    assert mirror.is_dir()
    assert not (mirror / "marked").exists()
    assert {path.name for path in mirror.parent.iterdir()} == {"repository", "commit"}


def test_a_repository_is_forgotten_with_all_that_is_beside_it(upstream: Path) -> None:
    get(upstream)
    for name in ("repository.old", "repository.incomplete"):
        (upstream.parent / "git" / name / "deep").mkdir(parents=True)
    (upstream.parent / "git" / "known_hosts").touch()
    kept_repository.forget(site_of(upstream))
    assert not (upstream.parent / "git").exists()
    kept_repository.forget(site_of(upstream))


# -- a repository of the host ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["the repository", "a folder above it"])
def test_a_path_through_a_link_is_refused_as_its_owner_could_turn_it(upstream: Path, where: str) -> None:
    link = upstream.parent / "link"
    link.symlink_to(upstream if where == "the repository" else upstream.parent)
    named = link if where == "the repository" else link / "upstream"
    with pytest.raises(GitError, match="link is no directory, or is a symbolic link"):
        get(named)


def test_another_directory_in_its_place_is_noticed(upstream: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    look = git_remote.local_repository

    def exchange_after(url: str) -> tuple[str, str]:
        seen = look(url)
        upstream.rename(upstream.with_name("before"))
        subprocess.run(["cp", "-R", str(upstream.with_name("before")), str(upstream)], check=True)
        return seen

    monkeypatch.setattr(git_remote, "local_repository", exchange_after)
    with pytest.raises(GitError, match="another directory has taken its place"):
        get(upstream)


@pytest.mark.parametrize("path", ["/srv/a b", "/srv/a%20b", "/srv/x:y", "/srv/%2e%2e/x;y", "/"])
def test_a_path_that_a_unit_cannot_be_told_is_refused(path: str) -> None:
    with pytest.raises(GitError, match="has other characters than"):
        git_remote.local_repository(f"file://{path}")
