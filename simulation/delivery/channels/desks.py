"""Consents, privacy requests, advertising, clerks' work, rates and weather.

Add here: a desk that keeps a list of its own.
Not here: what customers say (``service``).
"""

from __future__ import annotations

from simulation.delivery.channels.behaviour import full_width, lost_word, zero_width
from simulation.delivery.coding import coded, grouped, zoned
from simulation.delivery.defects import (
    CellDefect,
    always,
    bad_day,
    conflict,
    cut_off_line,
    duplicate,
    empty_file,
    future_time,
    long_decimals,
    missing,
    nan_amount,
    null_key,
    other_encoding,
    phone_in,
    short_row,
    total_row,
    unknown_currency,
    unknown_word,
    web_page,
)
from simulation.delivery.feed_writer import Csv, FeedWriter, free, text

CONSENT_CENTER = FeedWriter(
    feed="consent_center",
    channel="consent_center",
    entity="consents",
    format=Csv(),
    event_time="occurred_at",
    key=(
        "account_channel",
        "source_customer_id",
        "contact_kind",
        "contact_value",
        "purpose",
        "consent_channel",
        "action",
    ),
    fields=(
        text("account_channel", "account_channel"),
        text("account_id", "source_customer_id"),
        text(
            "contact_type",
            coded(
                "contact_kind",
                {"phone": "mobile", "email": "mail", "wecom": "wecom", "push": "device"},
            ),
        ),
        text("contact", "contact_value"),
        text("purpose", "purpose"),
        text("channel", "consent_channel"),
        text("status", coded("action", {"granted": "agree", "withdrawn": "revoke"})),
        text("op_time", zoned("occurred_at")),
        free("notice_ver", "notice_version"),
        free("proof", "evidence"),
    ),
    defects=(
        CellDefect(
            "unknown_purpose",
            "B85",
            "quarantined",
            "enum",
            header="purpose",
            change=always("anything"),
        ),
        CellDefect(
            "future_consent",
            "B85",
            "quarantined",
            "future",
            header="op_time",
            change=always("2031-05-01T01:00:00Z"),
        ),
        CellDefect(
            "no_contact", "B63", "quarantined", "key", header="contact", change=always("无")
        ),
        null_key("account_id"),
        unknown_word("channel", "fax"),
        bad_day("op_time", "2026-02-30T10:00:00Z"),
        zero_width("account_id"),
        duplicate(),
        duplicate(is_later=True),
        web_page(),
    ),
)

_REQUESTS = {
    "access": "查询",
    "correction": "更正",
    "erasure": "删除",
    "restriction": "限制处理",
    "profiling_opt_out": "关闭画像",
}
_REQUEST_STATES = {"open": "待处理", "done": "已完成", "refused": "已驳回"}
PRIVACY_DESK = FeedWriter(
    feed="privacy_desk",
    channel="privacy",
    entity="privacy_requests",
    format=Csv(encoding="gbk"),
    event_time="requested_at",
    # The desk settles a request within two weeks and then tells it again.
    restated_at="case when request_status <> 'open' then requested_at + interval 12 day end",
    key=("request_id",),
    fields=(
        text("申请编号", "request_id"),
        text("账号渠道", "account_channel"),
        text("账号", "source_customer_id"),
        text("申请类型", coded("request_kind", _REQUESTS)),
        text("申请时间", "strftime(local_time(requested_at), '%Y年%m月%d日 %H:%M:%S')"),
        text("联系方式", "contact_value"),
        text(
            "状态",
            coded(
                "case when restated_at > delivered_at then 'open' else request_status end",
                _REQUEST_STATES,
            ),
        ),
    ),
    defects=(
        null_key("申请编号"),
        unknown_word("申请类型", "投诉"),
        bad_day("申请时间", "2026年02月30日 10:00:00"),
        future_time("申请时间", "2031年05月01日 09:00:00"),
        short_row(),
        duplicate(),
    ),
)

_CENTS = "lpad(cast(cast(spend_amount * 100 as bigint) % 100 as varchar), 2, '0')"
AD_SPEND = FeedWriter(
    feed="ad_spend",
    channel="ads",
    entity="marketing_spend",
    format=Csv(encoding="utf-16"),
    event_time="spent_on",
    key=("ad_platform", "campaign_id"),
    fields=(
        text("投放平台", "ad_platform"),
        text("计划ID", "campaign_id"),
        free("计划名称", "campaign_name"),
        text("日期", "strftime(spent_on, '%Y年%m月%d日')"),
        text("推广渠道", "promoted_channel"),
        free("消耗", f"concat('¥', {grouped('floor(spend_amount)')}, '.', {_CENTS})"),
        text("币种", coded("currency", {"CNY": "人民币", "USD": "美元", "HKD": "港币"})),
        free("展现量", grouped("impression_count")),
        free("点击量", grouped("click_count")),
    ),
    defects=(
        null_key("计划ID"),
        CellDefect(
            "bad_day",
            "B51",
            "quarantined",
            "date",
            header="日期",
            change=always("2026年13月01日"),
        ),
        future_time("日期", "2031年05月01日"),
        nan_amount("消耗"),
        long_decimals("消耗"),
        CellDefect(
            "negative_number",
            "B45",
            "quarantined",
            "negative",
            header="消耗",
            change=always("-3.00"),
        ),
        unknown_currency("币种", "比特币"),
        phone_in("计划名称", "联系人 13912345678"),
        conflict("点击量", lambda cell: "7"),
        duplicate(),
        total_row("消耗"),
        empty_file(),
    ),
)

_VERDICTS = {"same": "同一人", "different": "不同人", "unsure": "无法判断"}
IDENTITY_REVIEWS = FeedWriter(
    feed="identity_reviews",
    channel="clerks",
    entity="identity_pairs",
    format=Csv(),
    event_time="reviewed_at",
    key=("pair_id",),
    fields=(
        text("序号", "pair_id"),
        text("甲方渠道", "left_channel"),
        text("甲方账号", "left_customer_id"),
        text("乙方渠道", "right_channel"),
        text("乙方账号", "right_customer_id"),
        text("结论", coded("verdict", _VERDICTS)),
        text("审核员", "reviewer_id"),
        text("审核时间", "stamp(reviewed_at)"),
    ),
    defects=(
        null_key("序号"),
        missing("乙方账号"),
        unknown_word("结论", "待定"),
        bad_day("审核时间"),
        full_width("序号"),
        duplicate(),
        cut_off_line("9"),
    ),
)

FX_RATES = FeedWriter(
    feed="fx_rates",
    channel="reference",
    entity="exchange_rates",
    format=Csv(),
    event_time="rate_date",
    key=("base_currency", "quote_currency"),
    fields=(
        text("base", "base_currency"),
        text("quote", "quote_currency"),
        text("date", "strftime(rate_date, '%d/%m/%Y')"),
        text("rate", "cast(rate as varchar)"),
    ),
    defects=(
        CellDefect("zero_rate", "B48", "quarantined", "zero", header="rate", change=always("0")),
        CellDefect(
            "ambiguous_day", "B55", "quarantined", "date", header="date", change=always("2/30/2026")
        ),
        unknown_currency("base", "XBT"),
        future_time("date", "01/05/2031"),
        duplicate(),
        empty_file(),
    ),
)

_WEATHER = {
    "heat": "高温",
    "cold": "寒潮",
    "rain": "暴雨",
    "storm": "台风",
    "snow": "暴雪",
    "haze": "霾",
    "dry": "干旱",
}
_LEVELS = {"blue": "蓝色", "yellow": "黄色", "orange": "橙色", "red": "红色"}
WEATHER_ALERTS = FeedWriter(
    feed="weather_alerts",
    channel="reference",
    entity="weather_alerts",
    format=Csv(encoding="gb18030"),
    event_time="issued_at",
    key=("alert_id",),
    fields=(
        text("预警编号", "alert_id"),
        text("城市", "city_name"),
        text("预警类型", coded("alert_kind", _WEATHER)),
        text("预警级别", coded("alert_level", _LEVELS)),
        text("发布时间", "stamp(issued_at)"),
        text("生效时间", "stamp(starts_at)"),
        text("失效时间", "stamp(ends_at)"),
    ),
    defects=(
        null_key("预警编号"),
        unknown_word("预警级别", "紫色"),
        bad_day("发布时间"),
        future_time("发布时间"),
        lost_word("城市"),
        duplicate(),
        other_encoding(),
    ),
)

FEEDS = (
    CONSENT_CENTER,
    PRIVACY_DESK,
    AD_SPEND,
    IDENTITY_REVIEWS,
    FX_RATES,
    WEATHER_ALERTS,
)
