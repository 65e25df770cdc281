"""A check that fails or hangs is a finding, and the others go on."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import pytest
from blogctl.doctor import check, checks
from blogctl.doctor.check import ERROR, WARNING, Check, Finding, examine, output_of
from blogctl.errors import OperationError
from blogctl.site import Site


def finds(level: str, what: str, **more: str) -> Check:
    return Check(what, f"the {what}", lambda _: [Finding(level, what, "it matters", "Do it.", **more)])


def fails(error: BaseException) -> Check:
    def find(_: Site) -> Iterator[Finding]:
        yield Finding(WARNING, "seen before", "", "")
        raise error

    return Check("failing", "the failing thing", find)


def test_the_findings_have_the_order_of_their_checks_and_their_names(site: Site) -> None:
    def slowly(_: Site) -> list[Finding]:
        time.sleep(0.2)
        return [Finding(ERROR, "first", "", "")]

    found = examine(site, [Check("slow", "", slowly), finds(WARNING, "second"), finds(ERROR, "third")])
    assert [(one.check, one.what) for one in found] == [("slow", "first"), ("second", "second"), ("third", "third")]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("no \x1b[2J"), "ValueError: no \\x1b[2J"),
        (KeyError("names"), "KeyError: 'names'"),
        (RecursionError("deep"), "RecursionError: deep"),
        (OperationError("site.json lacks 'names'; run playbooks/site.yml"), "site.json lacks 'names'"),
    ],
)
def test_a_check_that_fails_is_a_finding_and_no_traceback(site: Site, error: Exception, reason: str) -> None:
    found = examine(site, [fails(error), finds(WARNING, "other")])
    assert [one.check for one in found] == ["failing", "other"]
    assert found[0].what.startswith(f"could not check the failing thing: {reason}")
    assert found[0].level == ERROR


def test_a_check_that_hangs_is_a_finding_and_keeps_no_other_from_running(site: Site) -> None:
    hanging = [Check(f"hangs{number}", "it", lambda _: time.sleep(30) or [], 0.2) for number in range(check.WORKERS)]  # type: ignore[func-returns-value]
    begun = time.monotonic()
    found = examine(site, [*hanging, finds(WARNING, "other")])
    assert time.monotonic() - begun < 5
    assert [one.what for one in found][-1] == "other"
    assert all("no result within 0 s" in one.what for one in found[:-1])
    assert len(found) == check.WORKERS + 1


def test_all_checks_together_end_in_time(site: Site) -> None:
    slow = [Check("slow", "it", lambda _: time.sleep(1) or []) for _ in range(3 * check.WORKERS)]  # type: ignore[func-returns-value]
    begun = time.monotonic()
    assert len(examine(site, slow, total=0.5)) == len(slow)
    assert time.monotonic() - begun < 2


def test_no_text_of_an_app_controls_the_terminal_or_fills_it(site: Site) -> None:
    text = "a\x1b[2J\nERROR forged" + "x" * 10000
    found = examine(site, [Check("a", "", lambda _: [Finding(ERROR, text, text, text, text, (text,) * 1000)])])
    for one in (found[0].what, found[0].why, found[0].fix):
        assert "\x1b" not in one
        assert "\n" not in one
        assert len(one) < 2000
    assert len(found[0].diff) == check.DIFF_LIMIT
    assert "\x1b" not in found[0].command + "".join(found[0].diff)


def test_an_app_with_many_problems_does_not_fill_the_screen(site: Site) -> None:
    many = Check("many", "", lambda _: (Finding(ERROR, str(number), "", "") for number in range(10000)))
    assert len(examine(site, [many])) == check.FINDINGS_LIMIT


def test_a_program_has_a_time_limit_and_its_output_a_size() -> None:
    assert output_of(sys.executable, "-c", "print('a'); raise SystemExit(3)") == (3, "a\n")
    with pytest.raises(TimeoutError, match="did not end within"):
        output_of("sleep", "30", seconds=0.2)
    status, output = output_of(sys.executable, "-c", "while True: print('x' * 1000)")
    assert status != 0
    assert len(output) == check.OUTPUT_LIMIT


def test_each_check_has_a_name_of_its_own() -> None:
    names = [one.name for one in checks.CHECKS]
    assert len(names) == len({*names}) > 20
    assert names[0] == "proof", "a stale proof of the backups is the first line"
