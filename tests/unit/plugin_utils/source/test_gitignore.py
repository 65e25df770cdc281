""".gitignore files exclude the same files as Git; files that Git tracks or the user includes stay."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils.source import read
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import SourceError
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.source.gitignore import Ignored, tracked

needs_git = pytest.mark.skipif(not shutil.which("git"), reason="Git itself is the judge here")


def make(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def git(folder: Path, *arguments: str, text: str = "") -> str:
    """Run Git with no settings but the repository's own."""
    command = ["git", "-C", str(folder), "-c", "user.name=x", "-c", "user.email=x@x.test", *arguments]
    environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "HOME": "/nonexistent"}
    done = subprocess.run(command, input=text, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


def left_out(folder: Path, paths: list[str], include: tuple[str, ...] = ()) -> set[str]:
    ignored = Ignored(folder, include)
    return {path for path in paths if ignored.leaves_out(path, (folder / path).is_dir())}


#: Lines, and paths that some of them match. The corpus below combines them at random.
LINES = [
    *("*.log", "!keep.log", "/build", "build/", "build", "static/dist", "static/dist/", "/static/*.css", "**/cache"),
    *("a/**/b", "a/**", "**/b/c.txt", "logs/**/*.log", "***/x", "a**b", "foo**", "**", "*", "!*/", "!/a", "# comment"),
    *("\\#file", "\\!file", "trailing   ", "trailing\\ ", "[ab].txt", "[!a].txt", "[^a-c].txt", "[a-", "x[]]y", "[]-]"),
    *("x\\", "[[:digit:]]*", "[[:nonsense:]]", "?.py", "a?b", "/", "//", "!", "", "dir//", "/a/", "a/b", "!a/b/c.txt"),
    *("*.py[co]", "sub/", "/*", "!/sub", "é.txt", "?.txt", "??.txt", "[a-c]", "[c-a]", "[\\]]x", "a\\*b", "*/b", "b/*"),
]
#: Stars upon stars, for names that nearly match.
STARS = [
    *("*a*a*a*a*a*a*b", "*a*b", "**a**b", "******b", "a*?*c", "*[ab]*[!a]*", "**/*a*/**/*b", "a**/b", "**/**/c.txt"),
    *("*?", "?*?", "*.*", "[a-c]*[a-c]", "**/a*/**", "/**/b", "*/*/*", "*/**/*", "a/*/**/c*", "!*b", "!**/a*b", "***"),
]
PATHS = [
    *(
        "app.py",
        "keep.log",
        "other.log",
        "build/out.txt",
        "static/dist/app.css",
        "static/site.css",
        "cache/x",
        "a/b/c.txt",
    ),
    *("a/cache/y", "a/x/y/b/z.txt", "logs/one.log", "logs/deep/er/two.log", "#file", "!file", "trailing", "trailing "),
    *(
        "a.txt",
        "b.txt",
        "d.txt",
        "x]y",
        "]",
        "-",
        "x",
        "1file",
        "q.py",
        "a/foo",
        "foobar/x",
        "sub/build",
        "sub/a/b/c.txt",
    ),
    *("é.txt", "b/c.txt", "a/b/keep.log", "module.pyc", "a*b", "aXb", "]x", "c/c", "sub/dir/file"),
    *("aaaaaab", "aaaaaac", "a/aab/c", "sub/ab/ac/abc", "c/aXbXc", "logs/aaab"),
]


@needs_git
@pytest.mark.parametrize("seed", range(60))
def test_git_itself_leaves_out_the_same(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311  (the same corpus each time)
    make(tmp_path, dict.fromkeys(PATHS, "x"))
    for folder in ("", "a", "sub", "logs/deep"):
        lines = chance.sample(LINES if seed % 2 else [*LINES, *STARS, *STARS], chance.randint(1, 6))
        # What ends a line, as some editors leave it.
        text = chance.choice(["\n", "\r\n"]).join(lines) + chance.choice(["", "\n"])
        (tmp_path / folder / ".gitignore").write_bytes((b"\xef\xbb\xbf" if seed % 5 == 0 else b"") + text.encode())
    git(tmp_path, "init", "--quiet")
    paths = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if ".git" not in path.parts)
    said = git(tmp_path, "check-ignore", "--no-index", "--stdin", "-z", text="\0".join(paths) + "\0")
    texts = {str(path): path.read_bytes() for path in tmp_path.rglob(".gitignore")}
    assert left_out(tmp_path, paths) == set(said.split("\0")) - {""}, texts


@pytest.mark.parametrize(
    "line", ["*.css", "/static", "static/dist/", "**/site.css", "static/**", "!x\nstatic/dist/*.css"]
)
def test_a_line_of_each_kind_leaves_its_files_out(tmp_path: Path, line: str) -> None:
    make(tmp_path, {"app.py": "", "static/dist/site.css": "", ".gitignore": f"{line}\n"})
    entries = read.read(tmp_path, leaves_out=Ignored(tmp_path).leaves_out)
    assert {entry.path for entry in entries} == {"app.py", ".gitignore"}


@pytest.mark.parametrize("include", ["static/dist", "static/dist/site.css", "static"])
def test_what_the_user_includes_belongs_in_the_release(tmp_path: Path, include: str) -> None:
    make(tmp_path, {"static/dist/site.css": "", "static/junk/site.css": "", ".gitignore": "/static\n*.css\n"})
    entries = read.read(tmp_path, leaves_out=Ignored(tmp_path, [include]).leaves_out)
    found = {entry.path for entry in entries}
    assert "static/dist/site.css" in found
    assert ("static/junk/site.css" in found) == (include == "static")


@needs_git
@pytest.mark.parametrize("version", ["2", "3", "4"])
def test_what_git_tracks_although_a_line_matches_stays(tmp_path: Path, version: str) -> None:
    make(tmp_path, {"app.py": "", "dist/a.css": "", "dist/deep/b.css": "", "dist/c.css": "", "é/d.css": ""})
    make(tmp_path, {".gitignore": "dist/\n*.css\n"})
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "--force", "app.py", "dist/a.css", "dist/deep/b.css", "é/d.css")
    if version == "3":
        make(tmp_path, {"later.py": ""})
        git(tmp_path, "add", "--intent-to-add", "later.py")  # its flag is what version 3 is for
    git(tmp_path, "update-index", "--index-version", version)
    assert (tmp_path / ".git" / "index").read_bytes()[7] == int(version)
    assert {"app.py", "dist/a.css", "dist/deep/b.css", "é/d.css"} <= set(tracked(tmp_path / ".git" / "index"))
    entries = read.read(tmp_path, leaves_out=Ignored(tmp_path).leaves_out)
    assert {"dist/a.css", "dist/deep/b.css", "é/d.css"} <= {entry.path for entry in entries}
    assert "dist/c.css" not in {entry.path for entry in entries}


@needs_git
def test_a_worktrees_index_is_found(tmp_path: Path) -> None:
    make(tmp_path / "main", {"dist/a.css": "", ".gitignore": "dist\n"})
    git(tmp_path / "main", "init", "--quiet")
    git(tmp_path / "main", "add", "--force", ".")
    git(tmp_path / "main", "commit", "--quiet", "--message=x")
    git(tmp_path / "main", "worktree", "add", "--quiet", str(tmp_path / "other"))
    assert left_out(tmp_path / "other", ["dist", "dist/a.css"]) == set()


@pytest.mark.parametrize("content", [b"", b"DIRC", b"DIRC\0\0\0\x02\0\0\0\x09short", b"nothing of the kind"])
def test_an_index_that_cannot_be_read_tracks_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "index").write_bytes(content)
    assert tracked(tmp_path / "index") == []


def test_the_lines_above_a_source_in_its_checkout_count(tmp_path: Path) -> None:
    make(
        tmp_path, {".git/HEAD": "", ".gitignore": "*.log\n/web/tmp/\n!web/keep.log\n", "web/tmp/x": "", "web/a.log": ""}
    )
    make(tmp_path, {"web/keep.log": "", "web/app.py": ""})
    assert left_out(tmp_path / "web", ["tmp", "tmp/x", "a.log", "keep.log", "app.py"]) == {"tmp", "tmp/x", "a.log"}


@pytest.mark.parametrize("line", ["build", "/build/", "build/web", "*"])
def test_a_source_that_its_checkout_leaves_out_is_what_was_named_all_the_same(tmp_path: Path, line: str) -> None:
    make(
        tmp_path,
        {".git/HEAD": "", ".gitignore": f"{line}\n", "build/web/app.py": "", "build/web/.gitignore": "*.log\n"},
    )
    make(tmp_path, {"build/web/a.log": ""})
    assert left_out(tmp_path / "build" / "web", ["app.py", "a.log"]) == {"a.log"}


def test_lines_above_the_checkout_do_not_count(tmp_path: Path) -> None:
    make(tmp_path, {".gitignore": "*\n", "blog/.git/HEAD": "", "blog/app.py": ""})
    assert left_out(tmp_path / "blog", ["app.py"]) == set()


@pytest.mark.parametrize(
    "line", ["*a*a*a*a*a*a*b", "*a" * 30 + "*b", "*" * 5000 + "b", "**/" * 5000 + "b", "?*" * 2000 + "b", "[a]*" * 900]
)
def test_many_stars_take_no_time(tmp_path: Path, line: str) -> None:
    """Six *a and a *b took 67 s, as every way was tried to share the name between the stars."""
    make(tmp_path, {".gitignore": f"{line}\n", "sub/.gitignore": f"{line}\n"})
    begun = time.process_time()
    assert left_out(tmp_path, ["a" * 250, f"sub/{'a' * 250}", "a/" * 50 + "c"]) <= {"a" * 250, f"sub/{'a' * 250}"}
    assert time.process_time() - begun < 2


def test_a_file_of_ten_thousand_lines_takes_no_time(tmp_path: Path) -> None:
    lines = [f"*{number}*a*.log" for number in range(10_000)]
    make(tmp_path, {".gitignore": "\n".join(lines)})
    begun = time.process_time()
    paths = [f"static/folder{number // 10}/{number}-picture.log" for number in range(300)]
    assert len(left_out(tmp_path, [*paths, "static/none.log"])) == 0
    assert left_out(tmp_path, ["static/77xa.log"]) == {"static/77xa.log"}
    assert time.process_time() - begun < 5


def test_the_largest_file_takes_little_time(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_bytes(b"[!x]*?\n" * 37_000)
    begun = time.process_time()
    assert left_out(tmp_path, ["static/picture.png", "x"]) == {"static/picture.png"}
    assert time.process_time() - begun < 20


def test_a_gitignore_that_nobody_wrote_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_bytes(b"x\n" * 140_000)
    with pytest.raises(SourceError, match="more than 256 KiB"):
        left_out(tmp_path, ["a"])


def test_a_pattern_longer_than_any_path_matches_nothing(tmp_path: Path) -> None:
    make(tmp_path, {".gitignore": "?" * 5000 + "\n"})
    assert left_out(tmp_path, ["a"]) == set()
