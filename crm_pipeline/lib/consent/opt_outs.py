"""Opt-outs that come with receipts: a reply, or the provider's word that somebody left.

Add here: how a receipt says no.
Not here: consents people gave (``ledger``), what the events of a contact add up to (``state``).

A receipt knows the account and the channel, not the address. So the withdrawal is booked for the
account, under a token no address has: it stops every older grant of that account for the channel,
whichever file comes first, and a later grant of one of its addresses ends it.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from crm_pipeline.lib.consent.contacts import account_contact
from crm_pipeline.lib.consent.ledger import ANY, BATCH_ROWS, naive_utc
from crm_pipeline.lib.ledger.schema import consents
from crm_pipeline.lib.ledger.statements import insert_ignore

UNSUBSCRIBED = "unsubscribed"
PURPOSE = "marketing"
CONTACT_KINDS = {"sms": "phone", "email": "email", "wecom": "wecom", "push": "push"}
SWEEPING_KIND = "phone"  # of a channel nobody knows: the withdrawal counts for every channel

# The word a reply consists of, and words that say it inside a sentence.
_WHOLE = frozenset(
    ["r", "t", "td", "tt", "n", "no", "q", "qx", "tuiding", "0000", "退", "否", "不"]
)
_INSIDE = (
    "退订",
    "退訂",
    "拒收",
    "取消订阅",
    "别发",
    "不要再发",
    "不要发",
    "勿扰",
    "骚扰",
    "unsubscribe",
    "optout",
    "stop",
)
# Short answers that mean something else. Every other short reply is unclear, and so an opt-out.
_HARMLESS = frozenset(
    [
        "y",
        "yes",
        "ok",
        "hi",
        "1",
        "2",
        "3",
        "4",
        "5",
        "好",
        "好的",
        "是",
        "是的",
        "谢谢",
        "收到",
        "嗯",
        "赞",
    ]
)
_UNCLEAR_SIGNS = 3
_NOT_A_SIGN = re.compile(r"[\W_]+")

_COLUMNS = (
    "record_id",
    "channel",
    "account_channel",
    "source_customer_id",
    "receipt_kind",
    "occurred_at",
    "known_at",
    "reply_text",
)


@dataclass(frozen=True)
class PostedOptOuts:
    """What became of the receipts of one file that say no.

    ``unplaced_count``: the provider named no account, so nobody can be left alone for it yet.
    """

    found_count: int
    posted_count: int
    unplaced_count: int


def is_opt_out(reply: str | None) -> bool:
    """Whether an answer to a message asks for no more of them; what is unclear does."""
    if reply is None or not reply.strip():
        return False
    text = _NOT_A_SIGN.sub("", unicodedata.normalize("NFKC", reply).casefold())
    if text in _HARMLESS:
        return False
    if text in _WHOLE or any(word in text for word in _INSIDE):
        return True
    return len(text) <= _UNCLEAR_SIGNS


def post_opt_outs(
    ledger: sa.Engine, table: pa.Table, *, key: bytes, feed: str, file_sha256: str
) -> PostedOptOuts:
    """Books the withdrawals among the receipts of one file; what is known is left out."""
    saying_no = _saying_no(table)
    posted = 0
    placed = saying_no.filter(pc.is_valid(saying_no["source_customer_id"]))
    for batch in placed.to_batches(max_chunksize=BATCH_ROWS):
        events = [_to_event(row, key, feed, file_sha256) for row in batch.to_pylist()]
        with ledger.begin() as connection:
            posted += insert_ignore(connection, consents, events)
    return PostedOptOuts(saying_no.num_rows, posted, saying_no.num_rows - placed.num_rows)


def _saying_no(table: pa.Table) -> pa.Table:
    receipts = table.select(_COLUMNS)
    replies = pc.cast(receipts["reply_text"], pa.string())
    distinct = pc.unique(replies)
    refusing = distinct.filter(pa.array([is_opt_out(reply) for reply in distinct.to_pylist()]))
    kinds = pc.cast(receipts["receipt_kind"], pa.string())
    return receipts.filter(
        pc.or_(pc.equal(kinds, UNSUBSCRIBED), pc.is_in(replies, value_set=refusing))
    )


def _to_event(row: dict[str, Any], key: bytes, feed: str, file_sha256: str) -> dict[str, Any]:
    channel = row["account_channel"] or row["channel"]
    kind = CONTACT_KINDS.get(row["channel"])
    contact = account_contact(kind or SWEEPING_KIND, channel, row["source_customer_id"], key=key)
    said = f"opt_out/{row['record_id']}".encode()
    return {
        "event_id": hashlib.sha256(said).hexdigest()[:32],
        "channel": channel,
        "source_customer_id": row["source_customer_id"],
        "contact_kind": contact.kind,
        "contact_token": contact.token,
        "contact_mask": contact.mask,
        "purpose": PURPOSE,
        "consent_channel": row["channel"] if kind else ANY,
        "is_granted": False,
        "occurred_at": naive_utc(row["occurred_at"]),
        "known_at": naive_utc(row["known_at"]),
        "notice_version": None,
        "evidence": f"receipt {row['record_id']}",
        "feed": feed,
        "file_sha256": file_sha256,
    }
