"""From identifiers to customer ids through any history: growth, decisions, repeats, rebuilds."""

from __future__ import annotations

import datetime as dt
import tempfile
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.identity.customers import read_placed_accounts
from crm_pipeline.lib.identity.ids import assign_customer_ids, read_accounts, read_changes
from crm_pipeline.lib.identity.overrides import Override, record_overrides, standing_overrides
from crm_pipeline.lib.identity.resolution import resolve_accounts
from crm_pipeline.lib.ledger import open_ledger
from tests.identity_support import kinds, show

KEY = b"a key for tests only"
KINDS = kinds(("member_number", "unique", 90), ("phone", "equality_only", 60))
ACCOUNTS = [f"{channel}:{number}" for channel in ("app", "pos") for number in range(4)]
TABLES = ("clusters", "edges", "dropped_edges")
account = st.sampled_from(ACCOUNTS)


class Identity(RuleBasedStateMachine):
    """The warehouse may be lost at any time; the ledger never is."""

    @initialize()
    def open(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.home = CrmHome(Path(self._folder.name)).ensure()
        self.ledger = open_ledger(self.home)
        self.warehouse = duckdb.connect()
        self.shown: set[tuple[str, str, str]] = set()
        self.first: dict[str, str] = {}
        self.ids: dict[str, str] = {}
        self.day = dt.date(2026, 1, 1)
        self._run()

    def teardown(self) -> None:
        if hasattr(self, "_folder"):
            self.warehouse.close()
            self.ledger.dispose()
            self._folder.cleanup()

    def _run(self) -> None:
        """One night."""
        self.day += dt.timedelta(days=1)
        decided = standing_overrides(self.ledger)
        show(self.warehouse, sorted(self.shown))
        resolve_accounts(self.warehouse, KINDS, decided)
        placed = read_placed_accounts(self.warehouse, decided)
        assigned = assign_customer_ids(self.home, self.ledger, placed, key=KEY, as_of=self.day)
        self.ids = {
            f"{row['channel']}:{row['source_customer_id']}": row["customer_id"]
            for row in assigned.to_pylist()
        }
        for name, customer_id in self.ids.items():
            self.first.setdefault(name, customer_id)

    def _decide(self, kind: str, left: str, right: str) -> None:
        decided_at = dt.datetime(2026, 1, 1, tzinfo=dt.UTC).replace(tzinfo=None)
        decision = Override.of(kind, left, right, "clerk", f"{kind} on {self.day}")
        record_overrides(self.ledger, [decision], decided_at=decided_at)
        self._run()

    def _tables(self, connection: duckdb.DuckDBPyConnection) -> list[list[tuple[Any, ...]]]:
        return [connection.execute(f"from identity.{name} order by all").fetchall()
                for name in TABLES]  # fmt: skip

    @rule(
        who=account, kind=st.sampled_from(["member_number", "phone"]), value=st.sampled_from("abc")
    )
    def add(self, who: str, kind: str, value: str) -> None:
        """A new account, or one more identifier of a known one: a merge, if somebody has it."""
        self.shown.add((who, kind, value))
        self._run()

    @rule(data=st.data())
    @precondition(lambda self: getattr(self, "shown", None))
    def take_back(self, data: st.DataObject) -> None:
        """A part is replaced and shows an identifier no more."""
        self.shown.discard(data.draw(st.sampled_from(sorted(self.shown))))
        self._run()

    @rule(left=account, right=account)
    def link(self, left: str, right: str) -> None:
        if left != right:
            self._decide("link", left, right)

    @rule(left=account, right=account, kind=st.sampled_from(["unlink", "never_link"]))
    def part(self, left: str, right: str, kind: str) -> None:
        if left != right:
            self._decide(kind, left, right)
            if {left, right} <= self.ids.keys():
                assert self.ids[left] != self.ids[right]

    @rule()
    def deliver_again(self) -> None:
        ids, changes = dict(self.ids), read_changes(self.ledger).num_rows
        self._run()
        assert self.ids == ids
        assert read_changes(self.ledger).num_rows == changes

    @rule()
    def rebuild(self) -> None:
        """The warehouse is deleted and built from nothing."""
        ids, changes = dict(self.ids), read_changes(self.ledger).num_rows
        stepped = self._tables(self.warehouse)
        self.warehouse.close()
        self.warehouse = duckdb.connect()
        self._run()
        assert self._tables(self.warehouse) == stepped
        assert self.ids == ids
        assert read_changes(self.ledger).num_rows == changes

    @invariant()
    def every_account_is_in_exactly_one_customer(self) -> None:
        if hasattr(self, "warehouse"):
            assert self.ids.keys() == {who for who, _, _ in self.shown}

    @invariant()
    def nobody_has_two_member_numbers(self) -> None:
        if not hasattr(self, "warehouse"):
            return
        # Of an account that shows several itself the last counts; such accounts prove nothing here.
        numbers: dict[str, set[str]] = {}
        for who, kind, value in self.shown:
            if kind == "member_number":
                numbers.setdefault(who, set()).add(value)
        by_customer: dict[str, set[str]] = {}
        for who, values in numbers.items():
            if len(values) == 1:
                by_customer.setdefault(self.ids[who], set()).update(values)
        assert all(len(values) == 1 for values in by_customer.values())

    @invariant()
    def history_explains_every_id(self) -> None:
        if not hasattr(self, "warehouse"):
            return
        told = dict(self.first)
        for row in read_changes(self.ledger).to_pylist():
            name = f"{row['channel']}:{row['source_customer_id']}"
            assert told[name] == row["from_customer_id"] != row["to_customer_id"]
            assert row["reason"] and row["change_kind"] in ("merge", "split")
            told[name] = row["to_customer_id"]
        kept = read_accounts(self.home, self.ledger).to_pylist()
        assert told == {
            f"{row['channel']}:{row['source_customer_id']}": row["customer_id"] for row in kept
        }


@pytest.mark.requirement("IDN-3")
@pytest.mark.requirement("IDN-4")
class TestIdentity(Identity.TestCase):  # type: ignore[misc,valid-type]
    settings = settings(max_examples=10, stateful_step_count=10, deadline=None)
