"""Merges, splits, opt-outs and failures in any order: no step twice, no cap broken, no consent
overlooked.

Real ledger, ids, decisions, batches and claims; only the provider is the test's own. What left is
told by the provider, never by the ledger.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import random
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from crm_pipeline.lib.consent import post_consents, tokenise_contact
from crm_pipeline.lib.history import write_slice
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.identity import assign_customer_ids, read_accounts
from crm_pipeline.lib.identity.ids import read_changes
from crm_pipeline.lib.ledger import open_ledger, open_vault
from crm_pipeline.lib.outreach.claims import (
    DeliveryResult,
    claim_messages,
    expire_claims,
    record,
)
from crm_pipeline.lib.outreach.decisions import decide_all, drop_facts
from crm_pipeline.lib.outreach.journey import JourneySpec
from crm_pipeline.lib.outreach.life import move
from crm_pipeline.lib.outreach.message import Message
from crm_pipeline.lib.outreach.moments import night_of
from crm_pipeline.lib.outreach.plan import Batch, messages_of, plan_batches, read_plan
from crm_pipeline.lib.warehouse import create_source_views, export_snapshot

pytestmark = [pytest.mark.requirement("OUT-4"), pytest.mark.requirement("OUT-5")]

KEY = b"a key for tests only"
ZONE = ZoneInfo("Asia/Shanghai")
FIRST_DAY = dt.date(2026, 3, 1)
ACCOUNTS = [f"a{number}" for number in range(1, 7)]
# Two accounts may have one address: a family's phone, a mail box two accounts were opened with.
ADDRESSES = {
    account: {"email": f"m{min(number, 4)}@example.org", "sms": f"+861380000100{number % 5}"}
    for number, account in enumerate(ACCOUNTS, start=1)
}
KINDS = {"email": "email", "sms": "phone"}
FATES = {"accepted": 4, "rejected": 3, "refused": 2, "uncertain": 2, "lost": 1}  # weights
CAPS = {"day": (1, 1), "week": (7, 3)}  # days, messages
FIELDS = (
    "record_id", "channel", "source_customer_id", "contact_kind", "contact_value", "purpose",
    "consent_channel", "action", "notice_version", "evidence",
)  # fmt: skip
JOURNEYS = [
    JourneySpec.model_validate({
        "journey": name, "description": name, "audience": f"activation.{name}_audience",
        "holdout_pct": 0, "priority": priority,
        "steps": [
            {"step": step, "channels": ["email", "sms"], "delay_hours": delay,
             "valid_hours": 24 * 60}
            for step, delay in steps
        ],
    })
    for name, priority, steps in (
        ("high", 90, [("only", 0)]), ("low", 10, [("first", 0), ("second", 24)]),
    )
]  # fmt: skip
RULES = {
    "outreach_caps": (
        "cap_id varchar, consent_channel varchar, message_tag varchar, window_days integer, "
        "max_messages integer",
        [f"'{name}', 'all', 'all', {days}, {most}" for name, (days, most) in CAPS.items()],
    ),
    "channel_policies": (
        "consent_channel varchar, quiet_from varchar, quiet_until varchar, "
        "unit_cost_amount decimal(18,6), currency varchar, daily_quota bigint, "
        "advisor_daily_quota bigint",
        [f"'{channel}', '22:00', '08:00', 0.01, 'CNY', null, null" for channel in KINDS],
    ),
    "outreach_budgets": (
        "budget_id varchar, scope varchar, scope_name varchar, window_days integer, "
        "amount decimal(18,2), currency varchar",
        [],
    ),
    "outreach_gates": ("gate_id varchar, max_age_hours integer", ["'consent', 100000"]),
    "quiet_days": ("quiet_date date, timezone varchar", []),
    "content_library": (
        "content_id varchar, scene varchar, rfm_tier varchar, consent_channel varchar, "
        "language varchar, content_version varchar, subject varchar, body varchar",
        [
            f"'{spec.scene_of(step)}_{channel}', '{spec.scene_of(step)}', 'all', '{channel}', "
            "'zh-CN', '1', 'Hello', 'Hello'"
            for spec in JOURNEYS for step in spec.steps for channel in KINDS
        ],
    ),
}  # fmt: skip
# What activation models say, from the same sources as they.
ACTIVATION = """
create or replace table activation.outreach_customers as
select distinct
    customer_id, 'Asia/Shanghai' as timezone, 'zh-CN' as language, 'core' as rfm_tier,
    null::varchar as suppression_rule, null::timestamp as open_complaint_since,
    null::varchar as guide_id, null::double as predicted_clv
from identity.customer_accounts;
create or replace table activation.outreach_contacts as
with words as (
    select a.customer_id, c.*
    from ledger.consents as c
    inner join identity.customer_accounts as a using (channel, source_customer_id)
    where c.consent_channel <> '*'
    qualify row_number() over (
        partition by a.customer_id, c.consent_channel, c.contact_token order by c.occurred_at desc
    ) = 1
)
select
    customer_id, purpose, consent_channel, contact_token, contact_mask, is_granted as is_usable,
    is_granted, occurred_at, notice_version, null::varchar as reach_rule,
    null::varchar as fatigue_rule, null::integer as best_hour
from words
qualify row_number() over (
    partition by customer_id, purpose, consent_channel
    order by is_granted desc, occurred_at desc, contact_token
) = 1;
create or replace table activation.outreach_sent_messages (
    customer_id varchar, consent_channel varchar, message_tag varchar, sent_at timestamp,
    message_id varchar, journey varchar
)
"""


@dataclass(frozen=True)
class Word:
    """What an account said of an address."""

    at: dt.datetime
    account: str
    token: str
    channel: str
    is_granted: bool


@dataclass(frozen=True)
class Call:
    """A message the provider was asked to deliver, and whom the customer was then."""

    key: tuple[str, str, str]
    token: str
    accounts: frozenset[str]
    decided_accounts: frozenset[str]
    day: dt.date
    fate: str  # accepted, rejected, uncertain, or lost: nobody was told

    @property
    def may_have_arrived(self) -> bool:
        return self.fate != "rejected"


class Outreach(RuleBasedStateMachine):
    """Nights, days with two dispatchers, and people who merge, part and change their mind."""

    fates: ClassVar[Counter[str]] = Counter()

    @initialize()
    def open(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.home = CrmHome(Path(self._folder.name)).ensure()
        self.ledger, self.vault = open_ledger(self.home), open_vault(self.home)
        self.warehouse = duckdb.connect()
        self.as_of = FIRST_DAY
        self.clock = dt.datetime.combine(FIRST_DAY, dt.time(1))
        self.clusters = {account: account for account in ACCOUNTS}
        self.occurrences = {"o1": self.clock}
        self.words: list[Word] = []
        self.calls: list[Call] = []
        self.old: list[tuple[Batch, list[Message]]] = []
        self.plans: list[tuple[Batch, list[Message]]] = []
        self.decided: dict[str, frozenset[str]] = {}
        self._assign()
        for account in ACCOUNTS:
            for channel in KINDS:
                self._say(account, channel, is_granted=True)

    def teardown(self) -> None:
        if hasattr(self, "_folder"):
            self.warehouse.close()
            self.ledger.dispose()
            self.vault.dispose()
            self._folder.cleanup()

    # ------------------------------------------------------------------------------- the machine

    @rule(nights=st.integers(1, 3))
    def night(self, nights: int) -> None:
        """Days pass; then everybody is decided anew, and what is left of before may not go."""
        self.as_of += dt.timedelta(days=nights)
        moment = night_of(self.as_of, ZONE)
        self.clock = max(self._tick(), moment.decided_at)
        expire_claims(self.ledger, now=self.clock, older_than=dt.timedelta(hours=1))
        snapshot = export_snapshot(self.ledger, self.home.snapshots / f"n{self.as_of}")
        create_source_views(self.warehouse, self.home, snapshot, {})
        self._build()
        decisions = decide_all(
            self.warehouse, JOURNEYS, moment=moment, zone=ZONE, salt="a salt for tests only"
        )
        drop_facts(self.warehouse)
        self.decided = self._customers()
        self._check_caps(decisions)
        write_slice(
            self.home, self.ledger, table_name="outreach_decisions", as_of=self.as_of,
            data=decisions, reason="test",
        )  # fmt: skip
        self.old += self.plans
        self.plans = [made for spec in JOURNEYS for made in self._plan(spec)]

    @rule(nights=st.integers(1, 3), seed=st.integers(0, 10**6))
    def night_and_day(self, nights: int, seed: int) -> None:
        self.night(nights)
        self.dispatch(seed)

    @precondition(lambda self: any(messages for _, messages in getattr(self, "plans", ())))
    @rule(seed=st.integers(0, 10**6))
    def dispatch(self, seed: int) -> None:
        """Two dispatchers take what is left of today's batches; each call has a fate of its own."""
        chance = random.Random(seed)
        self.clock = max(self._tick(), dt.datetime.combine(self.as_of, dt.time(2)) + ONE_DAY)
        customers = self._customers()
        for batch, messages in [*self.plans, *self.old]:
            taken: set[str] = set()
            for _ in range(2):
                asked = [one for one in messages if chance.random() < 0.7]
                chance.shuffle(asked)
                report = claim_messages(
                    self.home, self.ledger, batch.batch_id, asked, now=self._tick()
                )
                assert not taken & set(report.claimed), "two dispatchers took one message"
                taken |= set(report.claimed)
            assert batch.as_of_date == self.as_of or not taken, "decided anew since"
            called = [one for one in messages if one.message_id in taken]
            results = [self._call(one, customers, chance) for one in called]
            record(self.ledger, batch.batch_id, [one for one in results if one], now=self._tick())

    @rule(left=st.sampled_from(ACCOUNTS), right=st.sampled_from(ACCOUNTS), parts=st.booleans())
    def resolve(self, left: str, right: str, parts: bool) -> None:
        """One account leaves its customer, or two customers become one, one person or not."""
        gone, kept = self.clusters[left], self.clusters[right]
        if parts:
            self.clusters[left] = f"{left} since {self.clock}"
        else:
            self.clusters = {a: kept if c == gone else c for a, c in self.clusters.items()}
        self._assign()

    @rule(
        account=st.sampled_from(ACCOUNTS),
        channel=st.sampled_from([*KINDS, "everything"]),
        is_granted=st.booleans(),
    )
    def say(self, account: str, channel: str, is_granted: bool) -> None:
        """Somebody agrees, or takes back what was agreed to; everything can only be taken back."""
        self._say(account, channel, is_granted=is_granted and channel in KINDS)

    @rule()
    def new_fact(self) -> None:
        """Something happens again that starts both journeys."""
        self.occurrences[f"o{len(self.occurrences) + 1}"] = self._tick()

    # ------------------------------------------------------------------------------ what must hold

    @invariant()
    def no_contact_gets_a_step_twice(self) -> None:
        """A definite failure counts too: the next try is another contact."""
        tried = Counter((call.token, call.key) for call in getattr(self, "calls", ()))
        assert not [found for found, times in tried.items() if times > 1]

    @invariant()
    def nobody_gets_a_step_twice_whoever_they_are_merged_into(self) -> None:
        got = Counter(
            (account, call.key)
            for call in getattr(self, "calls", ())
            if call.may_have_arrived
            for account in call.accounts
        )
        assert not [found for found, times in got.items() if times > 1]

    def _check_caps(self, decisions: pa.Table) -> None:
        """For each customer as they are tonight: what their accounts got, and what they will."""
        tonight = Counter(
            row["customer_id"] for row in decisions.to_pylist() if row["outcome"] == "send"
        )
        day = self.as_of + ONE_DAY
        for customer, accounts in self.decided.items():
            for name, (days, most) in CAPS.items():
                before = [
                    call for call in self.calls
                    if call.may_have_arrived and call.decided_accounts & accounts
                    and (day - call.day).days < days
                ]  # fmt: skip
                if tonight[customer]:
                    assert len(before) + tonight[customer] <= most, (name, before)

    def _is_allowed(self, message: Message, accounts: frozenset[str]) -> bool:
        """The person's own last word on the address is a grant that nobody took back since."""
        words = [
            word for word in self.words if word.channel in (message.consent_channel, "everything")
        ]
        last: dict[tuple[str, str], Word] = {}
        own: dict[str, Word] = {}
        for word in words:
            last[word.account, word.token] = word
            if word.account in accounts:
                own[word.token] = word
        granted = own.get(message.contact_token)
        if granted is None or not granted.is_granted:
            return False
        others = [word for (_, token), word in last.items() if token == message.contact_token]
        return all(word.is_granted or word.at < granted.at for word in (*own.values(), *others))

    # ---------------------------------------------------------------------------------- the world

    def _tick(self) -> dt.datetime:
        self.clock += dt.timedelta(minutes=1)
        return self.clock

    def _assign(self) -> None:
        """What identity resolution of the coming night will find."""
        accounts = pa.table({
            "channel": ["shop"] * len(ACCOUNTS),
            "source_customer_id": ACCOUNTS,
            "cluster": [self.clusters[account] for account in ACCOUNTS],
        })  # fmt: skip
        assign_customer_ids(
            self.home, self.ledger, accounts, key=KEY, as_of=self.as_of + ONE_DAY,
            now=self._tick(),
        )  # fmt: skip

    def _customers(self) -> dict[str, frozenset[str]]:
        """Accounts of every customer now."""
        found: dict[str, set[str]] = {}
        for row in read_accounts(self.home, self.ledger).to_pylist():
            found.setdefault(row["customer_id"], set()).add(row["source_customer_id"])
        return {customer: frozenset(accounts) for customer, accounts in found.items()}

    def _say(self, account: str, channel: str, *, is_granted: bool) -> None:
        way = channel if channel in KINDS else "sms"
        address, at = ADDRESSES[account][way], self._tick()
        token = tokenise_contact(KINDS[way], address, key=KEY).token
        self.words.append(Word(at, account, token, channel, is_granted))
        row = {
            "channel": "shop", "source_customer_id": account, "contact_kind": KINDS[way],
            "contact_value": address, "consent_channel": channel, "notice_version": "1",
            "purpose": "marketing" if channel in KINDS else channel, "evidence": "form",
            "action": "granted" if is_granted else "withdrawn",
        }  # fmt: skip
        row["record_id"] = hashlib.sha256(f"{account} {channel} {at}".encode()).hexdigest()[:32]
        table = pa.Table.from_pylist([row], pa.schema([(name, pa.string()) for name in FIELDS]))
        moment = pa.array([at], pa.timestamp("us"))
        table = table.append_column("occurred_at", moment).append_column("known_at", moment)
        post_consents(self.ledger, self.vault, table, key=KEY, feed="consents", file_sha256=str(at))

    def _build(self) -> None:
        """Identity, rule tables and activation of the night."""
        connection = self.warehouse
        for address, table in (
            ("identity.customer_accounts", read_accounts(self.home, self.ledger)),
            ("identity.customer_id_changes", read_changes(self.ledger)),
        ):
            connection.register("made", table)
            connection.execute(f"delete from {address}")
            connection.execute(f"insert into {address} by name select * from made")
        connection.execute("create schema if not exists rules")
        for name, (columns, rows) in RULES.items():
            connection.execute(f"create or replace table rules.{name} ({columns})")
            for row in rows:
                connection.execute(f"insert into rules.{name} values ({row})")
        connection.execute("create schema if not exists activation")
        connection.execute(ACTIVATION)
        facts = ", ".join(f"('{name}', timestamp '{at}')" for name, at in self.occurrences.items())
        for spec in JOURNEYS:
            connection.execute(
                f"create or replace table {spec.audience} as select customer_id, occurrence, "
                "triggered_at, 'marketing' as purpose from activation.outreach_customers, "
                f"(values {facts}) as facts (occurrence, triggered_at)"
            )

    def _plan(self, spec: JourneySpec) -> list[tuple[Batch, list[Message]]]:
        planned = plan_batches(
            self.home, self.ledger, spec, as_of=self.as_of, render=render, now=self._tick(),
            planned_by="schedule",
        )  # fmt: skip
        released = []
        for batch in planned:
            if batch.state == "planned":
                with self.ledger.begin() as connection:
                    move(connection, batch, "released", "li", "batch_released", self._tick())
                batch = Batch(**{**batch.__dict__, "state": "released"})
            released.append((batch, messages_of(read_plan(self.home, batch))))
        return released

    def _call(
        self, message: Message, customers: dict[str, frozenset[str]], chance: random.Random
    ) -> DeliveryResult | None:
        """The provider; None where the dispatcher dies before it can say what happened."""
        accounts = customers[message.customer_id]
        assert self._is_allowed(message, accounts), "nobody agreed to this"
        fate = chance.choices(list(FATES), list(FATES.values()))[0]
        self.fates[fate] += 1
        if fate != "refused":  # nothing left, and it may be tried again
            key = (message.journey, message.step, message.occurrence)
            decided = self.decided[message.customer_id]
            self.calls.append(
                Call(key, message.contact_token, accounts, decided, self.as_of + ONE_DAY, fate)
            )
        if fate == "lost":
            return None
        return DeliveryResult(message.message_id, fate, "test", self.clock)  # type: ignore[arg-type]


ONE_DAY = dt.timedelta(days=1)


def render(decisions: pa.Table) -> tuple[pa.Table, pa.Table]:
    """The same words for everybody."""
    for name in ("subject", "body"):
        words = pa.array(["Hello"] * decisions.num_rows, pa.string())
        decisions = decisions.append_column(name, words)
    readers = pa.array(["customer"] * decisions.num_rows, pa.string())
    decisions = decisions.append_column("reader", readers)
    return decisions, pa.table({"reason": pa.array([], pa.string())})


@pytest.mark.bad_input("F29")
@pytest.mark.slow
def test_merges_and_splits_send_no_step_twice_and_break_no_cap() -> None:
    Outreach.fates.clear()
    run_state_machine_as_test(
        Outreach, settings=settings(max_examples=8, stateful_step_count=12, deadline=None)
    )
    assert Outreach.fates["accepted"], "nothing was sent at all"


def test_what_an_older_batch_has_left_does_not_go_beside_what_a_later_night_decided() -> None:
    """The later night knows nothing of it: together they would be more than a day may see."""
    world = Outreach()
    world.open()
    try:
        world.night(1)
        world.clock += dt.timedelta(hours=10)
        for batch, asked in world.plans:
            claim_messages(world.home, world.ledger, batch.batch_id, asked, now=world._tick())
        world.night(1)
        (left_over,) = [(batch, asked) for batch, asked in world.plans if asked]
        assert left_over[0].journey == "low"
        world.new_fact()
        world.night(1)
        (planned,) = [(batch, asked) for batch, asked in world.plans if asked]
        assert planned[0].journey == "high"
        world.clock += dt.timedelta(hours=10)
        for batch, asked, reasons in ((*left_over, {"decided_anew": 4}), (*planned, {})):
            report = claim_messages(
                world.home, world.ledger, batch.batch_id, asked, now=world._tick()
            )
            assert (len(report.claimed), report.skipped) == (4 - len(reasons) * 4, reasons)
    finally:
        world.teardown()


@pytest.mark.soak
@pytest.mark.bad_input("F29")
def test_many_merges_and_splits_send_no_step_twice_and_break_no_cap() -> None:
    run_state_machine_as_test(
        Outreach, settings=settings(max_examples=300, stateful_step_count=40, deadline=None)
    )
