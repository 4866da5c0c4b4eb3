"""What the shop gives, asks and hears comes at the declared rates.

Add here: a rate of service, gifts, guests, referrals or devices.
Not here: who there is (``test_people``), what they buy (``test_purchases``).
"""

from __future__ import annotations

import numpy as np
import pytest

from simulation.purchases import REASONS
from tests.unit.simulation.world.support import Read, near

# Late enough for what follows an order to lie within the world.
SETTLED = "timestamp '2026-05-25'"


def test_tickets_are_answered_and_solved_in_the_declared_times(plain: Read) -> None:
    service = plain.parameters.service
    waits = plain.connection.sql(
        """
        select distinct ticket_id, epoch(first_responded_at - opened_at) / 60 as response,
            epoch(resolved_at - first_responded_at) / 3600 as resolution
        from service_tickets where ticket_status = 'resolved'
        """
    ).df()
    assert len(waits) > 1000
    for column, median, spread in (
        ("response", service.response_median_minutes, service.response_spread),
        ("resolution", service.resolution_median_hours, service.resolution_spread),
    ):
        logs = np.log(waits[column])
        error = spread / len(logs) ** 0.5
        assert logs.mean() == pytest.approx(np.log(median), abs=4 * error + 0.02)
        assert logs.std() == pytest.approx(spread, rel=0.08)


@pytest.mark.parametrize(
    ("is_late", "parameter"),
    [(True, "complaint_after_late_parcel"), (False, "complaint_base")],
)
def test_people_complain_at_the_declared_rates(plain: Read, is_late: bool, parameter: str) -> None:
    complained, count = plain.rows(
        f"""
        with parcels as (
            select order_id, any_value(delivered_at > promised_at) as is_late
            from logistics_shipments
            where shipment_status = 'delivered' and promised_at < {SETTLED} group by 1
        ),
        complaints as (
            select distinct order_id from service_tickets where ticket_kind = 'complaint'
        )
        select count(c.order_id), count(*)
        from parcels left join complaints c using (order_id) where is_late = {is_late}
        """
    )[0]
    assert near(complained / count, getattr(plain.parameters.service, parameter), count)


def test_people_answer_surveys_at_the_declared_rate_and_mark_late_parcels_down(plain: Read) -> None:
    answered, count, upset, content = plain.rows(
        f"""
        with late as (
            select order_id, bool_or(delivered_at > promised_at) as is_late
            from logistics_shipments where shipment_status = 'delivered' group by 1
        )
        select count(answer_id), count(*), avg(score) filter (is_late),
            avg(score) filter (not is_late)
        from every_order o join late using (order_id) left join nps_answers using (order_id)
        where o.ordered_at < {SETTLED}
        """
    )[0]
    assert near(answered / count, plain.parameters.service.nps_share, count)
    assert upset + 2 < content


@pytest.mark.parametrize(
    ("reason", "pattern", "parameter"),
    [
        ("late_parcel", "late_parcel", "leaves_after_late_parcel"),
        ("complaint", "complaint", "leaves_after_complaint"),
        ("stock_out", "stock_out_met", "leaves_after_stock_out"),
    ],
)
def test_as_many_leave_for_a_reason_as_declared(
    usual: Read, reason: str, pattern: str, parameter: str
) -> None:
    # Each own order with a reason is a coin; an order that drove away by an earlier reason is none.
    earlier = ", ".join(f"'{name}'" for name in REASONS[1 : REASONS.index(reason)]) or "''"
    left, count = usual.rows(
        f"""
        select count(*) filter (
                churn_reason = '{reason}' and churn_date = (ordered_at + interval 8 hour)::date
            ),
            count(*) filter (not coalesce(
                churn_reason in ({earlier}) and churn_date = (ordered_at + interval 8 hour)::date,
                false
            ))
        from truth_patterns p join people_in_no_scene using (person_id)
            join every_order o on o.person_id = p.person_id and o.ordered_at = p.happened_at
            join truth_orders t on t.order_id = o.order_id
        where pattern = '{pattern}' and origin = 'own' and is_paid
        """
    )[0]
    assert count > 200
    assert near(left / count, getattr(usual.parameters.purchases, parameter), count)


def test_parcels_go_to_others_and_tills_meet_guests_at_the_declared_rates(plain: Read) -> None:
    people = plain.parameters.people
    gifts, count = plain.rows(
        """
        select count(*) filter (receiver_token <> hidden_id), count(*)
        from tmall_orders join tmall_accounts using (source_customer_id)
        """
    )[0]
    assert near(gifts / count, people.gift_share, count)
    guests, shop_phones, count = plain.rows(
        """
        select count(*) filter (source_customer_id is null),
            count(*) filter (buyer_phone like '02%-%'), count(*)
        from pos_orders
        """
    )[0]
    assert near(guests / count, people.till_guest_share, count)
    assert near(shop_phones / count, people.store_phone_share, count)


def test_customers_bring_newcomers_at_the_declared_rate(plain: Read) -> None:
    invited, count = plain.rows(
        """
        with own as (
            select person_id, registered_at from app_accounts
            union all select person_id, registered_at from mini_program_accounts
            union all select person_id, registered_at from pos_members
        ),
        newcomers as (
            select distinct person_id from own join truth_people using (person_id)
            where joined_date > date '2025-03-01'
                and (registered_at + interval 8 hour)::date <= joined_date
        )
        select (
            select count(*) from crm_referrals where invited_at > timestamp '2025-03-01'
        ), count(*) from newcomers
        """
    )[0]
    told = plain.parameters.behaviour.referral_share
    assert invited / count == pytest.approx(told, abs=4 * (told / count) ** 0.5 + 0.1 * told)


def test_devices_report_in_the_declared_rhythm(plain: Read) -> None:
    count, days = plain.rows(
        """
        select count(gap), median(gap) from (
            select epoch(measured_at - lag(measured_at)
                over (partition by device_id order by measured_at)) / 86400 as gap
            from iot_usage
        )
        """
    )[0]
    assert count > 500
    assert days == pytest.approx(plain.parameters.behaviour.usage_reading_days, abs=0.05)
