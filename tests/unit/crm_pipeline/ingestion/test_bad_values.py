"""Texts, ids, numbers, currencies and times.

A value is read by the declared rule or quarantined.
"""

# ruff: noqa: DTZ001 - parts hold naive UTC

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

import crm_pipeline
from crm_pipeline.lib.ingestion import conversions, load_feed, load_feeds

from .door import GOOD, Door, csv, feed

MakeDoor = Callable[..., Door]

LINES: dict[str, Any] = {
    "feed": "lines",
    "channel": "shop",
    "entity": "order_lines",
    "format": {"kind": "csv"},
    "timezone": "Europe/London",
    "currency": "GBP",
    "known_at": {"event": "ordered_at"},
    "columns": {
        "order_id": "No",
        "line_number": "Line",
        "ordered_at": {"from": "At", "format": "%Y-%m-%d %H:%M:%S"},
        "sku": "Sku",
        "quantity": {"from": "Qty", "scale": 0},
        "unit_price_amount": {"from": "Price", "scale": 2},
        "line_kind": {"value": "sale"},
        "item_class": {"value": "product"},
    },
}
LINES_HEADER = "No,Line,At,Sku,Qty,Price"
LINE = "A1,1,2026-01-02 10:00:00,S1,2,9.99"
ACCOUNTS: dict[str, Any] = {
    "feed": "people",
    "channel": "shop",
    "entity": "accounts",
    "format": {"kind": "csv"},
    "timezone": "Asia/Shanghai",
    "known_at": {"file_name": r"(\d{8})", "format": "%Y%m%d"},
    "columns": {
        "source_customer_id": "Id",
        "display_name": "Name",
        "birth_date": {"from": "Born", "format": "%Y-%m-%d", "optional": True},
    },
}


def reason_of(door: Door, *lines: str, header: str | None = None) -> str | None:
    """Delivers ``lines`` and returns the reason of the only quarantined record, if any."""
    door.take(csv(*lines, header=header) if header else csv(*lines))
    reasons = [code for _, code, _ in door.reasons()]
    assert len(reasons) <= 1
    return reasons[0] if reasons else None


def amount(text: str) -> str:
    return GOOD.replace("12.50", text)


@pytest.mark.bad_input("B05")
@pytest.mark.parametrize(
    "name",
    ["张\ufffd", "锟斤拷锟斤拷", "å¼ ä¸‰", "ZoÃ«", "æ\u009d\u008eå\u009b\u009b"],
)
def test_b05_destroyed_characters_are_quarantined(make_door: MakeDoor, name: str) -> None:
    door = make_door(base=ACCOUNTS)
    report = door.take(f"Id,Name\n1,{name}\n2,Zoë Müller – “ÉCOLE”\n3,张三\n", "p-20260102.csv")
    assert (report.received, report.written) == (3, 2)
    assert door.reasons() == [(1, "encoding", "display_name")]


@pytest.mark.bad_input("B37")
def test_b37_leading_zeros_stay(door: Door) -> None:
    door.take(csv(GOOD.replace("A1", "000123")))
    assert door.parts()[0]["order_id"] == "000123"


@pytest.mark.bad_input("B42")
@pytest.mark.parametrize("text", ['"1,234.50"', "１０.５", "¥12.00", "12元", "12 000", '"12,34,5"'])
def test_b42_decorated_numbers_are_quarantined_unless_declared(door: Door, text: str) -> None:
    assert reason_of(door, amount(text)) == "number"


@pytest.mark.bad_input("B42")
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"1,234.50"', "1234.50"),
        ("１０.５", "10.5"),
        ("¥12.00", "12"),
        ("￥ 3.10", "3.1"),
        ("12元", "12"),
        ('"¥1,234,567.89"', "1234567.89"),
        ("7", "7"),
    ],
)
def test_b42_decorated_numbers_are_read_when_declared(
    make_door: MakeDoor, text: str, value: str
) -> None:
    declared = {
        "from": "Amount",
        "scale": 2,
        "thousands": ",",
        "symbols": ["¥", "元"],
        "full_width": True,
    }
    door = make_door({"columns": {"paid_amount": declared}})
    assert reason_of(door, amount(text)) is None
    assert door.parts()[0]["paid_amount"] == Decimal(value)


@pytest.mark.bad_input("B42")
@pytest.mark.parametrize("text", ['"12,34,5"', '"1,2345"', "¥¥1", "１２.３.４", '",1"', "元"])
def test_b42_declared_decoration_does_not_excuse_a_wrong_number(
    make_door: MakeDoor, text: str
) -> None:
    declared = {
        "from": "Amount",
        "scale": 2,
        "thousands": ",",
        "symbols": ["¥", "元"],
        "full_width": True,
    }
    door = make_door({"columns": {"paid_amount": declared}})
    assert reason_of(door, amount(text)) == "number"


@pytest.mark.bad_input("B42")
def test_b42_a_decimal_comma_is_declared_or_wrong(make_door: MakeDoor) -> None:
    comma = {"from": "Amount", "scale": 2, "decimal": ",", "thousands": "."}
    door = make_door({"columns": {"paid_amount": comma}})
    door.take(csv(amount('"1.234,50"'), amount('"7,5"'), amount("7.5"), amount("1.234")))
    assert [r["paid_amount"] for r in door.parts()] == [
        Decimal("1234.5"),
        Decimal("7.5"),
        Decimal(1234),
    ]
    assert door.reasons() == [(3, "number", "paid_amount")]


@pytest.mark.bad_input("B43")
@pytest.mark.parametrize(
    "text",
    ["NaN", "inf", "-inf", "-0", "-0.00", "--5", "1e5", "1E5", "0x10", "5-", "+5", ".5", "5."],
)
def test_b43_what_is_no_plain_number_is_quarantined(door: Door, text: str) -> None:
    assert reason_of(door, amount(text)) == "number"


@pytest.mark.bad_input("B44")
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1000000000000000000", "range"),
        ("1" + "0" * 400, "range"),
        ("1000000001", "range"),
        ("0.001", "decimals"),
        ("12.345", "decimals"),
        ("12.340", None),
        ("12.3", None),
    ],
)
def test_b44_range_and_decimals_are_judged_before_any_cast(
    door: Door, text: str, reason: str | None
) -> None:
    assert reason_of(door, amount(text)) == reason


@pytest.mark.bad_input("B45")
@pytest.mark.parametrize(
    ("quantity", "price", "reason"),
    [
        ("-1", "9.99", "negative"),
        ("0", "9.99", "zero"),
        ("1", "0", "zero"),
        ("1", "-1", "negative"),
        ("1.5", "1", "decimals"),
    ],
)
def test_b45_signs_are_quarantined_unless_declared(
    make_door: MakeDoor, quantity: str, price: str, reason: str
) -> None:
    line = f"A1,1,2026-01-02 10:00:00,S1,{quantity},{price}"
    assert reason_of(make_door(base=LINES), line, header=LINES_HEADER) == reason


@pytest.mark.bad_input("B45")
def test_b45_declared_signs_get_their_line_kind(make_door: MakeDoor) -> None:
    rules = [
        {"when": {"order_id": {"starts_with": "C"}}, "is": "refund"},
        {"when": {"quantity": {"below": 0}}, "is": "adjustment"},
        {"when": {"unit_price_amount": {"equals": 0}}, "is": "gift"},
        {"otherwise": "sale"},
    ]
    columns = {
        "quantity": {"from": "Qty", "scale": 0, "allow": ["negative"]},
        "unit_price_amount": {"from": "Price", "scale": 2, "allow": ["zero"]},
        "line_kind": {"first_match": rules},
    }
    door = make_door({"columns": columns}, base=LINES)
    cases = [("C1", -1, "5"), ("A1", -1, "5"), ("A2", 1, "0"), ("A3", 1, "5")]
    lines = [f"{order},1,2026-01-02 10:00:00,S1,{n},{price}" for order, n, price in cases]
    door.take(csv(*lines, header=LINES_HEADER))
    assert [r["line_kind"] for r in door.parts()] == ["refund", "adjustment", "gift", "sale"]


POINTS: dict[str, Any] = {
    "feed": "points",
    "channel": "desk",
    "entity": "points_events",
    "format": {"kind": "csv"},
    "timezone": "Asia/Shanghai",
    "known_at": {"event": "occurred_at"},
    "columns": {
        "event_id": "No",
        "account_channel": {"from": "Channel", "optional": True},
        "source_customer_id": "Account",
        "event_kind": {"value": "share"},
        "points": "Points",
        "occurred_at": {"from": "At", "format": "%Y-%m-%d %H:%M:%S"},
    },
}


@pytest.mark.bad_input("B50")
def test_b50_a_mistyped_channel_makes_no_channel(tmp_path: Path) -> None:
    door = Door(tmp_path / "door", feed(base=POINTS).among(["desk", "tmall"]))
    lines = [f"{number},{said},a,5,2026-01-02 10:00:00" for number, said in
             enumerate(("tmall", "tmal", "", "desk"), 1)]  # fmt: skip
    door.take(csv(*lines, header="No,Channel,Account,Points,At"))
    assert door.reasons() == [(2, "channel", "account_channel")]


@pytest.mark.bad_input("B50")
def test_b50_a_new_channel_reads_the_desks_that_may_name_it_again() -> None:
    desk, shop = feed(base=POINTS), feed()
    one, two = ["desk", "tmall"], ["desk", "tmall", "jd"]
    assert desk.among(one).contract_hash != desk.among(two).contract_hash
    assert shop.among(one).contract_hash == shop.among(two).contract_hash == shop.contract_hash


def test_a_feed_loaded_alone_is_the_one_loaded_with_all() -> None:
    channels = Path(crm_pipeline.__file__).parent / "defs" / "channels"
    every = {spec.feed: spec for spec in load_feeds(channels)}
    alone = load_feed(channels / "crm" / "defs.yaml", "crm_points")
    assert alone.contract_hash == every["crm_points"].contract_hash


@pytest.mark.bad_input("B62")
def test_b62_receipts_numbered_per_shop_are_different_orders(make_door: MakeDoor) -> None:
    columns = {"order_id": {"from": "No", "within": "store_id"}, "store_id": "Shop"}
    door = make_door({"columns": columns}, base=LINES)
    lines = [f"{LINE},S1", f"{LINE},S2", f"{LINE},", f"{LINE.replace('A1', '1.2E+17')},S1"]
    door.take(csv(*lines, header=f"{LINES_HEADER},Shop"))
    first, second = sorted(door.parts(), key=lambda row: row["order_id"])
    assert (first["order_id"], second["order_id"]) == ("S1-A1", "S2-A1")
    assert first["record_id"] != second["record_id"]
    assert door.reasons() == [(3, "key", "store_id"), (4, "precision", "order_id")]


@pytest.mark.bad_input("B62")
def test_b62_an_id_that_names_its_shop_is_the_same_record(make_door: MakeDoor) -> None:
    shop = {"store_id": {"from": "Shop"}}
    apart = make_door(
        {"columns": {"order_id": {"from": "No", "within": "store_id"}, **shop}}, base=LINES
    )
    apart.take(csv(f"{LINE},S1", header=f"{LINES_HEADER},Shop"))
    whole = make_door({"columns": shop}, base=LINES, name="whole")
    whole.take(csv(f"S1-{LINE},S1", header=f"{LINES_HEADER},Shop"))
    for column in ("record_id", "content_hash", "order_id"):
        assert apart.parts()[0][column] == whole.parts()[0][column]


KINDS = {"from": "Kind", "map": {kind: kind for kind in ("sale", "refund", "gift", "adjustment")}}


@pytest.mark.bad_input("B45")
@pytest.mark.parametrize(
    ("quantity", "kind", "reason"),
    [
        ("-2", "refund", None),
        ("2", "refund", "sign"),
        ("0", "refund", "sign"),
        ("2", "sale", None),
        ("0", "sale", None),
        ("-2", "sale", "sign"),
        ("-2", "adjustment", None),
        ("2", "adjustment", None),
        ("-2", "gift", None),
    ],
)
def test_b45_refunds_are_below_zero_and_sales_are_not(
    make_door: MakeDoor, quantity: str, kind: str, reason: str | None
) -> None:
    signed = {"from": "Qty", "scale": 0, "allow": ["negative", "zero"]}
    door = make_door({"columns": {"quantity": signed, "line_kind": KINDS}}, base=LINES)
    line = f"A1,1,2026-01-02 10:00:00,S1,{quantity},9.99,{kind}"
    door.take(csv(line, header=f"{LINES_HEADER},Kind"))
    assert door.reasons() == ([(1, reason, "quantity")] if reason else [])


@pytest.mark.bad_input("B45")
def test_b45_a_source_without_signs_has_them_from_the_kind(make_door: MakeDoor) -> None:
    columns = {"quantity": {"from": "Qty", "scale": 0, "sign": "by_kind"}, "line_kind": KINDS}
    door = make_door({"columns": columns}, base=LINES)
    cases = [("2", "sale"), ("2", "refund"), ("-2", "refund"), ("0", "refund"), ("1", "gift")]
    lines = [
        f"A1,{number},2026-01-02 10:00:00,S1,{quantity},9.99,{kind}"
        for number, (quantity, kind) in enumerate(cases, 1)
    ]
    door.take(csv(*lines, header=f"{LINES_HEADER},Kind"))
    assert [(row["line_kind"], int(row["quantity"])) for row in door.parts()] == [
        ("sale", 2), ("refund", -2), ("gift", 1),
    ]  # fmt: skip
    assert door.reasons() == [(3, "negative", "quantity"), (4, "zero", "quantity")]


@pytest.mark.bad_input("B45")
def test_b45_one_line_has_one_content_whoever_writes_the_sign(make_door: MakeDoor) -> None:
    hashes = set()
    for quantity, said in (("2", {"sign": "by_kind"}), ("-2", {"allow": ["negative"]})):
        columns = {"quantity": {"from": "Qty", "scale": 0, **said}, "line_kind": KINDS}
        door = make_door({"columns": columns}, base=LINES, name=quantity)
        line = f"A1,1,2026-01-02 10:00:00,S1,{quantity},9.99,refund"
        door.take(csv(line, header=f"{LINES_HEADER},Kind"))
        (record,) = door.parts()
        hashes.add((record["content_hash"], record["quantity"]))
    assert len(hashes) == 1


@pytest.mark.bad_input("B45")
@pytest.mark.parametrize(
    ("points", "reason"), [("0", "zero"), ("", "required"), ("-5", "negative")]
)
def test_b45_points_are_above_zero(make_door: MakeDoor, points: str, reason: str) -> None:
    door = make_door(base=POINTS)
    lines = ["1,a,5,2026-01-02 10:00:00", f"2,a,{points},2026-01-02 10:00:00"]
    door.take(csv(*lines, header="No,Account,Points,At"))
    assert door.reasons() == [(2, reason, "points")]


@pytest.mark.bad_input("B45")
def test_b45_a_record_no_rule_matches_is_quarantined(make_door: MakeDoor) -> None:
    rules = [{"when": {"quantity": {"above": 5}}, "is": "sale"}]
    door = make_door({"columns": {"line_kind": {"first_match": rules}}}, base=LINES)
    door.take(csv(LINE, header=LINES_HEADER))
    assert door.reasons() == [(1, "enum", "line_kind")]


@pytest.mark.bad_input("B47")
def test_b47_unknown_missing_and_mixed_currencies_are_quarantined(make_door: MakeDoor) -> None:
    door = make_door(
        {"currency": {"from": "Cur", "map": {"GBP": "GBP", "欧元": "EUR"}}}, base=LINES
    )
    lines = [
        "A1,1,2026-01-02 10:00:00,S1,2,9.99,GBP",
        "A2,1,2026-01-02 10:00:00,S1,2,9.99,",
        "A3,1,2026-01-02 10:00:00,S1,2,9.99,GPB",
        "A4,1,2026-01-02 10:00:00,S1,2,9.99,GBP",
        "A4,2,2026-01-02 10:00:00,S1,2,9.99,欧元",
        "A5,1,2026-01-02 10:00:00,S1,2,9.99,欧元",
    ]
    report = door.take(csv(*lines, header=LINES_HEADER + ",Cur"))
    assert (report.received, report.written) == (6, 2)
    assert sorted(door.reasons()) == [
        (2, "required", "currency"),
        (3, "currency", "currency"),
        (4, "mixed_currency", "currency"),
        (5, "mixed_currency", "currency"),
    ]
    assert "A4" in next(q for q in door.quarantine() if q["record_number"] == 4)["raw_record"]


def at(text: str) -> str:
    return GOOD.replace("2026-01-02 10:00:00", text)


@pytest.mark.bad_input("B51")
@pytest.mark.parametrize(
    "text",
    [
        "2026-02-30 10:00:00",
        "2026-13-01 10:00:00",
        "0000-00-00 00:00:00",
        "2026-01-02 25:00:00",
        "2026-01-02",
        "yesterday",
        "2026-01-02 10:00:00 x",
    ],
)
def test_b51_days_that_do_not_exist_are_quarantined(door: Door, text: str) -> None:
    assert reason_of(door, at(text)) == "timestamp"


@pytest.mark.bad_input("B52")
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("2026-03-01 20:00:01", "future"),
        ("2026-03-01 19:59:59", None),
        ("9999-12-31 00:00:00", "future"),
        ("1970-01-01 08:00:00", "range"),
        ("1900-01-01 00:00:00", "range"),
    ],
)
def test_b52_impossible_moments_are_quarantined(door: Door, text: str, reason: str | None) -> None:
    assert reason_of(door, at(text)) == reason


@pytest.mark.bad_input("B52")
def test_b52_the_future_is_judged_by_the_delivery_time_if_there_is_one(make_door: MakeDoor) -> None:
    by_name = make_door({"known_at": {"file_name": r"(\d{8})", "format": "%Y%m%d"}}, name="by_name")
    by_name.deliver(csv(at("2026-01-02 23:59:00"), at("2026-01-03 00:00:01")), "d20260102.csv")
    by_name.ingest()
    assert by_name.reasons() == [(2, "future", "ordered_at")]
    assert by_name.parts()[0]["known_at"] == datetime(2026, 1, 2, 15, 59, 59)
    by_column = make_door(
        {"known_at": {"from": "Remark", "format": "%Y-%m-%d %H:%M:%S"}}, name="column"
    )
    before, after = "2026-01-02 09:00:00", "2026-01-02 11:00:00"
    by_column.take(csv(GOOD.replace("card", before), GOOD.replace("card", after), GOOD))
    assert by_column.reasons() == [(1, "future", "ordered_at"), (3, "known_at", "known_at")]
    assert by_column.parts()[0]["known_at"] == datetime(2026, 1, 2, 3)


@pytest.mark.bad_input("B52")
def test_b52_sentinels_become_null_by_a_declared_list(make_door: MakeDoor) -> None:
    door = make_door(
        {
            "columns": {
                "birth_date": {"from": "Born", "format": "%Y-%m-%d", "null_values": ["1900-01-01"]}
            }
        },
        base=ACCOUNTS,
    )
    door.take(
        "Id,Name,Born\n1,a,1900-01-01\n2,b,1970-01-01\n3,c,2027-01-01\n4,d,2026-02-30\n",
        "p-20260102.csv",
    )
    assert [(r["birth_date"] and str(r["birth_date"])) for r in door.parts()] == [
        None,
        "1970-01-01",
    ]
    assert door.reasons() == [(3, "future", "birth_date"), (4, "date", "birth_date")]


@pytest.mark.bad_input("B53")
def test_b53_zones_in_the_text_win_over_the_declared_one(make_door: MakeDoor) -> None:
    door = make_door({"columns": {"ordered_at": {"from": "At", "format": "iso8601"}}})
    texts = [
        "2026-01-02T10:00:00+08:00",
        "2026-01-02T02:00:00Z",
        "2026-01-02 10:00:00",
        "2026-01-02T03:00:00+0100",
    ]
    door.take(csv(*(at(text) for text in texts)))
    assert {r["ordered_at"] for r in door.parts()} == {datetime(2026, 1, 2, 2)}
    assert len(door.parts()) == 4


@pytest.mark.bad_input("B53")
def test_b53_an_hour_the_clock_skipped_is_quarantined(make_door: MakeDoor) -> None:
    door = make_door(base=LINES)
    lines = [
        LINE.replace("2026-01-02 10:00:00", f"2025-03-30 {hour}:30:00")
        for hour in ("00", "01", "02")
    ]
    door.take(csv(*lines, header=LINES_HEADER))
    assert door.reasons() == [(2, "dst_gap", "ordered_at")]
    assert [r["ordered_at"].hour for r in door.parts()] == [0, 1]


@pytest.mark.bad_input("B54")
@pytest.mark.parametrize(("unit", "factor"), [("s", 1), ("ms", 1_000), ("us", 1_000_000)])
def test_b54_epochs_have_the_declared_unit_or_are_implausible(
    make_door: MakeDoor, unit: str, factor: int
) -> None:
    door = make_door({"columns": {"ordered_at": {"from": "At", "epoch": unit}}})
    moment = 1_767_319_200  # 2026-01-02 02:00:00 UTC
    door.take(csv(*(at(str(moment * f)) for f in (1, 1_000, 1_000_000)), at("1e9")))
    assert [r["ordered_at"] for r in door.parts()] == [datetime(2026, 1, 2, 2)]
    assert len(door.quarantine()) == 3
    assert {code for _, code, _ in door.reasons()} <= {"range", "future", "timestamp"}


@pytest.mark.bad_input("B55")
def test_b55_an_ambiguous_day_has_the_declared_format_or_none(make_door: MakeDoor) -> None:
    assert reason_of(make_door(name="undeclared"), at("03/04/2025 10:00:00")) == "timestamp"
    door = make_door({"columns": {"ordered_at": {"from": "At", "format": "%d/%m/%Y %H:%M:%S"}}})
    door.take(csv(at("03/04/2025 10:00:00"), at("13/04/2025 10:00:00"), at("04/13/2025 10:00:00")))
    assert [r["ordered_at"].month for r in door.parts()] == [4, 4]
    assert door.reasons() == [(3, "timestamp", "ordered_at")]


@pytest.mark.bad_input("B56")
def test_b56_serial_days_and_chinese_days_are_read_when_declared(make_door: MakeDoor) -> None:
    formats = ["excel_serial", "%Y年%m月%d日"]
    door = make_door({"columns": {"ordered_at": {"from": "At", "format": formats}}})
    door.take(csv(at("46023.5"), at("2026年1月2日"), at("2026-01-02 10:00:00")))
    assert [r["ordered_at"] for r in door.parts()] == [
        datetime(2026, 1, 1, 4),
        datetime(2026, 1, 1, 16),
    ]
    assert door.reasons() == [(3, "timestamp", "ordered_at")]


NOTHING = ["", "NULL", "null", "N/A", "-", "None", "无", "未知"]


@pytest.mark.bad_input("B63")
@pytest.mark.parametrize("text", NOTHING)
def test_b63_a_key_that_means_nothing_is_quarantined(door: Door, text: str) -> None:
    door.take(csv(GOOD.replace("A1", text, 1)))
    assert door.reasons() == [(1, "key", "order_id")]


@pytest.mark.bad_input("B63")
@pytest.mark.parametrize("text", NOTHING)
def test_b63_a_buyer_that_means_nothing_is_a_guest(door: Door, text: str) -> None:
    assert reason_of(door, GOOD.replace("c1", text)) is None
    assert door.parts()[0]["source_customer_id"] is None


@pytest.mark.bad_input("B63")
def test_b63_the_null_list_is_per_column(make_door: MakeDoor) -> None:
    door = make_door({"columns": {"payment_method": {"from": "Remark", "null_values": ["无"]}}})
    door.take(csv(GOOD.replace("card", "无"), GOOD.replace("card", "NULL")))
    assert [r["payment_method"] for r in door.parts()] == [None, "NULL"]


@pytest.mark.bad_input("B64")
@pytest.mark.parametrize("name", ["Null", "NA", "True", "None", "NaN", "1e5", "007"])
def test_b64_a_person_may_be_called_anything(make_door: MakeDoor, name: str) -> None:
    door = make_door(base=ACCOUNTS)
    door.take(f"Id,Name\n1,{name}\n", "p-20260102.csv")
    assert door.parts()[0]["display_name"] == name


@pytest.mark.bad_input("B68")
def test_b68_names_are_kept_as_written_and_judged_by_length_only(make_door: MakeDoor) -> None:
    door = make_door(base=ACCOUNTS)
    names = ["張 三", "zhāng sān", "👩‍👧", "测试", "ﬁne Ａ"]
    lines = "".join(f"{n},{name}\n" for n, name in enumerate([*names, "王" * 40_000]))
    door.take("Id,Name\n" + lines, "p-20260102.csv")
    assert [r["display_name"] for r in door.parts()] == names
    assert door.reasons() == [(6, "length", "display_name")]


@pytest.mark.bad_input("B69")
def test_b69_invisible_characters_leave_keys_and_are_reported(door: Door) -> None:
    report = door.take(
        csv(GOOD.replace("A1", "\u200bA\u202e1\u0007").replace("card", "ca\u0007rd"))
    )
    record = door.parts()[0]
    assert (record["order_id"], record["payment_method"]) == ("A1", "card")
    assert "invisible" in report.warnings[0]


@pytest.mark.bad_input("B70")
def test_b70_one_id_in_two_unicode_forms_is_one_record(door: Door) -> None:
    for number, text in enumerate(["Ａ１é", "A1e\u0301"]):
        door.deliver(csv(GOOD.replace("A1", text)), f"{number}.csv")
    door.ingest()
    assert {r["order_id"] for r in door.parts()} == {"A1é"}
    assert len({r["record_id"] for r in door.parts()}) == 1


@pytest.mark.bad_input("B83")
@pytest.mark.parametrize(
    "text",
    ["ring 13912345678", "id 11010519491231002X", "card 4111111111111111", "to a.b@example.org"],
)
def test_b83_personal_data_in_the_wrong_column_is_masked_and_quarantined(
    door: Door, text: str
) -> None:
    door.take(csv(GOOD, GOOD.replace("card", text)))
    assert door.reasons() == [(2, "misplaced_personal_data", "payment_method")]
    raw = door.quarantine()[0]["raw_record"]
    assert "•••" in raw and text.split()[-1] not in raw


@pytest.mark.bad_input("B83")
@pytest.mark.parametrize(
    "text",
    ["ring 23912345678", "id 110105194912310021", "no 4111111111111112", "EAN 4006381333931"],
)
def test_b83_long_numbers_of_other_kinds_are_no_personal_data(door: Door, text: str) -> None:
    assert reason_of(door, GOOD.replace("card", text)) is None


@pytest.mark.bad_input("B83")
def test_b83_a_phone_number_as_sku_is_quarantined(make_door: MakeDoor) -> None:
    door = make_door(base=LINES)
    assert (
        reason_of(door, LINE.replace("S1", "13912345678"), header=LINES_HEADER)
        == "misplaced_personal_data"
    )


@pytest.mark.parametrize(
    ("zone", "offset"),
    [
        ("Asia/Shanghai", 8 * 3600),
        ("Asia/Kolkata", 19_800),
        ("UTC", 0),
        ("Europe/London", None),
        ("America/Sao_Paulo", None),  # steady now, but not since 1995
        ("Africa/Casablanca", None),
    ],
)
def test_a_clock_is_steady_only_if_it_never_was_changed(zone: str, offset: int | None) -> None:
    assert conversions.steady_offset(zone, "1995-01-01") == offset


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "Asia/Kolkata", "Pacific/Kiritimati"])
def test_the_short_way_to_utc_and_the_calendar_agree(zone: str) -> None:
    moments = [f"{year}-0{month}-15 00:30:00" for year in (1995, 2012, 2050) for month in (1, 7)]
    short = conversions.utc_time(
        ["%Y-%m-%d %H:%M:%S"],
        None,
        zone,
        "c",
        offset=conversions.steady_offset(zone, "1995-01-03"),
    )
    whole = conversions.utc_time(["%Y-%m-%d %H:%M:%S"], None, zone, "c")
    with duckdb.connect() as connection:
        rows = connection.execute(
            f"select {short}, {whole} from (select unnest(?) as c)", [moments]
        ).fetchall()
    assert rows and all(a == b and a is not None for a, b in rows)
