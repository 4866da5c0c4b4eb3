"""What the journeys and the rule tables say, as small tables beside the candidates.

Add here: another policy the rules need.
Not here: facts of customers (``candidates``), the rules themselves (``rules``, ``limits``).

Every table here is temporary, has the columns named in ``POLICIES`` and is kept beside the
decisions, so that a past night is decided again by what held then.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa

from crm_pipeline.lib.errors import OutreachError
from crm_pipeline.lib.outreach.journey import CapSpec, JourneySpec, StepSpec
from crm_pipeline.lib.outreach.moments import Moment
from crm_pipeline.lib.warehouse.connection import fetch_row

BEST_HOUR_UNKNOWN = dt.time(10)  # as said of ``send_at`` in a journey's YAML

POLICIES: dict[str, dict[str, str]] = {
    "_moment": {
        "as_of": "date",
        "run_kind": "varchar",
        "decided_at": "timestamp",
        "send_date": "date",
        "consent_known_at": "timestamp",
        "stock_counted_at": "timestamp",
        "send_day_from_at": "timestamp",
        "models_until_at": "timestamp",
    },
    "_steps": {
        "journey": "varchar",
        "step": "varchar",
        "step_place": "integer",
        "purpose": "varchar",
        "message_tag": "varchar",
        "scene": "varchar",
        "delay_hours": "integer",
        "valid_hours": "integer",
        "send_minute": "integer",
        "holdout_pct": "double",
        "priority": "integer",
        "asks_stock": "boolean",
        "asks_price": "boolean",
        "ends_on_conversion": "boolean",
        "pauses_on_complaint": "boolean",
        "held_by": "varchar",
    },
    "_step_channels": {
        "journey": "varchar",
        "step": "varchar",
        "consent_channel": "varchar",
        "channel_place": "integer",
    },
    "_caps": {
        "cap_place": "integer",
        "cap_id": "varchar",
        "journey": "varchar",
        "consent_channel": "varchar",
        "message_tag": "varchar",
        "window_days": "integer",
        "max_messages": "integer",
    },
    "_channels": {
        "consent_channel": "varchar",
        "quiet_from": "varchar",
        "quiet_until": "varchar",
        "unit_cost_amount": "decimal(18,6)",
        "currency": "varchar",
        "daily_quota": "bigint",
        "advisor_daily_quota": "bigint",
    },
    "_budgets": {
        "budget_id": "varchar",
        "scope": "varchar",
        "scope_name": "varchar",
        "window_days": "integer",
        "amount": "decimal(18,2)",
        "currency": "varchar",
    },
    "_gates": {"gate_id": "varchar", "max_age_hours": "integer"},
    "_quiet_days": {"quiet_date": "date", "timezone": "varchar"},
    "_contents": {
        "content_id": "varchar",
        "scene": "varchar",
        "rfm_tier": "varchar",
        "consent_channel": "varchar",
        "language": "varchar",
        "content_version": "varchar",
        "subject": "varchar",
        "body": "varchar",
    },
    "_variables": {"journey": "varchar", "variable": "varchar", "variable_place": "integer"},
    "_zone_days": {"timezone": "varchar", "day_from_at": "timestamp", "day_until_at": "timestamp"},
    "_zone_minutes": {"timezone": "varchar", "minute": "integer", "minute_at": "timestamp"},
    "_zone_windows": {"timezone": "varchar", "window_days": "integer", "from_at": "timestamp"},
}
# Rule tables as dbt loaded them, and what is read of each.
_SEEDS = {
    "_channels": "rules.channel_policies",
    "_budgets": "rules.outreach_budgets",
    "_gates": "rules.outreach_gates",
    "_contents": "rules.content_library",
}


def make_policies(
    connection: duckdb.DuckDBPyConnection,
    journeys: Sequence[JourneySpec],
    moment: Moment,
    zone: ZoneInfo,
) -> None:
    """Makes every table of ``POLICIES`` from the journeys and the rule tables.

    Raises:
        OutreachError: a rule table is not there, or a channel has no policy.
    """
    for table, seed in _SEEDS.items():
        columns = ", ".join(f"{name}::{kind} as {name}" for name, kind in POLICIES[table].items())
        try:
            connection.execute(
                f"create or replace temp table {table} as select {columns} from {seed} order by all"
            )
        except (duckdb.CatalogException, duckdb.BinderException) as error:
            raise OutreachError(
                f"the rule table {seed} cannot be read: {error}",
                where=seed,
                remedy="build the seeds (crm run does); nothing is decided without them",
            ) from error
    steps = [(spec, place, step) for spec in journeys for place, step in enumerate(spec.steps)]
    holds = {spec.journey: find_hold(connection, spec, moment.as_of) for spec in journeys}
    _fill(connection, "_steps", [_step_row(*one, holds[one[0].journey]) for one in steps])
    _fill(connection, "_step_channels", [
        {"journey": spec.journey, "step": step.step, "consent_channel": channel,
         "channel_place": at}
        for spec, _, step in steps for at, channel in enumerate(step.channels)
    ])  # fmt: skip
    _fill(connection, "_variables", [
        {"journey": spec.journey, "variable": name, "variable_place": at}
        for spec in journeys for at, name in enumerate(spec.variables)
    ])  # fmt: skip
    _make_caps(connection, journeys)
    _check_channels(connection)
    connection.execute(
        "create or replace temp table _quiet_days as select quiet_date::date as quiet_date, "
        "timezone from rules.quiet_days where quiet_date = ? order by all",
        [moment.send_date],
    )
    _make_moment(connection, moment, zone)


def make_clocks(connection: duckdb.DuckDBPyConnection, send_date: dt.date, zone: ZoneInfo) -> None:
    """The instants of every local minute, day and window the rules ask for, for every zone.

    For the zones of ``_people`` and the business zone. A table of instants keeps daylight saving
    out of the queries: a day of 23 hours is one whose borders lie 23 hours apart.
    """
    query = "select timezone from _people union select $zone order by all"
    zones = [name for (name,) in connection.execute(query, {"zone": zone.key}).fetchall()]
    minutes = {60 * hour for hour in range(24)}
    minutes |= set(
        _column(connection, "select distinct send_minute from _steps where send_minute is not null")
    )
    for name in ("quiet_from", "quiet_until"):
        times = _column(connection, f"select {name} from _channels where {name} is not null")
        minutes |= {minute_of(text) for text in times}
    days = set(_column(connection, "select window_days from _caps union from (select 1)"))
    found: dict[str, list[dict[str, Any]]] = {
        "_zone_days": [], "_zone_minutes": [], "_zone_windows": []
    }  # fmt: skip
    tomorrow = send_date + dt.timedelta(days=1)
    for name in zones:
        local = ZoneInfo(name)
        found["_zone_days"].append(
            {"timezone": name, "day_from_at": local_instant(send_date, 0, local),
             "day_until_at": local_instant(tomorrow, 0, local)}
        )  # fmt: skip
        found["_zone_minutes"] += [
            {"timezone": name, "minute": at, "minute_at": local_instant(send_date, at, local)}
            for at in sorted(minutes)
        ]
        found["_zone_windows"] += [
            {"timezone": name, "window_days": length,
             "from_at": local_instant(send_date - dt.timedelta(days=length - 1), 0, local)}
            for length in sorted(days)
        ]  # fmt: skip
    for table, rows in found.items():
        _fill(connection, table, rows)


def find_hold(
    connection: duckdb.DuckDBPyConnection, journey: JourneySpec, as_of: dt.date
) -> str | None:
    """The rule that holds a journey back because of a score it relies on; None lets it go on.

    Fails closed: a score without checks of this very night holds as well, and what is told of its
    inputs is no check of the score.
    """
    for score in sorted(journey.scores):
        try:
            rows = connection.execute(
                f"select measure, holds_outreach and not is_passed from scores.{score}_checks "
                "where as_of_date = ? and feature is null order by measure",
                [as_of],
            ).fetchall()
        except duckdb.CatalogException:
            rows = []
        if not rows:
            return f"score.{score}.not_checked"
        for measure, stops in rows:
            if stops:
                return f"score.{score}.{measure}"
    return None


def local_instant(day: dt.date, minute: int, zone: ZoneInfo) -> dt.datetime:
    """A local minute of a day as a naive UTC instant; of a repeated one the first."""
    at = dt.time(minute // 60, minute % 60)
    local = dt.datetime.combine(day, at, tzinfo=zone)
    return local.astimezone(dt.UTC).replace(tzinfo=None)


def minute_of(text: str) -> int:
    """``08:30`` → 510."""
    hours, minutes = text.split(":")
    return 60 * int(hours) + int(minutes)


def _step_row(spec: JourneySpec, place: int, step: StepSpec, hold: str | None) -> dict[str, Any]:
    """What holds for a step.

    A message of service is neither held out nor paused by a complaint, unless its YAML says so in
    as many words.
    """
    said = spec.model_fields_set
    is_marketing = spec.purpose == "marketing"
    is_held_out = is_marketing or "holdout_pct" in said
    return {
        "journey": spec.journey,
        "step": step.step,
        "step_place": place,
        "purpose": spec.purpose,
        "message_tag": spec.tag,
        "scene": spec.scene_of(step),
        "delay_hours": step.delay_hours,
        "valid_hours": step.valid_hours,
        "send_minute": None if step.send_at is None else minute_of(step.send_at),
        "holdout_pct": spec.holdout_pct if is_held_out else 0.0,
        "priority": spec.priority,
        "asks_stock": "stock" in spec.checks,
        "asks_price": "price" in spec.checks,
        "ends_on_conversion": spec.exit_on_conversion,
        "pauses_on_complaint": spec.pause_on_complaint
        and (is_marketing or "pause_on_complaint" in said),
        "held_by": hold,
    }


def _make_caps(connection: duckdb.DuckDBPyConnection, journeys: Sequence[JourneySpec]) -> None:
    """The caps of ``seeds/outreach_caps.csv``, then those of the journeys."""
    connection.execute(
        """
        create or replace temp table _caps as
        select
            (row_number() over (order by window_days, cap_id))::integer as cap_place,
            cap_id, null::varchar as journey, consent_channel, message_tag,
            window_days::integer as window_days, max_messages::integer as max_messages
        from rules.outreach_caps
        """
    )
    (known,) = fetch_row(connection, "select count(*) from _caps")
    own: list[tuple[str, CapSpec]] = [(spec.journey, c) for spec in journeys for c in spec.caps]
    rows = [
        {"cap_place": known + at, "journey": journey, **cap.model_dump()}
        for at, (journey, cap) in enumerate(own, start=1)
    ]
    table = pa.Table.from_pylist(rows) if rows else None
    if table is not None:
        connection.register("_own_caps", table)
        connection.execute("insert into _caps by name select * from _own_caps")
        connection.unregister("_own_caps")


def _check_channels(connection: duckdb.DuckDBPyConnection) -> None:
    missing = _column(
        connection,
        "select distinct consent_channel from _step_channels "
        "where consent_channel not in (select consent_channel from _channels) order by all",
    )
    if missing:
        raise OutreachError(
            f"no policy for {', '.join(missing)}",
            where="seeds/channel_policies.csv",
            remedy="add a row with its quiet hours, cost and quota",
        )


def _make_moment(connection: duckdb.DuckDBPyConnection, moment: Moment, zone: ZoneInfo) -> None:
    """The clock, and how fresh what the gates ask about is."""
    (consent_known_at,) = fetch_row(
        connection, "select max(known_at) from ledger.consents where known_at <= ?",
        [moment.decided_at],
    )  # fmt: skip
    try:
        (counted_at,) = fetch_row(
            connection, "select max(counted_at) from activation.outreach_offers"
        )
    except duckdb.CatalogException:
        counted_at = None
    _fill(connection, "_moment", [{
        "as_of": moment.as_of, "run_kind": moment.run_kind, "decided_at": moment.decided_at,
        "send_date": moment.send_date, "consent_known_at": consent_known_at,
        "stock_counted_at": counted_at,
        "send_day_from_at": local_instant(moment.send_date, 0, zone),
        "models_until_at": _models_until(connection, moment, zone),
    }])  # fmt: skip


def _models_until(
    connection: duckdb.DuckDBPyConnection, moment: Moment, zone: ZoneInfo
) -> dt.datetime:
    """From when on the ledger knows more than the models; a build of no known day knows nothing."""
    if moment.is_nightly:
        return local_instant(moment.send_date, 0, zone)
    try:
        (built,) = fetch_row(connection, "select max(as_of_date) from ops.build")
    except duckdb.CatalogException:
        built = None
    if built is None:
        return dt.datetime(1970, 1, 1)  # noqa: DTZ001 - naive UTC, as stored
    return local_instant(built + dt.timedelta(days=1), 0, zone)


def _fill(
    connection: duckdb.DuckDBPyConnection, table: str, rows: Iterable[dict[str, Any]]
) -> None:
    columns = POLICIES[table]
    declared = ", ".join(f"{name} {kind}" for name, kind in columns.items())
    connection.execute(f"create or replace temp table {table} ({declared})")
    values = [[row[name] for name in columns] for row in rows]
    if values:
        marks = ", ".join("?" for _ in columns)
        connection.executemany(f"insert into {table} values ({marks})", values)


def _column(connection: duckdb.DuckDBPyConnection, query: str) -> list[Any]:
    return [value for (value,) in connection.execute(query).fetchall()]
