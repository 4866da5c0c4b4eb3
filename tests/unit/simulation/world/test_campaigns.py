"""Messages do what they were told to, and only that.

Add here: a statistic of messages or reactions.
Not here: the cast of the last day (``test_last_day``).
"""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from simulation.parameters import load_parameters
from simulation.reactions import WAYS, react
from simulation.scenarios import JOURNEYS
from tests.unit.simulation.world.support import FEW_SESSIONS, Read, make

SENT_AT = dt.datetime.fromisoformat("2026-07-01T03:00:00")
STRONG = {"new": 0.10, "growing": 0.25, "loyal": 0.40}


@pytest.fixture(scope="module")
def strong(tmp_path_factory: pytest.TempPathFactory) -> Read:
    """Few journeys with effects that differ by segment, one of them without any."""
    journeys = [
        journey.model_dump() | {"effects": STRONG if journey.name != "birthday_care" else
                                dict.fromkeys(STRONG, 0.0), "share_of_triggers": 0.5}
        for journey in load_parameters().campaigns.journeys
        if journey.name in ("dormant_wake_up", "festival_care", "birthday_care")
    ]  # fmt: skip
    return make(
        tmp_path_factory.mktemp("strong"), world__people=9000, campaigns__journeys=journeys,
        campaigns__holdout_share=0.4, scenarios__candidates_per_journey=0,
        scenarios__cases_per_outcome=0, **FEW_SESSIONS,
    )  # fmt: skip


def _measured(read: Read) -> list[tuple]:
    """Per journey and segment: the difference between sent and held out, and its variance."""
    return read.rows(
        """
        with ordered as (
            select m.journey, m.segment, m.is_holdout, m.planned_at, m.person_id,
                count(o.order_id) > 0 as has_order
            from truth_messages m
            join truth_effects e on m.journey = e.journey and m.segment = e.segment
            left join every_order o on o.person_id = m.person_id and o.order_status = 'paid'
                and o.ordered_at > m.planned_at
                and o.ordered_at <= m.planned_at + to_days(e.window_days::int)
            where m.is_window_complete
            group by all
        ),
        rates as (
            select journey, segment,
                avg(has_order::int) filter (not is_holdout) as sent_rate,
                avg(has_order::int) filter (is_holdout) as held_rate,
                count(*) filter (not is_holdout) as sent_people,
                count(*) filter (is_holdout) as held_people
            from ordered group by all
        )
        select journey, segment, sent_rate - held_rate as lift,
            sent_rate * (1 - sent_rate) / sent_people + held_rate * (1 - held_rate) / held_people,
            true_effect, order_chance
        from rates join truth_effects using (journey, segment) order by all
        """
    )


def test_effect_per_journey_and_segment_is_the_planted_one(strong: Read) -> None:
    measured = _measured(strong)
    assert len(measured) == 9
    for journey, segment, lift, variance, effect, _ in measured:
        assert lift == pytest.approx(effect, abs=3.5 * variance**0.5), (journey, segment)
    # All of them together: neither systematically high nor low.
    scores = [(lift - effect) / variance**0.5 for _, _, lift, variance, effect, _ in measured]
    assert np.mean(np.square(scores)) < 2.5
    # Nothing else in the world explains such lifts.
    assert max(lift / v**0.5 for j, _, lift, v, *_ in measured if j != "birthday_care") > 8


def test_messages_without_effect_bring_no_order(strong: Read) -> None:
    brought = strong.rows(
        "select count(brought_order_at) from truth_messages where journey = 'birthday_care'"
    )
    assert brought == [(0,)]


def test_holdouts_are_a_coin_and_get_no_message(strong: Read) -> None:
    share, count = strong.rows("select avg(is_holdout::int), count(*) from truth_messages")[0]
    told = strong.parameters.campaigns.holdout_share
    assert share == pytest.approx(told, abs=4 * (told * (1 - told) / count) ** 0.5)
    sent = strong.rows(
        """
        select count(*) from (
            select person_id from sms_receipts where receipt_kind = 'sent'
            union all select person_id from email_receipts where receipt_kind = 'sent'
        )
        """
    )
    assert sent == strong.rows("select count(*) from truth_messages where not is_holdout")


@pytest.mark.parametrize("way", WAYS)
def test_people_get_messages_only_where_they_agreed_and_until_they_opt_out(
    usual: Read, way: str
) -> None:
    sent, without, left = usual.rows(
        f"""
        with agreed as (
            select person_id, min(occurred_at) filter (action = 'granted') as since,
                min(occurred_at) filter (action = 'withdrawn') as until
            from consent_center where purpose = 'marketing' and consent_channel = '{way}'
            group by 1
        ),
        opted_out as (
            select person_id, min(occurred_at) as opted_out_at from {way}_receipts
            where receipt_kind = 'unsubscribed' group by 1
        )
        select count(*),
            count(*) filter (since is null or since > r.occurred_at or until <= r.occurred_at
                or opted_out_at < r.occurred_at),
            (select count(*) from opted_out)
        from {way}_receipts r left join agreed a using (person_id)
            left join opted_out using (person_id)
        where receipt_kind = 'sent'
        """
    )[0]
    assert sent > 500 and left > 3 and without == 0


def test_the_cast_can_be_reached_at_the_end(usual: Read) -> None:
    for way in WAYS:
        gone = usual.rows(
            f"""
            select count(*) from {way}_receipts semi join (from truth_people where is_cast)
                using (person_id) where receipt_kind = 'unsubscribed'
            """
        )
        assert gone == [(0,)]


def test_past_campaigns_cover_every_journey_once() -> None:
    assert [journey.name for journey in load_parameters().campaigns.journeys] == list(JOURNEYS)


def _messages(count: int, journey: str, segment: str) -> pa.Table:
    return pa.table(
        {
            "channel": ["app"] * count,
            "source_customer_id": [f"u{n}" for n in range(count)],
            "journey": [journey] * count,
            "segment": [segment] * count,
            "sent_at": pa.array([SENT_AT] * count, pa.timestamp("us")),
        }
    )


def test_reactions_draw_from_the_same_effect(usual: Read) -> None:
    journey = next(j for j in usual.parameters.campaigns.journeys if j.name == "dormant_wake_up")
    receipts, orders = react(
        usual.parameters, _messages(20_000, journey.name, "loyal"), seed=1, offset_seconds=28_800
    )
    chance = journey.effects["loyal"]
    found = orders.num_rows / 20_000
    assert found == pytest.approx(chance, abs=4 * (chance * (1 - chance) / 20_000) ** 0.5)
    waits = orders["ordered_at"].to_numpy() - np.datetime64("2026-07-01T03:00:00")
    assert waits.min() > np.timedelta64(0)
    assert waits.max() <= np.timedelta64(journey.window_days, "D")
    kinds = receipts["receipt_kind"].value_counts().to_pylist()
    counts = {row["values"]: row["counts"] for row in kinds}
    assert counts["sent"] == 20_000 == counts["delivered"] + counts["failed"]
    assert counts["delivered"] > counts["opened"] > counts["clicked"] > 0
    failed = usual.parameters.campaigns.failed_share
    assert counts["failed"] / 20_000 == pytest.approx(failed, abs=0.006)


def test_reactions_repeat_with_their_seed(usual: Read) -> None:
    first, again, other = (
        react(usual.parameters, _messages(500, "cart_rescue", "new"), seed=s, offset_seconds=0)
        for s in (7, 7, 8)
    )
    assert first[0].equals(again[0]) and first[1].equals(again[1])
    assert not first[0].equals(other[0])
