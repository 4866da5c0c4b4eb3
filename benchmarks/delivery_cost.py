"""What claiming and delivering messages by file costs beside the bare inserts and the bare file.

Add here: what the way from an approved batch to a file costs. Not here: what deciding costs.

Run: ``python -m benchmarks.delivery_cost --messages 100000``.

One side releases an approved batch: plan, consent, both keys, claims, addresses, file, record. The
other inserts the same rows into the ledger's two tables, with the same keys and indexes, and writes
the same rows with Python's own CSV writer. Both are measured in turns in one process; a figure is
the median of its turns. Ratios are of CPU time, which moves little when others use the machine.
Nothing here asserts a time; only a message that did not arrive is a failure.
"""

from __future__ import annotations

import argparse
import csv
import datetime as dt
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import sqlalchemy as sa

from crm_pipeline.lib.history import write_slice
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.identity import assign_customer_ids
from crm_pipeline.lib.ledger import open_ledger, open_vault
from crm_pipeline.lib.ledger.schema import claims, consents, deliveries, vault
from crm_pipeline.lib.outreach.adapters.file import COLUMNS
from crm_pipeline.lib.outreach.journey import JourneySpec
from crm_pipeline.lib.outreach.life import approve
from crm_pipeline.lib.outreach.operators import Operators
from crm_pipeline.lib.outreach.plan import Batch, plan_batches
from crm_pipeline.lib.outreach.preview import preview_batch
from crm_pipeline.lib.outreach.release import Rules, release_batch

TARGET = 3.0
FIRST_DAY = dt.date(2026, 7, 1)
KEY = b"benchmark-only-id-key-0123456789"
QUIET = (dt.time(22), dt.time(8))
JOURNEY = JourneySpec.model_validate(
    {
        "journey": "bench", "description": "A benchmark.", "canary_pct": 100,
        "audience": "activation.bench_audience", "steps": [{"step": "s", "channels": ["email"]}],
    }
)  # fmt: skip


def main() -> int:
    """Measures and prints; returns 1 when a message did not arrive."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.delivery_cost", description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000, help="[default: 100,000]")
    parser.add_argument("--turns", type=int, default=3, help="[default: 3]")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="crm-delivery-") as folder:
        world = _World(Path(folder) / "ours", options.messages)
        bare = CrmHome(Path(folder) / "bare").ensure()
        bare_ledger = open_ledger(bare)
        ours, theirs = [], []
        for turn in range(options.turns):
            batch = world.approve(turn)
            ours.append(_measure(lambda: world.release(batch)))  # noqa: B023 - called at once
            rows = world.read(batch)
            if len(rows[0]) != options.messages:
                print(f"{len(rows[0]):,} of {options.messages:,} messages were delivered")
                return 1
            target = bare.outbox / f"{turn}.csv"
            theirs.append(_measure(lambda: _write_bare(bare_ledger, target, rows)))  # noqa: B023
    _tell(options.messages, ours, theirs)
    return 0


class _World:
    """People who agreed, and a batch to all of them for every turn."""

    def __init__(self, root: Path, people: int) -> None:
        self.home = CrmHome(root).ensure()
        self.ledger, self.vault = open_ledger(self.home), open_vault(self.home)
        sources = [f"{number:07}" for number in range(people)]
        accounts = pa.table({"channel": ["shop"] * people, "source_customer_id": sources})
        ids = assign_customer_ids(self.home, self.ledger, accounts, key=KEY, as_of=FIRST_DAY)
        self.people = ids.column("customer_id").to_pylist()
        self.tokens = [f"t{source}" for source in ids.column("source_customer_id").to_pylist()]
        moment = dt.datetime(2026, 1, 1)  # noqa: DTZ001 - as stored
        said = [
            {
                "event_id": token, "channel": "shop", "source_customer_id": token[1:],
                "contact_kind": "email", "contact_token": token, "contact_mask": "p***",
                "purpose": "marketing", "consent_channel": "email", "is_granted": True,
                "occurred_at": moment, "known_at": moment, "feed": "f", "file_sha256": "f",
            }
            for token in self.tokens
        ]  # fmt: skip
        known = [
            {"token": token, "kind": "email", "clear_value": f"{token}@example.org",
             "mask": "p***", "key_id": "k1"}
            for token in self.tokens
        ]  # fmt: skip
        with self.ledger.begin() as connection:
            connection.execute(sa.insert(consents), said)
        with self.vault.begin() as connection:
            connection.execute(sa.insert(vault), known)

    def approve(self, turn: int) -> Batch:
        """A batch to everybody, of another night in every turn."""
        day = FIRST_DAY + dt.timedelta(days=turn)
        now = dt.datetime.combine(day, dt.time(3))
        write_slice(self.home, self.ledger, table_name="outreach_decisions", as_of=day,
                    data=self._decide(day, now), reason="benchmark")  # fmt: skip
        (batch,) = plan_batches(self.home, self.ledger, JOURNEY, as_of=day, render=_render, now=now,
                                planned_by="schedule")  # fmt: skip
        preview_batch(self.home, self.ledger, batch, now=now, actor="li")
        who = Operators("li", ("li",))
        return approve(self.home, self.ledger, batch.batch_id, who, now=now)

    def release(self, batch: Batch) -> None:
        """What is measured."""
        release_batch(
            self.home, self.ledger, self.vault, batch.batch_id,
            environment={"CRM_DELIVERY": "live"},
            rules=Rules(ZoneInfo("Asia/Shanghai"), {"email": QUIET}),
            now=lambda: batch.planned_at, actor="li",
        )  # fmt: skip

    def read(self, batch: Batch) -> tuple[list[dict[str, Any]], ...]:
        """Claims, deliveries and lines of the files of a batch."""
        with self.ledger.connect() as connection:
            found = [
                [dict(row) for row in connection.execute(query).mappings()]
                for query in (
                    sa.select(claims).where(claims.c.batch_id == batch.batch_id),
                    sa.select(deliveries).where(deliveries.c.batch_id == batch.batch_id),
                )
            ]
        lines: list[dict[str, Any]] = []
        for path in sorted((self.home.root / batch.folder).glob("*.csv")):
            with path.open(encoding="utf-8-sig", newline="") as source:
                lines += list(csv.DictReader(source))
        return (*found, lines)

    def _decide(self, day: dt.date, now: dt.datetime) -> pa.Table:
        count = len(self.people)
        constant = {
            "journey": "bench", "step": "s", "occurrence": day.isoformat(), "run_kind": "nightly",
            "outcome": "send", "rule_id": "send.allowed", "purpose": "marketing",
            "message_tag": "promotion", "consent_channel": "email", "contact_mask": "p***",
            "language": "zh-CN", "content_id": "bench_s", "content_version": "1",
            "guide_id": None, "variables": "{}",
            "evidence": json.dumps({"timezone": "Asia/Shanghai"}),
        }  # fmt: skip
        columns = {name: pa.array([value] * count, pa.string()) for name, value in constant.items()}
        columns["decision_id"] = pa.array([f"d{turn:08}" for turn in range(count)])
        columns["customer_id"] = pa.array(self.people)
        columns["contact_token"] = pa.array(self.tokens)
        columns["unit_cost_amount"] = pa.array([Decimal("0.01")] * count, pa.decimal128(18, 6))
        for name, moment in (("planned_send_at", now), ("decided_at", now),
                             ("valid_until", now + dt.timedelta(days=3))):  # fmt: skip
            columns[name] = pa.array([moment] * count, pa.timestamp("us"))
        return pa.table(columns)


def _render(decisions: pa.Table) -> tuple[pa.Table, pa.Table]:
    count = decisions.num_rows
    body = "【示例】好久不见,新季尿裤与湿巾为您留着,会员专享8折,三天内有效。退订回T"
    made = decisions.append_column("subject", pa.array(["好久不见"] * count))
    made = made.append_column("body", pa.array([body] * count))
    made = made.append_column("reader", pa.array(["customer"] * count))
    refused = pa.table({name: pa.array([], pa.string()) for name in ("decision_id", "reason")})
    return made, refused


def _write_bare(ledger: sa.Engine, target: Path, rows: tuple[list[dict[str, Any]], ...]) -> None:
    """The same rows, and nothing asked."""
    claimed, delivered, lines = rows
    with ledger.begin() as connection:
        connection.execute(sa.insert(claims), claimed)
    with ledger.begin() as connection:
        connection.execute(sa.insert(deliveries), delivered)
    with target.open("w", encoding="utf-8-sig", newline="") as out:
        writer = csv.DictWriter(out, COLUMNS, quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows(lines)


def _measure(work: Callable[[], None]) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


def _tell(
    messages: int, ours: list[tuple[float, float]], theirs: list[tuple[float, float]]
) -> None:
    figures = {
        name: tuple(statistics.median(turn[place] for turn in turns) for place in (0, 1))
        for name, turns in (("claims and file delivery", ours), ("bare inserts and file", theirs))
    }
    print(f"{messages:,} messages, median of {len(ours)} turns")
    for name, (cpu, wall) in figures.items():
        print(f"  {name:<26} {cpu:6.2f} s CPU   {wall:6.2f} s")
    mine, bare = figures.values()
    print(f"  ratio {mine[0] / bare[0]:.2f} of CPU time (target at most {TARGET:g})")


if __name__ == "__main__":
    sys.exit(main())
