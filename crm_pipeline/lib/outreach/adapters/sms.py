"""Delivery by text message.

Add here: an SMS provider, and what its codes mean.
Not here: how long a text may be, its signature and opt-out words (content library's lint).

A provider turns a message into a signed request and reads what its answer means; the call itself,
retries and broken lines are the same for all (``http``). The one shipped speaks JSON over HTTPS
and uses the result codes that Chinese gateways share.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from crm_pipeline.lib.outreach.adapters.http import Answer, HttpCaller, Patience
from crm_pipeline.lib.outreach.adapters.network import AdapterUrl
from crm_pipeline.lib.outreach.adapters.protocol import Delivery, Outcome
from crm_pipeline.lib.outreach.adapters.webhook import find_text, sign_body
from crm_pipeline.lib.outreach.message import CUSTOMER, Message

OPTIONS = ("app_id", "secret_env", "signature")
E164 = re.compile(r"\+[1-9][0-9]{6,14}")

# Code → what it proves. A code that is not here proves nothing.
CODES: Mapping[str, Outcome] = {
    "OK": "accepted",
    "isv.MOBILE_NUMBER_ILLEGAL": "rejected",  # no such number
    "isv.BLACK_KEY_CONTROL_LIMIT": "rejected",  # words the carrier does not let pass
    "isv.BLACKLIST": "rejected",  # the number left at the provider
    "isv.INVALID_PARAMETERS": "rejected",
    "isv.BUSINESS_LIMIT_CONTROL": "refused",  # too many to this number today
    "isv.DAY_LIMIT_CONTROL": "refused",
    "isv.AMOUNT_NOT_ENOUGH": "refused",  # no money left at the provider
    "isv.OUT_OF_SERVICE": "refused",
    "isv.SMS_SIGNATURE_ILLEGAL": "refused",  # the signature is not approved: ours to mend
    "isp.SYSTEM_ERROR": "uncertain",
}


class SmsProvider(Protocol):
    """What differs between SMS providers."""

    @property
    def name(self) -> str:
        """Its name in ``deliveries``."""
        ...

    @property
    def path(self) -> str:
        """Where a text is posted."""
        ...

    def request(self, message: Message, phone: str) -> bytes:
        """The body that sends ``message`` to a number in E.164."""
        ...

    def headers(self, message: Message, body: bytes) -> Mapping[str, str]:
        """Headers of one try, its signature among them."""
        ...

    def read(self, answer: Answer) -> Answer:
        """What an answer with status 2xx means."""
        ...


@dataclass(frozen=True)
class JsonSmsProvider:
    """A gateway that takes JSON signed by HMAC-SHA256 and answers ``code`` and ``reference``."""

    path: str
    app_id: str
    secret: str
    signature: str
    clock: Callable[[], float] = time.time
    name: str = "sms"

    def request(self, message: Message, phone: str) -> bytes:
        """The text goes as it was approved; the gateway puts the signature before it."""
        fields = {
            "app_id": self.app_id,
            "phone": phone,
            "signature": self.signature,
            "content_id": message.content_id,
            "content": message.body,
            "out_id": message.message_id,
        }
        return json.dumps(fields, ensure_ascii=False, sort_keys=True).encode()

    def headers(self, message: Message, body: bytes) -> Mapping[str, str]:
        """Signed as web hooks are."""
        timestamp = str(int(self.clock()))
        return {
            "Content-Type": "application/json; charset=utf-8",
            "Idempotency-Key": message.message_id,
            "X-CRM-Timestamp": timestamp,
            "X-CRM-Signature": sign_body(self.secret, timestamp, body),
        }

    def read(self, answer: Answer) -> Answer:
        """An answer without a known code proves nothing."""
        code = find_text(answer.body, "code")
        outcome = CODES.get(code or "", "uncertain")
        reference = find_text(answer.body, "reference") if outcome == "accepted" else None
        detail = None if outcome == "accepted" else code if code in CODES else "unknown_code"
        return Answer(Delivery(outcome, reference, detail), answer.body)


@dataclass(frozen=True)
class SmsAdapter:
    """Sends by a provider; never tries an uncertain call again."""

    caller: HttpCaller
    provider: SmsProvider

    @property
    def name(self) -> str:
        """The provider's."""
        return self.provider.name

    @classmethod
    def from_url(cls, url: AdapterUrl, patience: Patience) -> SmsAdapter:
        """The adapter behind ``sms+https://…?app_id=…&signature=…&secret_env=NAME``."""
        provider = JsonSmsProvider(
            url.path, url.option("app_id"), url.secret("secret_env"), url.option("signature")
        )
        return cls(HttpCaller(url, patience), provider)

    def deliver(self, message: Message, address: str) -> Delivery:
        """Sends one text."""
        if message.reader != CUSTOMER:
            return Delivery("rejected", detail="reader")
        if not E164.fullmatch(address):
            return Delivery("rejected", detail="no_phone_number")
        answer = self.caller.post(
            self.provider.path,
            self.provider.request(message, address),
            lambda body: self.provider.headers(message, body),
            judge=self.provider.read,
        )
        return answer.delivery
