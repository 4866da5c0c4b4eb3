"""What people decide about pairs of accounts is kept, and only added to."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
import sqlalchemy as sa

from crm_pipeline.lib.errors import ConfigError
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.identity.overrides import (
    Override,
    read_override_file,
    record_overrides,
    standing_overrides,
)
from crm_pipeline.lib.ledger import open_ledger

NOON = dt.datetime(2026, 6, 30, 4, tzinfo=dt.UTC).replace(tzinfo=None)
HEADER = "override_kind,left,right,author,reason"


@pytest.fixture
def ledger(tmp_path: Path) -> sa.Engine:
    return open_ledger(CrmHome(tmp_path).ensure())


def decide(kind: str, reason: str = "seen in the shop") -> Override:
    return Override.of(kind, "pos:2", "app:1", "clerk", reason)


def standing(ledger: sa.Engine, before: dt.datetime) -> list[tuple[str, ...]]:
    return [tuple(row.values()) for row in standing_overrides(ledger, before=before).to_pylist()]


@pytest.mark.requirement("IDN-4")
def test_the_newer_decision_of_a_pair_holds_whatever_side_is_named_first(
    ledger: sa.Engine,
) -> None:
    record_overrides(ledger, [decide("link")], decided_at=NOON)
    later = NOON + dt.timedelta(hours=1)
    turned = Override.of("never_link", "app:1", "pos:2", "lead", "two brothers")
    record_overrides(ledger, [turned], decided_at=later)
    before = ("link", "app:1", "pos:2", "clerk: seen in the shop")
    assert standing(ledger, later) == [before]
    after = ("never_link", "app:1", "pos:2", "lead: two brothers")
    assert standing(ledger, later + dt.timedelta(seconds=1)) == [after]


def test_the_same_decision_again_is_not_added(ledger: sa.Engine) -> None:
    assert record_overrides(ledger, [decide("link"), decide("link")], decided_at=NOON) == 1
    assert record_overrides(ledger, [decide("link")], decided_at=NOON) == 0
    assert record_overrides(ledger, [decide("unlink"), decide("link")], decided_at=NOON) == 2


def test_decisions_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "overrides.csv"
    path.write_text(f'{HEADER}\nlink,app:1,"pos:a:2",clerk,"same face, same card"\n')
    (found,) = read_override_file(path)
    assert str(found.right) == "pos:a:2" and found.right.channel == "pos"
    assert found.reason == "same face, same card"


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ("merge,app:1,pos:2,clerk,why", "row 2: 'merge' is no decision"),
        ("link,app1,pos:2,clerk,why", "row 2: 'app1' names no account"),
        ("link,app:1,app:1,clerk,why", "row 2: app:1 stands on both sides"),
        ("link,app:1,pos:2,,why", "row 2: the author is missing"),
        ("link,app:1,pos:2,clerk, ", "row 2: the reason is missing"),
    ],
)
def test_a_wrong_row_stops_the_whole_file(tmp_path: Path, row: str, what: str) -> None:
    path = tmp_path / "overrides.csv"
    path.write_text(f"{HEADER}\n{row}\nlink,app:1,pos:2,clerk,why\n")
    with pytest.raises(ConfigError, match=what):
        read_override_file(path)


def test_another_header_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "overrides.csv"
    path.write_text("left,right\napp:1,pos:2\n")
    with pytest.raises(ConfigError, match="the header is left, right"):
        read_override_file(path)
