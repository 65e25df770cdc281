"""Host names that are longer than what nginx has room for by itself."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import setting


@pytest.mark.parametrize(("name", "changes"), [("a" * 42 + ".test", 3), ("a" * 41 + ".test", 2)], ids=["47", "46"])
def test_a_long_name_gets_the_room_that_nginx_needs_for_it(render: Any, name: str, changes: int) -> None:
    (limits,) = [item for item in render(server_names=[name]).objects if item["kind"] == "setting"]
    assert len(limits["changes"]) == changes
    debian = "\t# server_names_hash_bucket_size 64;\n"
    changed = setting.changed(debian, limits["changes"])
    assert changed == ("\tserver_names_hash_bucket_size 512;\n" if changes == 3 else debian)
