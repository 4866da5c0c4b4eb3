"""When files are delivered, and which record waits for which."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulation.delivery import DeliveryParameters
from simulation.delivery.clean import belongs_sql, turn_sql
from simulation.delivery.plan import LAST_SECOND, deliveries

ZONE = "Asia/Shanghai"


def parameters(months: int, daily: int, length: int, late: int) -> DeliveryParameters:
    first = dt.date(2025, 1, 1)
    last = dt.date(2025 + months // 12, months % 12 + 1, 1) - dt.timedelta(days=1)
    return DeliveryParameters(
        first,
        last,
        ZONE,
        daily_days=daily,
        months_per_file={"large": length, "small": length},
        late_every_months=late,
    )


SHAPES = st.builds(
    parameters, st.integers(1, 30), st.integers(1, 9), st.integers(1, 6), st.integers(1, 12)
)


@given(SHAPES)
def test_deliveries_come_one_after_the_other_and_end_with_the_world(
    said: DeliveryParameters,
) -> None:
    plan = deliveries(said, "large")
    moments = [delivery.at for delivery in plan]
    assert moments == sorted(set(moments))
    assert [delivery.number for delivery in plan] == list(range(len(plan)))
    assert not plan[-1].is_late and plan[-1].at == dt.datetime.combine(said.last_day, LAST_SECOND)
    daily = [d for d in plan if d.at.date() > said.last_day - dt.timedelta(days=said.daily_days)]
    assert len(daily) == said.daily_days
    assert len({delivery.stamp for delivery in plan}) == len(plan)


@settings(deadline=None, max_examples=25)
@given(
    SHAPES,
    st.lists(st.tuples(st.integers(-5, 950), st.one_of(st.none(), st.integers(0, 60))), min_size=1),
)
def test_each_record_belongs_to_one_delivery_which_is_not_before_it(
    said: DeliveryParameters, records: list[tuple[int, int | None]]
) -> None:
    plan = deliveries(said, "small")
    start = dt.datetime(2025, 1, 1, 3, 30)  # noqa: DTZ001
    rows = pa.table(
        {
            "happened": pa.array([start + dt.timedelta(days=day) for day, _ in records]),
            "deliver_at": pa.array(
                [
                    None if late is None else start + dt.timedelta(days=day + late)
                    for day, late in records
                ],
                pa.timestamp("us"),
            ),
        }
    )
    each = ", ".join(
        f"{belongs_sql(delivery, plan, ZONE)} as b{delivery.number}" for delivery in plan
    )
    with duckdb.connect() as connection:
        connection.register("records", rows)
        found = connection.execute(
            f"select happened, deliver_at, {turn_sql(plan, ZONE)} as turn, {each} from records"
        ).fetchall()
    for happened, deliver_at, turn, *belongs in found:
        assert [n for n, holds in enumerate(belongs) if holds] == [turn]
        waited_for = max(happened, deliver_at or happened)
        if turn < len(plan) - 1:
            assert plan[turn].utc(ZONE) + dt.timedelta(seconds=1) > waited_for
        before = [d for d in plan[:turn] if deliver_at is not None or not d.is_late]
        assert all(d.utc(ZONE) < waited_for for d in before), "an earlier file had room for it"
        assert deliver_at is not None or not plan[turn].is_late


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "Europe/London", "UTC"])
def test_instants_are_written_in_the_worlds_zone(zone: str, tmp_path: Path) -> None:
    from zoneinfo import ZoneInfo

    from simulation.delivery.sql import create_words

    moments = [dt.datetime(2025, month, 15, 23, 5, 6) for month in range(1, 13)]  # noqa: DTZ001
    pq.write_table(pa.table({"t": moments}), tmp_path / "t.parquet")
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        create_words(connection, zone, moments[0])
        found = connection.execute(
            f"select stamp(t), day(t), epoch_s(t) from '{tmp_path / 't.parquet'}'"
        ).fetchall()
    for moment, (stamp, day, seconds) in zip(moments, found, strict=True):
        local = moment.replace(tzinfo=dt.UTC).astimezone(ZoneInfo(zone))
        assert stamp == f"{local:%Y-%m-%d %H:%M:%S}" and day == f"{local:%Y-%m-%d}"
        assert int(seconds) == int(moment.replace(tzinfo=dt.UTC).timestamp())
