"""Delivery by WeCom: group sends that a member of staff confirms, and messages to staff.

Add here: how WeCom is asked, and what its codes mean.
Not here: which tasks there are and what becomes of claims (``wecom_tasks``).

The interface is that of the server API for customer contact: ``gettoken``, ``add_msg_template``,
``get_groupmsg_task``, ``get_groupmsg_send_result``. The secret opens a token that lives two hours;
a token the server no longer knows is fetched once more. What staff read goes by ``message/send``
from the application ``agent_id`` (its secret in ``agent_secret_env`` if it is another).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from crm_pipeline.lib.errors import ConfigError
from crm_pipeline.lib.outreach.adapters.http import Answer, HttpCaller, Patience, read_object
from crm_pipeline.lib.outreach.adapters.network import AdapterUrl
from crm_pipeline.lib.outreach.adapters.protocol import Delivery, Outcome
from crm_pipeline.lib.outreach.message import ADVISOR, Message

OPTIONS = (
    "corp_id", "secret_env", "agent_id", "agent_secret_env", "per_customer_day",
    "per_customer_month", "per_guide_day",
)  # fmt: skip
TOKEN_GONE = (40014, 41001, 42001)
REFUSED = frozenset((45009, 45033, 48002, 60011, 60020, 301002, *TOKEN_GONE))
REJECTED = frozenset((40003, 40008, 40031, 40058, 41048, 44004, 45002, 81013))
MEMBER_STATES = {0: "waiting", 1: "sent", 2: "not_friend", 3: "quota_used"}
STAFF_CONFIRMED = 2
LARGEST_PAGE = 500
MOST_PAGES = 100


@dataclass(frozen=True)
class WecomLimits:
    """What may be asked of staff and customers in a day or month of the business zone."""

    # A customer gets at most one group message a day from a company's staff, and at most as many
    # in a month as it has days: WeCom's own rule. More would come back as quota_used.
    per_customer_day: int = 1
    per_customer_month: int = 28
    # What one adviser is asked to send in a day: reading and confirming 200 still takes minutes.
    per_guide_day: int = 200


@dataclass(frozen=True)
class StaffAdapter:
    """Tells an adviser about one customer; the customer is no recipient and their address unknown.

    What the provider took is all there is to know: no friendship, no quota, nothing to confirm.
    """

    provider: WecomProvider
    name: str = "wecom_staff"

    def deliver(self, message: Message, address: str) -> Delivery:
        """One message to ``guide_id``: who it is about, then the text."""
        if message.reader != ADVISOR or not message.guide_id:
            return Delivery("rejected", detail="reader")
        text = f"{message.customer_id} ({message.contact_mask})\n{message.body}"
        return self.provider.tell_staff(message.guide_id, text)


@dataclass(frozen=True)
class TaskAnswer:
    """What creating a task came to."""

    delivery: Delivery
    unreachable: tuple[str, ...] = ()  # contacts WeCom will not send to: not friends of anybody


@dataclass(frozen=True)
class TaskResults:
    """What has become of a task so far."""

    is_confirmed: bool
    members: Mapping[str, str]  # contact → waiting, sent, quota_used or not_friend


@dataclass
class WecomProvider:
    """Asks WeCom."""

    caller: HttpCaller
    corp_id: str
    secret: str = field(repr=False)
    limits: WecomLimits
    agent_id: int | None = None  # the application that writes to staff
    agent_secret: str | None = field(default=None, repr=False)
    name: str = "wecom"
    _tokens: dict[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def from_url(cls, url: AdapterUrl, patience: Patience) -> WecomProvider:
        """The provider behind ``wecom+https://qyapi.weixin.qq.com?corp_id=…&secret_env=NAME``."""
        numbers = {name: _count(url, name) for name in OPTIONS if name.startswith("per_")}
        limits = WecomLimits(
            **{name: count for name, count in numbers.items() if count is not None}
        )
        return cls(
            HttpCaller(url, patience), url.option("corp_id"), url.secret("secret_env"), limits,
            _count(url, "agent_id"),
            url.secret("agent_secret_env") if "agent_secret_env" in url.options else None,
        )  # fmt: skip

    def create_task(self, guide: str, contacts: Sequence[str], text: str) -> TaskAnswer:
        """Asks one member of staff to send a text to these customers."""
        fields = {
            "chat_type": "single",
            "external_userid": list(contacts),
            "sender": guide,
            "text": {"content": text},
        }
        delivery, answer = self._ask(
            "externalcontact/add_msg_template", fields, is_idempotent=False
        )
        if delivery.outcome != "accepted":
            return TaskAnswer(delivery)
        task = answer.get("msgid")
        if not isinstance(task, str) or not task:
            return TaskAnswer(Delivery("uncertain", detail="no_task_id"))
        failed = answer.get("fail_list")
        listed = failed if isinstance(failed, list) else []
        unreachable = tuple(one for one in contacts if one in listed)
        return TaskAnswer(Delivery("accepted", reference=task), unreachable)

    def tell_staff(self, guide: str, text: str) -> Delivery:
        """Writes to one member of staff, from the application ``agent_id``; to nobody else."""
        fields = {
            "touser": guide,
            "msgtype": "text",
            "agentid": self.agent_id,
            "text": {"content": text},
        }
        delivery, answer = self._ask(
            "message/send", fields, is_idempotent=False, secret=self.agent_secret
        )
        if delivery.outcome != "accepted":
            return delivery
        if answer.get("invaliduser"):
            return Delivery("rejected", detail="no_such_staff")
        reference = answer.get("msgid")
        return Delivery("accepted", reference=reference if isinstance(reference, str) else None)

    def read_task(self, task: str, guide: str) -> TaskResults | None:
        """What became of a task; None when WeCom does not say."""
        confirmed = self._pages("get_groupmsg_task", {"msgid": task}, "task_list")
        members = self._pages(
            "get_groupmsg_send_result", {"msgid": task, "userid": guide}, "send_list"
        )
        if confirmed is None or members is None:
            return None
        return TaskResults(
            any(
                one.get("userid") == guide and _code(one.get("status")) == STAFF_CONFIRMED
                for one in confirmed
            ),
            {
                str(one["external_userid"]): MEMBER_STATES[state]
                for one in members
                if one.get("external_userid")
                and (state := _code(one.get("status"))) in MEMBER_STATES
            },
        )

    def _pages(
        self, method: str, fields: Mapping[str, Any], name: str
    ) -> list[dict[str, Any]] | None:
        found: list[dict[str, Any]] = []
        cursor = ""
        for _ in range(MOST_PAGES):
            asked = {**fields, "limit": LARGEST_PAGE, "cursor": cursor}
            delivery, answer = self._ask(f"externalcontact/{method}", asked, is_idempotent=True)
            listed = answer.get(name)
            if delivery.outcome != "accepted" or not isinstance(listed, list):
                return None
            found += [one for one in listed if isinstance(one, dict)]
            following = answer.get("next_cursor")
            if not following or following == cursor or not isinstance(following, str):
                return found
            cursor = following
        return None

    def _ask(
        self,
        method: str,
        fields: Mapping[str, Any],
        *,
        is_idempotent: bool,
        secret: str | None = None,
    ) -> tuple[Delivery, dict[str, Any]]:
        secret = secret or self.secret
        for is_last in (False, True):
            if secret not in self._tokens and (problem := self._fetch_token(secret)):
                return problem, {}
            query = urlencode({"access_token": self._tokens[secret]})
            answer = self.caller.post(
                f"/cgi-bin/{method}?{query}",
                json.dumps(fields, ensure_ascii=False).encode(),
                lambda _: {"Content-Type": "application/json; charset=utf-8"},
                judge=_judge,
                is_idempotent=is_idempotent,
            )
            is_token_gone = answer.delivery.detail in {f"errcode_{code}" for code in TOKEN_GONE}
            if not is_token_gone or is_last:
                break
            del self._tokens[secret]
        return answer.delivery, read_object(answer.body)

    def _fetch_token(self, secret: str) -> Delivery | None:
        query = urlencode({"corpid": self.corp_id, "corpsecret": secret})
        answer = self.caller.post(
            f"/cgi-bin/gettoken?{query}",
            b"",
            lambda _: {},
            judge=_judge,
            is_idempotent=True,
            method="GET",
        )
        token = read_object(answer.body).get("access_token")
        if answer.delivery.outcome == "accepted" and isinstance(token, str) and token:
            self._tokens[secret] = token
            return None
        return Delivery("refused", detail="token")  # no task was asked for


def _judge(answer: Answer) -> Answer:
    """A code nobody knows, or none, proves nothing."""
    code = _code(read_object(answer.body).get("errcode"))
    if code == 0:
        return answer
    outcome: Outcome = "uncertain"
    if code in REFUSED:
        outcome = "refused"
    elif code in REJECTED:
        outcome = "rejected"
    detail = "garbage" if code is None else f"errcode_{code}"
    return Answer(Delivery(outcome, detail=detail), answer.body)


def _code(value: object) -> int | None:
    """A whole number as WeCom writes one; ``false`` is no 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _count(url: AdapterUrl, name: str) -> int | None:
    text = url.options.get(name)
    if text is None:
        return None
    if not text.isascii() or not text.isdecimal():
        raise ConfigError(
            f"{name}= is no number", where=url.variable, remedy=f"write for example {name}=1"
        )
    return int(text)
