"""Douyin shop: what the open platform's interface returns, one order per line.

Add here: what the shop's interface writes about orders and buyers.
Not here: live rooms' events.

Amounts in fen, instants in epoch seconds, states as numbers; the lines stand inside their order.
"""

from __future__ import annotations

from simulation.delivery.channels.tmall import shown_phone
from simulation.delivery.coding import ACCOUNT_CHANGES, moved_city
from simulation.delivery.defects import (
    CellDefect,
    NestedDefect,
    always,
    bad_json,
    conflict,
    correction,
    duplicate,
    empty_file,
    error_message,
    file_again,
    future_time,
    held_back,
    huge_amount,
    key_twice,
    mojibake,
    negative,
    null_key,
    phone_in,
    rounded_id,
    unknown_word,
    web_page,
)
from simulation.delivery.feed_writer import FeedWriter, Field, Jsonl, Nested, free, number, text

STATUS = """case order_status when 'unpaid' then '1' when 'cancelled' then '4'
    when 'paid' then '5' else '21' end"""
FAR = "1935450000"  # 2031


def milliseconds(header: str, *, spills: bool = False) -> CellDefect:
    """An instant in milliseconds where seconds are agreed."""
    return CellDefect(
        "epoch_in_ms",
        "B54",
        "quarantined",
        "timestamp",
        header=header,
        change=lambda cell: f"{cell}000",
        spills=spills,
    )


ORDERS = FeedWriter(
    feed="douyin_orders",
    channel="douyin",
    entity="orders",
    format=Jsonl(),
    event_time="ordered_at",
    key=("order_id",),
    cadence="large",
    is_versioned=True,
    nested=Nested(
        feed="douyin_order_lines",
        entity="order_lines",
        header="sku_order_list",
        fields=(
            text("sku_order_no", "line_number"),
            text("out_sku_id", "sku"),
            free("product_name", "product_name"),
            number("item_num", "plain(quantity)"),
            number("origin_amount", "fen(unit_price_amount)"),
            text("given_type", "case line_kind when 'gift' then 'GIFT' else 'NORMAL' end"),
        ),
        order_by="cast(line_number as integer)",
    ),
    fields=(
        text("order_id", "order_id"),
        text("open_id", "source_customer_id"),
        number("create_time", "epoch_s(ordered_at)"),
        number("update_time", "epoch_s(updated_at)"),
        number("order_status", STATUS),
        number("pay_amount", "fen(paid_amount)"),
        number("post_amount", "fen(shipping_amount)"),
        number("promotion_amount", "fen(discount_amount)"),
        text("pay_type", "payment_method"),
        text("coupon_id", "coupon_id"),
        text("room_id", "live_room_id"),
        text("user_phone", "buyer_phone"),
        free("post_receiver", "masked_name(receiver_name)"),
        text("post_tel", shown_phone("receiver_phone")),
        free("post_addr.detail", "receiver_address"),
        Field("sku_order_list", "nested_text", "raw"),
    ),
    defects=(
        milliseconds("create_time", spills=True),
        future_time("create_time", FAR, spills=True),
        rounded_id("order_id", spills=True),
        null_key("order_id", "undefined", spills=True),
        huge_amount("pay_amount", "999999999999999999"),
        negative("post_amount", "-600"),
        unknown_word("order_status", "777"),
        phone_in("pay_type"),
        mojibake("pay_type"),
        bad_json(),
        key_twice(),
        NestedDefect(
            "negative_number",
            "B45",
            "quarantined",
            "negative",
            header="item_num",
            change=always(-1),
        ),
        NestedDefect(
            "phone_misplaced",
            "B83",
            "quarantined",
            "misplaced_personal_data",
            header="out_sku_id",
            change=always("13912345678"),
        ),
        NestedDefect(
            "half_coins",
            "B44",
            "quarantined",
            "decimals",
            header="origin_amount",
            change=always(1250.5),
        ),
        duplicate(),
        duplicate(is_later=True),
        conflict("promotion_amount", always("6667")),
        correction("promotion_amount", always("1")),
        held_back("douyin_refunds"),
        empty_file(),
        web_page(),
        error_message(),
        file_again(),
    ),
)

REFUNDS = FeedWriter(
    feed="douyin_refunds",
    channel="douyin",
    entity="refunds",
    format=Jsonl(),
    event_time="refunded_at",
    key=("refund_id",),
    fields=(
        text("aftersale_id", "refund_id"),
        text("order_id", "order_id"),
        text("open_id", "source_customer_id"),
        number("refund_time", "epoch_s(refunded_at)"),
        number("refund_amount", "fen(refund_amount)"),
        free("reason", "refund_reason"),
        text("out_sku_id", "sku"),
    ),
    defects=(
        milliseconds("refund_time"),
        rounded_id("aftersale_id"),
        negative("refund_amount", "-100"),
        phone_in("reason", "请联系13912345678"),
        bad_json(),
        duplicate(),
        conflict("reason", always("其他")),
        error_message(),
    ),
)

ACCOUNTS = FeedWriter(
    feed="douyin_accounts",
    channel="douyin",
    entity="accounts",
    format=Jsonl(),
    event_time="registered_at",
    restated_at=ACCOUNT_CHANGES,
    key=("source_customer_id",),
    fields=(
        text("open_id", "source_customer_id"),
        number("follow_time", "epoch_s(registered_at)"),
        free("nick_name", "display_name"),
        number("gender", "case gender when 'male' then '1' when 'female' then '2' else '0' end"),
        text("birthday", "cast(birth_date as varchar)"),
        text("city", moved_city("city_name")),
        text("country", "country_name"),
        text("mobile", "phone"),
        number("mobile_expire_time", "epoch_s(phone_valid_until)"),
        text("brand_member_no", "member_number"),
        text("source", "source_name"),
    ),
    defects=(
        milliseconds("follow_time"),
        null_key("open_id", "null"),
        unknown_word("gender", "9"),
        phone_in("source"),
        mojibake("nick_name"),
        bad_json(),
        key_twice(),
        duplicate(),
        conflict("city", always("石家庄")),
        web_page(),
    ),
)

FEEDS = (ORDERS, REFUNDS, ACCOUNTS)
