"""A shop's web interface on this machine, and pulls against it.

Add here: how the interface behaves and misbehaves.
Not here: assertions about one fault.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pyarrow.parquet as pq
import sqlalchemy as sa

from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ingestion import FeedReport, FeedSpec, ingest_feed
from crm_pipeline.lib.ledger import open_ledger
from crm_pipeline.lib.ledger.schema import inbox_parts
from crm_pipeline.lib.pull import PullReport, PullSpec, pull_source

TOKEN = "token-of-the-first-hour"
FRESH = "token-of-the-second-hour"
NOW = datetime(2026, 3, 1, 4, 0, tzinfo=UTC)  # noon in Shanghai
FEED: dict[str, Any] = {
    "feed": "api_orders",
    "channel": "api_shop",
    "entity": "orders",
    "files": "*.jsonl",
    "completion": "manifest",
    "format": {"kind": "jsonl"},
    "timezone": "Asia/Shanghai",
    "currency": "CNY",
    "known_at": {"file_name": r"_(\d{8}T\d{6})", "format": "%Y%m%dT%H%M%S"},
    "version": {"from": "updated_at", "format": "iso8601"},
    "columns": {
        "order_id": "id",
        "source_customer_id": {"from": "buyer.id", "optional": True},
        "ordered_at": {"from": "created_at", "format": "iso8601"},
        "order_status": {"from": "status", "map": {"PAID": "paid", "CLOSED": "cancelled"}},
        "paid_amount": {"from": "amount", "scale": 2},
    },
}
REST: dict[str, Any] = {
    "base_url": "to be told",
    "path": "orders",
    "auth": {"kind": "bearer", "token": "env:SHOP_TOKEN"},
    "records": "data.orders",
    "pagination": {"kind": "page", "param": "page", "size": 3, "size_param": "limit",
                   "has_more": "data.more"},
    "incremental": {"field": "updated_at", "param": "since", "start": "2026-01-01T00:00:00Z"},
    "allow": ["loopback"],
    "max_attempts": 3,
}  # fmt: skip
Answer = tuple[int, dict[str, str], bytes]
Fault = Callable[["Request"], "Answer | None"]


@dataclass(frozen=True)
class Request:
    """What the interface was asked."""

    path: str
    params: dict[str, str]
    headers: dict[str, str]
    body: str


@dataclass
class Api:
    """Orders behind a token, in pages; each fault may answer in its place."""

    records: list[dict[str, Any]]
    url: str = ""
    tokens: set[str] = field(default_factory=lambda: {TOKEN})
    faults: list[Fault] = field(default_factory=list)
    asked: list[Request] = field(default_factory=list)

    def answer(self, request: Request) -> Answer:
        self.asked.append(request)
        for fault in self.faults:
            if (answer := fault(request)) is not None:
                return answer
        if request.path == "/token":
            return reply({"access_token": FRESH, "expires_in": 3600})
        sent = request.headers.get("authorization", "").removeprefix("Bearer ")
        sent = request.headers.get("x-api-key") or request.params.get("access_token") or sent
        if self.tokens and sent not in self.tokens:
            return reply({"message": f"who is {sent}?"}, status=401)
        return self.page(request)

    def page(self, request: Request) -> Answer:
        """One page of what changed since, by page number, offset or cursor."""
        size = int(request.params.get("limit", 3))
        since = request.params.get("since", "")
        found = [r for r in self.records if r["updated_at"] >= since]
        if "offset" in request.params:
            first = int(request.params["offset"])
        elif "cursor" in request.params:
            first = int(request.params["cursor"].removeprefix("c"))
        else:
            first = (int(request.params.get("page", 1)) - 1) * size
        rows, following = found[first : first + size], first + size
        more = following < len(found)
        data: dict[str, Any] = {"orders": rows, "more": more, "total": len(found)}
        data["next"] = f"c{following}" if more else None
        data["url"] = f"/orders?limit={size}&since={since}&cursor=c{following}" if more else None
        link = {"Link": f'<{self.url}{data["url"]}>; rel="next"'} if more else {}
        return reply({"code": 0, "data": data}, headers=link)


def reply(body: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    """An answer of JSON."""
    return status, headers or {}, json.dumps(body).encode()


def once(when: Callable[[Request], bool], answer: Answer) -> Fault:
    """A fault that happens the first time ``when`` holds."""
    left = [answer]
    return lambda request: left.pop() if left and when(request) else None


def page_is(number: int) -> Callable[[Request], bool]:
    """Whether a page number is asked for."""
    return lambda request: request.params.get("page") == str(number)


def order(number: int, *, day: int | None = None, **more: Any) -> dict[str, Any]:
    """One order; amounts are written so that a float would lose a digit."""
    at = f"2026-01-{day or number:02d}T08:00:00+08:00"
    return {
        "id": number,
        "buyer": {"id": f"b{number % 4}"},
        "created_at": at,
        "updated_at": f"2026-01-{day or number:02d}T00:00:00Z",
        "status": "PAID",
        "amount": f"{number}.10",
        **more,
    }


@contextmanager
def serving(api: Api) -> Iterator[Api]:
    """The interface, listening on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            params = {key: values[0] for key, values in parse_qs(parts.query).items()}
            length = int(self.headers.get("Content-Length") or 0)
            headers = {key.lower(): value for key, value in self.headers.items()}
            body = self.rfile.read(length).decode()
            status, more, data = api.answer(Request(parts.path, params, headers, body))
            self.send_response(status)
            for key, value in {"Content-Length": str(len(data)), **more}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        api.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield api
        finally:
            server.shutdown()
            thread.join()


class Puller:
    """A home, a landing folder, a source and the feed that takes its files in."""

    def __init__(self, folder: Path, spec: PullSpec, feed: FeedSpec) -> None:
        self.home = CrmHome(folder / "home").ensure()
        self.ledger = open_ledger(self.home)
        self.landing = folder / "landing"
        self.spec, self.feed = spec, feed
        self.env = {"SHOP_TOKEN": TOKEN}
        self.waits: list[float] = []

    @property
    def folder(self) -> Path:
        return self.landing / self.feed.landing_folder

    def pull(self, *, now: datetime = NOW) -> PullReport:
        return pull_source(
            self.home,
            self.spec,
            self.feed,
            self.landing,
            now=now,
            env=self.env,
            sleep=self.waits.append,
        )

    def ingest(self) -> FeedReport:
        report = ingest_feed(
            self.home, self.ledger, self.feed, self.landing, received_at=NOW, stable_seconds=0
        )
        assert report.is_balanced
        assert report.refused == ()
        return report

    def files(self) -> list[str]:
        """Names of the landed files, without their manifests."""
        if not self.folder.exists():
            return []
        return sorted(p.name for p in self.folder.iterdir() if p.suffix == ".jsonl")

    def state(self) -> dict[str, Any]:
        return json.loads((self.home.pull / f"{self.spec.source}.json").read_text())  # type: ignore[no-any-return]

    def parts(self) -> list[dict[str, Any]]:
        """Every record of the active parts."""
        query = sa.select(inbox_parts.c.part_path).where(inbox_parts.c.state == "active")
        with self.ledger.connect() as connection:
            paths = [path for path in connection.execute(query).scalars() if path]
        return [
            row
            for path in paths
            for row in pq.read_table(self.home.root / path, partitioning=None).to_pylist()
        ]

    def newest(self) -> dict[str, tuple[Any, ...]]:
        """Per order its newest version, as staging would keep it; equal records count once."""
        found: dict[str, tuple[Any, ...]] = {}
        for row in self.parts():
            version = (row["source_version"], row["order_status"], row["paid_amount"])
            found[row["order_id"]] = max(found.get(row["order_id"], version), version)
        return found


def puller(folder: Path, api: Api, changes: dict[str, Any] | None = None) -> Puller:
    """A puller of orders whose ``rest`` block has some keys changed; ``None`` removes one."""
    rest = {**REST, "base_url": api.url, **(changes or {})}
    rest = {key: value for key, value in rest.items() if value is not None}
    spec = PullSpec.model_validate({"source": "api_orders", "feed": "api_orders", "rest": rest})
    return Puller(folder, spec, FeedSpec.model_validate(FEED))
