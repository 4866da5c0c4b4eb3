"""Amounts counted in the smallest coins."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .door import GOOD, Door, csv, feed

COINS: dict[str, Any] = {"columns": {"paid_amount": {"from": "Amount", "minor_units": 2}}}


@settings(deadline=None, max_examples=10)
@given(st.lists(st.integers(0, 10**11), min_size=1, max_size=30, unique=True))
def test_coins_become_the_exact_amount(
    tmp_path_factory: pytest.TempPathFactory, amounts: list[int]
) -> None:
    door = Door(tmp_path_factory.mktemp("door"), feed(COINS))
    lines = [
        GOOD.replace("A1", f"A{n}").replace("12.50", str(cents)) for n, cents in enumerate(amounts)
    ]
    door.take(csv(*lines))
    assert [r["paid_amount"] for r in door.parts()] == [Decimal(n).scaleb(-2) for n in amounts]


@pytest.mark.bad_input("B44")
@pytest.mark.parametrize(
    ("text", "reason"),
    [("12.50", "decimals"), ("-5", "negative"), ("1e3", "number"), ("999999999999999999", "range")],
)
def test_what_is_no_count_of_coins_is_quarantined(
    make_door: Callable[..., Door], text: str, reason: str
) -> None:
    door = make_door(COINS)
    door.take(csv(GOOD.replace("12.50", text)))
    assert [code for _, code, _ in door.reasons()] == [reason]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"paid_amount": {"from": "Amount", "minor_units": 2, "scale": 2}}, "nothing behind"),
        ({"order_id": {"from": "No", "minor_units": 2}}, "means nothing for order_id"),
    ],
)
def test_coins_are_declared_with_sense(columns: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        feed({"columns": columns})


def test_a_feed_without_coins_keeps_its_contract(make_door: Callable[..., Door]) -> None:
    assert feed(COINS).contract_hash != feed().contract_hash
