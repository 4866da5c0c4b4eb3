"""A small world to decide in. Add here: builders several outreach tests share. Not here: tests."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
import sqlalchemy as sa

from crm_pipeline.lib.consent import post_consents, tokenise_contact
from crm_pipeline.lib.history import Slice, write_slice
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.identity import assign_customer_ids, read_accounts
from crm_pipeline.lib.ledger import open_ledger, open_vault
from crm_pipeline.lib.ledger.schema import claims
from crm_pipeline.lib.outreach.batch import BatchReport, write_batch
from crm_pipeline.lib.outreach.decisions import decide
from crm_pipeline.lib.outreach.journey import CapSpec, JourneySpec
from crm_pipeline.lib.warehouse import create_source_views, export_snapshot, open_warehouse

KEY = b"a key for tests only"
SALT = "a salt for tests only"
AS_OF = dt.date(2011, 12, 9)
NOON = dt.datetime(2011, 12, 10, 12, tzinfo=dt.UTC)
SHANGHAI = ZoneInfo("Asia/Shanghai")
CONSENT_COLUMNS = (
    "record_id", "channel", "source_customer_id", "contact_kind", "contact_value", "purpose",
    "consent_channel", "action", "notice_version", "evidence",
)  # fmt: skip


def journey(**changes: Any) -> JourneySpec:
    """The dormant wake-up, without a holdout unless asked for one."""
    values = {
        "journey": "wake_up",
        "description": "Wakes up who was silent for 90 days.",
        "audience": "activation.wake_up_audience",
        "steps": [{"step": "first", "channel": "email", "content_id": "we_miss_you"}],
        "holdout_pct": 0,
        **changes,
    }
    return JourneySpec.model_validate(values)


class World:
    """A home with people ``1 … n``, each with the address ``p<n>@example.org``."""

    def __init__(self, root: Path, people: int = 4) -> None:
        self.home = CrmHome(root).ensure()
        self.ledger, self.vault = open_ledger(self.home), open_vault(self.home)
        self.sources = [str(number) for number in range(1, people + 1)]
        accounts = pa.table({"channel": ["shop"] * people, "source_customer_id": self.sources})
        ids = assign_customer_ids(self.home, self.ledger, accounts, key=KEY, as_of=AS_OF)
        self.ids = dict(zip(*(ids.column(name).to_pylist() for name in
                              ("source_customer_id", "customer_id")), strict=True))  # fmt: skip
        self._runs = 0

    def token(self, person: str) -> str:
        return tokenise_contact("email", self.address(person), key=KEY).token

    def address(self, person: str) -> str:
        return f"p{person}@example.org"

    def say(self, people: Iterable[str], action: str, day: int = 1, **changes: Any) -> None:
        """The people grant or withdraw marketing by e-mail on that day of January 2011."""
        moment = dt.datetime(2011, 1, day)  # noqa: DTZ001 - as stored
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

    def decide(
        self,
        spec: JourneySpec | None = None,
        *,
        people: Sequence[str] | None = None,
        occurrence: str = "2011-08-01",
        as_of: dt.date = AS_OF,
        caps: Sequence[CapSpec] = (),
        former: Mapping[str, str] | None = None,
        joined: dt.date | None = None,
        **audience: str,
    ) -> pa.Table:
        """Decides for an audience of these people, each with the contact of their own.

        ``former`` names people who since tonight have an account of a customer with another id,
        which it had since ``joined``, or always.
        """
        self._runs += 1
        snapshot = export_snapshot(self.ledger, self.home.snapshots / f"run{self._runs}")
        with open_warehouse(self.home.warehouse) as connection:
            create_source_views(connection, self.home, snapshot, {})
            self._make_audience(connection, people or self.sources, occurrence, audience)
            for person, former_id in (former or {}).items():
                moved = [f"former-{person}", former_id, self.ids[person]]
                connection.execute(
                    "insert into identity.customer_id_changes by name select 2 as version, "
                    "'shop' as channel, ? as source_customer_id, ? as from_customer_id, "
                    "? as to_customer_id, ?::date as as_of_date",
                    [*moved, as_of],
                )
                if joined is not None:  # and belonged to the former customer for a while only
                    connection.execute(
                        "insert into identity.customer_id_changes by name select 1 as version, "
                        "'shop' as channel, ? as source_customer_id, ? as to_customer_id, "
                        "? as from_customer_id, ?::date as as_of_date",
                        [*moved, joined],
                    )
                connection.execute(
                    "insert into identity.customer_accounts by name select 'shop' as channel, "
                    "? as source_customer_id, ? as customer_id",
                    [moved[0], moved[2]],
                )
            return decide(
                connection, spec or journey(), as_of=as_of, zone=SHANGHAI, salt=SALT, caps=caps
            )

    def _make_audience(
        self,
        connection: duckdb.DuckDBPyConnection,
        people: Sequence[str],
        occurrence: str,
        changes: dict[str, str],
    ) -> None:
        rows = pa.table({
            "customer_id": [self.ids[person] for person in people],
            "contact_token": [self.token(person) for person in people],
            "contact_mask": ["p***@example.org" for _ in people],
        })  # fmt: skip
        values = {
            "occurrence": f"'{occurrence}'", "purpose": "'marketing'",
            "consent_channel": "'email'", "has_consent": "true", **changes,
        }  # fmt: skip
        replaced = {name for name in values if name in rows.column_names}
        kept = [name for name in rows.column_names if name not in replaced]
        listed = ", ".join([*kept, *(f"{value} as {name}" for name, value in values.items())])
        connection.register("people", rows)
        connection.execute("create schema if not exists activation")
        connection.execute(
            f"create or replace table activation.wake_up_audience as select {listed} from people"
        )

    def record(self, decisions: pa.Table, as_of: dt.date = AS_OF) -> Slice:
        return write_slice(
            self.home, self.ledger, table_name="outreach_decisions", as_of=as_of,
            data=decisions, reason="test",
        )  # fmt: skip

    def write(self, spec: JourneySpec | None = None, as_of: dt.date = AS_OF) -> BatchReport:
        return write_batch(
            self.home, self.ledger, self.vault, spec or journey(), as_of=as_of, now=NOON
        )

    def night(self, as_of: dt.date = AS_OF, **options: Any) -> BatchReport:
        """Decides, records and writes."""
        spec = options.get("spec")
        self.record(self.decide(as_of=as_of, **options), as_of)
        return self.write(spec, as_of)

    def claims(self) -> list[tuple[str, str]]:
        """Person and state of every claim."""
        names = {customer: source for source, customer in self.ids.items()}
        with self.ledger.connect() as connection:
            rows = connection.execute(sa.select(claims.c.person_id, claims.c.state)).all()
        return sorted((names.get(row.person_id, row.person_id), row.state) for row in rows)

    def outcomes(self, table: pa.Table) -> dict[str, str]:
        """Outcome by person."""
        names = {customer: source for source, customer in self.ids.items()}
        return {names[row["customer_id"]]: row["outcome"] for row in table.to_pylist()}

    def cluster(self, **clusters: str) -> dict[str, str]:
        """Gives the accounts of ``shop`` their clusters, as identity resolution will: new ids."""
        accounts = read_accounts(self.home, self.ledger)
        sources = accounts.column("source_customer_id").to_pylist()
        named = [clusters.get(f"p{source}", f"alone-{source}") for source in sources]
        ids = assign_customer_ids(
            self.home, self.ledger, accounts.select(["channel", "source_customer_id"])
            .append_column("cluster", pa.array(named)), key=KEY, as_of=AS_OF,
        )  # fmt: skip
        return dict(zip(*(ids.column(name).to_pylist() for name in
                          ("source_customer_id", "customer_id")), strict=True))  # fmt: skip
