"""A home between two nights. Add here: builders the tests of triggers share. Not here: tests."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
import sqlalchemy as sa

from crm_pipeline.lib.history import find_slice, read_slice, write_slice
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ledger import open_ledger
from crm_pipeline.lib.ledger.schema import inbox_files, inbox_parts
from crm_pipeline.lib.outreach.decisions import DECISION_SCHEMA
from crm_pipeline.lib.outreach.journey import JourneySpec
from crm_pipeline.lib.outreach.moments import Moment
from crm_pipeline.lib.outreach.tick_run import TickReport, TickRun
from crm_pipeline.lib.outreach.ticks import NIGHTLY_DECISIONS, TICK_DECISIONS, News, find_news
from crm_pipeline.lib.publish import Manifest
from crm_pipeline.lib.warehouse import open_warehouse
from crm_pipeline.lib.warehouse.plan import record_as_of

SHANGHAI = ZoneInfo("Asia/Shanghai")
NIGHT = dt.date(2026, 3, 1)
NOON = dt.datetime(2026, 3, 2, 4)  # noqa: DTZ001 - as stored: 12:00 in Shanghai, the day after
SCHEMA = DECISION_SCHEMA
STEP_KEY = ("customer_id", "journey", "step", "occurrence")


def cart(**changes: Any) -> JourneySpec:
    """A cart journey with a step after one hour and one after a day."""
    values = {
        "journey": "cart",
        "description": "Reminds of a cart.",
        "audience": "activation.cart_audience",
        "trigger": "cart",
        "steps": [
            {"step": "first", "channels": ["email"], "delay_hours": 1},
            {"step": "second", "channels": ["email"], "delay_hours": 24},
        ],
        **changes,
    }
    return JourneySpec.model_validate(values)


def decide_send(
    connection: duckdb.DuckDBPyConnection, journeys: Sequence[JourneySpec], moment: Moment
) -> pa.Table:
    """Every due step of every candidate is sent: only what starts a decision is tested here."""
    rows = []
    for spec in journeys:
        found = connection.execute(
            f"select customer_id, occurrence, triggered_at from {spec.audience}"
        ).fetchall()
        for customer, occurrence, triggered_at in found:
            for step in spec.steps:
                if triggered_at + dt.timedelta(hours=step.delay_hours) > moment.decided_at:
                    continue
                key = (customer, spec.journey, step.step, occurrence)
                name = hashlib.sha256("|".join((*key, str(moment.decided_at))).encode())
                row = {
                    "decision_id": name.hexdigest()[:32],
                    **dict(zip(STEP_KEY, key, strict=True)),
                    "run_kind": moment.run_kind, "outcome": "send", "consent_channel": "email",
                    "contact_token": f"t-{customer}", "planned_send_at": moment.decided_at,
                    "decided_at": moment.decided_at, "as_of_date": moment.as_of,
                }  # fmt: skip
                rows.append({**dict.fromkeys(SCHEMA.names), **row})
    return pa.Table.from_pylist(rows, SCHEMA)


class Between:
    """A home whose last night was ``NIGHT``: published, decided, its warehouse in place."""

    def __init__(self, root: Path, *, night: dt.date = NIGHT) -> None:
        self.home = CrmHome(root).ensure()
        self.ledger = open_ledger(self.home)
        self.carts: list[tuple[str, str, dt.datetime]] = []
        self.runs = 0
        self.night(night)

    def night(self, as_of: dt.date, decided: Sequence[Mapping[str, Any]] = ()) -> None:
        """A whole night: warehouse, decisions, published build."""
        with open_warehouse(self.home.warehouse) as connection:
            record_as_of(connection, as_of, run_id=f"night {as_of}")
        # 02:00 in Shanghai is 18:00 of the same day in UTC.
        at = dt.datetime.combine(as_of, dt.time(18))
        rows = [
            {**dict.fromkeys(SCHEMA.names), "outcome": "send", "decided_at": at, **row}
            for row in decided
        ]
        made = write_slice(
            self.home, self.ledger, table_name=NIGHTLY_DECISIONS, as_of=as_of, reason="test",
            data=pa.Table.from_pylist(rows, SCHEMA),
        )  # fmt: skip
        self.publish(as_of, made.sha256)

    def publish(self, as_of: dt.date, decisions_sha256: str) -> None:
        build = self.home.published / f"b-{as_of}"
        build.mkdir(exist_ok=True)
        told = Manifest(
            build_id=f"b-{as_of}", as_of=as_of, created_at=NOON, input_file_count=0,
            input_files_sha256="", versions={NIGHTLY_DECISIONS: decisions_sha256}, build_dir=build,
        )  # fmt: skip
        (build / "manifest.json").write_text(told.to_json())
        link = self.home.published / "current"
        link.unlink(missing_ok=True)
        link.symlink_to(build.name)

    def deliver(
        self, entity: str, content: str, *, state: str = "active", feed: str = "app"
    ) -> None:
        """A file of an entity at the door, taken or refused."""
        sha = hashlib.sha256(content.encode()).hexdigest()
        with self.ledger.begin() as connection:
            connection.execute(sa.insert(inbox_files).values(
                feed=feed, channel=feed, entity=entity, file_sha256=sha, file_name="f",
                size_bytes=1, received_at=NOON,
            ))  # fmt: skip
            connection.execute(sa.insert(inbox_parts).values(
                feed=feed, file_sha256=sha, contract_hash="c1", state=state, received_count=0,
                written_count=0, quarantined_count=0,
            ))  # fmt: skip

    def put_in_cart(self, customer: str, at: dt.datetime, day: str = "d1") -> None:
        self.carts.append((customer, day, at))
        self.deliver("events", f"{customer} {day} {at}")

    def build(self, copy: Path, as_of: dt.date, journeys: Sequence[JourneySpec]) -> dict[str, str]:
        """Makes the audiences in the copy, as dbt would."""
        with open_warehouse(copy) as connection:
            connection.execute("create schema if not exists activation")
            for spec in journeys:
                connection.execute(
                    f"create or replace table {spec.audience} "
                    "(customer_id varchar, occurrence varchar, triggered_at timestamp)"
                )
                for row in self.carts:
                    connection.execute(f"insert into {spec.audience} values (?, ?, ?)", list(row))
        return {}

    def tick(
        self, now: dt.datetime = NOON, *specs: JourneySpec, trigger: str = "cart", **parts: Any
    ) -> TickReport:
        """Runs a tick as the job does."""
        self.runs += 1
        run = TickRun(
            home=self.home, ledger=self.ledger, trigger=trigger, journeys=specs or (cart(),),
            zone=SHANGHAI, **{"build": self.build, "decide": decide_send, **parts},
        )  # fmt: skip
        return run.run(lambda: now, run_id=f"run{self.runs:05d}", wait_seconds=0)

    def news(self, now: dt.datetime = NOON, trigger: str = "cart") -> str:
        """Why the sensor would ask now, or why not."""
        found = find_news(self.home, self.ledger, trigger, now=now, zone=SHANGHAI)
        return found.reason if isinstance(found, News) else found

    def decided(self, as_of: dt.date = NIGHT + dt.timedelta(days=1)) -> list[tuple[Any, ...]]:
        """Customer, step, occurrence of every decision of the day's ticks, in their order."""
        with self.ledger.connect() as connection:
            part = find_slice(self.home, connection, TICK_DECISIONS, as_of)
        if part is None:
            return []
        rows = read_slice(part).to_pylist()
        return [(row["customer_id"], row["step"], row["occurrence"]) for row in rows]
