"""What Git says about a commit is checked before it is believed."""

from __future__ import annotations

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils.source import git_export
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import GitError


def test_a_line_names_a_path_its_mode_its_object_and_its_size() -> None:
    assert git_export._parsed(b"100644 blob 12ab     7\ta\tb.py") == git_export.Listed("a\tb.py", "100644", "12ab", 7)
    assert git_export._parsed(b"160000 commit 12ab       -\tsub").size == 0


@pytest.mark.parametrize(
    "line",
    [b"", b"app.py", b"100644 blob 12ab\tapp.py", b"100644 blob 12ab many\tapp.py", b"100644 blob 12ab -7\tapp.py"],
)
def test_a_line_in_another_form_is_refused(line: bytes) -> None:
    with pytest.raises(GitError, match="Git lists the commit in a way that is not known"):
        git_export._parsed(line)
