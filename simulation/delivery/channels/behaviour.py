"""What people do without buying: live rooms, mini-program, app, shops, groups, products in use.

Add here: a feed of behaviour.
Not here: what they write to the desk (``service``).
"""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal

from simulation.delivery.coding import coded, zoned
from simulation.delivery.defects import (
    CellDefect,
    Defect,
    LineDefect,
    always,
    bad_day,
    bad_json,
    cut_off_line,
    damaged_file,
    duplicate,
    empty_file,
    error_message,
    file_again,
    future_time,
    key_twice,
    long_row,
    lost_characters,
    mojibake,
    null_key,
    phone_in,
    short_row,
    unknown_word,
)
from simulation.delivery.feed_writer import Csv, FeedWriter, Jsonl, Parquet, free, number, text

FUTURE = dt.datetime(2031, 5, 1, 1, 0, 0, tzinfo=dt.UTC)
FUTURE_SECONDS = str(int(FUTURE.timestamp()))

QUANTITY = "cast(cast(quantity as bigint) as varchar)"
DWELL = "cast(dwell_seconds as varchar)"
PRICE = "money(unit_price_amount)"


def wrong_unit(header: str, value: str, reason_code: str) -> CellDefect:
    """An instant counted in other units than agreed."""
    return CellDefect(
        "wrong_epoch_unit", "B54", "quarantined", reason_code, header=header, change=always(value)
    )


def worded_instant(header: str) -> CellDefect:
    """A date in words where a count belongs."""
    return CellDefect(
        "bad_day", "B51", "quarantined", "timestamp", header=header, change=always('"2026-02-30"')
    )


def zero_width(header: str) -> CellDefect:
    """Copied together with a sign nobody sees; a key loses it again."""
    return CellDefect(
        "zero_width",
        "B69",
        "normalised",
        header=header,
        change=lambda cell: f"{cell[:2]}\u200b{cell[2:]}",
    )


def full_width(header: str) -> CellDefect:
    """Typed with full-width digits; a key gets its one form."""
    wide = {code: code + 0xFEE0 for code in range(ord("0"), ord("9") + 1)}
    return CellDefect(
        "full_width", "B70", "normalised", header=header, change=lambda cell: cell.translate(wide)
    )


def lost_word(header: str) -> CellDefect:
    """Characters lost in an earlier conversion, in a file that is written as GB18030.

    The lost characters alone would be bytes of UTF-8, and the whole file would be refused.
    """
    return lost_characters(header, change=always("锟斤拷客"))


def kept_text(kind: str, case: str, header: str, words: str) -> CellDefect:
    """Text that would do harm if anything ran it; it stays text."""
    return CellDefect(kind, case, "accepted", header=header, change=always(words))


def long_line() -> LineDefect:
    """An object with three megabytes in one value."""

    def change(line: str) -> str:
        return json.dumps({**json.loads(line), "dump": "长" * 1_000_000}, ensure_ascii=False) + "\n"

    return LineDefect("long_line", "B71", "quarantined", "field_too_long", change=change, times=0)


def _event_defects(key: str, instant: str, action: str) -> tuple[Defect, ...]:
    return (
        null_key(key),
        unknown_word(action, "debug_ping"),
        worded_instant(instant),
        bad_json(),
        key_twice(),
        duplicate(times=0.5),
        duplicate(is_later=True, times=0.5),
        error_message(),
        file_again(),
    )


_DOUYIN_ACTIONS = {
    "live_entered": "enter_room",
    "live_left": "leave_room",
    "live_liked": "like",
    "live_commented": "comment",
    "live_product_clicked": "click_product",
    "page_view": "page_view",
    "product_view": "product_detail",
    "search": "search",
    "cart_added": "add_cart",
    "cart_removed": "remove_cart",
    "favourite_added": "collect",
    "favourite_removed": "uncollect",
    "checkout_started": "submit_order",
    "login": "login",
    "share": "share",
    "check_in": "sign_in",
}
DOUYIN_LIVE_EVENTS = FeedWriter(
    feed="douyin_live_events",
    channel="douyin",
    entity="events",
    format=Jsonl(leaves_out=True),
    event_time="occurred_at",
    key=("event_id",),
    cadence="large",
    fields=(
        text("log_id", "event_id"),
        text("action", coded("event_type", _DOUYIN_ACTIONS)),
        number("server_time", "epoch_s(occurred_at)"),
        text("room.room_id", "live_room_id"),
        text("user.open_id", "source_customer_id"),
        text("user.device_id", "device_id"),
        text("product.out_sku_id", "sku"),
        text("product.category", "category_name"),
        number("product.num", QUANTITY),
        number("product.price", PRICE),
        free("page", "page_name"),
        free("content", "comment_text"),
        number("stay_seconds", "cast(cast(dwell_seconds as bigint) as varchar)"),
        text("app_version", "'32.4.0'"),
    ),
    defects=(
        *_event_defects("log_id", "server_time", "action"),
        future_time("server_time", FUTURE_SECONDS),
        wrong_unit("server_time", FUTURE_SECONDS + "000", "timestamp"),
        phone_in("content", "主播加我微信 13912345678"),
        kept_text("script_in_text", "B74", "content", "<script>alert('666')</script>"),
        zero_width("log_id"),
    ),
)

_MINI_CODES = {
    "page_view": "PV",
    "product_view": "ITEM_PV",
    "search": "SEARCH",
    "cart_added": "CART_ADD",
    "cart_removed": "CART_DEL",
    "favourite_added": "FAV_ADD",
    "favourite_removed": "FAV_DEL",
    "checkout_started": "CHECKOUT",
    "login": "LOGIN",
    "share": "SHARE",
    "check_in": "SIGN",
    "live_entered": "LIVE_IN",
    "live_left": "LIVE_OUT",
    "live_liked": "LIVE_LIKE",
    "live_commented": "LIVE_MSG",
    "live_product_clicked": "LIVE_ITEM",
}
MINI_PROGRAM_EVENTS = FeedWriter(
    feed="mini_program_events",
    channel="mini_program",
    entity="events",
    format=Parquet(),
    event_time="occurred_at",
    key=("event_id",),
    cadence="large",
    fields=(
        text("_id", "event_id"),
        text("user_id", "source_customer_id"),
        text("device_no", "device_id"),
        text("event_time", "timezone('UTC', occurred_at)"),
        text("event_code", coded("event_type", _MINI_CODES)),
        text("sku_id", "coalesce(sku, '0')"),
        text("category", "category_name"),
        text("page", "page_name"),
        text("num", "cast(quantity as integer)"),
        text("price", "cast(unit_price_amount as decimal(12, 2))"),
        text("stay_seconds", "cast(dwell_seconds as decimal(10, 3))"),
        text("live_id", "live_room_id"),
        text("message", "comment_text"),
        text("sdk_version", "'3.5.8'"),
    ),
    defects=(
        null_key("_id"),
        unknown_word("event_code", "DEBUG"),
        future_time("event_time", FUTURE),
        CellDefect(
            "huge_amount",
            "B44",
            "quarantined",
            "range",
            header="price",
            change=always(Decimal("9999999999.00")),
        ),
        phone_in("page", "pages/share?mobile=13912345678"),
        mojibake("page"),
        zero_width("_id"),
        duplicate(times=0.5),
        duplicate(is_later=True, times=0.5),
        damaged_file(),
        file_again(),
    ),
)

_APP_CODES = {
    "page_view": "pv",
    "product_view": "item",
    "search": "search",
    "cart_added": "cart_add",
    "cart_removed": "cart_del",
    "favourite_added": "fav_add",
    "favourite_removed": "fav_del",
    "checkout_started": "checkout",
    "login": "login",
    "share": "share",
    "check_in": "checkin",
    "live_entered": "live_in",
    "live_left": "live_out",
    "live_liked": "live_like",
    "live_commented": "live_msg",
    "live_product_clicked": "live_item",
}
APP_EVENTS = FeedWriter(
    feed="app_events",
    channel="app",
    entity="events",
    format=Jsonl(leaves_out=True),
    event_time="occurred_at",
    key=("event_id",),
    cadence="large",
    fields=(
        text("eid", "event_id"),
        text("did", "device_id"),
        text("uid", "source_customer_id"),
        text("ev", coded("event_type", _APP_CODES)),
        number("ts", "epoch_ms(occurred_at)"),
        text("sku", "sku"),
        text("cat", "category_name"),
        free("pg", "page_name"),
        number("num", QUANTITY),
        number("px", PRICE),
        number("st", DWELL),
        text("room", "live_room_id"),
        free("msg", "comment_text"),
        text("v", "'8.2.1'"),
    ),
    defects=(
        *_event_defects("eid", "ts", "ev"),
        future_time("ts", FUTURE_SECONDS + "000"),
        wrong_unit("ts", FUTURE_SECONDS, "range"),
        phone_in("pg", "搜索 13912345678"),
        CellDefect(
            "long_visit", "B44", "quarantined", "range", header="st", change=always("172800.000")
        ),
        zero_width("eid"),
    ),
)

STORE_VISITS = FeedWriter(
    feed="store_visits",
    channel="pos",
    entity="store_visits",
    format=Csv(delimiter="\t", extension="tsv"),
    event_time="visited_at",
    key=("visit_id",),
    fields=(
        text("VISIT_NO", "visit_id"),
        text("STORE", "store_id"),
        text("MEMBER_SRC", "account_channel"),
        text("MEMBER_NO", "coalesce(source_customer_id, '0')"),
        text("IN_TIME", "strftime(local_time(visited_at), '%Y%m%d %H%M%S')"),
        text("STAY_MIN", "cast(stay_minutes as varchar)"),
        text("BUY_FLAG", "case is_purchase when true then 'Y' when false then 'N' end"),
        text("GUIDE_NO", "guide_id"),
    ),
    defects=(
        null_key("VISIT_NO"),
        bad_day("IN_TIME", "20260230 100000"),
        future_time("IN_TIME", "20310501 090000"),
        CellDefect(
            "long_visit", "B44", "quarantined", "range", header="STAY_MIN", change=always("2400")
        ),
        CellDefect(
            "unknown_flag", "B50", "quarantined", "boolean", header="BUY_FLAG", change=always("?")
        ),
        short_row("\t"),
        long_row("\t"),
        full_width("VISIT_NO"),
        duplicate(),
        duplicate(is_later=True),
        cut_off_line("V"),
        empty_file(),
    ),
)

_POST_TYPES = {"post": "发帖", "question": "提问", "answer": "回答", "share": "分享"}
COMMUNITY_POSTS = FeedWriter(
    feed="community_posts",
    channel="community",
    entity="community_posts",
    format=Jsonl(leaves_out=True),
    event_time="posted_at",
    key=("post_id",),
    fields=(
        text("msg_id", "post_id"),
        text("group.id", "group_id"),
        text("from.app", "account_channel"),
        text("from.uid", "source_customer_id"),
        text("type", coded("post_kind", _POST_TYPES)),
        text("time", "stamp(posted_at)"),
        free("text", "post_text"),
        text("reply_to", "reply_to_id"),
        text("goods_code", "sku"),
        number("likes", "cast(like_count as varchar)"),
    ),
    defects=(
        null_key("msg_id"),
        bad_day("time"),
        future_time("time"),
        unknown_word("type", "系统消息"),
        phone_in("text", "想要的加我 13912345678，量大从优"),
        CellDefect(
            "identity_card_in_text",
            "B83",
            "quarantined",
            "misplaced_personal_data",
            header="text",
            change=always("帮我查一下会员，身份证 11010519491231002X"),
        ),
        CellDefect(
            "long_text", "B68", "quarantined", "length", header="text", change=always("好" * 40_000)
        ),
        mojibake("text"),
        kept_text("script_in_text", "B74", "text", "<script>alert(1)</script> 好用"),
        kept_text("sql_in_text", "B75", "text", "好用'); DROP TABLE posts; --"),
        kept_text("jinja_in_text", "B76", "text", "{{ env_var('TOKEN') }} {% for x in y %}"),
        zero_width("msg_id"),
        bad_json(),
        key_twice(),
        long_line(),
        duplicate(),
        duplicate(is_later=True),
        error_message(),
    ),
)

_METRICS = {"filter_life_percent": "filter_life", "run_hours": "run_hours"}
IOT_USAGE = FeedWriter(
    feed="iot_usage",
    channel="iot",
    entity="device_usage",
    format=Jsonl(leaves_out=True),
    event_time="measured_at",
    key=("device_id", "metric"),
    fields=(
        text("sn", "device_id"),
        text("model", "sku"),
        text("metric", coded("metric", _METRICS)),
        number("value", "cast(reading as varchar)"),
        text("ts", zoned("measured_at")),
        text("owner.app", "account_channel"),
        text("owner.uid", "source_customer_id"),
        text("fw", "'2.0.7'"),
    ),
    defects=(
        null_key("sn"),
        unknown_word("metric", "pm25"),
        future_time("ts", "2031-05-01T01:00:00Z"),
        bad_day("ts", "2026-02-30T10:00:00Z"),
        CellDefect(
            "nan_amount", "B43", "quarantined", "number", header="value", change=always('"--"')
        ),
        CellDefect(
            "negative_number", "B45", "quarantined", "negative", header="value", change=always("-5")
        ),
        bad_json(),
        duplicate(),
        duplicate(is_later=True),
        error_message(),
    ),
)

FEEDS = (
    DOUYIN_LIVE_EVENTS,
    MINI_PROGRAM_EVENTS,
    APP_EVENTS,
    STORE_VISITS,
    COMMUNITY_POSTS,
    IOT_USAGE,
)
