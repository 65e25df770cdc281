"""Git as a source: which commit is meant, how it is fetched and kept, and what of it becomes files.

The repositories are real ones on this computer; systemd's sandbox around Git is the scenario's to show.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils.source import (
    git,
    git_account,
    git_remote,
    git_unit,
    read,
)
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.limits import Limits
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import (
    GitError,
    LimitError,
    VersionError,
)
from repositories import (
    access,
    commit,
    exported,
    get,
    left_over,
    mirror_of,
    run,
    site_of,
    upstream,
)

__all__ = ["upstream"]

pytestmark = pytest.mark.skipif(not os.path.exists(git_unit.GIT), reason="it is about what Git does")

# -- which commit ---------------------------------------------------------------------------------------------------

REFS = {"->": "refs/heads/main", "HEAD": "1", "refs/heads/main": "1", "refs/heads/both": "2", "refs/tags/both": "3"}


@pytest.mark.parametrize(
    ("version", "ref", "identity"),
    [
        ("", "refs/heads/main", "1"),
        ("main", "refs/heads/main", "1"),
        ("refs/heads/both", "refs/heads/both", "2"),
        ("refs/tags/both", "refs/tags/both", "3"),
    ],
)
def test_a_version_means_one_commit(version: str, ref: str, identity: str) -> None:
    assert git.resolve(REFS, version) == (ref, identity)


@pytest.mark.parametrize(
    ("refs", "version", "words"),
    [
        (REFS, "both", "a branch and a tag of this name. Write 'refs/heads/both' or 'refs/tags/both'"),
        (REFS, "mian", "no such branch, tag or commit. It has both, main, both"),
        (REFS, "0123abc", "A commit is named by all of its 40 digits. It has"),
        ({}, "main", "It has no branches and no tags"),
        ({}, "", "it is empty"),
        (
            {f"refs/heads/b{number}": "1" for number in range(30)},
            "x",
            "b0, b1, b10, b11, b12, b13, b14, b15 and 22 more",
        ),
    ],
)
def test_a_version_that_is_not_there_is_refused_with_some_that_are(
    refs: dict[str, str], version: str, words: str
) -> None:
    with pytest.raises(GitError) as refused:
        git.resolve(refs, version)
    assert words in str(refused.value)


def test_the_newest_tags_are_named_beside_the_branches() -> None:
    refs = {f"refs/heads/b{number}": "1" for number in range(30)} | {f"refs/tags/v{number}": "1" for number in range(9)}
    assert git.some_of(refs) == "It has b0, b1, b10, b11, v8, v7, v6, v5 and 31 more"


def test_branches_tags_and_commits_are_found(upstream: Path) -> None:
    first = run(upstream, "rev-parse", "HEAD")
    run(upstream, "tag", "light")
    run(upstream, "tag", "--annotate", "--message=x", "v1.0")
    second = commit(upstream, {"app.py": "2\n"})
    assert get(upstream) == (second, "refs/heads/main")
    assert get(upstream, "main") == (second, "refs/heads/main")
    assert get(upstream, "light") == (first, "refs/tags/light")
    assert get(upstream, "v1.0") == (first, "refs/tags/v1.0")
    assert get(upstream, first) == (first, first)


def test_a_branch_that_moved_is_another_commit(upstream: Path) -> None:
    before, _ = get(upstream, "main")
    after = commit(upstream, {"app.py": "2\n"})
    assert get(upstream, "main")[0] == after != before
    run(upstream, "reset", "--quiet", "--hard", before)
    assert get(upstream, "main")[0] == before


@pytest.mark.parametrize("version", ["0" * 40, "mian"])
def test_what_is_not_in_the_repository_is_the_versions_fault(upstream: Path, version: str) -> None:
    with pytest.raises(VersionError, match="It has main"):
        get(upstream, version)


def test_the_object_of_a_tag_is_no_commit(upstream: Path) -> None:
    run(upstream, "tag", "--annotate", "--message=x", "v1.0")
    with pytest.raises(VersionError, match="it is no commit"):
        get(upstream, run(upstream, "rev-parse", "v1.0"))


def test_a_commit_that_is_there_already_is_not_asked_for(upstream: Path) -> None:
    identity, _ = get(upstream, "main")
    upstream.rename(upstream.with_name("gone"))
    assert get(upstream, identity)[0] == identity
    with pytest.raises(GitError, match=r"Git cannot read the repository: .*does not exist on the server"):
        get(upstream, "main")


# -- what is kept ---------------------------------------------------------------------------------------------------


def test_only_the_wanted_commit_is_kept(upstream: Path) -> None:
    mirror = mirror_of(upstream)
    for number in range(6):
        commit(upstream, {"noise.bin": os.urandom(50_000).hex(), "app.py": f"{number}\n"})
        get(upstream, "main")
    size = sum(path.stat().st_size for path in mirror.rglob("*") if path.is_file())
    assert size < 2 * 60_000
    assert run(mirror, "rev-list", "--all", "--count") == "1"
    assert not any((mirror / "hooks").glob("*"))


@pytest.mark.parametrize("version", ["main", "commit"])
def test_a_commit_without_its_past_is_fetched_by_each_name(upstream: Path, version: str) -> None:
    old = run(upstream, "rev-parse", "HEAD")
    new = commit(upstream, {"app.py": "2\n"})
    get(upstream, "main" if version == "commit" else new)
    wanted = old if version == "commit" else "main"
    assert get(upstream, wanted)[0] == (old if version == "commit" else new)


def test_a_server_that_gives_no_single_commits_is_asked_for_all(
    upstream: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = run(upstream, "rev-parse", "HEAD")
    commit(upstream, {"app.py": "2\n"})
    fetch = git_remote.Remote.fetch

    def like_an_old_server(
        remote: git_remote.Remote, work: Path, mirror: Path | None, ref: str, whole: bool = False
    ) -> str:
        if ref == old and not whole:
            raise GitError("Server does not allow request for unadvertised object")
        return fetch(remote, work, mirror, ref, whole=whole)

    monkeypatch.setattr(git_remote.Remote, "fetch", like_an_old_server)
    assert get(upstream, old)[0] == old
    mirror = mirror_of(upstream)
    assert run(mirror, "for-each-ref", "--format=%(refname)") == git_remote.WANTED
    assert run(mirror, "rev-list", "--all", "--count") == "1"


@pytest.mark.parametrize("end", ["check mode", "a refusal"])
def test_nothing_is_kept_where_nothing_may_change(upstream: Path, end: str) -> None:
    kept = upstream.parent / "git"
    if end == "check mode":
        get(upstream, keep=False)
    else:
        opened, folder = access(upstream), str(upstream.parent / "large")
        with pytest.raises(RuntimeError), git.wanted(opened, site_of(upstream), True, folder, Limits()):
            raise RuntimeError("the host is refused")
        shutil.rmtree(upstream.parent / "large")
        (upstream.parent / "large").mkdir()
    assert not kept.exists()
    assert left_over(upstream) == []


def test_no_more_units_are_started_than_are_needed(upstream: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each costs 0.1 s: asking and reading when nothing changed; fetching and removing the old one when it has."""
    units: list[git_unit.Reach] = []

    def count(user: str, reach: git_unit.Reach, *_: Any) -> list[str]:
        units.append(reach)
        return []

    monkeypatch.setattr(git_unit, "unit_command", count)
    get(upstream, "main")
    units.clear()
    get(upstream, "main")
    assert len(units) == 2
    commit(upstream, {"app.py": "2\n"})
    units.clear()
    get(upstream, "main")
    assert len(units) == (3 if os.getuid() == 0 else 4), "root's own is removed without a unit"


def test_a_damaged_repository_is_fetched_anew(upstream: Path) -> None:
    get(upstream)
    mirror = mirror_of(upstream)
    for pack in (mirror / "objects").rglob("*.pack"):
        pack.chmod(0o600)
        pack.write_bytes(b"damage")
    assert get(upstream)[0] == run(upstream, "rev-parse", "HEAD")


# -- what Git says -------------------------------------------------------------------------------------------------


@pytest.fixture
def git_says(upstream: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that replaces Git; a test writes its script."""
    program = upstream.parent / "git.sh"
    program.touch(0o755)
    monkeypatch.setattr(git_unit, "GIT", str(program))
    return program


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            "fatal: repository 'https://me:hunter2@git.test/x/' not found",
            "https://********@git.test/x/' not found. Try",
        ),
        (
            "git@git.test: Permission denied (publickey).\nfatal: Could not read from remote repository.\n\n"
            "Please make sure you have the correct access rights\nand the repository exists.",
            "Permission denied (publickey). Add the public half of flask_blog_deploy_key to the repository",
        ),
        (
            "No ED25519 host key is known\nHost key verification failed.",
            "Host key verification failed. Name the key that",
        ),
        ("fatal: could not read Username for 'https://x': terminal prompts disabled", "use its SSH address with"),
        ("", "Git failed without a word"),
    ],
)
def test_a_failure_has_gits_own_words_and_a_remedy(git_says: Path, upstream: Path, said: str, words: str) -> None:
    git_says.write_text(f"#!/bin/sh\ncat >&2 <<'EOF'\n{said}\nEOF\nexit 128\n")
    with pytest.raises(GitError) as refused:
        get(upstream)
    assert words in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_a_repository_that_does_not_answer_is_given_up(git_says: Path, upstream: Path) -> None:
    git_says.write_text("#!/bin/sh\nsleep 1.1; exit 1\n")
    with pytest.raises(GitError, match=r"did not answer within 1 s \(flask_blog_git_timeout\)"):
        get(upstream, timeout=1)


def test_names_that_a_server_chose_to_confuse_are_not_taken(git_says: Path, upstream: Path) -> None:
    commit = "1" * 40
    lines = ["ref: --upload-pack=x\\tHEAD", f"{commit}\\tHEAD", f"{commit}\\trefs/heads/a\\033[2J", "x\\trefs/heads/b"]
    git_says.write_text("#!/bin/sh\nprintf '" + "\\n".join([*lines, f"{commit}\\trefs/heads/main"]) + "'\n")
    with git_account.git_as(site_of(upstream)["build_user"], Limits()) as found:
        refs = git_remote.Remote(found, access(upstream)).refs()
    assert refs == {"HEAD": commit, "refs/heads/main": commit}


@pytest.mark.parametrize(
    "said", ["fatal: fetch-pack: invalid index-pack output", "error: index-pack died of signal 25\nfatal: failed"]
)
def test_a_pack_that_is_larger_than_a_unit_may_write_names_the_limit(git_says: Path, upstream: Path, said: str) -> None:
    git_says.write_text(f"#!/bin/sh\ncat >&2 <<'EOF'\n{said}\nEOF\nexit 128\n")
    with pytest.raises(LimitError, match="more in one pack"):
        get(upstream)


def test_an_answer_without_an_end_is_not_read_into_memory(
    git_says: Path, upstream: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git_account, "LARGEST_ANSWER", 100_000)
    git_says.write_text("#!/bin/sh\nexec yes\n")
    with pytest.raises(GitError, match="it answers with more"):
        get(upstream)
    git_says.write_text(
        "#!/bin/sh\nhead -c 30000000 /dev/zero | tr '\\0' x >&2; echo >&2; echo the last words >&2; exit 1\n"
    )
    with pytest.raises(GitError, match="the last words"):
        get(upstream)


# -- what becomes files ---------------------------------------------------------------------------------------------


def test_a_commit_is_written_as_it_was_committed(upstream: Path) -> None:
    (upstream / "manage").write_text("#!/bin/sh\n")
    (upstream / "manage").chmod(0o755)
    (upstream / "main.py").symlink_to("app.py")
    files = {"static/a b é.css": "body {}\r\n", "static/deep/er/x.css": "", "large.txt": "x" * 3_000_000}
    # Attributes that "git archive" and a checkout would apply.
    files[".gitattributes"] = "* text eol=lf export-subst ident\n*.css export-ignore\n"
    files["version.txt"] = "$Format:%H$ $Id$\n"
    commit(upstream, {})
    run(upstream, "config", "core.autocrlf", "false")
    (upstream / ".git" / "info" / "attributes").write_text("* -text\n")
    commit(upstream, files)
    folder = exported(upstream)
    assert {entry.path: entry.kind for entry in read.read(folder) if entry.kind != "file"} == {
        "main.py": "link",
        "manage": "program",
    }
    for name in files:
        assert (folder / name).read_bytes() == (upstream / name).read_bytes(), name


def test_a_submodule_is_refused_as_the_app_would_lack_it(upstream: Path) -> None:
    other = upstream.parent / "other"
    other.mkdir()
    run(other, "init", "--quiet")
    commit(other, {"x": "x"})
    run(upstream, "submodule", "--quiet", "add", str(other), "themes/other")
    commit(upstream, {})
    with pytest.raises(GitError, match="themes/other is a submodule, which is not fetched"):
        exported(upstream)


def test_a_file_of_git_lfs_is_refused_as_it_would_be_served_as_text(upstream: Path) -> None:
    commit(upstream, {"static/cat.jpg": f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 9\n"})
    with pytest.raises(GitError, match=r"static/cat\.jpg lies in Git LFS"):
        exported(upstream)
