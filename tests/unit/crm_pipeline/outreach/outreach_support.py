"""A small world to decide in. Add here: builders several outreach tests share. Not here: tests."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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
from crm_pipeline.lib.ledger.schema import batches, claims
from crm_pipeline.lib.outreach.decisions import decide_all, drop_facts
from crm_pipeline.lib.outreach.journey import JourneySpec
from crm_pipeline.lib.outreach.moments import Moment, night_of
from crm_pipeline.lib.warehouse import create_source_views, export_snapshot, open_warehouse

KEY = b"a key for tests only"
SALT = "a salt for tests only"
AS_OF = dt.date(2011, 12, 9)
NOON = dt.datetime(2011, 12, 10, 12, tzinfo=dt.UTC)
TRIGGERED = dt.datetime(2011, 12, 9, 4)  # noqa: DTZ001 - naive UTC, as stored: noon in Shanghai
SHANGHAI = ZoneInfo("Asia/Shanghai")
SEEDS = Path(__file__).resolve().parents[4] / "dbt_project" / "seeds"
CONTACT_KINDS = {"email": "email", "sms": "phone", "wecom": "wecom", "push": "push"}
CONSENT_COLUMNS = (
    "record_id", "channel", "source_customer_id", "contact_kind", "contact_value", "purpose",
    "consent_channel", "action", "notice_version", "evidence",
)  # fmt: skip
# The rule tables, small: no cap, no quota and no budget unless a test asks for one.
RULES = {
    "outreach_caps": (
        "cap_id varchar, consent_channel varchar, message_tag varchar, window_days integer, "
        "max_messages integer"
    ),
    "channel_policies": (
        "consent_channel varchar, quiet_from varchar, quiet_until varchar, "
        "unit_cost_amount decimal(18,6), currency varchar, daily_quota bigint, "
        "advisor_daily_quota bigint"
    ),
    "outreach_budgets": (
        "budget_id varchar, scope varchar, scope_name varchar, window_days integer, "
        "amount decimal(18,2), currency varchar"
    ),
    "outreach_gates": "gate_id varchar, max_age_hours integer",
    "quiet_days": "quiet_date date, timezone varchar",
    "content_library": (
        "content_id varchar, scene varchar, rfm_tier varchar, consent_channel varchar, "
        "language varchar, content_version varchar, subject varchar, body varchar"
    ),
}
ACTIVATION = {
    "outreach_customers": (
        "customer_id varchar, timezone varchar, language varchar, rfm_tier varchar, "
        "suppression_rule varchar, open_complaint_since timestamp, guide_id varchar, "
        "predicted_clv double"
    ),
    "outreach_contacts": (
        "customer_id varchar, purpose varchar, consent_channel varchar, contact_token varchar, "
        "contact_mask varchar, is_usable boolean, is_granted boolean, occurred_at timestamp, "
        "notice_version varchar, reach_rule varchar, fatigue_rule varchar, best_hour integer"
    ),
    "outreach_sent_messages": (
        "customer_id varchar, consent_channel varchar, message_tag varchar, sent_at timestamp, "
        "message_id varchar, journey varchar"
    ),
    "outreach_offers": (
        "sku varchar, available_quantity bigint, counted_at timestamp, "
        "price_amount decimal(18,6), currency varchar"
    ),
}
# What is so of everybody unless a test says otherwise, as SQL.
CUSTOMER = {
    "timezone": "'Asia/Shanghai'", "language": "'zh-CN'", "rfm_tier": "'core'",
    "suppression_rule": "null", "open_complaint_since": "null", "guide_id": "null",
    "predicted_clv": "null",
}  # fmt: skip
# What was last said of every contact; who it belongs to is told by the account.
_CONTACTS = """
    insert into activation.outreach_contacts by name
    select
        a.customer_id, c.purpose, c.consent_channel, c.contact_token, c.contact_mask,
        c.is_granted, c.is_granted as is_usable, c.occurred_at, c.notice_version
    from ledger.consents as c
    inner join identity.customer_accounts as a using (channel, source_customer_id)
    where c.purpose <> '*' and c.consent_channel <> '*' and c.known_at <= ?
    qualify row_number() over (
        partition by a.customer_id, c.purpose, c.consent_channel
        order by c.occurred_at desc, c.is_granted
    ) = 1
"""


def journey(**changes: Any) -> JourneySpec:
    """A wake-up by e-mail, without a holdout unless asked for one."""
    values = {
        "journey": "wake_up",
        "description": "Wakes up who was silent for 90 days.",
        "audience": "activation.wake_up_audience",
        "steps": [{"step": "first", "channels": ["email"]}],
        "holdout_pct": 0,
        **changes,
    }
    return JourneySpec.model_validate(values)


def step(name: str = "first", *channels: str, **changes: Any) -> dict[str, Any]:
    """A step as YAML would give it."""
    return {"step": name, "channels": list(channels or ("email",)), **changes}


def cap(cap_id: str, days: int, most: int, channel: str = "all", tag: str = "all") -> str:
    """A row of ``outreach_caps`` as SQL."""
    return f"'{cap_id}', '{channel}', '{tag}', {days}, {most}"


class World:
    """A home with people ``1 … n``, each with the address ``p<n>@example.org``.

    Attributes:
        rules: rows of the rule tables as SQL, to be changed by a test before it decides.
    """

    def __init__(self, root: Path, people: int = 4) -> None:
        self.home = CrmHome(root).ensure()
        self.ledger, self.vault = open_ledger(self.home), open_vault(self.home)
        self.sources = [str(number) for number in range(1, people + 1)]
        accounts = pa.table({"channel": ["shop"] * people, "source_customer_id": self.sources})
        ids = assign_customer_ids(self.home, self.ledger, accounts, key=KEY, as_of=AS_OF)
        self.ids = dict(zip(*(ids.column(name).to_pylist() for name in
                              ("source_customer_id", "customer_id")), strict=True))  # fmt: skip
        self._runs = 0
        self.rules: dict[str, list[str]] = {
            "outreach_caps": [],
            "channel_policies": [
                f"'{channel}', '22:00', '08:00', {cost}, 'CNY', null, null"
                for channel, cost in (("email", 0.01), ("sms", 0.05), ("wecom", 0), ("push", 0))
            ],
            "outreach_budgets": [],
            "outreach_gates": ["'consent', 24000", "'stock', 48"],
            "quiet_days": [],
            "content_library": [
                f"'{scene}_{channel}_{language}', '{scene}', 'all', '{channel}', '{language}', "
                "'1', 'Hello', 'We miss you'"
                for scene in ("wake_up_first", "wake_up_second", "low_first", "high_first")
                for channel in CONTACT_KINDS
                for language in ("zh-CN", "en")
            ],
        }
        self.offers: list[str] = []
        self.sent_messages: list[str] = []

    def token(self, person: str, channel: str = "email") -> str:
        contact = tokenise_contact(CONTACT_KINDS[channel], self.address(person, channel), key=KEY)
        return contact.token

    def address(self, person: str, channel: str = "email") -> str:
        """An address of the person that is valid for the channel."""
        return {
            "email": f"p{person}@example.org",
            "sms": f"+86138001{int(person) if person.isdigit() else 0:05d}",
            "wecom": f"wecom-user-{person}",
            "push": f"device-token-{person}",
        }[channel]

    def say(self, people: Iterable[str], action: str, day: int = 1, **changes: Any) -> None:
        """The people grant or withdraw marketing by e-mail on that day of January 2011.

        ``at`` names another moment.
        """
        moment = changes.pop("at", dt.datetime(2011, 1, day))  # noqa: DTZ001 - as stored
        channel = changes.get("consent_channel", "email")
        way = channel if channel in CONTACT_KINDS else "email"
        rows = []
        for person in people:
            row = {
                "channel": "shop", "source_customer_id": person,
                "contact_kind": CONTACT_KINDS[way], "contact_value": self.address(person, way),
                "purpose": "marketing", "consent_channel": channel, "action": action,
                "notice_version": "1", "evidence": "form", **changes,
            }  # fmt: skip
            row["record_id"] = "|".join([*row.values(), str(moment)])
            rows.append(row)
        table = pa.Table.from_pylist(rows, pa.schema([(c, pa.string()) for c in CONSENT_COLUMNS]))
        times = pa.array([moment] * len(rows), pa.timestamp("us"))
        table = table.append_column("occurred_at", times).append_column("known_at", times)
        post_consents(
            self.ledger, self.vault, table, key=KEY, feed="consents", file_sha256=f"f{moment}"
        )

    def claim(
        self,
        person: str,
        *,
        days_ago: int,
        contact: str | None = None,
        channel: str = "email",
        run_kind: str = "nightly",
        at: dt.datetime | None = None,
        **changes: Any,
    ) -> None:
        """Plants a claim of an earlier night; ``person`` may be a customer's former id."""
        as_of = AS_OF - dt.timedelta(days=days_ago)
        values = {
            "journey": "other", "step": "first", "occurrence": "2011-08-01", "state": "sent",
            "content_version": "1", "message_tag": "promotion", "purpose": "marketing", **changes,
        }  # fmt: skip
        key = "-".join([person, str(days_ago), str(at), *map(str, values.values()), channel])
        sent_at = at or dt.datetime.combine(as_of, dt.time(2)) + dt.timedelta(days=1)
        with self.ledger.begin() as connection:
            connection.execute(
                sa.insert(batches).values(
                    batch_id=f"b-{key}", journey=values["journey"], run_kind=run_kind,
                    as_of_date=as_of, slice_sha256="s", state="done", message_count=1,
                    canary_pct=5.0, valid_until=sent_at, planned_by="li", planned_at=sent_at,
                )
            )  # fmt: skip
            connection.execute(
                sa.insert(claims).values(
                    claim_id=key, decision_id=f"d-{key}", batch_id=f"b-{key}",
                    contact_token=contact or self.token(person, channel),
                    person_id=self.ids.get(person, person), consent_channel=channel,
                    content_id="c", planned_send_at=sent_at, attempt_count=1,
                    claimed_at=sent_at, **values,
                )
            )  # fmt: skip

    def decide(
        self,
        *specs: JourneySpec,
        people: Sequence[str] | None = None,
        occurrence: str = "2011-08-01",
        as_of: dt.date = AS_OF,
        moment: Moment | None = None,
        zone: ZoneInfo = SHANGHAI,
        former: Mapping[str, str] | None = None,
        joined: dt.date | None = None,
        customers: Mapping[str, Mapping[str, str]] | None = None,
        contacts: Sequence[str] = (),
        **audience: str,
    ) -> pa.Table:
        """Decides for audiences of these people, each with the contacts of their own.

        Args:
            specs: the journeys; without any the wake-up. Each has the same audience.
            people: who is in the audience.
            occurrence: the occurrence of everybody.
            as_of: the night after it decides,
            moment: unless this says when.
            zone: business time zone.
            former: people who since tonight have an account of a customer with another id,
            joined: which it had since this day, or always.
            customers: by person, columns of ``outreach_customers`` that differ, as SQL.
            contacts: statements that change ``outreach_contacts``.
            audience: columns of the audience as SQL.
        """
        specs = specs or (journey(),)
        with self.opened(
            *specs, people=people, occurrence=occurrence, as_of=as_of, former=former,
            joined=joined, customers=customers, contacts=contacts, **audience,
        ) as connection:  # fmt: skip
            decided = decide_all(
                connection, specs, moment=moment or night_of(as_of, zone), zone=zone, salt=SALT
            )
            drop_facts(connection)
            return decided

    @contextmanager
    def opened(
        self,
        *specs: JourneySpec,
        people: Sequence[str] | None = None,
        occurrence: str = "2011-08-01",
        as_of: dt.date = AS_OF,
        former: Mapping[str, str] | None = None,
        joined: dt.date | None = None,
        customers: Mapping[str, Mapping[str, str]] | None = None,
        contacts: Sequence[str] = (),
        **audience: str,
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """The warehouse as ``decide`` finds it."""
        self._runs += 1
        snapshot = export_snapshot(self.ledger, self.home.snapshots / f"run{self._runs}")
        with open_warehouse(self.home.warehouse) as connection:
            create_source_views(connection, self.home, snapshot, {})
            self._make_accounts(connection, former or {}, joined, as_of)
            self._make_rules(connection)
            self._make_activation(connection, customers or {}, as_of)
            for spec in specs:
                self._make_audience(
                    connection, spec.audience, people or self.sources, occurrence, audience
                )
            for statement in contacts:
                connection.execute(statement)
            yield connection

    def _make_accounts(
        self,
        connection: duckdb.DuckDBPyConnection,
        former: Mapping[str, str],
        joined: dt.date | None,
        as_of: dt.date,
    ) -> None:
        connection.execute("delete from identity.customer_accounts")
        connection.execute("delete from identity.customer_id_changes")
        named = pa.table({"source": list(self.ids), "customer": list(self.ids.values())})
        connection.register("named", named)
        connection.execute(
            "insert into identity.customer_accounts by name select 'shop' as channel, "
            "source as source_customer_id, customer as customer_id from named"
        )
        for person, former_id in former.items():
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

    def _make_rules(self, connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("create schema if not exists rules")
        for name, columns in RULES.items():
            connection.execute(f"create or replace table rules.{name} ({columns})")
            for row in self.rules[name]:
                connection.execute(f"insert into rules.{name} values ({row})")

    def _make_activation(
        self,
        connection: duckdb.DuckDBPyConnection,
        customers: Mapping[str, Mapping[str, str]],
        as_of: dt.date,
    ) -> None:
        connection.execute("create schema if not exists activation")
        for name, columns in ACTIVATION.items():
            connection.execute(f"create or replace table activation.{name} ({columns})")
        listed = ", ".join(CUSTOMER.values())
        connection.execute(
            f"insert into activation.outreach_customers select customer, {listed} from named"
        )
        for person, changes in customers.items():
            pairs = ", ".join(f"{name} = {value}" for name, value in changes.items())
            connection.execute(
                f"update activation.outreach_customers set {pairs} where customer_id = ?",
                [self.ids[person]],
            )
        connection.execute(_CONTACTS, [dt.datetime.combine(as_of, dt.time(16))])
        for name, rows in (
            ("outreach_offers", self.offers), ("outreach_sent_messages", self.sent_messages),
        ):  # fmt: skip
            for row in rows:
                connection.execute(f"insert into activation.{name} values ({row})")

    def _make_audience(
        self,
        connection: duckdb.DuckDBPyConnection,
        address: str,
        people: Sequence[str],
        occurrence: str,
        changes: dict[str, str],
    ) -> None:
        rows = pa.table({"customer_id": [self.ids[person] for person in people]})
        values = {
            "occurrence": f"'{occurrence}'", "purpose": "'marketing'",
            "triggered_at": f"timestamp '{TRIGGERED}'", **changes,
        }  # fmt: skip
        listed = ", ".join(f"{value} as {name}" for name, value in values.items())
        connection.register("people", rows)
        connection.execute(
            f"create or replace table {address} as select customer_id, {listed} from people"
        )

    def record(self, decisions: pa.Table, as_of: dt.date = AS_OF) -> Slice:
        return write_slice(
            self.home, self.ledger, table_name="outreach_decisions", as_of=as_of,
            data=decisions, reason="test",
        )  # fmt: skip

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
