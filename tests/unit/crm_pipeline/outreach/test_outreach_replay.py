"""A past night decided again gives the same bytes, whatever happened since."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import sqlalchemy as sa
from outreach_support import AS_OF, NOON, SALT, SHANGHAI, World, cap, journey, step

from crm_pipeline.lib.errors import LedgerError, OutreachError
from crm_pipeline.lib.files import sha256_of, write_parquet
from crm_pipeline.lib.history import find_slice, read_slice
from crm_pipeline.lib.ledger.schema import batches
from crm_pipeline.lib.outreach.decisions import decide_all
from crm_pipeline.lib.outreach.inputs import KEPT, keep_inputs
from crm_pipeline.lib.outreach.moments import night_of
from crm_pipeline.lib.outreach.replay import find_difference, replay_decisions, replay_plans


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A night with all kinds of outcomes on record."""
    world = World(tmp_path, people=40)
    world.say(world.sources[:36], "granted")
    world.say(world.sources[:3], "granted", consent_channel="sms")
    world.say(world.sources[30:33], "withdrawn", 9)
    for person in world.sources[:4]:
        world.claim(person, days_ago=2)
    world.claim("9", days_ago=1, journey="wake_up", state="failed")
    world.rules["outreach_caps"] = [cap("day", 1, 1), cap("week", 7, 2)]
    world.rules["outreach_budgets"] = ["'month', 'all', null, 30, 0.3, 'CNY'"]
    world.offers = ["'tea', 3, timestamp '2011-12-09 12:00:00', 10.5, 'CNY'"]
    decide(world)
    return world


def decide(world: World) -> pa.Table:
    low = journey(journey="low", priority=10, audience="activation.low_audience",
                  holdout_pct=20, checks=["stock", "price"])  # fmt: skip
    first = journey(
        steps=[step("first", "sms", "email"), step("second", send_at=None)],
        variables=["product_name"],
    )
    with world.opened(
        first, low, product_name="'Tea'", sku="'tea'", offered_price_amount="10.5",
        value_weight="0.7",
    ) as connection:  # fmt: skip
        table = decide_all(
            connection, [first, low], moment=night_of(AS_OF, SHANGHAI), zone=SHANGHAI, salt=SALT
        )
        keep_inputs(world.home, world.ledger, connection, AS_OF)
    world.record(table)
    return table


@pytest.mark.requirement("OUT-3")
def test_a_night_is_decided_again_to_the_byte(world: World) -> None:
    before = replay_decisions(world.home, world.ledger, AS_OF)
    assert before.difference is None and before.decision_count == 120
    # Whatever happens later changes nothing of that night.
    world.say(world.sources, "withdrawn", 20)
    for person in world.sources[4:12]:
        world.claim(person, days_ago=1)
    world.home.warehouse.unlink()
    again = replay_decisions(world.home, world.ledger, AS_OF)
    assert again == before


@pytest.mark.requirement("OUT-3")
def test_a_rule_that_was_changed_since_is_told_by_its_first_difference(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from crm_pipeline.lib.outreach import rules

    changed = rules._CHECKED.replace("'holdout.journey'", "'holdout.other'")
    monkeypatch.setattr(rules, "_CHECKED", changed)
    found = replay_decisions(world.home, world.ledger, AS_OF).difference
    assert found is not None
    assert "rule_id was 'holdout.journey', is 'holdout.other'" in found


@pytest.mark.requirement("OUT-3")
def test_a_night_nobody_decided_or_whose_inputs_are_gone_is_told(world: World) -> None:
    with pytest.raises(OutreachError, match="no outreach_decisions, outreach_inputs"):
        replay_decisions(world.home, world.ledger, AS_OF.replace(day=1))
    with world.ledger.connect() as connection:
        kept = find_slice(world.home, connection, KEPT["_contacts"], AS_OF)
    assert kept is not None
    kept.path.write_bytes(b"something else")
    with pytest.raises(LedgerError, match="a history slice is changed"):
        replay_decisions(world.home, world.ledger, AS_OF)


def test_the_first_difference_names_the_decision_and_the_column() -> None:
    one = pa.table({"decision_id": ["a", "b"], "outcome": ["send", "held"]})
    other = pa.table({"decision_id": ["a", "b"], "outcome": ["send", "capped"]})
    assert find_difference(one, one) is None
    assert find_difference(one, other) == "decision b: outcome was 'held', is 'capped'"
    assert find_difference(one, other.slice(0, 1)) == "decision b is gone"
    assert find_difference(one.slice(0, 1), other) == "decision b is new"
    assert find_difference(one, one.rename_columns(["decision_id", "result"])) == (
        "the columns differ: outcome, result"
    )


def test_the_plans_of_the_night_are_made_again_too(world: World) -> None:
    with world.ledger.connect() as connection:
        recorded = find_slice(world.home, connection, "outreach_decisions", AS_OF)
    assert recorded is not None
    columns = ["decision_id", "customer_id", "content_id"]

    def plan_of(decisions: pa.Table) -> pa.Table:
        return decisions.select(columns)

    table = read_slice(recorded)
    is_sent = pc.and_(
        pc.equal(table.column("journey"), "wake_up"), pc.equal(table.column("outcome"), "send")
    )
    plan = plan_of(table.filter(is_sent))
    path = world.home.outbox / "wake_up" / "plan.parquet"
    write_parquet(plan, path)
    with world.ledger.begin() as connection:
        connection.execute(
            sa.insert(batches).values(
                batch_id="b", journey="wake_up", run_kind="nightly", as_of_date=AS_OF,
                slice_sha256=recorded.sha256, state="planned", message_count=plan.num_rows,
                plan_path=path.relative_to(world.home.root).as_posix(),
                plan_sha256=sha256_of(path), canary_pct=5.0, valid_until=NOON.replace(tzinfo=None),
                planned_by="li", planned_at=NOON.replace(tzinfo=None),
            )
        )  # fmt: skip
    [same] = replay_plans(world.home, world.ledger, AS_OF, plan_of)
    assert plan.num_rows > 0 and same.message_count == plan.num_rows
    assert same.difference is None

    def other(decisions: pa.Table) -> pa.Table:
        texts = pa.array(["another text"] * decisions.num_rows)
        return plan_of(decisions).set_column(2, "content_id", texts)

    [differs] = replay_plans(world.home, world.ledger, AS_OF, other)
    assert differs.difference is not None and "is 'another text'" in differs.difference
    [fewer] = replay_plans(world.home, world.ledger, AS_OF, lambda rows: plan_of(rows).slice(1))
    assert fewer.difference == f"the plan had {plan.num_rows} messages, has {plan.num_rows - 1}"
