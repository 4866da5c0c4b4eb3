"""Lists inside JSON lines whose objects are records of their own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_pipeline.lib.errors import ConfigError
from crm_pipeline.lib.ingestion import load_feeds
from crm_pipeline.lib.ingestion.readers import jsonl

from .door import Door, feed

LINES: dict[str, Any] = {
    "entity": "order_lines",
    "format": {"kind": "jsonl", "explode": "items"},
    "columns": {
        "order_status": None,
        "paid_amount": None,
        "payment_method": None,
        "order_id": "order_id",
        "source_customer_id": "buyer.open_id",
        "ordered_at": {"from": "create_time", "epoch": "s"},
        "line_number": "items.no",
        "sku": "items.goods.sku",
        "quantity": {"from": "items.num", "scale": 0},
        "unit_price_amount": {"from": "items.price", "scale": 2},
        "line_kind": {"value": "sale"},
        "item_class": {"value": "product"},
    },
}
ORDER = {"order_id": "A1", "buyer": {"open_id": "c1"}, "create_time": 1767322800}
FIRST = {"no": "1", "goods": {"sku": "S1"}, "num": 2, "price": "9.90"}
SECOND = {"no": "2", "goods": {"sku": "S2"}, "num": 1, "price": "5.00"}


def order(*items: Any, **more: Any) -> str:
    return json.dumps({**ORDER, "items": list(items), **more}) + "\n"


@pytest.fixture
def lines(make_door: Callable[..., Door]) -> Door:
    return make_door(LINES)


@pytest.mark.requirement("ING-3")
def test_every_object_of_the_list_is_a_record_with_the_fields_beside_it(lines: Door) -> None:
    report = lines.take(order(FIRST, SECOND), "a.jsonl")
    assert (report.received, report.written) == (2, 2)
    found = [(r["order_id"], r["line_number"], r["sku"], r["source_customer_id"])
             for r in lines.parts()]  # fmt: skip
    assert found == [("A1", "1", "S1", "c1"), ("A1", "2", "S2", "c1")]
    assert len({r["record_id"] for r in lines.parts()}) == 2
    assert [r["record_number"] for r in lines.parts()] == [1, 2]


@pytest.mark.bad_input("B40")
@pytest.mark.parametrize("bad", ['{"order_id": "A9"', '{"order_id": 1}{"order_id": 2}', "[1]"])
def test_a_bad_line_is_one_record_in_quarantine(lines: Door, bad: str) -> None:
    report = lines.take(order(FIRST, SECOND) + bad + "\n" + order(FIRST, order_id="A2"), "a.jsonl")
    assert (report.received, report.written) == (4, 3)
    assert lines.reasons() == [(3, "json", None)]
    assert [r["record_number"] for r in lines.parts()] == [1, 2, 4]


@pytest.mark.bad_input("B41")
@pytest.mark.parametrize(
    "bad", ['{"no": "1", "no": "2"}', '{"no": NaN}', '{"no": Infinity}', '{"no": -Infinity}']
)
def test_a_line_is_strict_inside_its_list_too(lines: Door, bad: str) -> None:
    line = order().replace("[]", f"[{bad}]")
    lines.take(order(FIRST) + line, "a.jsonl")
    assert lines.reasons() == [(2, "json", None)]


@pytest.mark.bad_input("B40")
def test_an_element_that_is_no_object_is_one_record_in_quarantine(lines: Door) -> None:
    deeper = {**FIRST, "no": "3", "goods": {"sku": ["S1"]}}
    report = lines.take(order(FIRST, "S2", None, SECOND, deeper), "a.jsonl")
    assert (report.received, report.written) == (5, 2)
    rejected = [(2, "json", "items"), (3, "json", "items"), (5, "json", "items.goods.sku")]
    assert lines.reasons() == rejected


@pytest.mark.bad_input("B40")
def test_a_list_that_is_none_is_one_record_in_quarantine(lines: Door) -> None:
    report = lines.take(order(FIRST) + order(items={"no": "1"}) + order(items="x"), "a.jsonl")
    assert (report.received, report.written) == (3, 1)
    assert [reason for _, reason, _ in lines.reasons()] == ["json", "json"]


def test_an_order_without_lines_brings_no_record(lines: Door) -> None:
    report = lines.take(order() + order(items=None) + order(FIRST), "a.jsonl")
    assert (report.received, report.written) == (1, 1)


@pytest.mark.bad_input("B16")
def test_a_file_without_the_list_or_its_fields_is_refused(lines: Door) -> None:
    (renamed,) = [json.loads(order(FIRST))]
    renamed["goods_list"] = renamed.pop("items")
    report = lines.take(json.dumps(renamed) + "\n", "a.jsonl")
    assert (report.outcome, report.reason_code) == ("refused", "header")
    report = lines.take(order({"no": "1", "num": 1}), "b.jsonl")
    assert (report.outcome, report.reason_code) == ("refused", "header")
    assert "items.price" in str(report.message) and "items.goods.sku" in str(report.message)


@pytest.mark.bad_input("B17")
def test_unasked_personal_data_inside_the_list_is_refused(lines: Door) -> None:
    report = lines.take(order({**FIRST, "receiver_phone": "13800138000"}), "a.jsonl")
    assert (report.outcome, report.reason_code) == ("refused", "personal_column")
    report = lines.take(order({**FIRST, "colour": "red"}), "b.jsonl")
    assert report.outcome == "written"
    assert report.warnings == ("unknown columns were not read: items.colour",)


@pytest.mark.bad_input("B40")
def test_a_list_without_measure_is_one_record_in_quarantine(lines: Door) -> None:
    items = [{"no": str(n)} for n in range(jsonl.ELEMENTS_LIMIT + 1)]
    lines.take(order(FIRST) + order(*items), "a.jsonl")
    assert lines.reasons() == [(2, "json", None)]


def test_long_lists_come_in_batches_of_bounded_weight(
    lines: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "".join(order(FIRST, SECOND, order_id=f"A{n}") for n in range(20))
    monkeypatch.setattr(jsonl, "WEIGHT_LIMIT", 1000)
    report = lines.take(text, "a.jsonl")
    assert (report.received, report.written) == (40, 40)
    assert [r["record_number"] for r in lines.parts()] == list(range(1, 41))


@settings(deadline=None, max_examples=25)
@given(
    st.lists(
        st.lists(st.one_of(st.just(FIRST), st.none(), st.integers(), st.just({})), max_size=4),
        min_size=1,
        max_size=6,
    )
)
def test_one_element_in_is_one_record_out(
    tmp_path_factory: pytest.TempPathFactory, orders: list[list[Any]]
) -> None:
    door = Door(tmp_path_factory.mktemp("door"), feed(LINES))
    # A first order with a proper line, so that the file has every key.
    text = order(FIRST) + "".join(order(*items, order_id=f"B{n}") for n, items in enumerate(orders))
    report = door.take(text, "a.jsonl")
    good = sum(item == FIRST for items in orders for item in items)
    assert report.received == 1 + sum(len(items) for items in orders)
    assert report.written == 1 + good


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": {"kind": "csv", "explode": "items"}}, "csv has no lists"),
        ({"format": {"kind": "jsonl", "explode": "lines"}}, "no column comes from 'lines'"),
    ],
)
def test_a_list_is_named_with_sense(changes: dict[str, Any], words: str) -> None:
    said = {**LINES, **changes}
    with pytest.raises(ValueError, match=words):
        feed(said)


def test_another_list_is_another_contract() -> None:
    other = json.loads(json.dumps(LINES).replace("items", "lines"))
    assert feed(other).contract_hash != feed(LINES).contract_hash


HEADS = """\
type: crm_pipeline.components.ChannelFeed
attributes:
  feed: heads
  channel: shop
  entity: orders
  folder: orders
  format: {kind: jsonl}
  timezone: Asia/Shanghai
  currency: CNY
  known_at: {event: ordered_at}
  key: {columns: [order_id]}
  columns:
    order_id: order_id
    source_customer_id: buyer.open_id
    ordered_at: {from: create_time, epoch: s}
    order_status: {value: paid}
    buyer_phone: phone
  ignore: [items]
"""
BODY = """\
---
type: crm_pipeline.components.ChannelFeed
attributes:
  like: heads
  feed: lines
  entity: order_lines
  format: {kind: jsonl, explode: items}
  columns:
    line_number: items.no
    sku: items.goods.sku
    quantity: {from: items.num, scale: 0}
    unit_price_amount: {from: items.price, scale: 2}
    line_kind: {value: sale}
    item_class: {value: product}
"""


def written(folder: Path, text: str) -> Path:
    (folder / "defs.yaml").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.requirement("ING-2")
def test_two_entities_of_one_file_are_two_feeds_of_which_one_is_like_the_other(
    tmp_path: Path,
) -> None:
    heads, lines = load_feeds(written(tmp_path, HEADS + BODY))
    assert lines.landing_folder == heads.landing_folder == "orders"
    assert lines.natural_key == ("order_id", "line_number")
    # Only the head wants the phone; for the lines it is known and left alone.
    assert lines.ignore == ["phone"] and "buyer_phone" not in lines.columns
    assert lines.columns["source_customer_id"].source == "buyer.open_id"
    text = order(FIRST, SECOND, phone="13800138000")
    for spec, count in ((heads, 1), (lines, 2)):
        door = Door(tmp_path / spec.feed, spec)
        assert door.take(text, "a.jsonl").written == count


def test_two_feeds_of_one_file_say_so(tmp_path: Path) -> None:
    spelled = HEADS.replace("feed: heads", "feed: other").replace("channel: shop", "channel: web")
    with pytest.raises(ConfigError, match="read the same files") as told:
        load_feeds(written(tmp_path, HEADS + "---\n" + spelled))
    assert "like: heads" in str(told.value.remedy)
    same = BODY.replace("entity: order_lines", "entity: orders").split("  format")[0]
    with pytest.raises(ConfigError, match="read the same files"):
        load_feeds(written(tmp_path, HEADS + same))
