"""Tmall: exports of the merchant backend.

Add here: what the marketplace writes.
Not here: other marketplaces.

Chinese headers, GB18030, blanks behind many cells, a tab behind long numbers so that a spreadsheet
keeps them as text. The buyer's phone is masked, the receiver stands as an OAID.
"""

from __future__ import annotations

from simulation.delivery.defects import (
    bad_day,
    conflict,
    correction,
    cut_off_line,
    duplicate,
    empty_file,
    file_again,
    future_time,
    held_back,
    long_row,
    lost_characters,
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
)
from simulation.delivery.feed_writer import Csv, FeedWriter, Field, free, text

CHINESE = Csv(encoding="gb18030", newline="\r\n")


def tabbed(header: str, column: str) -> Field:
    """A long number with the tab that keeps spreadsheets off it."""
    return text(header, f"{column} || chr(9)")


def padded(header: str, sql: str) -> Field:
    """A cell with trailing blanks."""
    return text(header, f"{sql} || '  '")


STATUS = """case order_status when 'paid' then '交易成功' when 'unpaid' then '等待买家付款'
    when 'cancelled' then '已取消' else '交易关闭' end"""

ORDERS = FeedWriter(
    feed="tmall_orders",
    channel="tmall",
    entity="orders",
    format=CHINESE,
    event_time="ordered_at",
    key=("order_id",),
    cadence="large",
    is_versioned=True,
    fields=(
        tabbed("订单编号", "order_id"),
        padded("买家会员名", "source_customer_id"),
        text("订单创建时间", "stamp(ordered_at)"),
        padded("订单状态", STATUS),
        text("买家实际支付金额", "money(paid_amount)"),
        text("买家应付邮费", "money(shipping_amount)"),
        text("优惠金额", "money(discount_amount)"),
        padded("支付方式", "payment_method"),
        text("优惠券编号", "coupon_id"),
        text("联系手机", "masked_phone(buyer_phone)"),
        free("收货人姓名", "masked_name(receiver_name)"),
        free("收货地址", "receiver_address"),
        text("收货人标识", "receiver_token"),
        text("订单修改时间", "stamp(updated_at)"),
    ),
    defects=(
        bad_day("订单创建时间", "2026-02-30 10:00:00"),
        future_time("订单创建时间"),
        rounded_id("订单编号"),
        null_key("订单编号"),
        nan_amount("买家实际支付金额"),
        negative("买家应付邮费", "-10.00"),
        unknown_word("订单状态", "定金已付"),
        phone_in("支付方式"),
        lost_characters("支付方式"),
        short_row(),
        long_row(),
        unclosed_quote(),
        duplicate(),
        duplicate(is_later=True),
        conflict("优惠金额", lambda _: "66.66"),
        correction("优惠金额", lambda _: "0.01"),
        held_back(),
        total_row("买家实际支付金额"),
        cut_off_line("20260131"),
        empty_file(),
        web_page(),
        other_encoding(),
        file_again(),
    ),
)

FEEDS = (ORDERS,)
