"""WeCom: contacts of the shop guides and the tags they put on them.

Add here: a feed of the guides' own tool.
Not here: receipts of the messages they send (``receipts``).
"""

from __future__ import annotations

from simulation.delivery.channels.behaviour import lost_word
from simulation.delivery.coding import ACCOUNT_CHANGES, changed_phone, coded
from simulation.delivery.defects import (
    CellDefect,
    always,
    bad_day,
    bad_json,
    duplicate,
    error_message,
    file_again,
    future_time,
    key_twice,
    missing,
    null_key,
    other_encoding,
    phone_in,
    short_row,
    unknown_word,
)
from simulation.delivery.feed_writer import Csv, FeedWriter, Jsonl, free, number, text

_GENDERS = {"male": "1", "female": "2", "other": "3"}
_TAG_ACTIONS = {"added": "打标", "removed": "去标"}

FEEDS = (
    FeedWriter(
        feed="wecom_contacts",
        channel="wecom",
        entity="accounts",
        format=Jsonl(),
        event_time="registered_at",
        restated_at=ACCOUNT_CHANGES,
        key=("source_customer_id",),
        fields=(
            text("external_userid", "source_customer_id"),
            free("name", "display_name"),
            number("type", "'1'"),
            number("gender", f"coalesce({coded('gender', _GENDERS)}, '0')"),
            text("unionid", "wechat_unionid"),
            text("openid", "wechat_openid"),
            text("email", "email"),
            text("city", "city_name"),
            text("country", "country_name"),
            text("follow_user.userid", "guide_id"),
            text("follow_user.store", "store_id"),
            number("follow_user.createtime", "epoch_s(registered_at)"),
            text("follow_user.remark_mobile", changed_phone("phone")),
            text("follow_user.birthday", "cast(birth_date as varchar)"),
            text("follow_user.member_no", "member_number"),
            text("follow_user.add_way", "source_name"),
        ),
        defects=(
            null_key("external_userid"),
            unknown_word("gender", "9"),
            CellDefect(
                "bad_day",
                "B51",
                "quarantined",
                "date",
                header="follow_user.birthday",
                change=always("2026-02-30"),
            ),
            bad_json(),
            key_twice(),
            duplicate(),
            duplicate(is_later=True),
            error_message(),
            file_again(),
        ),
    ),
    FeedWriter(
        feed="wecom_tags",
        channel="wecom",
        entity="contact_tags",
        format=Csv(encoding="gb18030"),
        event_time="occurred_at",
        key=("source_customer_id", "tag_name"),
        fields=(
            text("客户ID", "source_customer_id"),
            text("标签组", "tag_group"),
            free("标签名称", "tag_name"),
            text("操作", coded("action", _TAG_ACTIONS)),
            text("操作时间", "strftime(local_time(occurred_at), '%Y/%m/%d %H:%M:%S')"),
            text("操作人账号", "guide_id"),
        ),
        defects=(
            null_key("客户ID"),
            missing("操作"),
            unknown_word("操作", "合并"),
            bad_day("操作时间", "2026/02/30 10:00:00"),
            future_time("操作时间", "2031/05/01 09:00:00"),
            phone_in("标签名称", "电话 13912345678"),
            lost_word("标签名称"),
            short_row(),
            duplicate(),
            duplicate(is_later=True),
            other_encoding(),
        ),
    ),
)
