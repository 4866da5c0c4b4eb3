"""JD: workbooks of the merchant backend.

Add here: what the marketplace writes.
Not here: other marketplaces.

A title above the header, everything kept as text, amounts with sign and thousands, days of refunds
as spreadsheet serials. Orders of JD Worldwide are in dollars.
"""

from __future__ import annotations

from simulation.delivery.channels.tmall import GENDER, LINE_KIND, shown_phone
from simulation.delivery.coding import ACCOUNT_CHANGES, moved_city
from simulation.delivery.defects import (
    LineDefect,
    always,
    bad_day,
    conflict,
    correction,
    damaged_file,
    duplicate,
    file_again,
    future_time,
    held_back,
    long_decimals,
    missing,
    mojibake,
    nan_amount,
    negative,
    null_key,
    phone_in,
    rounded_id,
    total_row,
    unknown_currency,
    unknown_word,
)
from simulation.delivery.feed_writer import FeedWriter, Xlsx, free, number, text

STATUS = """case order_status when 'paid' then '完成' when 'unpaid' then '等待付款'
    when 'cancelled' then '(删除)锁定' else '已关闭' end"""
CURRENCY = """case currency when 'CNY' then '人民币' when 'HKD' then '港币'
    when 'USD' then '美元' else currency end"""


def amount(column: str) -> str:
    """¥1,234.50 in the shop's own currency, 1,234.50 in any other."""
    grouped = f"format('{{:,.2f}}', cast({column} as double))"
    return f"case currency when 'CNY' then '¥' || {grouped} else {grouped} end"


def shifted_row() -> LineDefect:
    """Somebody pasted cells to the right of the table."""
    more = '<c t="inlineStr"><is><t>备注：已核对</t></is></c></row>'
    return LineDefect(
        "long_row",
        "B22",
        "quarantined",
        "columns",
        change=lambda line: line.replace("</row>", more),
    )


ORDERS = FeedWriter(
    feed="jd_orders",
    channel="jd",
    entity="orders",
    format=Xlsx(sheet="订单", title="京东商家后台 订单导出"),
    event_time="ordered_at",
    key=("order_id",),
    cadence="large",
    is_versioned=True,
    fields=(
        text("订单号", "order_id"),
        text("下单账号", "source_customer_id"),
        text("下单时间", "stamp(ordered_at)"),
        text("订单状态", STATUS),
        text("应付金额", amount("paid_amount")),
        text("运费金额", amount("shipping_amount")),
        text("优惠金额", amount("discount_amount")),
        text("币种", CURRENCY),
        text("支付方式", "payment_method"),
        text("优惠券编码", "coupon_id"),
        text("客户电话", "buyer_phone"),
        free("收货人", "receiver_name"),
        text("收货电话", shown_phone("receiver_phone")),
        free("收货地址", "receiver_address"),
        text("更新时间", "stamp(updated_at)"),
    ),
    defects=(
        bad_day("下单时间"),
        future_time("下单时间"),
        rounded_id("订单号"),
        null_key("订单号", "#N/A"),
        nan_amount("应付金额"),
        negative("运费金额", "¥-6.00"),
        unknown_currency("币种", "金币"),
        unknown_word("订单状态", "暂停"),
        missing("订单状态"),
        mojibake("支付方式"),
        shifted_row(),
        duplicate(),
        conflict("优惠金额", always("66.67")),
        correction("优惠金额", always("0.01")),
        held_back("jd_refunds"),
        total_row(),
        damaged_file(),
        file_again(),
    ),
)

LINES = FeedWriter(
    feed="jd_order_lines",
    channel="jd",
    entity="order_lines",
    format=Xlsx(sheet="商品明细", title="京东商家后台 订单商品明细"),
    event_time="ordered_at",
    key=("order_id", "line_number"),
    cadence="large",
    fields=(
        text("订单号", "order_id"),
        text("行号", "line_number"),
        text("下单账号", "source_customer_id"),
        text("下单时间", "stamp(ordered_at)"),
        text("商家SKU", "sku"),
        free("商品名称", "product_name"),
        number("数量", "plain(quantity)"),
        text("单价", amount("unit_price_amount")),
        text("币种", CURRENCY),
        text("行类型", LINE_KIND),
    ),
    defects=(
        bad_day("下单时间", "2026-04-31 09:00:00"),
        rounded_id("订单号"),
        negative("数量", "-1"),
        long_decimals("单价"),
        unknown_currency("币种", "京豆"),
        phone_in("商品名称", "婴儿床 13912345678"),
        mojibake("商品名称"),
        shifted_row(),
        duplicate(),
        conflict("商品名称", always("已改名的商品")),
        total_row(),
        damaged_file(),
    ),
)

REFUNDS = FeedWriter(
    feed="jd_refunds",
    channel="jd",
    entity="refunds",
    format=Xlsx(sheet="退款", title="京东商家后台 退款单"),
    event_time="refunded_at",
    key=("refund_id",),
    fields=(
        text("退款单号", "refund_id"),
        text("订单号", "order_id"),
        text("下单账号", "source_customer_id"),
        # A serial counts days since 1899-12-30; its fraction is the time.
        number(
            "退款时间",
            "format('{:.10f}', epoch_us(local_time(refunded_at)) / 86400000000.0 + 25569)",
        ),
        text("退款金额", amount("refund_amount")),
        text("币种", CURRENCY),
        free("退款原因", "refund_reason"),
        text("商家SKU", "sku"),
    ),
    defects=(
        future_time("退款时间", "59999.5"),
        rounded_id("退款单号"),
        nan_amount("退款金额"),
        unknown_currency("币种", "积分"),
        shifted_row(),
        duplicate(),
        total_row(),
    ),
)

ACCOUNTS = FeedWriter(
    feed="jd_accounts",
    channel="jd",
    entity="accounts",
    format=Xlsx(sheet="会员", title="京东品牌会员"),
    event_time="registered_at",
    restated_at=ACCOUNT_CHANGES,
    key=("source_customer_id",),
    fields=(
        text("会员账号", "source_customer_id"),
        text("入会时间", "stamp(registered_at)"),
        free("姓名", "display_name"),
        text("性别", GENDER),
        text("出生日期", "cast(birth_date as varchar)"),
        text("城市", moved_city("city_name")),
        text("国家", "country_name"),
        text("手机号", "phone"),
        text("临时号截止", "stamp(phone_valid_until)"),
        text("邮箱", "email"),
        text("品牌会员号", "member_number"),
        text("渠道", "source_name"),
    ),
    defects=(
        bad_day("入会时间", "1900-01-00 00:00:00"),
        null_key("会员账号", "-"),
        unknown_word("性别", "未填"),
        phone_in("渠道"),
        mojibake("姓名"),
        duplicate(),
        conflict("城市", always("石家庄")),
        total_row(),
    ),
)

FEEDS = (ORDERS, LINES, REFUNDS, ACCOUNTS)
