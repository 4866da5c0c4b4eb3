"""One outcome for every candidate.

Add here: rules that stop a message before it is planned, in their order.
Not here: who is a candidate (dbt ``activation``), claiming and writing (``batch``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa

from crm_pipeline.lib.errors import OutreachError
from crm_pipeline.lib.outreach.journey import CapSpec, JourneySpec, StepSpec
from crm_pipeline.lib.warehouse.connection import fetch_row

DECIDED_HOUR = 2  # the nightly run's logical hour, the night after as_of
SEND_HOUR = 10
QUIET_FROM_HOUR, QUIET_UNTIL_HOUR = 22, 8

AUDIENCE_COLUMNS = {
    "customer_id": "varchar",
    "occurrence": "varchar",
    "purpose": "varchar",
    "consent_channel": "varchar",
    "contact_token": "varchar",
    "contact_mask": "varchar",
    "has_consent": "boolean",
}
DECISION_SCHEMA = pa.schema(
    [
        ("decision_id", pa.string()),
        ("customer_id", pa.string()),
        ("journey", pa.string()),
        ("step", pa.string()),
        ("occurrence", pa.string()),
        ("outcome", pa.string()),
        ("rule_id", pa.string()),
        ("consent_channel", pa.string()),
        ("contact_token", pa.string()),
        ("contact_mask", pa.string()),
        ("purpose", pa.string()),
        ("content_id", pa.string()),
        ("planned_send_at", pa.timestamp("us")),
        ("valid_until", pa.timestamp("us")),
        ("decided_at", pa.timestamp("us")),
        ("as_of_date", pa.date32()),
        ("evidence", pa.string()),
    ]
)


def decide_all(
    connection: duckdb.DuckDBPyConnection,
    journeys: Sequence[JourneySpec],
    *,
    as_of: dt.date,
    zone: ZoneInfo,
    salt: str,
) -> pa.Table:
    """Decides for all journeys of a night under common caps; the more important journey first.

    The caps come from the warehouse's ``rules.outreach_caps`` (a seed). A journey's sends count
    for the caps of the journeys after it.
    """
    caps = read_caps(connection)
    decided = DECISION_SCHEMA.empty_table()
    for journey in sorted(journeys, key=lambda spec: (-spec.priority, spec.journey)):
        found = decide(
            connection, journey, as_of=as_of, zone=zone, salt=salt, caps=caps, decided=decided
        )
        decided = pa.concat_tables([decided, found])
    return decided.sort_by("decision_id").combine_chunks()


def decide(
    connection: duckdb.DuckDBPyConnection,
    journey: JourneySpec,
    *,
    as_of: dt.date,
    zone: ZoneInfo,
    salt: str,
    caps: Sequence[CapSpec] = (),
    decided: pa.Table | None = None,
) -> pa.Table:
    """Gives every candidate of a journey exactly one outcome.

    In this order: no_consent, duplicate, held, holdout, capped, expired, send. The clock is the
    night after ``as_of``, so that deciding a past day again gives the same bytes. *held*: a score
    the audience relies on may not be acted on tonight; before the holdout, because a night on which
    nobody is written to tells nothing of the effect.

    Args:
        connection: the open warehouse with the audience and the sources ``ledger`` and ``history``.
        journey: the journey.
        as_of: business date of the run.
        zone: business time zone.
        salt: secret of the holdout draw.
        caps: caps for all journeys; the journey's own are added.
        decided: what more important journeys decided this night.

    Raises:
        OutreachError: the audience lacks a column, or repeats a candidate.
    """
    night = _Night(as_of, zone)
    _make_claims(connection)
    _make_candidates(connection, journey)
    connection.register("_decided", DECISION_SCHEMA.empty_table() if decided is None else decided)
    try:
        _make_messages(connection, journey, night)
        _make_checked(connection, journey, night, salt, find_hold(connection, journey, as_of))
        _make_capped(connection, [*caps, *journey.caps], journey, night)
        table = _outcomes(connection, journey, night)
        _check_complete(connection, journey, table)
    finally:
        connection.unregister("_decided")
        for name in ("_claims", "_candidates", "_messages", "_checked", "_capped"):
            connection.execute(f"drop table if exists temp.{name}")
    return table


def read_caps(connection: duckdb.DuckDBPyConnection) -> list[CapSpec]:
    """The caps of ``seeds/outreach_caps.csv`` as dbt loaded them; none before it did."""
    try:
        rows = connection.execute(
            "select cap_id, consent_channel, window_days, max_messages "
            "from rules.outreach_caps order by cap_id"
        ).fetchall()
    except duckdb.CatalogException:
        return []
    fields = ("cap_id", "consent_channel", "window_days", "max_messages")
    return [CapSpec(**dict(zip(fields, row, strict=True))) for row in rows]


class _Night:
    """The moments of one night, as naive UTC instants."""

    def __init__(self, as_of: dt.date, zone: ZoneInfo) -> None:
        self.as_of = as_of
        self.zone = zone
        self.send_date = as_of + dt.timedelta(days=1)
        assert QUIET_UNTIL_HOUR <= SEND_HOUR < QUIET_FROM_HOUR
        self.decided_at = self.local(self.send_date, DECIDED_HOUR)
        self.planned_at = self.local(self.send_date, SEND_HOUR)

    def local(self, day: dt.date, hour: int) -> dt.datetime:
        """A local hour as naive UTC."""
        moment = dt.datetime.combine(day, dt.time(hour), tzinfo=self.zone)
        return moment.astimezone(dt.UTC).replace(tzinfo=None)

    def valid_until(self, days: int) -> dt.datetime:
        """The same local hour some days later."""
        return self.local(self.send_date + dt.timedelta(days=days), SEND_HOUR)


# A claim is of a customer as of its night. It counts for every customer who now holds an account
# that was that customer's then: a merge or a split makes nobody new to a journey or to a cap.
_CLAIMS = """
create or replace temp table _claims as
with former_ids as (
    select
        channel, source_customer_id, from_customer_id, as_of_date as last_night,
        lag(as_of_date) over (partition by channel, source_customer_id order by version)
            as night_before
    from identity.customer_id_changes
),
persons as (
    select c.claim_id, a.customer_id
    from ledger.claims as c
    inner join former_ids as h
        on c.person_id = h.from_customer_id
        and coalesce(c.as_of_date <= h.last_night, true)
        and coalesce(c.as_of_date > h.night_before, true)
    inner join identity.customer_accounts as a
        on h.channel = a.channel and h.source_customer_id = a.source_customer_id
    union
    select claim_id, person_id from ledger.claims
)
select
    c.claim_id, c.decision_id, c.contact_token, c.journey, c.step, c.occurrence, c.state,
    c.as_of_date, p.customer_id
from ledger.claims as c
inner join persons as p on c.claim_id = p.claim_id
"""


def _make_claims(connection: duckdb.DuckDBPyConnection) -> None:
    """The claims by the customers of today; one of a customer who parted counts for each part."""
    connection.execute(_CLAIMS)


def _make_candidates(connection: duckdb.DuckDBPyConnection, journey: JourneySpec) -> None:
    """The audience, in the shape every journey shares."""
    found = _columns_of(connection, journey.audience)
    missing = [name for name in AUDIENCE_COLUMNS if name not in found]
    if missing:
        raise OutreachError(
            f"the audience lacks {', '.join(missing)}",
            where=journey.audience,
            remedy="add the columns to the model (see docs on audiences)",
        )
    casts = ", ".join(f"{name}::{kind} as {name}" for name, kind in AUDIENCE_COLUMNS.items())
    expiry = "expires_on::date" if "expires_on" in found else "null::date"
    connection.execute(
        f"create or replace temp table _candidates as "
        f"select {casts}, {expiry} as expires_on from {journey.audience}"
    )
    if journey.re_entry == "never":
        connection.execute("update _candidates set occurrence = 'once'")
    rows, candidates, nameless = fetch_row(
        connection,
        """
        select count(*), count(distinct (customer_id, occurrence)),
            count(*) filter (where customer_id is null or occurrence is null)
        from _candidates
        """,
    )
    if rows != candidates or nameless:
        raise OutreachError(
            f"the audience repeats a candidate ({rows} rows, {candidates} candidates) or "
            f"has {nameless} without customer or occurrence",
            where=journey.audience,
            remedy="its grain is one row per customer and occurrence",
        )


def _make_messages(
    connection: duckdb.DuckDBPyConnection, journey: JourneySpec, night: _Night
) -> None:
    """Candidates × steps that are due, each with its decision id."""
    connection.execute("drop table if exists temp._messages")
    for place, step in enumerate(journey.steps):
        before = journey.steps[place - 1] if place else None
        head = "insert into _messages" if place else "create temp table _messages as"
        query, parameters = _message_query(journey, step, before, place, night)
        connection.execute(f"{head} {query}", parameters)


def _message_query(
    journey: JourneySpec, step: StepSpec, before: StepSpec | None, place: int, night: _Night
) -> tuple[str, dict[str, object]]:
    parameters: dict[str, object] = {
        "journey": journey.journey,
        "step": step.step,
        "channel": step.channel,
        "content": step.content_id,
        "as_of": night.as_of,
        "place": place,
    }
    due = ""
    if before is not None:
        # A step's clock starts with the night in which the message before it went out.
        parameters |= {
            "before": before.step,
            "sent_by": night.as_of - dt.timedelta(days=max(1, step.delay_days)),
        }
        due = """
        where exists (
            select 1 from _claims as c
            where c.customer_id = a.customer_id and c.journey = $journey and c.step = $before
                and c.occurrence = a.occurrence and c.state = 'sent' and c.as_of_date <= $sent_by
        )
        """
    query = f"""
        select
            left(sha256(concat_ws(
                chr(31), $journey, $step, a.customer_id, a.occurrence, $as_of::date::varchar
            )), 32) as decision_id,
            a.*,
            $step as step,
            $channel as step_channel,
            $content as content_id,
            $place::integer as step_place
        from _candidates as a
        {due}
    """
    return query, parameters


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


def _make_checked(
    connection: duckdb.DuckDBPyConnection,
    journey: JourneySpec,
    night: _Night,
    salt: str,
    hold: str | None,
) -> None:
    """What stops each message before the caps: no consent, an earlier claim, a score, the holdout.

    Only claims of earlier nights count: what this night itself claimed must not change its own
    decisions when they are made again.
    """
    connection.execute(
        """
        create or replace temp table _checked as
        with last_words as (
            select m.decision_id, c.is_granted, c.occurred_at
            from _messages as m
            inner join ledger.consents as c
                on c.contact_token = m.contact_token
                and (
                    (c.purpose = $purpose and c.consent_channel = m.step_channel)
                    or (
                        not c.is_granted
                        and c.purpose in ($purpose, '*')
                        and c.consent_channel in (m.step_channel, '*')
                    )
                )
            qualify row_number() over (
                partition by m.decision_id order by c.occurred_at desc, c.is_granted, c.event_id
            ) = 1
        ),
        claimed as (
            select m.decision_id, bool_or(c.customer_id = m.customer_id) as by_person
            from _messages as m
            inner join _claims as c
                on c.journey = $journey and c.step = m.step and c.occurrence = m.occurrence
                and c.as_of_date < $as_of
                and (c.contact_token = m.contact_token or c.customer_id = m.customer_id)
            group by m.decision_id
        ),
        draws as (
            select decision_id, (
                '0x' || left(sha256(concat_ws('|', $salt, $journey, customer_id)), 13)
            )::bigint / (1::bigint << 52) as draw
            from _messages
        )
        select
            m.*,
            w.is_granted,
            w.occurred_at as consent_at,
            d.draw,
            case
                when m.contact_token is null then 'consent.no_contact'
                when contains(m.contact_token, 'x_') then 'consent.unusable_contact'
                when m.consent_channel is distinct from m.step_channel then 'consent.other_channel'
                when m.purpose is distinct from $purpose then 'consent.other_purpose'
                when w.is_granted is null then 'consent.never_given'
                when not w.is_granted then 'consent.withdrawn'
                when not coalesce(m.has_consent, false) then 'consent.not_usable'
            end as no_consent,
            case
                when c.by_person then 'claim.person'
                when not c.by_person then 'claim.contact'
                when row_number() over (
                    partition by m.step, m.occurrence, m.contact_token order by m.decision_id
                ) > 1 then 'claim.shared_contact'
            end as duplicate,
            $hold::varchar as held,
            case when d.draw < $holdout then 'holdout.journey' end as holdout
        from _messages as m
        left join last_words as w on m.decision_id = w.decision_id
        left join claimed as c on m.decision_id = c.decision_id
        left join draws as d on m.decision_id = d.decision_id
        """,
        {
            "purpose": journey.purpose,
            "journey": journey.journey,
            "salt": salt,
            "holdout": journey.holdout_pct / 100,
            "hold": hold,
            "as_of": night.as_of,
        },
    )


def _make_capped(
    connection: duckdb.DuckDBPyConnection,
    caps: Sequence[CapSpec],
    journey: JourneySpec,
    night: _Night,
) -> None:
    """Which messages a cap stops, cap by cap; a message one cap stops takes no room in the next."""
    connection.execute(
        "create or replace temp table _capped "
        "(decision_id varchar, rule_id varchar, counted bigint, allowed bigint)"
    )
    if journey.purpose != "marketing":
        return
    for cap in caps:
        for scope, who in (("person", "customer_id"), ("contact", "contact_token")):
            connection.execute(
                _cap_query(who),
                {
                    "rule": f"cap.{cap.cap_id}.{scope}",
                    "channel": cap.consent_channel,
                    "allowed": cap.max_messages,
                    # The window ends on the day of sending, one day after its as_of.
                    "first_night": night.as_of - dt.timedelta(days=cap.window_days - 1),
                    "as_of": night.as_of,
                },
            )


def _cap_query(who: str) -> str:
    return f"""
        insert into _capped
        with open_messages as (
            select * from _checked as m
            where coalesce(no_consent, duplicate, held, holdout) is null
                and $channel in ('all', step_channel)
                and not exists (select 1 from _capped as k where k.decision_id = m.decision_id)
        ),
        taken as (
            select c.{who} as who
            from (select distinct claim_id, {who}, decision_id, state, as_of_date from _claims) as c
            left join history.outreach_decisions as h on c.decision_id = h.decision_id
            where c.state <> 'failed'
                and c.as_of_date >= $first_night and c.as_of_date < $as_of
                and coalesce(h.purpose, 'marketing') = 'marketing'
                and ($channel = 'all' or coalesce(h.consent_channel, $channel) = $channel)
            union all
            select {who} from _decided
            where outcome = 'send' and purpose = 'marketing'
                and $channel in ('all', consent_channel)
        ),
        counted as (
            select
                m.decision_id,
                coalesce(t.taken_count, 0) + row_number() over (
                    partition by m.{who} order by m.step_place, m.decision_id
                ) - 1 as counted
            from open_messages as m
            left join (select who, count(*) as taken_count from taken group by who) as t
                on m.{who} = t.who
        )
        select decision_id, $rule, counted, $allowed::bigint from counted
        where counted >= $allowed
    """


def _outcomes(
    connection: duckdb.DuckDBPyConnection, journey: JourneySpec, night: _Night
) -> pa.Table:
    """The decisions, ordered by id, in the columns of the history."""
    table = connection.sql(
        """
        select
            m.decision_id,
            m.customer_id,
            $journey as journey,
            m.step,
            m.occurrence,
            case
                when no_consent is not null then 'no_consent'
                when duplicate is not null then 'duplicate'
                when held is not null then 'held'
                when holdout is not null then 'holdout'
                when k.rule_id is not null then 'capped'
                when m.expires_on < $send_date then 'expired'
                else 'send'
            end as outcome,
            coalesce(
                no_consent, duplicate, held, holdout, k.rule_id,
                case when m.expires_on < $send_date then 'trigger.expired' end, 'send.allowed'
            ) as rule_id,
            m.step_channel as consent_channel,
            m.contact_token,
            m.contact_mask,
            $purpose as purpose,
            m.content_id,
            $planned_at::timestamp as planned_send_at,
            $valid_until::timestamp as valid_until,
            $decided_at::timestamp as decided_at,
            $as_of::date as as_of_date,
            to_json({
                'has_consent': m.has_consent,
                'is_granted': m.is_granted,
                'consent_at': m.consent_at,
                'holdout_draw': round(m.draw, 6),
                'holdout_pct': $holdout_pct::double,
                'cap_counted': k.counted,
                'cap_allowed': k.allowed,
                'expires_on': m.expires_on,
                'priority': $priority::integer
            })::varchar as evidence
        from _checked as m
        left join _capped as k on m.decision_id = k.decision_id
        order by m.decision_id
        """,
        params={
            "journey": journey.journey,
            "purpose": journey.purpose,
            "send_date": night.send_date,
            "planned_at": night.planned_at,
            "valid_until": night.valid_until(journey.validity_days),
            "decided_at": night.decided_at,
            "as_of": night.as_of,
            "holdout_pct": journey.holdout_pct,
            "priority": journey.priority,
        },
    ).to_arrow_table()
    return pa.table(table).cast(DECISION_SCHEMA).combine_chunks()


def _check_complete(
    connection: duckdb.DuckDBPyConnection, journey: JourneySpec, table: pa.Table
) -> None:
    """Candidates in, outcomes out: the same number, each with an id of its own."""
    (candidates,) = fetch_row(connection, "select count(*) from _messages")
    distinct = len(table.column("decision_id").unique())
    if not candidates == table.num_rows == distinct:
        raise OutreachError(
            f"{candidates} candidates but {table.num_rows} outcomes, {distinct} of them distinct",
            where=f"journey {journey.journey}",
            remedy="this is a defect in lib/outreach/decisions.py; nothing is sent",
        )


def _columns_of(connection: duckdb.DuckDBPyConnection, address: str) -> set[str]:
    schema, name = address.split(".")
    rows = connection.execute(
        "select column_name from information_schema.columns where table_schema = ? "
        "and table_name = ? and table_catalog = current_database()",
        [schema, name],
    ).fetchall()
    return {column for (column,) in rows}
