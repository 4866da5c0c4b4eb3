"""What became of messages: by text message, push, e-mail and WeCom.

Add here: a provider of messages.
Not here: why a message was sent.
"""

from __future__ import annotations

from simulation.delivery.channels.behaviour import FUTURE_SECONDS, worded_instant, wrong_unit
from simulation.delivery.coding import coded, zoned
from simulation.delivery.defects import (
    CellDefect,
    bad_day,
    bad_json,
    duplicate,
    error_message,
    file_again,
    future_time,
    long_row,
    null_key,
    phone_in,
    short_row,
    unclosed_quote,
    unknown_word,
    web_page,
)
from simulation.delivery.feed_writer import Csv, FeedWriter, Jsonl, free, number, text

_KEY = ("message_id", "receipt_kind")
_SMS_STATES = {
    "sent": "SUBMIT",
    "delivered": "DELIVRD",
    "opened": "OPEN",
    "clicked": "CLICK",
    "failed": ("UNDELIV", "EXPIRED", "REJECTD"),
    "unsubscribed": "MO",
}
_PUSH_EVENTS = {
    "sent": "accepted",
    "delivered": "arrived",
    "opened": "shown",
    "clicked": "tapped",
    "failed": ("token_expired", "rejected"),
    "unsubscribed": "switched_off",
}
_EMAIL_EVENTS = {
    "sent": "processed",
    "delivered": "delivered",
    "opened": "open",
    "clicked": "click",
    "failed": ("bounce", "dropped"),
    "unsubscribed": ("unsubscribe", "spamreport"),
}
_WECOM_STATES = {
    "sent": "SENT",
    "delivered": "DELIVERED",
    "opened": "READ",
    "clicked": "LINK_CLICK",
    "failed": ("NOT_FRIEND", "LIMIT", "FAILED"),
    "unsubscribed": "BLOCK",
}


def _state(words: dict) -> str:
    return coded("receipt_kind", words, by="message_id")


# People type the word they were told to type in their own way.
_WORDS = {"R": ("R", "r", "Ｒ"), "TD": ("TD", "ＴＤ", "t d", "td"), "退订": ("退订", "退 订")}
_REPLY = f"coalesce({coded('reply_text', _WORDS, by='message_id')}, reply_text)"

FEEDS = (
    FeedWriter(
        feed="sms_receipts",
        channel="sms",
        entity="message_receipts",
        format=Csv(newline="\r\n"),
        event_time="occurred_at",
        key=_KEY,
        fields=(
            text("MsgId", "message_id"),
            text("App", "account_channel"),
            text("UserId", "source_customer_id"),
            text("Status", _state(_SMS_STATES)),
            text("ReportTime", "strftime(local_time(occurred_at), '%y%m%d%H%M%S')"),
            text("Task", "journey"),
            text("Step", "step"),
            text("OutId", "decision_id"),
            free("ErrMsg", "failure_text"),
            free("Reply", _REPLY),
        ),
        defects=(
            null_key("MsgId"),
            unknown_word("Status", "UNKNOWN"),
            bad_day("ReportTime", "260230101500"),
            future_time("ReportTime", "310501090000"),
            phone_in("Reply", "打这个 13912345678"),
            CellDefect(
                "null_account", "B63", "normalised", header="UserId", change=lambda cell: "NULL"
            ).once(),
            short_row(),
            long_row(),
            duplicate(),
            duplicate(is_later=True),
            web_page(),
        ),
    ),
    FeedWriter(
        feed="push_receipts",
        channel="push",
        entity="message_receipts",
        format=Jsonl(leaves_out=True),
        event_time="occurred_at",
        key=_KEY,
        fields=(
            text("push_id", "message_id"),
            text("target.app", "account_channel"),
            text("target.alias", "source_customer_id"),
            text("event", _state(_PUSH_EVENTS)),
            number("at", "epoch_ms(occurred_at)"),
            text("payload.journey", "journey"),
            text("payload.step", "step"),
            text("payload.decision", "decision_id"),
            free("error", "failure_text"),
            free("answer", "reply_text"),
        ),
        defects=(
            null_key("push_id"),
            unknown_word("event", "bounced"),
            worded_instant("at"),
            wrong_unit("at", FUTURE_SECONDS, "range"),
            future_time("at", FUTURE_SECONDS + "000"),
            bad_json(),
            duplicate(),
            duplicate(is_later=True),
            error_message(),
        ),
    ),
    FeedWriter(
        feed="email_receipts",
        channel="email",
        entity="message_receipts",
        format=Csv(delimiter=";"),
        event_time="occurred_at",
        key=_KEY,
        fields=(
            text("message_id", "message_id"),
            text("account_source", "account_channel"),
            text("account_ref", "source_customer_id"),
            text("event", _state(_EMAIL_EVENTS)),
            text("timestamp", zoned("occurred_at")),
            text("campaign", "journey"),
            text("campaign_step", "step"),
            text("custom_id", "decision_id"),
            free("reason", "coalesce(failure_text, 'N/A')"),
            free("reply", "reply_text"),
        ),
        defects=(
            null_key("message_id"),
            unknown_word("event", "deferred"),
            bad_day("timestamp", "2026-02-30T10:00:00Z"),
            future_time("timestamp", "2031-05-01T01:00:00Z"),
            phone_in("reason", "550 no such user ann@example.org"),
            unclosed_quote(";").once(),  # two of them in one file would close each other
            duplicate(),
            duplicate(is_later=True),
            file_again(),
        ),
    ),
    FeedWriter(
        feed="wecom_receipts",
        channel="wecom",
        entity="message_receipts",
        format=Jsonl(leaves_out=True),
        event_time="occurred_at",
        key=_KEY,
        fields=(
            text("msgid", "message_id"),
            text("app", "account_channel"),
            text("external_userid", "source_customer_id"),
            text("status", _state(_WECOM_STATES)),
            number("send_time", "epoch_s(occurred_at)"),
            text("task.journey", "journey"),
            text("task.step", "step"),
            text("task.decision_id", "decision_id"),
            free("fail_reason", "failure_text"),
            free("reply", "reply_text"),
        ),
        defects=(
            null_key("msgid"),
            unknown_word("status", "4"),
            worded_instant("send_time"),
            wrong_unit("send_time", FUTURE_SECONDS + "000", "timestamp"),
            future_time("send_time", FUTURE_SECONDS),
            bad_json(),
            duplicate(),
            duplicate(is_later=True),
            error_message(),
        ),
    ),
)
