"""The shop's own channels on the phone: WeChat mini-program and app.

Add here: what their back ends write about orders and accounts.
Not here: what people do in them without buying.

The mini-program's data lake gives typed Parquet with unionid and openid; the app's back end writes
JSON lines in camel case with the order's lines inside.
"""

from __future__ import annotations

import datetime as dt

from simulation.delivery.coding import ACCOUNT_CHANGES, changed_phone
from simulation.delivery.defects import (
    CellDefect,
    FileDefect,
    NestedDefect,
    always,
    bad_day,
    bad_json,
    conflict,
    correction,
    damaged_file,
    duplicate,
    empty_file,
    error_message,
    file_again,
    future_time,
    held_back,
    key_twice,
    long_decimals,
    mojibake,
    nan_amount,
    negative,
    null_key,
    phone_in,
    rounded_id,
    unknown_word,
    web_page,
)
from simulation.delivery.feed_writer import (
    FeedWriter,
    Field,
    Jsonl,
    Nested,
    Parquet,
    free,
    number,
    text,
)

STATUS = """case order_status when 'paid' then 'SUCCESS' when 'unpaid' then 'NOTPAY'
    when 'cancelled' then 'REVOKED' else 'CLOSED' end"""
LINE_KIND = "upper(line_kind)"
FAR = dt.datetime(2031, 5, 1, 1, tzinfo=dt.UTC)
EMPTY_PARQUET = FileDefect(
    "empty_file", "B38", "refused", "unreadable", times=0, spoil=lambda good, name: b""
)


def instant(header: str, column: str) -> Field:
    """A timestamp with its zone."""
    return text(header, f"timezone('UTC', {column})")


def zero_instant(header: str) -> CellDefect:
    """The field was never filled, so it says 1970."""
    return CellDefect(
        "never_filled",
        "B52",
        "quarantined",
        "range",
        header=header,
        change=always(dt.datetime(1970, 1, 1, tzinfo=dt.UTC)),
    )


MINI_ORDERS = FeedWriter(
    feed="mini_program_orders",
    channel="mini_program",
    entity="orders",
    format=Parquet(),
    event_time="ordered_at",
    key=("order_id",),
    cadence="large",
    is_versioned=True,
    fields=(
        text("out_trade_no", "order_id"),
        text("user_id", "source_customer_id"),
        instant("created_at", "ordered_at"),
        text("trade_state", STATUS),
        text("total_fee", "cast(paid_amount as decimal(18,2))"),
        text("freight_fee", "cast(shipping_amount as decimal(18,2))"),
        text("discount_fee", "cast(discount_amount as decimal(18,2))"),
        text("pay_channel", "payment_method"),
        text("coupon_id", "coupon_id"),
        text("contact_phone", "buyer_phone"),
        text("receiver_name", "receiver_name"),
        text("receiver_phone", "receiver_phone"),
        text("receiver_address", "receiver_address"),
        instant("updated_at", "updated_at"),
    ),
    defects=(
        future_time("created_at", FAR),
        zero_instant("created_at"),
        rounded_id("out_trade_no"),
        null_key("out_trade_no", "None"),
        negative("freight_fee", -6),
        unknown_word("trade_state", "USERPAYING"),
        phone_in("pay_channel"),
        mojibake("pay_channel"),
        duplicate(),
        duplicate(is_later=True),
        conflict("receiver_address", always("自提点三号柜")),
        correction("receiver_address", always("地址待补充")),
        held_back("mini_program_refunds"),
        damaged_file(),
        EMPTY_PARQUET,
        file_again(),
    ),
)

MINI_LINES = FeedWriter(
    feed="mini_program_order_lines",
    channel="mini_program",
    entity="order_lines",
    format=Parquet(),
    event_time="ordered_at",
    key=("order_id", "line_number"),
    cadence="large",
    fields=(
        text("out_trade_no", "order_id"),
        text("line_no", "cast(line_number as integer)"),
        text("user_id", "source_customer_id"),
        instant("created_at", "ordered_at"),
        text("sku_code", "sku"),
        text("sku_name", "product_name"),
        text("quantity", "cast(quantity as integer)"),
        text("price", "cast(unit_price_amount as decimal(18,2))"),
        text("line_type", LINE_KIND),
        text("country", "country_name"),
    ),
    defects=(
        zero_instant("created_at"),
        rounded_id("out_trade_no"),
        CellDefect("null_key", "B63", "quarantined", "key", header="line_no", change=always(None)),
        negative("quantity", -2),
        phone_in("sku_code"),
        mojibake("sku_name"),
        duplicate(),
        conflict("sku_name", always("已改名的商品")),
        damaged_file(),
    ),
)

MINI_REFUNDS = FeedWriter(
    feed="mini_program_refunds",
    channel="mini_program",
    entity="refunds",
    format=Parquet(),
    event_time="refunded_at",
    key=("refund_id",),
    fields=(
        text("out_refund_no", "refund_id"),
        text("out_trade_no", "order_id"),
        text("user_id", "source_customer_id"),
        instant("success_time", "refunded_at"),
        text("refund_fee", "cast(refund_amount as decimal(18,2))"),
        text("reason", "refund_reason"),
        text("sku_code", "sku"),
    ),
    defects=(
        zero_instant("success_time"),
        rounded_id("out_refund_no"),
        negative("refund_fee", -5),
        CellDefect(
            "zero_amount", "B45", "quarantined", "zero", header="refund_fee", change=always(0)
        ),
        phone_in("reason", "打13912345678"),
        duplicate(),
        EMPTY_PARQUET,
    ),
)

MINI_ACCOUNTS = FeedWriter(
    feed="mini_program_accounts",
    channel="mini_program",
    entity="accounts",
    format=Parquet(),
    event_time="registered_at",
    restated_at=ACCOUNT_CHANGES,
    key=("source_customer_id",),
    fields=(
        text("user_id", "source_customer_id"),
        instant("registered_at", "registered_at"),
        text("nickname", "display_name"),
        text("gender", "upper(left(gender, 1))"),
        text("birthday", "birth_date"),
        text("city", "city_name"),
        text("country", "country_name"),
        text("phone", changed_phone("phone")),
        text("email", "email"),
        text("unionid", "wechat_unionid"),
        text("openid", "wechat_openid"),
        text("member_no", "member_number"),
        text("device_id", "device_id"),
        text("scene", "source_name"),
    ),
    defects=(
        future_time("registered_at", FAR),
        null_key("user_id", "N/A"),
        unknown_word("gender", "X"),
        phone_in("scene"),
        mojibake("nickname"),
        duplicate(),
        conflict("city", always("石家庄")),
        damaged_file(),
    ),
)

APP_ORDERS = FeedWriter(
    feed="app_orders",
    channel="app",
    entity="orders",
    format=Jsonl(),
    event_time="ordered_at",
    key=("order_id",),
    cadence="large",
    is_versioned=True,
    nested=Nested(
        feed="app_order_lines",
        entity="order_lines",
        header="items",
        fields=(
            number("no", "line_number"),
            text("sku", "sku"),
            free("name", "product_name"),
            number("qty", "plain(quantity)"),
            text("price", "money(unit_price_amount)"),
            text("type", LINE_KIND),
        ),
        order_by="cast(line_number as integer)",
    ),
    fields=(
        text("orderNo", "order_id"),
        text("userId", "source_customer_id"),
        text("createdAt", "replace(stamp(ordered_at), ' ', 'T') || '+08:00'"),
        text("updatedAt", "replace(stamp(updated_at), ' ', 'T') || '+08:00'"),
        text("status", "upper(order_status)"),
        text("payment.amount", "money(paid_amount)"),
        text("payment.channel", "payment_method"),
        text("payment.freight", "money(shipping_amount)"),
        text("payment.discount", "money(discount_amount)"),
        text("payment.couponId", "coupon_id"),
        text("contact.mobile", "buyer_phone"),
        free("shipping.name", "receiver_name"),
        text("shipping.mobile", "receiver_phone"),
        free("shipping.address", "receiver_address"),
        Field("items", "nested_text", "raw"),
    ),
    defects=(
        CellDefect(
            "bad_day",
            "B51",
            "quarantined",
            "timestamp",
            header="createdAt",
            change=always("2026-02-30T10:00:00+08:00"),
            spills=True,
        ),
        future_time("createdAt", "2031-05-01T09:00:00+08:00", spills=True),
        rounded_id("orderNo", spills=True),
        null_key("orderNo", "null", spills=True),
        nan_amount("payment.amount"),
        long_decimals("payment.discount"),
        negative("payment.freight", "-8.00"),
        unknown_word("status", "PENDING_REVIEW"),
        phone_in("payment.channel"),
        bad_json(),
        key_twice(),
        NestedDefect(
            "negative_number", "B45", "quarantined", "negative", header="qty", change=always(-1)
        ),
        NestedDefect(
            "nan_amount", "B43", "quarantined", "number", header="price", change=always("NaN")
        ),
        NestedDefect(
            "unknown_word", "B50", "quarantined", "enum", header="type", change=always("BUNDLE")
        ),
        duplicate(),
        conflict("payment.discount", always("66.67")),
        correction("payment.discount", always("0.01")),
        held_back("app_refunds"),
        empty_file(),
        error_message(),
        web_page(),
        file_again(),
    ),
)

APP_REFUNDS = FeedWriter(
    feed="app_refunds",
    channel="app",
    entity="refunds",
    format=Jsonl(),
    event_time="refunded_at",
    key=("refund_id",),
    fields=(
        text("refundNo", "refund_id"),
        text("orderNo", "order_id"),
        text("userId", "source_customer_id"),
        text("refundedAt", "replace(stamp(refunded_at), ' ', 'T') || '+08:00'"),
        text("amount", "money(refund_amount)"),
        free("reason", "refund_reason"),
        text("sku", "sku"),
    ),
    defects=(
        bad_day("refundedAt", "2026-02-30T10:00:00+08:00"),
        nan_amount("amount"),
        rounded_id("refundNo"),
        bad_json(),
        duplicate(),
        error_message(),
    ),
)

APP_ACCOUNTS = FeedWriter(
    feed="app_accounts",
    channel="app",
    entity="accounts",
    format=Jsonl(),
    event_time="registered_at",
    restated_at=ACCOUNT_CHANGES,
    key=("source_customer_id",),
    fields=(
        text("userId", "source_customer_id"),
        text("registeredAt", "replace(stamp(registered_at), ' ', 'T') || '+08:00'"),
        free("profile.name", "display_name"),
        text("profile.gender", "gender"),
        text("profile.birthday", "cast(birth_date as varchar)"),
        text("profile.city", "city_name"),
        text("profile.country", "country_name"),
        text("login.mobile", changed_phone("phone")),
        text("login.email", "email"),
        text("login.unionId", "wechat_unionid"),
        text("login.alipayId", "alipay_id"),
        text("memberNo", "member_number"),
        text("deviceId", "device_id"),
        text("channel", "source_name"),
    ),
    defects=(
        bad_day("registeredAt", "2026-02-30T10:00:00+08:00"),
        null_key("userId", "undefined"),
        unknown_word("profile.gender", "unknown"),
        phone_in("channel"),
        mojibake("profile.name"),
        bad_json(),
        key_twice(),
        duplicate(),
        conflict("profile.city", always("石家庄")),
    ),
)

FEEDS = (
    MINI_ORDERS,
    MINI_LINES,
    MINI_REFUNDS,
    MINI_ACCOUNTS,
    APP_ORDERS,
    APP_REFUNDS,
    APP_ACCOUNTS,
)
