"""One call over HTTP, told apart by whether the provider may have acted on it.

Add here: what an answer or a broken line proves.
Not here: what a provider's body says (``webhook``, ``sms``, ``wecom``).

======================================================  =========  ==============================
What happened                                           Outcome    Tried again
======================================================  =========  ==============================
name unknown, connection refused or not made in time    refused    yes, with backoff and jitter
TLS not agreed, certificate not believed                refused    no
forbidden address behind the name, redirect (3xx)       refused    no
401, 403 (who asks is refused)                          refused    no
408, 425, 429; 503 with Retry-After                     refused    yes, after what Retry-After says
400, 404, 405, 410, 413, 414, 415, 422, other 4xx       rejected   no
2xx                                                     accepted   no
409; 500, 502, 504, other 5xx; 503 without Retry-After  uncertain  no, unless ``idempotent=true``
line drops or nothing comes once the request was begun  uncertain  no, unless ``idempotent=true``
answer that is no HTTP                                  uncertain  no, unless ``idempotent=true``
======================================================  =========  ==============================

A 503 alone may come from a gateway whose backend died with the request in its hands. Once one try
was uncertain, only an acceptance under the same key makes it certain again. No redirect is followed
and no proxy is asked.
"""

from __future__ import annotations

import http.client
import json
import random
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from crm_pipeline.lib.outreach.adapters.network import AdapterUrl, check_address
from crm_pipeline.lib.outreach.adapters.protocol import Delivery, Outcome

LONGEST_ANSWER = 65_536
AGAIN = frozenset((408, 425, 429))
NOT_ADMITTED = frozenset((401, 403))
TRIED_AGAIN = frozenset(
    ("dns", "connect", "status_408", "status_425", "status_429", "status_503")
)  # of what was refused

Sleep = Callable[[float], None]


@dataclass(frozen=True)
class Patience:
    """How long and how often; together they bound the time between claim and record."""

    connect_seconds: float = 5.0
    answer_seconds: float = 20.0
    max_attempts: int = 3
    first_wait_seconds: float = 0.5  # doubled each time, and shortened at random
    max_wait_seconds: float = 30.0  # longer is the next run's business
    sleep: Sleep = field(default=time.sleep, repr=False)
    jitter: Callable[[], float] = field(default=random.random, repr=False)


@dataclass(frozen=True)
class Answer:
    """What one call came to, with the body of what the provider answered."""

    delivery: Delivery
    body: bytes = b""


Judge = Callable[[Answer], Answer]
Sign = Callable[[bytes], Mapping[str, str]]


@dataclass(frozen=True)
class HttpCaller:
    """Calls one provider."""

    url: AdapterUrl
    patience: Patience

    def post(
        self,
        path: str,
        body: bytes,
        sign: Sign,
        *,
        judge: Judge = lambda answer: answer,
        is_idempotent: bool = False,
        method: str = "POST",
    ) -> Answer:
        """Posts until the outcome may not be tried again.

        Args:
            path: path and query.
            body: what is posted, the same at every try.
            sign: headers of a try; they may tell the time.
            judge: what a 2xx answer really means.
            is_idempotent: whether the provider acts once on equal keys.
            method: GET for a question, which is always idempotent.
        """
        was_uncertain = False
        for attempt in range(self.patience.max_attempts):
            answer = self._once(method, path, body, sign(body))
            if answer.delivery.outcome == "accepted":
                answer = judge(answer)
            delivery = answer.delivery
            was_uncertain |= delivery.outcome == "uncertain"
            if was_uncertain and delivery.outcome != "accepted":
                answer = Answer(Delivery("uncertain", detail=delivery.detail))
            wait = self._wait(delivery, attempt, is_idempotent=is_idempotent)
            if wait is None:
                return answer
            self.patience.sleep(wait)
        return answer

    def _wait(self, delivery: Delivery, attempt: int, *, is_idempotent: bool) -> float | None:
        """Seconds until the next try; None when there is none."""
        may = delivery.outcome == "refused" and delivery.detail in TRIED_AGAIN
        may |= delivery.outcome == "uncertain" and is_idempotent
        if not may or attempt + 1 >= self.patience.max_attempts:
            return None
        backoff: float = self.patience.first_wait_seconds * 2.0**attempt
        wait = max(delivery.retry_after or 0.0, backoff * (0.5 + self.patience.jitter() / 2))
        return wait if wait <= self.patience.max_wait_seconds else None

    def _once(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        port = self.url.port or (443 if self.url.scheme == "https" else 80)
        if problem := check_address(self.url.host, port, self.url.allow):
            return Answer(problem)
        connection = self._connection(port)
        try:
            try:
                connection.connect()
            except ssl.SSLError:
                return Answer(Delivery("refused", detail="tls"))
            except OSError:
                return Answer(Delivery("refused", detail="connect"))
            if connection.sock is not None:
                connection.sock.settimeout(self.patience.answer_seconds)
            try:
                connection.request(method, path, body=body, headers=dict(headers))
                response = connection.getresponse()
            except (OSError, http.client.HTTPException) as error:
                return Answer(Delivery("uncertain", detail=_name_of(error)))
            return Answer(_judge_status(response), _read(response))
        finally:
            connection.close()

    def _connection(self, port: int) -> http.client.HTTPConnection:
        seconds = self.patience.connect_seconds
        if self.url.scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(
                self.url.host, port, timeout=seconds, context=context
            )
        return http.client.HTTPConnection(self.url.host, port, timeout=seconds)


def _read(response: http.client.HTTPResponse) -> bytes:
    """The start of the body; a body that breaks off is no body."""
    try:
        return response.read(LONGEST_ANSWER)
    except (OSError, http.client.HTTPException):
        return b""


def _name_of(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no_answer"
    return "dropped" if isinstance(error, OSError) else "garbage"


def _judge_status(response: http.client.HTTPResponse) -> Delivery:
    status = response.status
    asked = _retry_after(response.getheader("Retry-After"))
    if 200 <= status < 300:
        return Delivery("accepted")
    if 300 <= status < 400:
        return Delivery("refused", detail="redirect")
    return Delivery(
        _outcome_of(status, is_asked_to_wait=asked is not None),
        detail=f"status_{status}",
        retry_after=asked,
    )


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object of an answer; an empty one where it is none, or nested beyond all sense."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _outcome_of(status: int, *, is_asked_to_wait: bool) -> Outcome:
    if status in NOT_ADMITTED or status in AGAIN or (status == 503 and is_asked_to_wait):
        return "refused"
    return "rejected" if 400 <= status < 500 and status != 409 else "uncertain"


def _retry_after(value: str | None) -> float | None:
    """Seconds a provider asks for, as a number or as a moment."""
    if not value:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
