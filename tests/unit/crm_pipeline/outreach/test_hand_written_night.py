"""A whole night decided twice: by the rules, and by a script written by hand for its journeys."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import decision_cost

CANDIDATES = 6_000


@pytest.mark.requirement("OUT-3")
def test_the_rules_decide_as_a_script_written_by_hand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    decision_cost.make_world(tmp_path / "crm.duckdb", CANDIDATES)
    for side in ("ours", "script"):
        decision_cost.decide(tmp_path, side)
    capsys.readouterr()
    decision_cost.compare(tmp_path)  # raises where one candidate differs
    told = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert sum(int(line[-1].replace(",", "")) for line in told) == CANDIDATES
    assert {line[0] for line in told} == {
        "capped", "duplicate", "expired", "holdout", "lost_to_higher_priority", "no_consent",
        "open_complaint", "send",
    }  # fmt: skip
