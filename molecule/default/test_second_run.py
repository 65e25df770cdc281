"""What a run finds to do on a machine that is as declared."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from molecule.conftest import Operator


def test_check_mode_announces_nothing(operator: Operator) -> None:
    assert operator.play("--check", "--diff").changed == 0
