"""One message of a batch.

Add here: what every adapter may know of a message.
Not here: the clear address (it is read from the vault at the moment of delivery).
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, fields

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Message:
    """A rendered message to one contact; moments are UTC without a zone, as stored."""

    message_id: str
    decision_id: str
    customer_id: str
    journey: str
    step: str
    occurrence: str
    consent_channel: str
    purpose: str
    message_tag: str
    contact_token: str
    contact_mask: str
    content_id: str
    content_version: str
    language: str
    subject: str | None
    body: str
    planned_send_at: dt.datetime
    valid_until: dt.datetime
    guide_id: str | None
    reader: str  # of CUSTOMER, ADVISOR: to an advisor it is about the customer, never to them


CUSTOMER, ADVISOR = "customer", "advisor"
MOMENTS = ("planned_send_at", "valid_until")
MESSAGE_SCHEMA = pa.schema(
    [
        (field.name, pa.timestamp("us") if field.name in MOMENTS else pa.string())
        for field in fields(Message)
    ]
)


def message_id_of(
    customer_id: str, journey: str, step: str, occurrence: str, contact_token: str
) -> str:
    """The same for every attempt at the same message, whatever night it is decided in."""
    parts = ("message", customer_id, journey, step, occurrence, contact_token)
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]


def read_messages(table: pa.Table) -> Iterator[Message]:
    """The rows of a plan."""
    columns = [table.column(name).to_pylist() for name in MESSAGE_SCHEMA.names]
    return (Message(*values) for values in zip(*columns, strict=True))


def to_table(messages: list[Message]) -> pa.Table:
    """The columns of a plan."""
    columns = {name: [getattr(one, name) for one in messages] for name in MESSAGE_SCHEMA.names}
    return pa.table(columns, MESSAGE_SCHEMA)
