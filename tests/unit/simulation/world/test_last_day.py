"""The world's last day holds every journey's candidates and every outcome's cases, as facts.

Add here: a fact that makes someone a candidate or a case.
Not here: what the pipeline decides about them.
"""

from __future__ import annotations

import pytest

from simulation.feeds import FEEDS
from simulation.scenarios import JOURNEYS, OUTCOMES
from tests.unit.simulation.world.support import Read

# Local time of the last day: as_of is its date.
LOCAL = "+ interval 8 hour"
TODAY = "date '2026-06-30'"


def _people_of(journey: str) -> str:
    return f"select person_id from truth_journey_candidates where journey = '{journey}'"


def _cases_of(outcome: str) -> str:
    return f"select person_id from truth_outcome_cases where outcome = '{outcome}'"


def test_each_journey_has_its_candidates_and_each_outcome_its_cases(usual: Read) -> None:
    candidates = dict(
        usual.rows("select journey, count(*) from truth_journey_candidates group by 1")
    )
    assert set(candidates) == set(JOURNEYS)
    assert min(candidates.values()) >= 20
    cases = dict(usual.rows("select outcome, count(*) from truth_outcome_cases group by 1"))
    assert set(cases) == set(OUTCOMES)
    assert min(cases.values()) >= 1


def test_their_accounts_exist_and_no_record_of_theirs_may_be_damaged(usual: Read) -> None:
    for table in ("truth_journey_candidates", "truth_outcome_cases"):
        unknown = usual.rows(
            f"""
            select count(*) from {table} anti join (
                select 'app' as channel, source_customer_id, person_id from app_accounts
                union all select 'mini_program', source_customer_id, person_id
                from mini_program_accounts
                union all select 'pos', source_customer_id, person_id from pos_members
                union all select 'wecom', source_customer_id, person_id from wecom_contacts
            ) using (channel, source_customer_id, person_id)
            """
        )
        assert unknown == [(0,)]
    for feed in FEEDS:
        if feed.entity_name == "identity_pairs":
            continue
        open_to_damage = usual.rows(
            f"""
            select count(*) from {feed.name} where not is_protected and person_id in (
                select person_id from truth_people where is_cast
            )
            """
        )
        assert open_to_damage == [(0,)], feed.name
    free = usual.rows("select avg(is_protected::int) from tmall_orders")[0][0]
    assert free < 0.5


@pytest.mark.parametrize(
    ("journey", "low", "high"),
    [
        ("first_order_care", 0, 0),
        ("free_shipping_rebuy", 3, 3),
        ("repurchase_cadence", 30, 30),
        ("dormant_wake_up", 90, 120),
        ("churn_retention", 40, 60),
        ("win_back", 181, 365),
        ("vip_preorder", 0, 15),
        ("co_creation", 0, 7),
    ],
)
def test_silence_since_the_last_order_fits(usual: Read, journey: str, low: int, high: int) -> None:
    found = usual.rows(
        f"""
        select min({TODAY} - last), max({TODAY} - last), count(*) from (
            select person_id, max((ordered_at {LOCAL})::date) as last from every_order
            where order_status = 'paid' and person_id in ({_people_of(journey)}) group by 1
        )
        """
    )[0]
    assert low <= found[0] and found[1] <= high
    assert found[2] >= 20


def test_first_orders_are_first_and_loyal_people_order_often(usual: Read) -> None:
    for journey, low, high in (("first_order_care", 1, 1), ("vip_preorder", 2, 2),
                               ("co_creation", 11, 99)):  # fmt: skip
        found = usual.rows(
            f"""
            select min(orders), max(orders) from (
                select person_id, count(*) as orders from every_order
                where order_status = 'paid' and (ordered_at {LOCAL})::date > {TODAY} - 365
                    and person_id in ({_people_of(journey)}) group by 1
            )
            """
        )[0]
        assert low <= found[0] and found[1] <= high, journey


def test_what_people_did_today_is_there(usual: Read) -> None:
    for journey, count in (
        ("cart_rescue", f"""
            select count(distinct e.person_id) from app_events e join erp_stock using (sku)
            where event_type = 'cart_added' and quantity_on_hand - quantity_reserved = 3
                and source_customer_id is not null and (occurred_at {LOCAL})::date = {TODAY}
                and (counted_at {LOCAL})::date = {TODAY}"""),
        ("browse_list", f"""
            select count(*) from (select person_id from app_events
            where event_type = 'product_view' and category_name = '婴儿家具床品'
                and (occurred_at {LOCAL})::date > {TODAY} - 3
            group by 1 having count(distinct (occurred_at {LOCAL})::date) = 3) events"""),
        ("vip_preorder", f"""
            select count(*) from (select e.person_id from app_events e join (
                select distinct sku from erp_products where is_premium) using (sku)
            where event_type = 'product_view' and (occurred_at {LOCAL})::date > {TODAY} - 3
            group by 1 having count(distinct (occurred_at {LOCAL})::date) = 3) events"""),
        ("question_offer", f"""
            select count(distinct person_id) from community_posts
            where post_kind = 'question' and (posted_at {LOCAL})::date = {TODAY}"""),
        ("visit_follow_up", f"""
            select count(distinct person_id) from store_visits
            where not is_purchase and (visited_at {LOCAL})::date = {TODAY}"""),
        ("birthday_care", """
            select count(distinct person_id) from app_accounts
            where month(birth_date) = 7 and day(birth_date) = 2"""),
        ("weather_care", f"""
            select count(distinct a.person_id) from app_accounts a join weather_alerts w
                using (city_name) where (w.issued_at {LOCAL})::date = {TODAY}"""),
        ("review_invitation", f"""
            select count(distinct o.person_id) from every_order o
                join logistics_shipments s on s.order_id = o.order_id
                left join product_reviews r on r.order_id = o.order_id
            where review_id is null and shipment_status = 'delivered'
                and (s.delivered_at {LOCAL})::date between {TODAY} - 9 and {TODAY} - 3"""),
    ):  # fmt: skip
        mine = count.replace("where ", f"where person_id in ({_people_of(journey)}) and ", 1)
        if journey == "review_invitation":
            mine = count.replace("where ", f"where o.person_id in ({_people_of(journey)}) and ", 1)
        if journey == "cart_rescue":
            mine = count.replace("where ", f"where e.person_id in ({_people_of(journey)}) and ", 1)
        if journey == "weather_care":
            mine = count.replace("where ", f"where a.person_id in ({_people_of(journey)}) and ", 1)
        if journey == "vip_preorder":
            mine = count.replace(
                "where event_type", f"where e.person_id in ({_people_of(journey)}) and event_type"
            )
        assert usual.rows(mine)[0][0] >= 20, journey


def _carts(outcome: str) -> str:
    return (
        "select person_id, sku, occurred_at from (from app_events union all "
        "from mini_program_events) where event_type = 'cart_added' and occurred_at > "
        f"timestamp '2026-06-24' and person_id in ({_cases_of(outcome)})"
    )


def test_cases_meet_their_outcome(usual: Read) -> None:
    count = dict(usual.rows(
        "select outcome, count(distinct person_id) from truth_outcome_cases group by 1"
    ))  # fmt: skip
    for outcome in set(OUTCOMES) - {"holdout"}:
        carts = usual.rows(f"select count(distinct person_id) from ({_carts(outcome)})")[0][0]
        assert carts == count[outcome], outcome
    for outcome, query in (
        ("held", f"""select count(*) from ({_carts("held")})
            where (occurred_at {LOCAL})::time >= time '23:00'"""),
        ("expired", f"""select count(*) from ({_carts("expired")})
            where (occurred_at {LOCAL})::date < {TODAY} - 3"""),
        ("stock_gone", f"""select count(*) from ({_carts("stock_gone")}) c where (
            select sum(quantity_on_hand) from erp_stock s where s.sku = c.sku
            and (counted_at {LOCAL})::date = {TODAY}) = 0"""),
        ("no_consent", f"""select count(*) from (
            select person_id from consent_center where purpose = 'marketing'
                and person_id in ({_cases_of("no_consent")})
            group by 1 having count(*) filter (action = 'granted')
                = count(*) filter (action = 'withdrawn'))"""),
        ("open_complaint", f"""select count(*) from (
            select person_id, arg_max(ticket_status, updated_at) as status from service_tickets
            where ticket_kind = 'complaint' and person_id in ({_cases_of("open_complaint")})
            group by 1) where status in ('open', 'pending')"""),
        ("lost_to_higher_priority", f"""select count(*) from app_accounts
            where person_id in ({_cases_of("lost_to_higher_priority")})
                and month(birth_date) = 7 and day(birth_date) = 2"""),
        ("duplicate", f"""select count(*) from (select person_id from ({_carts("duplicate")})
            group by 1, sku having count(*) = 2)"""),
        ("capped", f"""select count(*) from (
            select person_id from (from sms_receipts union all from push_receipts union all
                from email_receipts union all from wecom_receipts)
            where receipt_kind = 'sent' and (occurred_at {LOCAL})::date > {TODAY} - 7
                and person_id in ({_cases_of("capped")}) group by 1
            having count(*) = 4 and max((occurred_at {LOCAL})::date) = {TODAY})"""),
    ):  # fmt: skip
        assert usual.rows(query)[0][0] == count[outcome], outcome


def test_nobody_else_of_the_cast_is_silenced_by_chance(usual: Read) -> None:
    others = "select person_id from truth_journey_candidates"
    assert usual.rows(
        f"""
        select count(*) from consent_center
        where action = 'withdrawn' and person_id in ({others})
        """
    ) == [(0,)]
    assert usual.rows(
        f"""
        select count(*) from service_tickets
        where ticket_status in ('open', 'pending') and updated_at > timestamp '2026-06-01'
            and person_id in ({others})
        """
    ) == [(0,)]
    assert usual.rows(
        f"""
        select count(*) from (from sms_receipts union all from push_receipts union all
            from email_receipts union all from wecom_receipts)
        where occurred_at > timestamp '2026-06-20' and person_id in ({others})
        """
    ) == [(0,)]
