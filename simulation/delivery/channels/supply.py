"""ERP and logistics: what there is, and where the parcels are.

Add here: what the supply side writes.
Not here: what is sold.
"""

from __future__ import annotations

from simulation.delivery.defects import (
    CellDefect,
    always,
    bad_day,
    bad_json,
    conflict,
    correction,
    duplicate,
    empty_file,
    error_message,
    file_again,
    huge_amount,
    key_twice,
    long_decimals,
    long_row,
    lost_characters,
    missing,
    nan_amount,
    negative,
    null_key,
    other_encoding,
    phone_in,
    rounded_id,
    short_row,
    total_row,
    unknown_word,
    web_page,
)
from simulation.delivery.feed_writer import Csv, FeedWriter, Jsonl, free, text

PRODUCTS = FeedWriter(
    feed="erp_products",
    channel="erp",
    entity="products",
    format=Csv(encoding="gbk", newline="\r\n"),
    event_time="listed_at",
    key=("sku",),
    is_versioned=True,
    fields=(
        text("物料编码", "sku"),
        free("物料名称", "product_name"),
        text("品类", "category_name"),
        text("品牌", "brand_name"),
        # A number with thousands is quoted, or its comma would end the cell.
        free("建议零售价", "format('{:,.2f}', cast(list_price_amount as double))"),
        text("币种", "currency"),
        text("高端系列", "case when is_premium then '是' when not is_premium then '否' end"),
        text("条码", "barcode"),
        text("旧物料号", "erp_sku"),
        text("消耗周期天数", "plain(replenish_days)"),
        text("上架日期", "strftime(local_time(listed_at), '%Y年%m月%d日')"),
        text("修改时间", "stamp(updated_at)"),
    ),
    defects=(
        null_key("物料编码", "#N/A"),
        nan_amount("建议零售价"),
        long_decimals("建议零售价"),
        bad_day("上架日期", "2026年2月30日"),
        CellDefect(
            "no_boolean", "B64", "quarantined", "boolean", header="高端系列", change=always("或许")
        ),
        lost_characters("物料名称"),
        long_row(),
        duplicate(),
        conflict("品牌", always("待定")),
        correction("建议零售价", always("0.01")),
        other_encoding(),
    ),
)

STOCK = FeedWriter(
    feed="erp_stock",
    channel="erp",
    entity="stock_levels",
    format=Csv(delimiter="\t", extension="tsv"),
    event_time="counted_at",
    key=("sku", "location_id"),
    fields=(
        text("sku", "sku"),
        text("location", "location_id"),
        text("counted_at", "stamp(counted_at)"),
        text("on_hand", "plain(quantity_on_hand)"),
        text("reserved", "plain(quantity_reserved)"),
    ),
    defects=(
        bad_day("counted_at"),
        null_key("location", "nil"),
        missing("on_hand"),
        huge_amount("on_hand", "99999999999999999999"),
        negative("reserved", "-2"),
        short_row("\t"),
        long_row("\t"),
        duplicate(),
        conflict("reserved", always("123456")),
        total_row("", "合计"),
        empty_file(),
        file_again(),
    ),
)

SHIPMENTS = FeedWriter(
    feed="logistics_shipments",
    channel="logistics",
    entity="shipments",
    format=Jsonl(),
    event_time="shipped_at",
    key=("shipment_id",),
    cadence="large",
    is_versioned=True,
    fields=(
        text("waybill", "shipment_id"),
        text("order.channel", "order_channel"),
        text("order.no", "order_id"),
        text("carrier", "carrier_name"),
        text(
            "state",
            """case shipment_status when 'shipped' then 'COLLECTED'
                when 'in_transit' then 'ON_THE_WAY' when 'delivered' then 'SIGNED'
                when 'returned' then 'RETURNED' else 'LOST' end""",
        ),
        text("times.collected", "replace(stamp(shipped_at), ' ', 'T') || '+08:00'"),
        text("times.promised", "replace(stamp(promised_at), ' ', 'T') || '+08:00'"),
        text("times.signed", "replace(stamp(delivered_at), ' ', 'T') || '+08:00'"),
        text("to_city", "city_name"),
        text("updated", "replace(stamp(updated_at), ' ', 'T') || '+08:00'"),
    ),
    defects=(
        bad_day("times.collected", "2026-02-30T10:00:00+08:00"),
        null_key("waybill", "null"),
        rounded_id("order.no"),
        unknown_word("state", "WEIGHED"),
        phone_in("carrier"),
        bad_json(),
        key_twice(),
        duplicate(),
        duplicate(is_later=True),
        conflict("to_city", always("石家庄")),
        error_message(),
        web_page(),
    ),
)

FEEDS = (PRODUCTS, STOCK, SHIPMENTS)
