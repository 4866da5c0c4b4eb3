"""Opt-outs that come with receipts: a reply, or the provider's word that somebody left.

Add here: how a receipt says no.
Not here: consents people gave (``ledger``), what the events of a contact add up to (``state``).

A receipt knows the account and the channel, not the address. So the withdrawal is booked for the
account, under a token no address has: it stops every older grant of that account for the channel,
whichever file comes first, and a later grant of one of its addresses ends it. Where the provider
names no account, the message itself does: it is withdrawn for whoever granted its contact.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from crm_pipeline.lib.consent.contacts import account_contact
from crm_pipeline.lib.consent.ledger import ANY, BATCH_ROWS, naive_utc
from crm_pipeline.lib.ledger.schema import claims, consents, deliveries
from crm_pipeline.lib.ledger.statements import insert_ignore

UNSUBSCRIBED = "unsubscribed"
PURPOSE = "marketing"
CONTACT_KINDS = {"sms": "phone", "email": "email", "wecom": "wecom", "push": "push"}
SWEEPING_KIND = "phone"  # of a channel nobody knows: the withdrawal counts for every channel

# The word a reply consists of, and words that say it inside a sentence.
_WHOLE = frozenset(
    [
        *("r", "t", "td", "tt", "n", "no", "q", "qx", "tuiding", "0000", "退", "否", "不"),
        *("quit", "cancel", "revoke"),  # what carriers have taught people beside stop and end
    ]
)
_INSIDE = (
    "退订",
    "退訂",
    "拒收",
    "取消订阅",
    "别发",
    "不要再发",
    "别再发",
    "不想收",
    "打扰",
    "不需要",
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
_CHUNK = 400  # variables of one statement
_NOT_A_SIGN = re.compile(r"[\W_]+")

_COLUMNS = (
    "record_id",
    "channel",
    "account_channel",
    "source_customer_id",
    "message_id",
    "receipt_kind",
    "occurred_at",
    "known_at",
    "reply_text",
)


@dataclass(frozen=True)
class PostedOptOuts:
    """What became of the receipts of one file that say no.

    ``unplaced_count``: the provider named neither an account nor a message of ours, so nobody can
    be left alone for it yet.
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
    posted = unplaced = 0
    for batch in saying_no.to_batches(max_chunksize=BATCH_ROWS):
        rows = batch.to_pylist()
        nameless = [row["message_id"] for row in rows if row["source_customer_id"] is None]
        with ledger.begin() as connection:
            granted = _find_granted(connection, sorted({one for one in nameless if one}))
            events = []
            for row in rows:
                if row["source_customer_id"] is not None:
                    events.append(_to_event(row, key, feed, file_sha256))
                for contact in granted.get(row["message_id"], []):
                    if row["source_customer_id"] is None:
                        events.append(_to_contact_event(row, contact, feed, file_sha256))
            posted += insert_ignore(connection, consents, events)
        unplaced += sum(not granted.get(one) for one in nameless)
    return PostedOptOuts(saying_no.num_rows, posted, unplaced)


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


def _find_granted(
    connection: sa.Connection, message_ids: Sequence[str]
) -> dict[str, list[sa.Row[Any]]]:
    """Who granted the contact of each message: ours by its id, or by the provider's own.

    An id of the provider that stands for several messages names nobody.
    """
    found: dict[str, list[sa.Row[Any]]] = {}
    for start in range(0, len(message_ids), _CHUNK):
        ids = message_ids[start : start + _CHUNK]
        by_reference = (
            sa.select(deliveries.c.reference, sa.func.min(deliveries.c.claim_id))
            .where(deliveries.c.reference.in_(ids))
            .group_by(deliveries.c.reference)
            .having(sa.func.count(deliveries.c.claim_id.distinct()) == 1)
        )
        named = sa.union(
            by_reference,
            sa.select(claims.c.claim_id, claims.c.claim_id).where(claims.c.claim_id.in_(ids)),
        ).subquery("named")
        message_id, claim_id = named.c
        query = (
            sa.select(
                message_id.label("message_id"),
                claims.c.contact_token,
                claims.c.consent_channel,
                consents.c.contact_kind,
                consents.c.contact_mask,
                consents.c.channel,
                consents.c.source_customer_id,
            )
            .join(claims, claims.c.claim_id == claim_id)
            .join(consents, consents.c.contact_token == claims.c.contact_token)
            .where(consents.c.is_granted)
            .distinct()
        )
        for row in connection.execute(query):
            found.setdefault(row.message_id, []).append(row)
    return found


def _to_contact_event(
    row: dict[str, Any], contact: sa.Row[Any], feed: str, file_sha256: str
) -> dict[str, Any]:
    said = "/".join(("opt_out", row["record_id"], contact.channel, contact.source_customer_id))
    return {
        **{
            name: getattr(contact, name)
            for name in ("channel", "source_customer_id", "contact_kind", "contact_token",
                         "contact_mask", "consent_channel")
        },
        "event_id": hashlib.sha256(said.encode()).hexdigest()[:32],
        "purpose": PURPOSE,
        "is_granted": False,
        "occurred_at": naive_utc(row["occurred_at"]),
        "known_at": naive_utc(row["known_at"]),
        "notice_version": None,
        "evidence": f"receipt {row['record_id']}",
        "feed": feed,
        "file_sha256": file_sha256,
    }  # fmt: skip
