"""People and messages to claim. Add here: what tests of batches share. Not here: tests."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from crm_pipeline.lib.consent import post_consents, tokenise_contact
from crm_pipeline.lib.history import Slice, write_slice
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.identity import assign_customer_ids, read_accounts
from crm_pipeline.lib.ledger import open_ledger, open_vault
from crm_pipeline.lib.ledger.schema import audit, batches, claims
from crm_pipeline.lib.outreach.claims import ClaimReport, claim_messages
from crm_pipeline.lib.outreach.journey import JourneySpec
from crm_pipeline.lib.outreach.life import approve
from crm_pipeline.lib.outreach.message import Message, message_id_of
from crm_pipeline.lib.outreach.operators import Operators
from crm_pipeline.lib.outreach.plan import TICKS, Batch, plan_batches
from crm_pipeline.lib.outreach.preview import preview_batch
from crm_pipeline.lib.outreach.release import ReleaseReport, Rules, release_batch

KEY = b"a key for tests only"
AS_OF = dt.date(2026, 6, 30)
NOW = dt.datetime(2026, 7, 1, 3)  # noqa: DTZ001 - as stored; 11:00 in Shanghai
CONSENT_COLUMNS = (
    "record_id", "channel", "source_customer_id", "contact_kind", "contact_value", "purpose",
    "consent_channel", "action", "notice_version", "evidence",
)  # fmt: skip
LI, WANG = (Operators(name, ("li", "wang")) for name in ("li", "wang"))
SHANGHAI = ZoneInfo("Asia/Shanghai")
RULES = Rules(SHANGHAI, dict.fromkeys(("email", "sms"), (dt.time(22), dt.time(8))))
DECISION_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in (
            "decision_id", "customer_id", "journey", "step", "occurrence", "run_kind", "outcome",
            "rule_id", "purpose", "message_tag", "consent_channel", "contact_token",
            "contact_mask", "language", "content_id", "content_version", "sku", "guide_id",
        )),
        ("priority", pa.int32()),
        ("unit_cost_amount", pa.decimal128(18, 6)),
        *((name, pa.timestamp("us")) for name in (
            "triggered_at", "planned_send_at", "valid_until", "decided_at",
        )),
        ("as_of_date", pa.date32()),
        ("variables", pa.string()),
        ("evidence", pa.string()),
    ]
)  # fmt: skip


def journey(**changes: Any) -> JourneySpec:
    """A journey of one mail that goes out whole."""
    values = {
        "journey": "wake_up", "description": "Wakes up.", "canary_pct": 100,
        "audience": "activation.wake_up_audience",
        "steps": [{"step": "first", "channels": ["email"]}], **changes,
    }  # fmt: skip
    return JourneySpec.model_validate(values)


def render(decisions: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Words for everybody but those whose variables say ``refuse``."""
    variables = pa.array(decisions.column("variables").to_pylist(), pa.string())
    refused = decisions.filter(pc.equal(variables, '"refuse"'))
    kept = decisions.filter(pc.not_equal(variables, '"refuse"'))
    texts = pa.array(["A gift, 退订回T"] * kept.num_rows, pa.string())
    kept = kept.append_column("subject", pa.array(["We miss you"] * kept.num_rows, pa.string()))
    reasons = pa.array(["blank_variable:name"] * refused.num_rows, pa.string())
    refused = refused.select(["decision_id", "content_id"]).append_column("reason", reasons)
    kept = kept.append_column("reader", pa.array(["customer"] * kept.num_rows, pa.string()))
    return kept.append_column("body", texts), refused


class People:
    """A home with people ``1 … n``, each with the address ``p<n>@example.org``, all agreed."""

    def __init__(self, root: Path, people: int = 4) -> None:
        self.home = CrmHome(root).ensure()
        self.ledger, self.vault = open_ledger(self.home), open_vault(self.home)
        self.sources = [str(number) for number in range(1, people + 1)]
        self.ids = self.cluster()
        with self.ledger.connect() as connection:
            known = connection.execute(sa.text("select count(*) from consents")).scalar()
        if not known:
            self.say(self.sources, "granted")

    def cluster(self, **clusters: str) -> dict[str, str]:
        """Gives the accounts ``p<n>`` their clusters, as identity resolution does: their ids."""
        named = [clusters.get(f"p{source}", f"alone-{source}") for source in self.sources]
        accounts = pa.table(
            {"channel": ["shop"] * len(named), "source_customer_id": self.sources, "cluster": named}
        )
        assign_customer_ids(
            self.home,
            self.ledger,
            accounts,
            key=KEY,
            as_of=AS_OF,
            now=dt.datetime.now(),  # noqa: DTZ005
        )
        rows = read_accounts(self.home, self.ledger).to_pylist()
        return {row["source_customer_id"]: row["customer_id"] for row in rows}

    def address(self, person: str) -> str:
        return f"p{person}@example.org"

    def token(self, person: str) -> str:
        return tokenise_contact("email", self.address(person), key=KEY).token

    def say(self, people: Iterable[str], action: str, day: int = 1, **changes: Any) -> None:
        """The people grant or withdraw marketing by e-mail on that day of January 2026."""
        moment = dt.datetime(2026, 1, day)  # noqa: DTZ001 - as stored
        rows = []
        for person in people:
            row = {
                "channel": "shop", "source_customer_id": person, "contact_kind": "email",
                "contact_value": self.address(person), "purpose": "marketing",
                "consent_channel": "email", "action": action, "notice_version": "1",
                "evidence": "form", **changes,
            }  # fmt: skip
            row["record_id"] = "|".join([row["contact_value"], person, action, str(day)])
            rows.append(row)
        table = pa.Table.from_pylist(rows, pa.schema([(c, pa.string()) for c in CONSENT_COLUMNS]))
        times = pa.array([moment] * len(rows), pa.timestamp("us"))
        table = table.append_column("occurred_at", times).append_column("known_at", times)
        post_consents(
            self.ledger, self.vault, table, key=KEY, feed="consents", file_sha256=f"f{day}"
        )

    def message(self, person: str, **changes: Any) -> Message:
        """One message to a person's own address."""
        values: dict[str, Any] = {
            "decision_id": f"d{person}", "customer_id": self.ids[person], "journey": "wake_up",
            "step": "first", "occurrence": "2026-05-01", "consent_channel": "email",
            "purpose": "marketing", "message_tag": "promotion",
            "contact_token": self.token(person), "contact_mask": f"p{person[:1]}***@example.org",
            "content_id": "wake_up_first", "content_version": "1", "language": "en",
            "subject": "We miss you", "body": "A gift waits for you.", "planned_send_at": NOW,
            "valid_until": NOW + dt.timedelta(days=3), "guide_id": None, "reader": "customer",
            **changes,
        }  # fmt: skip
        key = ("customer_id", "journey", "step", "occurrence", "contact_token")
        return Message(message_id=message_id_of(*(values[name] for name in key)), **values)

    def messages(self, *people: str, **changes: Any) -> list[Message]:
        return [self.message(person, **changes) for person in people or self.sources]

    def batch(self, batch_id: str = "b1", state: str = "released", **changes: Any) -> str:
        """Puts a batch on record."""
        values = {
            "batch_id": batch_id, "journey": "wake_up", "run_kind": "nightly",
            "as_of_date": AS_OF, "slice_sha256": "s", "state": state, "message_count": 4,
            "canary_pct": 100.0, "valid_until": NOW + dt.timedelta(days=3),
            "planned_by": "schedule", "planned_at": NOW, **changes,
        }  # fmt: skip
        with self.ledger.begin() as connection:
            connection.execute(sa.insert(batches).values(**values))
        return batch_id

    def claim(
        self, messages: list[Message], batch_id: str = "b1", now: dt.datetime = NOW
    ) -> ClaimReport:
        return claim_messages(self.home, self.ledger, batch_id, messages, now=now)

    def decisions(self, *people: str, outcome: str = "send", **changes: Any) -> pa.Table:
        """One decision for each of these people, of the night after ``AS_OF``."""
        rows = []
        for person in people or self.sources:
            message = self.message(person)
            copied = {
                name: getattr(message, name)
                for name in DECISION_SCHEMA.names
                if hasattr(message, name)
            }
            rows.append({
                **copied, "run_kind": "nightly", "outcome": outcome, "rule_id": "send.allowed",
                "sku": None, "priority": 50, "unit_cost_amount": Decimal("0.050000"),
                "triggered_at": NOW, "decided_at": NOW - dt.timedelta(hours=9),
                "as_of_date": AS_OF, "variables": '{}',
                "evidence": json.dumps({"timezone": "Asia/Shanghai"}), **changes,
            })  # fmt: skip
        return pa.Table.from_pylist(rows, DECISION_SCHEMA)

    def record(
        self, table: pa.Table, as_of: dt.date = AS_OF, name: str = "outreach_decisions"
    ) -> Slice:
        return write_slice(
            self.home, self.ledger, table_name=name, as_of=as_of, data=table, reason="test"
        )

    def plan(
        self,
        spec: JourneySpec | None = None,
        *,
        as_of: dt.date = AS_OF,
        by: str = "schedule",
        now: dt.datetime = NOW,
        name: str = "outreach_decisions",
    ) -> list[Batch]:
        return plan_batches(
            self.home, self.ledger, spec or journey(), as_of=as_of, render=render, now=now,
            planned_by=by, table_name=name,
        )  # fmt: skip

    def planned(self, spec: JourneySpec | None = None, **changes: Any) -> Batch:
        """A batch to everybody, planned and previewed."""
        self.record(self.decisions(**changes))
        (batch,) = self.plan(spec)
        preview_batch(self.home, self.ledger, batch, now=NOW, actor="li")
        return batch

    def planned_beside(self, batch: Batch) -> Batch:
        """Another journey's batch to the same people."""
        self.record(
            pa.concat_tables([self.decisions(journey="cart"), self.decisions()]),
            as_of=AS_OF + dt.timedelta(days=1), name=TICKS,
        )  # fmt: skip
        spec, day = journey(journey="cart"), AS_OF + dt.timedelta(days=1)
        (other,) = self.plan(spec, as_of=day, name=TICKS)
        assert other.batch_id != batch.batch_id
        return other

    def approved(self, spec: JourneySpec | None = None, **changes: Any) -> Batch:
        self.record(self.decisions(**changes))
        (batch,) = self.plan(spec)
        return self.approve(batch)

    def approve(self, batch: Batch) -> Batch:
        preview_batch(self.home, self.ledger, batch, now=NOW, actor="li")
        return approve(self.home, self.ledger, batch.batch_id, WANG, now=NOW)

    def release(
        self, batch: Batch | str, now: dt.datetime = NOW, **environment: str
    ) -> ReleaseReport:
        """Releases live into files, unless the environment says otherwise."""
        return release_batch(
            self.home, self.ledger, self.vault, getattr(batch, "batch_id", batch),
            environment={"CRM_DELIVERY": "live", **environment}, rules=RULES, now=lambda: now,
            actor="li",
        )  # fmt: skip

    def states(self) -> dict[str, str]:
        """Claim id → state."""
        with self.ledger.connect() as connection:
            return dict(connection.execute(sa.select(claims.c.claim_id, claims.c.state)).all())

    def audited(self) -> list[tuple[str, str]]:
        """Who did what, in order."""
        with self.ledger.connect() as connection:
            query = sa.select(audit.c.actor, audit.c.action).order_by(audit.c.audit_id)
            return [tuple(row) for row in connection.execute(query)]
