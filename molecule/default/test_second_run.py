"""A run on a machine in the declared state changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from molecule.conftest import Operator


def test_check_mode_announces_nothing(operator: Operator) -> None:
    assert operator.play("--check", "--diff").changed == 0


def test_a_blog_from_a_folder_brings_no_git(host: Any) -> None:
    assert not host.package("git").is_installed
