"""Tills of the shops: tab-separated exports.

Add here: what a till writes.
Not here: visits without a receipt.

Local time of the shop, member numbers where a card was shown, the shop's own phone where the clerk
wanted to get on. Goods brought back are lines of a receipt of their own. A receipt has the number
of its shop's till.
"""

from __future__ import annotations

from simulation.delivery.channels.tmall import GENDER, ITEM_CLASS
from simulation.delivery.coding import ACCOUNT_CHANGES, moved_city
from simulation.delivery.defects import (
    CellDefect,
    always,
    bad_day,
    conflict,
    correction,
    cut_off_line,
    duplicate,
    empty_file,
    file_again,
    future_time,
    held_back,
    huge_amount,
    long_decimals,
    long_row,
    lost_characters,
    missing,
    mojibake,
    nan_amount,
    negative,
    null_key,
    other_encoding,
    phone_in,
    rounded_id,
    short_row,
    total_row,
    unclosed_quote,
    unknown_word,
    web_page,
    wrong_sign,
)
from simulation.delivery.feed_writer import Csv, FeedWriter, Field, free, text

TILL = Csv(delimiter="\t", extension="tsv")
TAB = "\t"
LINE_KIND = """case line_kind when 'sale' then '销售' when 'gift' then '赠送'
    when 'refund' then '退货' else '调整' end"""


def till_time(header: str, column: str) -> Field:
    """The till's clock: 2026/01/31 18:04:05."""
    return text(header, f"replace(stamp({column}), '-', '/')")


ORDERS = FeedWriter(
    feed="pos_orders",
    channel="pos",
    entity="orders",
    format=TILL,
    event_time="ordered_at",
    key=("order_id",),
    cadence="large",
    is_versioned=True,
    fields=(
        text("小票号", "substr(order_id, length(store_id) + 2)"),
        text("门店", "store_id"),
        till_time("收银时间", "ordered_at"),
        text("会员号", "coalesce(source_customer_id, '-')"),
        text("会员卡号", "member_number"),
        text("手机", "buyer_phone"),
        text("实收", "money(paid_amount)"),
        text("优惠", "money(discount_amount)"),
        text("支付方式", "payment_method"),
        text("券号", "coupon_id"),
        text("状态", "case order_status when 'paid' then '已结' else '作废' end"),
        till_time("上传时间", "updated_at"),
    ),
    defects=(
        bad_day("收银时间", "2026/02/30 10:00:00"),
        future_time("收银时间", "2062/05/01 09:00:00"),
        null_key("小票号", "--"),
        missing("状态"),
        nan_amount("实收"),
        huge_amount("实收"),
        negative("优惠", "-3.00"),
        mojibake("支付方式"),
        phone_in("支付方式"),
        short_row(TAB),
        long_row(TAB),
        unclosed_quote(TAB),
        duplicate(),
        duplicate(is_later=True),
        conflict("优惠", always("66.67")),
        correction("优惠", always("0.01")),
        held_back(),
        total_row("实收", "小计"),
        cut_off_line("P1"),
        empty_file(),
        web_page(),
        file_again(),
    ),
)

LINES = FeedWriter(
    feed="pos_order_lines",
    channel="pos",
    entity="order_lines",
    format=TILL,
    event_time="ordered_at",
    key=("order_id", "line_number"),
    cadence="large",
    fields=(
        text("小票号", "substr(order_id, length(store_id) + 2)"),
        text("行号", "line_number"),
        text("门店", "store_id"),
        till_time("收银时间", "ordered_at"),
        text("会员号", "coalesce(source_customer_id, '-')"),
        text("货号", "lower(sku)"),
        free("品名", "product_name"),
        text("数量", "plain(quantity)"),
        text("单价", "money(unit_price_amount)"),
        text("类型", LINE_KIND),
        text("商品类型", ITEM_CLASS),
    ),
    defects=(
        bad_day("收银时间", "2026/02/30 10:00:00"),
        rounded_id("小票号"),
        null_key("行号", "无"),
        long_decimals("单价"),
        negative("单价", "-9.90"),
        CellDefect("zero_amount", "B45", "quarantined", "zero", header="数量", change=always("0")),
        wrong_sign("数量", "refund"),
        wrong_sign("数量", "sale"),
        unknown_word("类型", "换货"),
        phone_in("货号"),
        mojibake("品名"),
        short_row(TAB),
        long_row(TAB),
        duplicate(),
        conflict("单价", always("0.07")),
        total_row("单价", "小计"),
        web_page(),
        file_again(),
    ),
)

MEMBERS = FeedWriter(
    feed="pos_members",
    channel="pos",
    entity="accounts",
    format=Csv(encoding="gbk", delimiter="\t", extension="tsv", newline="\r\n"),
    event_time="registered_at",
    restated_at=ACCOUNT_CHANGES,
    key=("source_customer_id",),
    fields=(
        text("会员号", "source_customer_id"),
        text("卡号", "member_number"),
        free("姓名", "display_name"),
        text("性别", GENDER),
        text("生日", "strftime(birth_date, '%Y年%m月%d日')"),
        till_time("开卡时间", "registered_at"),
        text("联系电话", "phone"),
        text("开卡门店", "store_id"),
        text("导购", "guide_id"),
        text("城市", moved_city("city_name")),
        text("国家", "country_name"),
        free("地址", "address_text"),
        text("来源", "source_name"),
    ),
    defects=(
        bad_day("开卡时间", "2026/06/31 10:00:00"),
        null_key("会员号", "无"),
        unknown_word("性别", "先生"),
        phone_in("来源"),
        lost_characters("姓名"),
        short_row(TAB),
        long_row(TAB),
        duplicate(),
        conflict("城市", always("石家庄")),
        cut_off_line("M00"),
        other_encoding(),
    ),
)

FEEDS = (ORDERS, LINES, MEMBERS)
