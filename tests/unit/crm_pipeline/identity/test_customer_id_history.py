"""Merges, splits and what is remembered of them."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections import defaultdict
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.identity import assign_customer_ids, read_accounts, read_changes
from crm_pipeline.lib.identity.ids import mint_id
from crm_pipeline.lib.ledger import open_ledger

KEY = b"a key for tests only"
DAY = dt.date(2026, 6, 30)


class Shop:
    """A home whose accounts are clustered as the test says."""

    def __init__(self, folder: Path) -> None:
        self.home = CrmHome(folder).ensure()
        self.ledger = open_ledger(self.home)
        self.day = DAY

    def assign(
        self, *clusters: str, reason: str | None = None, mint: bool = True
    ) -> dict[str, str]:
        """Clusters as words, an account per letter; returns the id of every letter."""
        rows = [
            {"channel": "shop", "source_customer_id": letter, "cluster": word, "reason": reason}
            for word in clusters
            for letter in word
        ]
        names = ("channel", "source_customer_id", "cluster", "reason")
        table = pa.Table.from_pylist(rows, pa.schema([(name, pa.string()) for name in names]))
        found = assign_customer_ids(
            self.home, self.ledger, table, key=KEY, as_of=self.day, mint=mint
        )
        self.day += dt.timedelta(days=1)
        return {row["source_customer_id"]: row["customer_id"] for row in found.to_pylist()}

    def changes(self) -> list[tuple[str, str, str, str]]:
        return [
            (
                row["source_customer_id"],
                row["change_kind"],
                row["from_customer_id"],
                row["to_customer_id"],
            )
            for row in read_changes(self.ledger).to_pylist()
        ]


def minted(letter: str) -> str:
    return mint_id("shop", letter, KEY)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.mark.requirement("IDN-3")
def test_a_cluster_has_one_id_minted_for_its_smallest_account(shop: Shop) -> None:
    assert shop.assign("cb", "a") == {"a": minted("a"), "b": minted("b"), "c": minted("b")}
    assert shop.changes() == []


@pytest.mark.requirement("IDN-3")
def test_a_merge_keeps_the_oldest_id(shop: Shop) -> None:
    shop.assign("b")
    shop.assign("b", "a")  # the smaller account, but the younger id
    assert set(shop.assign("ab", reason="phone").values()) == {minted("b")}
    assert shop.changes() == [("a", "merge", minted("a"), minted("b"))]
    (change,) = read_changes(shop.ledger).to_pylist()
    assert change["reason"] == "phone" and change["as_of_date"] == DAY + dt.timedelta(days=2)


@pytest.mark.requirement("IDN-3")
def test_a_split_gives_the_id_of_before_the_merge_back(shop: Shop) -> None:
    before = shop.assign("ab", "cd")
    shop.assign("abcd")
    assert shop.assign("ab", "cd") == before
    assert [change[:2] for change in shop.changes()] == [
        ("c", "merge"),
        ("d", "merge"),
        ("c", "split"),
        ("d", "split"),
    ]


@pytest.mark.requirement("IDN-3")
def test_who_parts_without_an_id_of_its_own_gets_a_new_one(shop: Shop) -> None:
    shop.assign("abc")
    assert shop.assign("a", "bc") == {"a": minted("a"), "b": minted("b"), "c": minted("b")}
    assert shop.changes() == [
        ("b", "split", minted("a"), minted("b")),
        ("c", "split", minted("a"), minted("b")),
    ]


def test_the_id_stays_when_its_account_is_gone(shop: Shop) -> None:
    shop.assign("abc")
    assert shop.assign("bc") == {"b": minted("a"), "c": minted("a")}
    assert shop.changes() == []
    assert shop.assign("b", "c") == {"b": minted("a"), "c": minted("c")}


def test_a_past_day_uses_ids_that_exist_and_records_nothing(shop: Shop) -> None:
    shop.assign("ab", "c")
    shop.assign("abc")
    past = shop.assign("ab", "c", "x", mint=False)
    assert past == {"a": minted("a"), "b": minted("a"), "c": minted("c")}
    assert len(shop.changes()) == 1


@pytest.mark.requirement("CUS-3")
def test_a_past_day_keeps_apart_who_was_not_one_yet(shop: Shop) -> None:
    shop.assign("abz")
    assert shop.assign("a", "b", "z", mint=False) == {x: minted(x) for x in "abz"}
    assert shop.changes() == []
    assert shop.assign("a", "b", "z") == {x: minted(x) for x in "abz"}


LETTERS = "abcdefg"


class Customers(RuleBasedStateMachine):
    """Any order of growth, merges, splits and repeats."""

    @initialize()
    def open(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.shop = Shop(Path(self._folder.name))
        self.groups: dict[str, int] = {}
        self.first: dict[str, str] = {}
        self.ids: dict[str, str] = {}

    def teardown(self) -> None:
        if hasattr(self, "_folder"):
            self.shop.ledger.dispose()
            self._folder.cleanup()

    def _assign(self) -> dict[str, str]:
        words: dict[int, str] = defaultdict(str)
        for letter, group in sorted(self.groups.items()):
            words[group] += letter
        found = self.shop.assign(*words.values())
        for letter, customer_id in found.items():
            self.first.setdefault(letter, customer_id)
        self.ids = found
        return found

    @rule(letter=st.sampled_from(LETTERS), group=st.integers(0, 6))
    def place(self, letter: str, group: int) -> None:
        """Adds, links or unlinks an account."""
        self.groups[letter] = group
        self._assign()

    @rule(groups=st.lists(st.integers(0, 3), min_size=len(LETTERS), max_size=len(LETTERS)))
    def cluster_anew(self, groups: list[int]) -> None:
        self.groups = {
            letter: group
            for letter, group in zip(LETTERS, groups, strict=True)
            if letter in self.groups
        }
        self._assign()

    @rule()
    def deliver_again(self) -> None:
        changes = len(self.shop.changes())
        before = dict(self.ids)
        assert self._assign() == before
        assert len(self.shop.changes()) == changes

    @rule()
    def merge_all_and_part_again(self) -> None:
        before, groups = dict(self.ids), dict(self.groups)
        self.groups = dict.fromkeys(groups, 0)
        merged = set(self._assign().values())
        assert len(merged) <= 1 and merged <= set(before.values())
        self.groups = groups
        assert self._assign() == before

    @invariant()
    def accounts_share_an_id_exactly_when_they_share_a_cluster(self) -> None:
        if not hasattr(self, "shop"):
            return
        ids = self.ids
        assert ids.keys() == self.groups.keys()
        pairs = [(a, b) for a in ids for b in ids if a < b]
        assert all((ids[a] == ids[b]) == (self.groups[a] == self.groups[b]) for a, b in pairs)

    @invariant()
    def history_explains_every_id(self) -> None:
        if not hasattr(self, "shop"):
            return
        told = dict(self.first)
        for letter, _, old, new in self.shop.changes():
            assert told[letter] == old != new
            told[letter] = new
        kept = read_accounts(self.shop.home, self.shop.ledger).to_pylist()
        assert told == {row["source_customer_id"]: row["customer_id"] for row in kept}


@pytest.mark.requirement("IDN-3")
class TestCustomers(Customers.TestCase):  # type: ignore[misc,valid-type]
    settings = settings(max_examples=12, stateful_step_count=12, deadline=None)
