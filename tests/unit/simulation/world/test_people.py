"""People, accounts, consents and parcels come at the declared rates.

Add here: a rate of who there is or what happens to them.
Not here: when and what they buy (``test_purchases``).
"""

from __future__ import annotations

import numpy as np
import pytest

from simulation.feeds import FEEDS, ORDER_CHANNELS, clean_schema
from simulation.reactions import WAYS
from tests.unit.simulation.world.support import Read

ACCOUNT_FEEDS = {
    "tmall": "tmall_accounts", "jd": "jd_accounts", "douyin": "douyin_accounts",
    "mini_program": "mini_program_accounts", "app": "app_accounts", "pos": "pos_members",
    "wecom": "wecom_contacts", "legacy": "legacy_accounts",
}  # fmt: skip


def _near(found: float, told: float, count: int) -> bool:
    return abs(found - told) < 4 * (told * (1 - told) / count) ** 0.5 + 1e-9


def _accounts(channels: tuple[str, ...]) -> str:
    return " union all ".join(
        f"select '{c}' as channel, source_customer_id, person_id, display_name, phone, "
        f"phone_valid_until from {ACCOUNT_FEEDS[c]}"
        for c in channels
    )


def test_every_feed_has_records_in_its_shape(plain: Read, usual: Read) -> None:
    for feed in FEEDS:
        table = usual.sink.table(feed.name)
        assert table.schema.names == clean_schema(feed.name).names
        assert table.schema.types == clean_schema(feed.name).types
        assert table.num_rows > 0, feed.name
        for column in feed.entity.columns:
            if column.required:
                assert table[column.name].null_count == 0, (feed.name, column.name)


def test_every_natural_key_is_unique(usual: Read) -> None:
    for feed in FEEDS:
        version = ", updated_at" if feed.is_versioned else ""
        key = ", ".join(feed.entity.natural_key) + version
        twice = usual.rows(f"select count(*) - count(distinct ({key})) from {feed.name}")
        assert twice == [(0,)], feed.name


def test_every_word_of_an_enumeration_is_known_to_the_contract(usual: Read) -> None:
    for feed in FEEDS:
        for column in feed.entity.columns:
            if column.kind == "enum":
                found = {
                    r[0] for r in usual.rows(f"select distinct {column.name} from {feed.name}")
                }
                assert found - {None} <= set(column.values), (feed.name, column.name)


def test_nothing_happens_outside_the_world(usual: Read) -> None:
    end = usual.world.calendar.end
    for feed in FEEDS:
        time = feed.entity.event_time
        if time is not None:
            late = usual.rows(
                f"select count(*) from {feed.name} "
                f"where {time} >= timestamp '{end}' - interval 8 hour"
            )
            assert late == [(0,)], feed.name


def test_share_of_people_at_several_shops_is_the_declared_one(plain: Read) -> None:
    people = plain.parameters.people
    told = sum(
        share
        * (1 - np.prod([1 - people.also_on[other] for other in ORDER_CHANNELS if other != home]))
        for home, share in people.home_channels.items()
    )
    found, count = plain.rows(
        f"""
        select avg((channels > 1)::int), count(*) from (
            select person_id, count(*) as channels from ({_accounts(ORDER_CHANNELS)}) group by 1
        )
        """
    )[0]
    assert count == plain.parameters.world.people
    assert _near(found, float(told), count)


def test_household_sizes_are_the_declared_ones(plain: Read) -> None:
    told = np.array(plain.parameters.people.household_sizes)
    sizes = dict(plain.rows("select person_count, count(*) from truth_households group by 1"))
    count = sum(sizes.values())
    for size, share in enumerate(told / told.sum(), start=1):
        assert _near(sizes[size] / count, share, count)


def test_names_are_misspelt_at_the_declared_rate(plain: Read) -> None:
    # Between two real-name accounts of one person; either may be wrong.
    found, count = plain.rows(
        f"""
        with names as ({_accounts(("jd", "app", "pos", "legacy"))})
        select avg((a.display_name <> b.display_name)::int), count(*)
        from names a join names b on a.person_id = b.person_id and a.channel < b.channel
        """
    )[0]
    rate = plain.parameters.people.name_typo_rate
    # A dropped or swapped syllable needs two; one in three mistakes falls back to the sound.
    assert _near(found, 1 - (1 - rate) ** 2, count)
    assert count > 1000


def test_numbers_go_round(plain: Read) -> None:
    lent, count = plain.rows(
        f"""
        select avg((phone_valid_until is not null)::int), count(*)
        from ({_accounts(("tmall", "jd", "douyin"))})
        """
    )[0]
    assert _near(lent, plain.parameters.people.virtual_phone_share, count)
    # A lent number serves several people; at no moment two of one channel.
    shared = plain.rows(
        f"""
        select count(*) from (
            select phone from ({_accounts(("tmall",))}) where phone_valid_until is not null
            group by 1 having count(distinct person_id) > 1
        )
        """
    )[0][0]
    assert shared > 50
    at_once = plain.rows(
        """
        select count(*) from (
            select registered_at, lag(phone_valid_until)
                over (partition by phone order by registered_at) as lent_until
            from tmall_accounts where phone_valid_until is not null
        ) where registered_at < lent_until
        """
    )
    assert at_once == [(0,)]


def test_numbers_given_up_are_given_out_again_at_the_declared_rate(plain: Read) -> None:
    people = plain.parameters.world.people
    told = plain.parameters.people.recycled_phone_share
    given_up = plain.rows("select count(*) from truth_patterns where pattern = 'number_given_up'")[
        0
    ][0]
    assert _near(given_up / people, told, people)
    # Accounts at two owners of the own channels show some of them.
    seen = plain.rows(
        f"""
        select count(*) from (
            select right(regexp_replace(
                translate(phone, '０１２３４５６７８９', '0123456789'), '[^0-9]', '', 'g'
            ), 11) from ({_accounts(("app", "mini_program"))})
            group by 1 having count(distinct person_id) > 1
        )
        """
    )[0][0]
    assert 0.1 * given_up < seen <= given_up


def test_parcels_are_late_and_lost_at_the_declared_rates(plain: Read) -> None:
    late, count = plain.rows(
        """
        select avg((delivered_at > promised_at)::int), count(*) from logistics_shipments
        where shipment_status = 'delivered' and promised_at < timestamp '2026-06-01'
        """
    )[0]
    assert _near(late, plain.parameters.parcels.late_share, count)
    lost, count = plain.rows(
        """
        select avg((shipment_status = 'lost')::int), count(*) from logistics_shipments
        where shipment_status <> 'shipped' and promised_at < timestamp '2026-06-01'
        """
    )[0]
    assert _near(lost, plain.parameters.parcels.lost_share, count)


def test_consents_are_given_and_taken_back_at_the_declared_rates(plain: Read) -> None:
    settings = plain.parameters.consent
    asked = {
        "sms": "select distinct person_id from mini_program_accounts union "
        "select person_id from app_accounts union select person_id from pos_members",
        "push": "select person_id from app_accounts",
        "wecom": "select person_id from wecom_contacts",
    }
    for way in WAYS:
        granted = plain.rows(
            f"""
            select count(*) filter (action = 'granted'), count(*) filter (action = 'withdrawn')
            from consent_center where purpose = 'marketing' and consent_channel = '{way}'
            """
        )[0]
        if way in asked:
            count = plain.rows(f"select count(*) from ({asked[way]})")[0][0]
            assert _near(granted[0] / count, settings.marketing[way], count), way
        assert _near(granted[1] / granted[0], settings.withdrawn_share, granted[0]), way


def test_refunds_coupons_and_reviews_come_at_the_declared_rates(plain: Read) -> None:
    orders = plain.rows("select count(*) from every_order where channel <> 'pos'")[0][0]
    refunds = plain.rows(
        "select count(*) from (from tmall_refunds union all from jd_refunds union all "
        "from douyin_refunds union all from mini_program_refunds union all from app_refunds)"
    )[0][0]
    # Some refunds of the last weeks are still to come.
    assert refunds / orders == pytest.approx(plain.parameters.purchases.refund_share, rel=0.1)
    used, count = plain.rows("select avg((coupon_id is not null)::int), count(*) from every_order")[
        0
    ]
    assert _near(used, plain.parameters.purchases.coupon_share, count)
    redeemed = plain.rows(
        """
        select count(*) from crm_coupons c join every_order o
            on c.coupon_id = o.coupon_id and c.order_id = o.order_id
            and c.account_channel = o.channel
        where action = 'redeemed'
        """
    )[0][0]
    assert redeemed == used * count
    reviewed, count = plain.rows(
        """
        select count(review_id), count(*)
        from every_order o join logistics_shipments s
            on s.order_id = o.order_id and shipment_status = 'delivered'
        left join product_reviews r on r.order_id = o.order_id
        where s.delivered_at < timestamp '2026-06-15'
        """
    )[0]
    assert _near(reviewed / count, plain.parameters.service.review_share, count)


def test_goods_come_back_to_tills_at_the_declared_rate(plain: Read) -> None:
    returned, receipts, whole = plain.rows(
        """
        with sold as (
            select order_id, count(*) as line_count, max(ordered_at) as sold_at
            from pos_order_lines where line_kind = 'sale' group by 1
        ),
        returned as (
            select order_id, count(*) as line_count, count(distinct ordered_at) as moments
            from pos_order_lines where line_kind = 'refund' group by 1
        )
        select (select count(*) from returned where moments = 1),
            (select count(*) from sold where sold_at < timestamp '2026-06-16'),
            (select count(*) from returned where line_count > 1)
        """
    )[0]
    assert returned / receipts == pytest.approx(plain.parameters.purchases.refund_share, rel=0.15)
    assert whole > 0


def test_heads_say_what_their_lines_sum_to(plain: Read) -> None:
    off = plain.rows(
        """
        with lines as (
            select order_id, sum(quantity * unit_price_amount) as amount from (
                from app_order_lines union all from jd_order_lines union all from tmall_order_lines
            ) group by 1
        )
        select count(*), count(*) filter (
            paid_amount <> lines.amount - discount_amount + shipping_amount
        ) from every_order join lines using (order_id) where order_status = 'paid'
        """
    )[0]
    assert off[0] > 10_000 and off[1] == 0


def test_clerks_judge_pairs_without_a_mistake(usual: Read) -> None:
    every = _accounts(tuple(ACCOUNT_FEEDS))
    judged = usual.rows(
        f"""
        with accounts as ({every})
        select verdict, l.person_id = r.person_id, count(*)
        from identity_reviews p
        join accounts l on l.channel = left_channel and l.source_customer_id = left_customer_id
        join accounts r on r.channel = right_channel and r.source_customer_id = right_customer_id
        group by all
        """
    )
    assert {(verdict, same) for verdict, same, _ in judged if verdict != "unsure"} == {
        ("same", True),
        ("different", False),
    }
    assert {"same", "different", "unsure"} == {verdict for verdict, _, _ in judged}


def test_sessions_are_anonymous_before_login(usual: Read) -> None:
    early = usual.rows(
        """
        select count(*) filter (event_type = 'login'),
            count(*) filter (event_type = 'login' and source_customer_id is null),
            avg((source_customer_id is null)::int), count(distinct device_id)
        from app_events
        """
    )[0]
    assert early[0] > 500 and early[1] == 0 and 0.1 < early[2] < 0.5 and early[3] > 500
