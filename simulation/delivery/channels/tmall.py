"""Tmall: exports of the merchant backend.

Add here: what the marketplace writes.
Not here: other marketplaces.

Chinese headers, GB18030, blanks behind many cells, a tab behind long numbers so that a spreadsheet
keeps them as text. Phones are masked or lent, names are masked, the receiver stands as an OAID.
"""

from __future__ import annotations

from simulation.delivery.coding import ACCOUNT_CHANGES, moved_city
from simulation.delivery.defects import (
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


def shown_phone(column: str) -> str:
    """Lent numbers are shown, real ones are masked."""
    return (
        f"case when left({column}, 3) between '170' and '173' then {column} "
        f"else masked_phone({column}) end"
    )


STATUS = """case order_status when 'paid' then '交易成功' when 'unpaid' then '等待买家付款'
    when 'cancelled' then '已取消' else '交易关闭' end"""
LINE_KIND = """case line_kind when 'sale' then '普通' when 'gift' then '赠品'
    when 'refund' then '退货' else '调整' end"""
ITEM_CLASS = """case item_class when 'product' then '商品' when 'fee' then '费用'
    else '测试' end"""
GENDER = "case gender when 'female' then '女' when 'male' then '男' when 'other' then '其他' end"

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
        text("联系手机", "buyer_phone"),
        free("收货人姓名", "masked_name(receiver_name)"),
        text("收货人手机", shown_phone("receiver_phone")),
        free("收货地址", "receiver_address"),
        text("收货人标识", "receiver_token"),
        text("订单修改时间", "stamp(updated_at)"),
    ),
    defects=(
        bad_day("订单创建时间"),
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
        conflict("优惠金额", always("66.67")),
        correction("优惠金额", always("0.01")),
        held_back("tmall_refunds"),
        total_row("买家实际支付金额"),
        cut_off_line("260131"),
        empty_file(),
        web_page(),
        other_encoding(),
        file_again(),
    ),
)

LINES = FeedWriter(
    feed="tmall_order_lines",
    channel="tmall",
    entity="order_lines",
    format=CHINESE,
    event_time="ordered_at",
    key=("order_id", "line_number"),
    cadence="large",
    fields=(
        tabbed("主订单编号", "order_id"),
        text("子订单序号", "line_number"),
        padded("买家会员名", "source_customer_id"),
        text("订单创建时间", "stamp(ordered_at)"),
        padded("商家编码", "sku"),
        free("宝贝标题", "product_name"),
        text("购买数量", "plain(quantity)"),
        text("商品价格", "money(unit_price_amount)"),
        text("行类型", LINE_KIND),
        text("商品类型", ITEM_CLASS),
        text("国家", "country_name"),
    ),
    defects=(
        bad_day("订单创建时间", "2026-13-01 08:00:00"),
        rounded_id("主订单编号"),
        null_key("子订单序号", "无"),
        negative("购买数量", "-3"),
        long_decimals("商品价格"),
        huge_amount("商品价格"),
        phone_in("商家编码"),
        lost_characters("宝贝标题"),
        short_row(),
        long_row(),
        duplicate(),
        conflict("商品价格", always("0.07")),
        total_row("商品价格", "总计"),
        web_page(),
        file_again(),
    ),
)

REFUNDS = FeedWriter(
    feed="tmall_refunds",
    channel="tmall",
    entity="refunds",
    format=CHINESE,
    event_time="refunded_at",
    key=("refund_id",),
    fields=(
        tabbed("退款编号", "refund_id"),
        tabbed("订单编号", "order_id"),
        padded("买家会员名", "source_customer_id"),
        text("退款完结时间", "stamp(refunded_at)"),
        text("退款金额", "money(refund_amount)"),
        free("退款原因", "refund_reason"),
        text("商家编码", "sku"),
    ),
    defects=(
        bad_day("退款完结时间", "0000-00-00 00:00:00"),
        rounded_id("退款编号"),
        negative("退款金额", "-1.00"),
        phone_in("退款原因", "客户13912345678要求退款"),
        short_row(),
        duplicate(),
        conflict("退款原因", always("其他原因")),
        total_row("退款金额"),
        empty_file(),
    ),
)

ACCOUNTS = FeedWriter(
    feed="tmall_accounts",
    channel="tmall",
    entity="accounts",
    format=CHINESE,
    event_time="registered_at",
    restated_at=ACCOUNT_CHANGES,
    key=("source_customer_id",),
    fields=(
        padded("会员名", "source_customer_id"),
        text("入会时间", "stamp(registered_at)"),
        free("昵称", "display_name"),
        text("性别", GENDER),
        text("生日", "cast(birth_date as varchar)"),
        padded("城市", moved_city("city_name")),
        text("国家", "country_name"),
        text("手机", "phone"),
        text("虚拟号失效时间", "stamp(phone_valid_until)"),
        text("买家标识", "hidden_id"),
        text("品牌会员号", "member_number"),
        free("来源", "source_name"),
    ),
    defects=(
        bad_day("入会时间"),
        null_key("会员名", "未知"),
        unknown_word("性别", "保密"),
        phone_in("来源"),
        lost_characters("昵称"),
        long_row(),
        duplicate(),
        conflict("城市", always("石家庄")),
        cut_off_line("buyer"),
        other_encoding(),
    ),
)

FEEDS = (ORDERS, LINES, REFUNDS, ACCOUNTS)
