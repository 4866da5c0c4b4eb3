"""Decisions between the nights, on a copy of the warehouse.

Add here: what a trigger's run does, in its order.
Not here: what starts it (``ticks``), which rules decide (``decisions``), how dbt is called.

The copy is thrown away: the warehouse, its stepped tables and the published build are those of
the last night, byte for byte. No id is minted: a customer whose account identity has not seen yet
waits for the night.
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
import sqlalchemy as sa

from crm_pipeline.lib.errors import CrmError, OutreachError
from crm_pipeline.lib.failpoints import failpoint
from crm_pipeline.lib.history import Slice, active_slices, find_slice, read_slice, write_slice
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ingestion.entities import empty_relations
from crm_pipeline.lib.outreach.decisions import DECISION_SCHEMA
from crm_pipeline.lib.outreach.journey import JourneySpec
from crm_pipeline.lib.outreach.moments import Moment, tick_of
from crm_pipeline.lib.outreach.ticks import (
    NIGHTLY_DECISIONS,
    TICK_DECISIONS,
    Facts,
    Tick,
    find_base,
    name_tick,
    read_facts,
    save_tick,
)
from crm_pipeline.lib.publish.manifest import Manifest
from crm_pipeline.lib.warehouse import (
    create_source_views,
    export_snapshot,
    hold_lease,
    open_warehouse,
)
from crm_pipeline.lib.warehouse.plan import SCRATCH, read_as_of

# Builds the audiences in the copy as of a day; returns those that failed and why.
Build = Callable[[Path, dt.date, Sequence[JourneySpec]], Mapping[str, str]]
Decide = Callable[[duckdb.DuckDBPyConnection, Sequence[JourneySpec], Moment], pa.Table]
SNAPSHOT = "snapshot"  # beside the copy: the nights' own are not crowded out
STEP = ("journey", "step", "customer_id", "occurrence")


@dataclass(frozen=True)
class TickReport:
    """What a tick came to: its row, its decisions by outcome, and journeys that failed."""

    tick: Tick
    outcomes: Mapping[str, int]
    failed: Mapping[str, str]


@dataclass(frozen=True)
class TickRun:
    """Decides for the journeys of one trigger, once.

    Attributes:
        home: the home.
        ledger: its ledger.
        trigger: kind of the trigger.
        journeys: all journeys with that trigger.
        zone: business time zone.
        build: makes the audiences in the copy.
        decide: gives every candidate its outcome.
    """

    home: CrmHome
    ledger: sa.Engine
    trigger: str
    journeys: Sequence[JourneySpec]
    zone: ZoneInfo
    build: Build
    decide: Decide

    def run(
        self, clock: Callable[[], dt.datetime], *, run_id: str, wait_seconds: float
    ) -> TickReport:
        """Takes the lease, copies, builds, decides and records.

        A journey that fails is left out and named; the others are decided.

        Raises:
            OutreachError: there is no build to stand on, or no journey could be decided.
            WarehouseError: a night still builds after ``wait_seconds``.
        """
        with hold_lease(self.home, holder=f"run {run_id}", wait_seconds=wait_seconds):
            # The clock after the lease: a run that waited decides for the moment it begins.
            now = clock()
            base = self._base(now)
            facts = read_facts(self.ledger, self.trigger)  # before the snapshot, which may see more
            moment = tick_of(now.replace(tzinfo=dt.UTC), self.trigger, self.zone)
            with scratch_copy(self.home, run_id) as copy:
                failed = dict(self._build(copy, moment))
                able = [spec for spec in self.journeys if spec.journey not in failed]
                made, next_due_at = self._decide(copy, able, moment, base, failed)
            tick = self._record(made, moment, base, facts, next_due_at)
        outcomes: dict[str, int] = {}
        for outcome in made.column("outcome").to_pylist():
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
        return TickReport(tick, dict(sorted(outcomes.items())), failed)

    def _base(self, now: dt.datetime) -> Manifest:
        base = find_base(self.home, self.ledger, now=now, zone=self.zone)
        remedy = "run the nightly job to its end first"
        if isinstance(base, str):
            raise OutreachError(base, where=f"trigger {self.trigger}", remedy=remedy)
        if read_as_of(self.home.warehouse) != base.as_of:
            raise OutreachError(
                "the warehouse is not that of the published build",
                where=str(self.home.warehouse),
                remedy=remedy,
            )
        return base

    def _build(self, copy: Path, moment: Moment) -> Mapping[str, str]:
        snapshot = export_snapshot(self.ledger, copy.parent / SNAPSHOT)
        with open_warehouse(copy) as connection:
            create_source_views(connection, self.home, snapshot, empty_relations())
        failed = self.build(copy, moment.as_of, self.journeys)
        failpoint("tick_built")
        return failed

    def _decide(
        self,
        copy: Path,
        journeys: Sequence[JourneySpec],
        moment: Moment,
        base: Manifest,
        failed: dict[str, str],
    ) -> tuple[pa.Table, dt.datetime | None]:
        with open_warehouse(copy) as connection:
            _make_decided(connection, self.home, self.ledger, base)
            _count_planned(connection, copy.parent / SNAPSHOT)
            due = [_keep_news(connection, spec, moment.decided_at) for spec in journeys]
            made = _without_failing(connection, journeys, moment, self.decide, failed)
            connection.register("_made", made)
            fresh = connection.sql(
                f"select * from _made anti join _decided using ({', '.join(STEP)}) "
                "order by decision_id"
            ).to_arrow_table()
        failpoint("tick_decided")
        return fresh.cast(made.schema), min((day for day in due if day is not None), default=None)

    def _record(
        self,
        made: pa.Table,
        moment: Moment,
        base: Manifest,
        facts: Facts,
        next_due_at: dt.datetime | None,
    ) -> Tick:
        """Decisions and tick in one transaction: a tick on record never lacks its decisions."""
        with self.ledger.connect() as connection:
            before = find_slice(self.home, connection, TICK_DECISIONS, moment.as_of)
        earlier = made.schema.empty_table() if before is None else read_slice(before)
        day = pa.concat_tables([earlier.cast(made.schema), made])
        saved: list[Tick] = []

        def save(connection: sa.Connection, written: Slice) -> None:
            saved.append(
                Tick(
                    name_tick(self.trigger, moment.decided_at, facts, base.build_id),
                    self.trigger,
                    moment.as_of,
                    moment.decided_at,
                    facts.newest_inbox_seq,
                    facts.sha256,
                    base.build_id,
                    next_due_at,
                    written.sha256,
                    made.num_rows,
                )
            )
            save_tick(connection, saved[-1])

        write_slice(
            self.home,
            self.ledger,
            table_name=TICK_DECISIONS,
            as_of=moment.as_of,
            data=day.sort_by([("decided_at", "ascending"), ("decision_id", "ascending")]),
            reason=f"trigger {self.trigger}",
            also=save,
        )
        failpoint("tick_recorded")
        return saved[-1]


@contextmanager
def scratch_copy(home: CrmHome, run_id: str) -> Iterator[Path]:
    """A copy of the warehouse under its own name, because its views name the database by it."""
    folder = home.warehouse_dir / SCRATCH / f"tick_{run_id[:8]}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        for suffix in ("", ".wal"):  # what DuckDB has not yet moved into the file itself
            source = home.warehouse.with_name(home.warehouse.name + suffix)
            if source.exists():
                shutil.copyfile(source, folder / source.name)
        failpoint("tick_copied")
        yield folder / home.warehouse.name
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _make_decided(
    connection: duckdb.DuckDBPyConnection, home: CrmHome, ledger: sa.Engine, base: Manifest
) -> None:
    """What was decided since the last night began: it is not decided again before the next.

    Also what was held or refused: the night asks again, with all its rules and all journeys.
    """
    with ledger.connect() as found:
        night = find_slice(home, found, NIGHTLY_DECISIONS, base.as_of)
        ticks = [part for part in active_slices(home, found, TICK_DECISIONS)
                 if part.as_of_date >= base.as_of]  # fmt: skip
    connection.register("_none", DECISION_SCHEMA.empty_table())
    connection.execute("create or replace temp table _decided as select * from _none")
    for part in [night, *ticks] if night is not None else []:
        # An older release may have decided the night: what its slice lacks stays null.
        table = read_slice(part)
        kept = table.select([name for name in DECISION_SCHEMA.names if name in table.column_names])
        connection.register("_slice", kept)
        connection.execute(
            "insert into _decided by name select * from _slice where decided_at >= "
            "coalesce((select max(decided_at) from _decided where as_of_date = ? "
            "and coalesce(run_kind, 'nightly') = 'nightly'), timestamp '-infinity')",
            [base.as_of],
        )


def _count_planned(connection: duckdb.DuckDBPyConnection, snapshot: Path) -> None:
    """Lets caps count what is to be sent and not claimed yet: the night's messages leave by day.

    Also what nobody has approved so far: when in doubt a tick writes to fewer people.
    """
    claims = "'" + str(snapshot / "claims.parquet").replace("'", "''") + "'"
    connection.execute(
        """
        create or replace table ledger.planned_messages as
        select
            decision_id as claim_id, decision_id, contact_token, customer_id as person_id,
            journey, step, occurrence, consent_channel, purpose, message_tag, content_id,
            content_version, planned_send_at, 'planned' as state, decided_at as claimed_at,
            as_of_date, run_kind
        from _decided
        where outcome = 'send' and decision_id not in (select decision_id from ledger.claims)
            and contact_token is not null and planned_send_at is not null
        """
    )
    connection.execute(
        f"create or replace view ledger.claims as select * from read_parquet({claims}) "
        "union all by name select * from ledger.planned_messages"
    )


def _keep_news(
    connection: duckdb.DuckDBPyConnection, journey: JourneySpec, now: dt.datetime
) -> dt.datetime | None:
    """Leaves in the audience who has a due step nobody decided; returns when the next falls due.

    The audience is that of the copy, so nothing is lost with the rows that go.
    """
    connection.execute("create or replace temp table _steps (step varchar, delay_hours integer)")
    steps = [(step.step, step.delay_hours) for step in journey.steps]
    connection.executemany("insert into _steps values (?, ?)", steps)
    due = "a.triggered_at + to_hours(s.delay_hours)"
    ((next_due_at,),) = connection.execute(
        f"select min({due}) from {journey.audience} as a cross join _steps as s where {due} > ?",
        [now],
    ).fetchall()
    connection.execute(
        f"""
        create or replace table {journey.audience} as
        select * from {journey.audience} as a
        where exists (
            select 1 from _steps as s
            where {due} <= ? and not exists (
                select 1 from _decided as d
                where d.journey = ? and d.step = s.step and d.customer_id = a.customer_id
                    and d.occurrence = a.occurrence
            )
        )
        """,
        [now, journey.journey],
    )
    moment: dt.datetime | None = next_due_at
    return moment


def _without_failing(
    connection: duckdb.DuckDBPyConnection,
    journeys: Sequence[JourneySpec],
    moment: Moment,
    decide: Decide,
    failed: dict[str, str],
) -> pa.Table:
    """Decides all together; when that fails, without those that fail by themselves."""
    try:
        return decide(connection, journeys, moment)
    except (CrmError, duckdb.Error):
        for journey in journeys:
            try:
                decide(connection, [journey], moment)
            except CrmError as error:
                failed[journey.journey] = str(error)
            except duckdb.Error as error:
                # Its words may quote a cell, and what fails is shown in Dagster.
                failed[journey.journey] = f"the database said {type(error).__name__}"
        rest = [spec for spec in journeys if spec.journey not in failed]
        if len(rest) in (0, len(journeys)):
            raise
        return decide(connection, rest, moment)
