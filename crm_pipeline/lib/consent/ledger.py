"""Posting of consents and opt-outs.

Add here: how an event gets into the ledger.
Not here: what the events of a contact add up to (``state``).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from crm_pipeline.lib.consent.contacts import Contact, tokenise_contact
from crm_pipeline.lib.errors import LedgerError
from crm_pipeline.lib.failpoints import failpoint
from crm_pipeline.lib.ledger.schema import consents, vault
from crm_pipeline.lib.ledger.statements import insert_ignore
from crm_pipeline.lib.settings import TOKEN_KEY_ID

ADVERTISING = "advertising"  # handing an address, hashed, to an ad platform
PURPOSES = ("marketing", "service", "profiling", ADVERTISING)
CHANNELS = ("email", "sms", "wecom", "push")
ANY = "*"  # scope of a withdrawal whose purpose or channel nobody knows
ACTIONS = {"granted": True, "withdrawn": False}
BATCH_ROWS = 20_000

_COLUMNS = (
    "record_id",
    "channel",
    "account_channel",
    "source_customer_id",
    "contact_kind",
    "contact_value",
    "purpose",
    "consent_channel",
    "action",
    "occurred_at",
    "known_at",
    "notice_version",
    "evidence",
)


@dataclass(frozen=True)
class PostedConsents:
    """What became of the records of one file."""

    received_count: int
    posted_count: int
    already_known_count: int
    unusable_contact_count: int


def post_consents(
    ledger: sa.Engine,
    vault_engine: sa.Engine,
    table: pa.Table,
    *,
    key: bytes,
    feed: str,
    file_sha256: str,
) -> PostedConsents:
    """Posts the conformed consent records of one file; an event that is known is left out.

    A desk that serves several channels names the account's own; the event is booked there.
    The vault is filled first: a token in the ledger whose address is unknown would be a contact
    nobody can reach, while an address nobody refers to harms nothing.
    """
    posted = unusable = 0
    known = [name for name in _COLUMNS if name in table.column_names]
    for batch in table.select(known).to_batches(max_chunksize=BATCH_ROWS):
        pairs = [_to_event(row, key, feed, file_sha256) for row in batch.to_pylist()]
        unusable += sum(not contact.is_usable for _, contact in pairs)
        with vault_engine.begin() as connection:
            insert_ignore(connection, vault, _vault_rows([contact for _, contact in pairs]))
        failpoint("consents_before")
        with ledger.begin() as connection:
            posted += insert_ignore(connection, consents, [event for event, _ in pairs])
        failpoint("consents_after")
    return PostedConsents(table.num_rows, posted, table.num_rows - posted, unusable)


def _to_event(
    row: dict[str, Any], key: bytes, feed: str, file_sha256: str
) -> tuple[dict[str, Any], Contact]:
    contact = tokenise_contact(row["contact_kind"], row["contact_value"], key=key)
    is_granted = ACTIONS.get(row["action"])
    if is_granted is None:
        raise LedgerError(
            f"a consent record says {row['action']!r}",
            where=f"{feed}, file {file_sha256[:12]}",
            remedy=f"map the feed's words to {' and '.join(ACTIONS)}",
        )
    event = {
        "event_id": row["record_id"],
        "channel": row.get("account_channel") or row["channel"],
        "source_customer_id": row["source_customer_id"],
        "contact_kind": row["contact_kind"],
        "contact_token": contact.token,
        "contact_mask": contact.mask,
        "purpose": _scope(row["purpose"], PURPOSES, is_granted),
        "consent_channel": _scope(row["consent_channel"], CHANNELS, is_granted),
        "is_granted": is_granted,
        "occurred_at": naive_utc(row["occurred_at"]),
        "known_at": naive_utc(row["known_at"]),
        "notice_version": row["notice_version"],
        "evidence": row["evidence"],
        "feed": feed,
        "file_sha256": file_sha256,
    }
    return event, contact


def _scope(value: str, known: tuple[str, ...], is_granted: bool) -> str:
    """A withdrawal nobody can place withdraws everything; such a grant grants nothing."""
    return value if is_granted or value in known else ANY


def _vault_rows(contacts: list[Contact]) -> list[dict[str, Any]]:
    rows = {
        contact.token: {
            "token": contact.token,
            "kind": contact.kind,
            "clear_value": contact.clear_value,
            "mask": contact.mask,
            "key_id": TOKEN_KEY_ID,
        }
        for contact in contacts
        if contact.is_usable
    }
    return list(rows.values())


def naive_utc(moment: dt.datetime) -> dt.datetime:
    """The instant as the ledger keeps it."""
    return moment.astimezone(dt.UTC).replace(tzinfo=None) if moment.tzinfo else moment
