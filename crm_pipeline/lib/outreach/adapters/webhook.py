"""Delivery by a web hook: one signed POST per message.

Add here: what is posted and how it is signed.
Not here: which error means what (``http``).

The receiver sees ``Idempotency-Key`` (the message id), ``X-CRM-Timestamp`` (seconds since 1970) and
``X-CRM-Signature``: ``v1=`` and the HMAC-SHA256 of ``<timestamp>.<body>`` in hex. It should refuse
a timestamp older than five minutes.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from crm_pipeline.lib.errors import ConfigError
from crm_pipeline.lib.outreach.adapters.http import Answer, HttpCaller, Patience, read_object
from crm_pipeline.lib.outreach.adapters.network import AdapterUrl
from crm_pipeline.lib.outreach.adapters.protocol import Delivery
from crm_pipeline.lib.outreach.message import CUSTOMER, Message

OPTIONS = ("secret_env", "idempotent")
LONGEST_REFERENCE = 128


def sign_body(secret: str, timestamp: str, body: bytes) -> str:
    """The signature of a body at a time."""
    signed = timestamp.encode() + b"." + body
    return "v1=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


@dataclass(frozen=True)
class WebhookAdapter:
    """Posts a message as JSON."""

    caller: HttpCaller
    secret: str
    is_idempotent: bool
    clock: Callable[[], float] = time.time
    name: str = "webhook"

    @classmethod
    def from_url(cls, url: AdapterUrl, patience: Patience) -> WebhookAdapter:
        """The adapter behind ``webhook+https://…?secret_env=NAME``."""
        return cls(
            HttpCaller(url, patience), url.secret("secret_env"), read_flag(url, "idempotent")
        )

    def deliver(self, message: Message, address: str) -> Delivery:
        """Posts once; tries again only as the table in ``http`` says."""
        body = json.dumps(
            {
                "message_id": message.message_id,
                "decision_id": message.decision_id,
                "journey": message.journey,
                "step": message.step,
                "channel": message.consent_channel,
                "purpose": message.purpose,
                "reader": message.reader,
                "guide_id": message.guide_id,
                # What an adviser reads goes to nobody but the adviser; who it is about is masked.
                "contact": address if message.reader == CUSTOMER else None,
                "customer_id": message.customer_id,
                "contact_mask": message.contact_mask,
                "content_id": message.content_id,
                "content_version": message.content_version,
                "language": message.language,
                "subject": message.subject,
                "body": message.body,
                "valid_until": message.valid_until.isoformat(timespec="seconds"),
            },
            ensure_ascii=False,
            sort_keys=True,
        ).encode()

        def sign(posted: bytes) -> Mapping[str, str]:
            timestamp = str(int(self.clock()))
            return {
                "Content-Type": "application/json; charset=utf-8",
                "Idempotency-Key": message.message_id,
                "X-CRM-Timestamp": timestamp,
                "X-CRM-Signature": sign_body(self.secret, timestamp, posted),
            }

        answer = self.caller.post(
            self.caller.url.path, body, sign, is_idempotent=self.is_idempotent
        )
        return _with_reference(answer)


def _with_reference(answer: Answer) -> Delivery:
    """The receiver's own id, where its answer names one; the status alone has accepted."""
    if answer.delivery.outcome != "accepted":
        return answer.delivery
    return replace(answer.delivery, reference=find_text(answer.body, "reference", "id"))


def find_text(body: bytes, *names: str) -> str | None:
    """The first of the names that a JSON object has as a short text or number."""
    found = read_object(body)
    for name in names:
        value = found.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool):
            return str(value)[:LONGEST_REFERENCE]
    return None


def read_flag(url: AdapterUrl, name: str) -> bool:
    """A yes or no of the query.

    Raises:
        ConfigError: it is neither.
    """
    value = url.options.get(name, "false")
    if value not in ("true", "false"):
        raise ConfigError(
            f"{name}={value} is neither true nor false",
            where=url.variable,
            remedy=f"write {name}=true only if the provider acts once on equal keys",
        )
    return value == "true"
