"""A door to test: a home, a landing folder, one feed.

Add here: what most tests of ingestion do.
Not here: assertions about one case.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import sqlalchemy as sa

from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ingestion import FeedReport, FeedSpec, FileReport, ingest_feed, replay
from crm_pipeline.lib.ledger import open_ledger
from crm_pipeline.lib.ledger.schema import inbox_files, inbox_parts

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

ORDERS: dict[str, Any] = {
    "feed": "shop_orders",
    "channel": "shop",
    "entity": "orders",
    "files": "*",
    "format": {"kind": "csv"},
    "timezone": "Asia/Shanghai",
    "currency": "CNY",
    "known_at": {"event": "ordered_at"},
    "columns": {
        "order_id": "No",
        "source_customer_id": "Buyer",
        "ordered_at": {"from": "At", "format": "%Y-%m-%d %H:%M:%S"},
        "order_status": {"value": "paid"},
        "paid_amount": {"from": "Amount", "scale": 2},
        "payment_method": {"from": "Remark", "optional": True},
    },
}
HEADER = "No,Buyer,At,Amount,Remark"
GOOD = "A1,c1,2026-01-02 10:00:00,12.50,card"
OTHER = "A2,c2,2026-01-02 11:00:00,7.00,cash"


def feed(changes: dict[str, Any] | None = None, *, base: dict[str, Any] = ORDERS) -> FeedSpec:
    """A feed like ``base`` with some attributes changed; ``columns`` and ``format`` are merged."""
    said = json.loads(json.dumps(base))
    for key, value in (changes or {}).items():
        if key in ("columns", "format"):
            said[key] = {k: v for k, v in {**said[key], **value}.items() if v is not None}
        else:
            said[key] = value
    return FeedSpec.model_validate(said)


def csv(*lines: str, header: str = HEADER) -> bytes:
    """Lines below a header, each with its line end."""
    return "".join(f"{line}\n" for line in (header, *lines)).encode()


class Door:
    """One feed's door in a folder of its own."""

    def __init__(self, folder: Path, spec: FeedSpec | None = None) -> None:
        self.home = CrmHome(folder / "home").ensure()
        self.ledger = open_ledger(self.home)
        self.landing = folder / "landing"
        self.spec = spec or feed()
        self.inbox.mkdir(parents=True)

    @property
    def inbox(self) -> Path:
        return self.landing / self.spec.landing_folder

    def deliver(self, data: bytes | str, name: str = "file.csv") -> Path:
        path = self.inbox / name
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    def ingest(self, post_consents: Callable[..., Any] | None = None, **more: Any) -> FeedReport:
        report = ingest_feed(
            self.home,
            self.ledger,
            self.spec,
            self.landing,
            received_at=NOW,
            post_consents=post_consents,
            **more,
        )
        assert report.is_balanced
        return report

    def take(self, data: bytes | str, name: str = "file.csv") -> FileReport:
        """Delivers one file, takes it in, and checks the balance against what was written."""
        path = self.deliver(data, name)
        before = path.read_bytes()
        (report,) = self.ingest().files
        assert path.read_bytes() == before, "the landing folder is never changed"
        if report.outcome == "written":
            assert len(self.parts()) == report.written
            assert len(self.quarantine()) == report.quarantined
            assert report.received == report.written + report.quarantined
        return report

    def replay(self, sha256: str | None = None) -> FeedReport:
        return replay(self.home, self.ledger, self.spec, sha256)

    def active(self) -> list[Any]:
        with self.ledger.connect() as connection:
            query = sa.select(inbox_parts).where(inbox_parts.c.state == "active")
            return list(connection.execute(query).all())

    def states(self) -> list[tuple[str, str, str | None]]:
        with self.ledger.connect() as connection:
            rows = connection.execute(sa.select(inbox_parts)).all()
        return sorted((r.file_sha256[:6], r.state, r.reason_code) for r in rows)

    def inbox_rows(self) -> int:
        with self.ledger.connect() as connection:
            return int(
                connection.execute(sa.select(sa.func.count(inbox_files.c.feed))).scalar() or 0
            )

    def parts(self) -> list[dict[str, Any]]:
        """All records of the active parts."""
        return self._rows([row.part_path for row in self.active()])

    def quarantine(self) -> list[dict[str, Any]]:
        """All quarantined records of the active parts."""
        return self._rows([row.quarantine_path for row in self.active()])

    def reasons(self) -> list[tuple[int, str, str | None]]:
        return [(q["record_number"], q["reason_code"], q["column_name"]) for q in self.quarantine()]

    def _rows(self, paths: list[str | None]) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for path in paths:
            if path:
                rows += pq.read_table(self.home.root / path, partitioning=None).to_pylist()
        return rows

    def result(self) -> list[tuple[Any, ...]]:
        """What the active parts say, without file and place: equal for equal outcomes."""
        paths = [str(self.home.root / row.part_path) for row in self.active() if row.part_path]
        if not paths:
            return []
        with duckdb.connect() as connection:
            query = "select * exclude (feed, file_sha256, record_number) from read_parquet(?)"
            query += " order by all"
            return connection.execute(query, [paths]).fetchall()

    def leftovers(self) -> list[Path]:
        return [p for p in self.home.root.rglob("*") if p.name.startswith((".tmp-", ".spill-"))]
