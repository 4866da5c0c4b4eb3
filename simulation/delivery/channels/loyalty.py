"""The membership desk's exports and the customers of the system it replaced.

Add here: coupons, points, referrals, old balances.
Not here: accounts of the shops.

The desk serves every channel, so each record names the channel of the account it means.
"""

from __future__ import annotations

from simulation.delivery.channels.tmall import GENDER
from simulation.delivery.defects import (
    CellDefect,
    always,
    bad_day,
    conflict,
    cut_off_line,
    duplicate,
    empty_file,
    file_again,
    long_decimals,
    long_row,
    lost_characters,
    missing,
    nan_amount,
    negative,
    null_key,
    phone_in,
    rounded_id,
    short_row,
    total_row,
    unclosed_quote,
    unknown_channel,
    unknown_currency,
    unknown_word,
    web_page,
)
from simulation.delivery.feed_writer import Beside, Csv, FeedWriter, free, text

COUPONS = FeedWriter(
    feed="crm_coupons",
    channel="crm",
    entity="coupon_events",
    format=Csv(),
    event_time="occurred_at",
    key=("coupon_id", "action"),
    fields=(
        text("coupon_no", "coupon_id"),
        text("account_channel", "account_channel"),
        text("account", "source_customer_id"),
        text("action", "upper(action)"),
        text("time", "stamp(occurred_at)"),
        text("campaign", "campaign_id"),
        text("face", "money(face_amount)"),
        text("threshold", "money(threshold_amount)"),
        text("currency", "currency"),
        text("order_no", "order_id"),
        text("valid_until", "stamp(valid_until)"),
    ),
    defects=(
        bad_day("time"),
        null_key("coupon_no"),
        unknown_word("action", "FROZEN"),
        nan_amount("face"),
        long_decimals("threshold"),
        unknown_currency("currency"),
        phone_in("campaign"),
        unknown_channel("account_channel"),
        short_row(),
        long_row(),
        unclosed_quote(),
        duplicate(),
        conflict("face", always("66.67")),
        cut_off_line("CP0"),
        web_page(),
        file_again(),
    ),
)

POINTS = FeedWriter(
    feed="crm_points",
    channel="crm",
    entity="points_events",
    format=Csv(bom=True),
    event_time="occurred_at",
    key=("event_id",),
    fields=(
        text("流水号", "event_id"),
        text("账户渠道", "account_channel"),
        text("账户", "source_customer_id"),
        text(
            "事由",
            """case event_kind when 'check_in' then '签到' when 'share' then '分享'
                when 'review' then '评价' when 'redeem' then '兑换' when 'donate' then '捐赠'
                else '转赠' end""",
        ),
        text("积分", "cast(points as varchar)"),
        text("时间", "stamp(occurred_at)"),
        text("受赠账户", "to_customer_id"),
        text("关联单号", "reference_id"),
    ),
    defects=(
        bad_day("时间"),
        null_key("流水号", "无"),
        missing("账户"),
        unknown_word("事由", "补偿"),
        negative("积分", "-5"),
        long_decimals("积分"),
        short_row(),
        long_row(),
        duplicate(),
        duplicate(is_later=True),
        conflict("积分", always("987654")),
        total_row("积分"),
        empty_file(),
    ),
)

REFERRALS = FeedWriter(
    feed="crm_referrals",
    channel="crm",
    entity="referrals",
    format=Csv(),
    event_time="invited_at",
    restated_at="joined_at",
    key=("referral_id",),
    fields=(
        text("referral_no", "referral_id"),
        text("account_channel", "account_channel"),
        text("inviter", "source_customer_id"),
        # Who joins later than the export has not come yet; the invitation then comes again.
        text("invitee", "case when joined_at <= delivered_at then invitee_customer_id end"),
        text("invited_at", "stamp(invited_at)"),
        text("joined_at", "case when joined_at <= delivered_at then stamp(joined_at) end"),
        free("campaign", "campaign_name"),
    ),
    defects=(
        bad_day("invited_at"),
        null_key("referral_no"),
        missing("inviter"),
        phone_in("campaign"),
        long_row(),
        duplicate(),
        conflict("campaign", always("活动名称更正")),
    ),
)

LEGACY = FeedWriter(
    feed="legacy_customers",
    channel="legacy",
    entity="legacy_customers",
    format=Csv(encoding="gbk", newline="\r\n"),
    event_time="registered_at",
    key=("source_customer_id",),
    cadence="once",
    beside=Beside("legacy_accounts", "accounts", "account"),
    fields=(
        text("客户编号", "source_customer_id"),
        text("登记日期", "strftime(local_time(registered_at), '%Y年%m月%d日')"),
        free("姓名", "account_display_name"),
        text("性别", GENDER.replace("gender", "account_gender")),
        text("出生日期", "strftime(account_birth_date, '%Y.%m.%d')"),
        text("电话", "account_phone"),
        text("电子邮箱", "upper(account_email)"),
        text("城市", "account_city_name"),
        text("国家", "account_country_name"),
        free("通信地址", "account_address_text"),
        text("来源", "account_source_name"),
        text("累计订单", "cast(order_count as varchar)"),
        free("累计消费", "format('{:,.2f}', cast(spend_amount as double)) || '元'"),
        text("积分余额", "cast(points_balance as varchar)"),
        text("等级", "level_name"),
        text("最近消费", "day(last_ordered_at)"),
    ),
    defects=(
        null_key("客户编号", "无", spills=True),
        rounded_id("客户编号", spills=True),
        bad_day("登记日期", "2019年2月30日", spills=True),
        nan_amount("累计消费"),
        negative("累计订单", "-4"),
        CellDefect(
            "unknown_word",
            "B50",
            "quarantined",
            "enum",
            header="性别",
            change=always("不详"),
            is_beside=True,
        ),
        lost_characters("等级"),
        short_row(),
        long_row(),
        duplicate(times=4),
        conflict("等级", always("钻石卡")),
        total_row("累计消费"),
    ),
)

FEEDS = (COUPONS, POINTS, REFERRALS, LEGACY)
