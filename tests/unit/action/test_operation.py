"""An operation of blogctl, as a task of the role."""

from __future__ import annotations

import pytest
from action_host import Host, Run
from ansible_collections.flaskblog.hosting.plugins.action import operation


@pytest.mark.parametrize(
    ("operation_name", "check_mode", "shown"),
    [
        ("activate", False, False),
        ("activate", True, True),
        ("rollback", False, True),
        ("restore", False, True),
        ("maintenance", True, True),
        ("doctor", False, False),
    ],
)
def test_the_result_of_an_operation_is_shown_if_a_person_asked_for_it(
    run: Run, host: Host, operation_name: str, check_mode: bool, shown: bool
) -> None:
    host.answers = [{"changed": True, "msg": "abc is served"}]
    arguments = {"site": "flask-blog", "operation": operation_name}
    result = run(operation, arguments, check_mode=check_mode)
    assert result.pop("_ansible_verbose_always", False) is shown
    assert result == {"changed": True, "msg": "abc is served"}
    ((name, sent, variables),) = host.modules
    assert (name, sent) == ("flaskblog.hosting.operation", arguments)
    assert variables["ansible_python_interpreter"] == "/usr/bin/python3"
