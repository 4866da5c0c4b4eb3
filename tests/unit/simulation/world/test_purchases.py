"""The clean records show the buying the world was told to plant.

Add here: a parameter of buying that can be recovered.
Not here: messages' effects (``test_campaigns``).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import polygamma

from ml.clv.bg_nbd import BgNbdModel
from ml.clv.gamma_gamma import GammaGammaModel
from simulation.catalogue import CATEGORIES, CATEGORY_NAMES
from simulation.feeds import ORDER_CHANNELS
from simulation.parameters import load_parameters
from simulation.seasons import DAY, Calendar
from tests.unit.simulation.world.support import (
    FEW_SESSIONS,
    NOTHING_FOLLOWS,
    Read,
    make,
)

PAID = "select person_id, ordered_at, paid_amount - shipping_amount as worth from every_order"


def _orders(read: Read) -> pd.DataFrame:
    frame = read.connection.sql(
        f"""
        select person_id, epoch(ordered_at)::bigint + {read.world.calendar.offset} as local,
            worth::double as worth
        from ({PAID}) order by person_id, ordered_at
        """
    ).df()
    frame["season"] = read.world.calendar.to_season(frame["local"].to_numpy())
    return frame


def test_bg_nbd_parameters_are_recovered_within_a_seventh(plain: Read) -> None:
    orders = _orders(plain)
    by_person = orders.groupby("person_id")["season"]
    first, last, count = by_person.min(), by_person.max(), by_person.count()
    summary = pd.DataFrame(
        {
            "frequency": (count - 1).astype(float),
            "recency": last - first,
            "T": plain.world.calendar.season_end - first,
        }
    )
    found = BgNbdModel().fit(summary).parameters
    told = plain.parameters.purchases
    assert found.r == pytest.approx(told.rate_shape, rel=0.14)
    assert found.alpha == pytest.approx(told.rate_scale_days, rel=0.14)
    mean_dropout = told.dropout_a / (told.dropout_a + told.dropout_b)
    assert found.a / (found.a + found.b) == pytest.approx(mean_dropout, rel=0.14)


def test_gamma_gamma_parameters_are_recovered(plain: Read) -> None:
    orders = _orders(plain)
    repeats = orders[orders.duplicated("person_id")].groupby("person_id")["worth"]
    summary = pd.DataFrame(
        {"frequency": repeats.count().astype(float), "monetary_value": repeats.mean()}
    )
    found = GammaGammaModel().fit(summary).parameters
    told = plain.parameters.spend
    assert found.q == pytest.approx(told.person_shape, rel=0.14)
    mean = told.order_shape * told.person_scale / (told.person_shape - 1)
    assert found.p * found.v / (found.q - 1) == pytest.approx(mean, rel=0.07)
    # The shape within a person shows better in the spread of the logarithms: trigamma(shape).
    logs = orders.assign(log=np.log(orders["worth"])).groupby("person_id")["log"]
    spread = (logs.var() * (logs.count() - 1)).sum() / (logs.count() - 1).sum()
    assert spread == pytest.approx(float(polygamma(1, told.order_shape)), rel=0.05)


def test_festivals_bring_the_orders_they_are_told_to(plain: Read) -> None:
    orders = _orders(plain)
    calendar = plain.world.calendar
    day = (orders["local"].to_numpy() - calendar.start_at) // DAY
    per_day = np.bincount(day, minlength=calendar.days)

    def level(first: str, last: str) -> tuple[float, float]:
        """Orders per day of ordinary demand, and the variance of that."""
        start = (np.datetime64(first) - np.datetime64(calendar.first)).astype(int)
        end = (np.datetime64(last) - np.datetime64(calendar.first)).astype(int)
        count, demand = per_day[start : end + 1].sum(), calendar.factors[start : end + 1].sum()
        return count / demand, count / demand**2

    # Freed from the season the weeks around a festival are as busy as the festival.
    for festival, before, after in (
        (("2025-11-01", "2025-11-11"), ("2025-10-15", "2025-10-31"), ("2025-11-12", "2025-11-25")),
        (("2026-06-01", "2026-06-18"), ("2026-05-15", "2026-05-31"), ("2026-06-19", "2026-06-30")),
        (("2026-02-15", "2026-02-23"), ("2026-01-05", "2026-01-20"), ("2026-03-10", "2026-03-25")),
    ):
        (now, noise), *around = level(*festival), level(*before), level(*after)
        usual = sum(value for value, _ in around) / 2
        error = (noise + sum(variance for _, variance in around) / 4) ** 0.5
        assert now == pytest.approx(usual, abs=4 * error)
    raw = np.bincount(day, minlength=calendar.days)
    peak = (np.datetime64("2025-11-11") - np.datetime64(calendar.first)).astype(int)
    assert raw[peak] > 2.5 * np.median(raw[peak - 40 : peak - 12])


@pytest.fixture(scope="module")
def sequences(tmp_path_factory: pytest.TempPathFactory) -> Read:
    changes = {k: v for k, v in NOTHING_FOLLOWS.items() if k != "sequences"}
    return make(tmp_path_factory.mktemp("sequences"), world__people=7000, **changes, **FEW_SESSIONS)


def test_sequences_lift_the_base_rate_by_the_planted_probability(sequences: Read) -> None:
    bought = _bought_categories(sequences)
    for sequence in sequences.parameters.sequences:
        first, then = CATEGORY_NAMES.index(sequence.first), CATEGORY_NAMES.index(sequence.then)
        followed, base = _follow_rates(sequences, bought, first, then, sequence.within_days)
        added = (followed - base) / (1 - base)
        assert added == pytest.approx(sequence.probability, abs=0.04), sequence


def test_no_other_pair_of_categories_is_lifted(sequences: Read) -> None:
    bought = _bought_categories(sequences)
    first, then = CATEGORY_NAMES.index("pet_food"), CATEGORY_NAMES.index("cleaning")
    followed, base = _follow_rates(sequences, bought, first, then, 30)
    assert (followed - base) / (1 - base) == pytest.approx(0, abs=0.04)


def _bought_categories(read: Read) -> pd.DataFrame:
    lines = " union all ".join(
        f"select order_id, sku, person_id, ordered_at from {name}_order_lines "
        "where line_kind = 'sale'"
        for name in ("tmall", "jd", "douyin", "mini_program", "app", "pos")
    )
    labels = ", ".join(f"('{c.label}', {n})" for n, c in enumerate(CATEGORIES))
    return read.connection.sql(
        f"""
        with lines as ({lines}),
        paid as (select order_id from every_order where order_status = 'paid'),
        labels(category_name, category) as (values {labels}),
        goods as (select distinct sku, category from erp_products join labels using (category_name))
        select person_id, persona, category, epoch(min(ordered_at)) / 86400 as day,
            coalesce(epoch(any_value(churn_date)) / 86400, 1e6) as left_day
        from lines join goods using (sku) join people_in_no_scene using (person_id)
        semi join paid using (order_id)
        group by order_id, person_id, persona, category order by person_id, day
        """
    ).df()


def _follow_rates(
    read: Read, bought: pd.DataFrame, first: int, then: int, days: int
) -> tuple[float, float]:
    """How often B follows A, and how often it follows something else of such people."""
    end = (read.world.calendar.end_at - read.world.calendar.offset) / DAY
    goals = np.sort(_keys(bought[bought["category"] == then]))

    def rate(rows: pd.DataFrame) -> float:
        # Who leaves follows nothing up.
        rows = rows[rows["day"] + days < np.minimum(end, rows["left_day"])]
        start = _keys(rows)
        found = np.searchsorted(goals, start + days, "right") - np.searchsorted(
            goals, start, "right"
        )
        return float((found > 0).mean())

    chosen = bought[bought["category"] == first]
    others = bought[~bought["category"].isin([first, then])]
    # The same kinds of people on both sides: parents buy more of everything for babies.
    weights = chosen["persona"].value_counts(normalize=True)
    base = sum(share * rate(others[others["persona"] == kind]) for kind, share in weights.items())
    return rate(chosen), float(base)


def _keys(bought: pd.DataFrame) -> np.ndarray:
    """Person and day as one number, people far apart."""
    return (bought["person_id"] * 100_000.0 + bought["day"]).to_numpy()


def test_used_up_goods_are_bought_again_at_their_pace(usual: Read) -> None:
    chains = usual.rows(
        """
        select count(*) filter (origin = 'replenishment')::double
            / count(*) filter (origin in ('own', 'replenishment'))
        from truth_orders where is_paid
        """
    )
    share = usual.parameters.replenishing_share
    # At most every order could be followed; the last ones are not followed before the end.
    assert 0.4 * share < chains[0][0] < share
    lines = " union all ".join(
        f"select order_id, sku, person_id, ordered_at from {name}_order_lines "
        "where line_kind = 'sale'"
        for name in ORDER_CHANNELS
    )
    again = f"""
        with goods as (
            select sku, any_value(category_name) as category, any_value(replenish_days) as days
            from erp_products group by 1
        ),
        bought as (
            select distinct order_id, l.person_id, ordered_at, category, days, origin
            from ({lines}) l join goods using (sku) join truth_orders using (order_id)
            where is_paid
        )
        select count(*), count(*) filter (exists (
            from bought as first
            where first.person_id = again.person_id and first.category = again.category
                and date_diff('day', first.ordered_at, again.ordered_at)
                    between 0.5 * again.days and 1.6 * again.days
        ))
        from bought as again where origin = 'replenishment'
    """
    count, in_time = usual.rows(again)[0]
    # The days go by a Gamma with a spread of a fifth.
    assert count > 500 and in_time / count > 0.97


def test_more_people_leave_after_what_drives_them_away(usual: Read) -> None:
    counts = dict(usual.rows("select churn_reason, count(*) from people_in_no_scene group by 1"))
    assert {"none", "late_parcel", "complaint", "stock_out"} <= set(counts)
    late = usual.rows(
        """
        with late as (
            select person_id, max(ordered_at) as at
            from logistics_shipments s join every_order o
                on s.order_channel = o.channel and s.order_id = o.order_id
            where delivered_at > promised_at
            group by 1
        )
        select count(*) from late join truth_people using (person_id)
        where churn_reason = 'late_parcel' and churn_date < date '2026-06-01'
        """.replace("select person_id, max", "select o.person_id as person_id, max")
    )
    left = usual.rows(
        "select count(*) from truth_people "
        "where churn_reason = 'late_parcel' and churn_date < date '2026-06-01'"
    )
    # Everybody who left for a late parcel really had one.
    assert late == left and left[0][0] > 50


def test_nobody_orders_after_the_day_they_left_unless_a_message_brings_them(usual: Read) -> None:
    later = usual.rows(
        """
        select count(*), (select count(*) from truth_people where churn_date is not null)
        from truth_orders t join every_order o using (order_id)
            join truth_people p on p.person_id = t.person_id
        where t.is_paid and t.origin <> 'campaign'
            and (o.ordered_at + interval 8 hour)::date > p.churn_date
        """
    )
    assert later[0][0] == 0 and later[0][1] > 500


@pytest.fixture(scope="module")
def two_years(tmp_path_factory: pytest.TempPathFactory) -> tuple[Read, Read]:
    """The demo's people without its cast, in 18 months and, spread alike, in 30."""
    common = {
        "world__people": 6000, "scenarios__candidates_per_journey": 0,
        "scenarios__cases_per_outcome": 0, **FEW_SESSIONS,
    }  # fmt: skip
    short = make(tmp_path_factory.mktemp("short"), **common)
    longer = make(
        tmp_path_factory.mktemp("longer"), world__months=30,
        people__joining_span=short.parameters.people.joining_span
        * short.world.calendar.season_end / _season_days(30), **common,
    )  # fmt: skip
    return short, longer


def test_expected_value_is_what_the_next_year_brings(two_years: tuple[Read, Read]) -> None:
    short, longer = two_years
    by_drive = "ntile(10) over (order by rate_per_day / (dropout_probability + 0.016), person_id)"
    told = short.rows(
        f"""
        select tenth, avg(expected_value)
        from (select *, {by_drive} as tenth from truth_people) group by 1 order by 1
        """
    )
    end = short.world.calendar.end
    brought = longer.rows(
        f"""
        with spent as (
            select t.person_id, sum(paid_amount - shipping_amount)::double as amount
            from every_order join truth_orders t using (order_id)
            where order_status = 'paid' and not t.is_due_to_message
                and (ordered_at + interval 8 hour)::date
                between date '{end}' and date '{end}' + interval 364 day
            group by 1
        ),
        tenths as (select person_id, {by_drive} as tenth from truth_people)
        select tenth, avg(coalesce(amount, 0)), stddev(coalesce(amount, 0)) / sqrt(count(*))
        from tenths left join spent using (person_id) group by 1 order by 1
        """
    )
    buying = short.parameters.purchases
    kept = 1 - buying.refund_share * (1 - buying.part_refund_share / 2)
    values = [value for _, value in told]
    amounts = [amount * kept for _, amount, _ in brought]
    errors = [4 * error for *_, error in brought]
    for tenth, (value, amount, error) in enumerate(zip(values, amounts, errors, strict=True)):
        assert value == pytest.approx(amount, abs=error + 0.05 * amount), tenth
    assert np.mean(values) == pytest.approx(np.mean(amounts), rel=0.06)


def _season_days(months: int) -> float:
    return Calendar(load_parameters().changed(world__months=months)).season_end
