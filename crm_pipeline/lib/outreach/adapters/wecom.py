"""Delivery by WeCom's group send: a task that a member of staff confirms.

Add here: how WeCom is asked, and what its codes mean.
Not here: which tasks there are and what becomes of claims (``wecom_tasks``).

The interface is that of the server API for customer contact: ``gettoken``, ``add_msg_template``,
``get_groupmsg_task``, ``get_groupmsg_send_result``. The secret opens a token that lives two hours;
a token the server no longer knows is fetched once more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from crm_pipeline.lib.errors import ConfigError
from crm_pipeline.lib.outreach.adapters.http import Answer, HttpCaller, Patience
from crm_pipeline.lib.outreach.adapters.network import AdapterUrl
from crm_pipeline.lib.outreach.adapters.protocol import Delivery, Outcome

OPTIONS = ("corp_id", "secret_env", "per_customer_day", "per_customer_month", "per_guide_day")
TOKEN_GONE = (40014, 41001, 42001)
REFUSED = frozenset((45009, 45033, 48002, 60011, 60020, 301002, *TOKEN_GONE))
REJECTED = frozenset((40003, 40008, 40031, 40058, 41048, 44004, 45002))
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
    name: str = "wecom"
    _token: str | None = field(default=None, repr=False)

    @classmethod
    def from_url(cls, url: AdapterUrl, patience: Patience) -> WecomProvider:
        """The provider behind ``wecom+https://qyapi.weixin.qq.com?corp_id=…&secret_env=NAME``."""
        numbers = {name: _count(url, name) for name in OPTIONS if name.startswith("per_")}
        limits = WecomLimits(
            **{name: count for name, count in numbers.items() if count is not None}
        )
        return cls(
            HttpCaller(url, patience), url.option("corp_id"), url.secret("secret_env"), limits
        )

    def create_task(self, guide: str, contacts: Sequence[str], text: str) -> TaskAnswer:
        """Asks one member of staff to send a text to these customers."""
        fields = {
            "chat_type": "single",
            "external_userid": list(contacts),
            "sender": guide,
            "text": {"content": text},
        }
        delivery, answer = self._ask("add_msg_template", fields, is_idempotent=False)
        if delivery.outcome != "accepted":
            return TaskAnswer(delivery)
        task = answer.get("msgid")
        if not isinstance(task, str) or not task:
            return TaskAnswer(Delivery("uncertain", detail="no_task_id"))
        failed = answer.get("fail_list")
        listed = failed if isinstance(failed, list) else []
        unreachable = tuple(one for one in contacts if one in listed)
        return TaskAnswer(Delivery("accepted", reference=task), unreachable)

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
                one.get("userid") == guide and one.get("status") == STAFF_CONFIRMED
                for one in confirmed
            ),
            {
                str(one["external_userid"]): MEMBER_STATES[one["status"]]
                for one in members
                if one.get("external_userid") and one.get("status") in MEMBER_STATES
            },
        )

    def _pages(
        self, method: str, fields: Mapping[str, Any], name: str
    ) -> list[dict[str, Any]] | None:
        found: list[dict[str, Any]] = []
        cursor = ""
        for _ in range(MOST_PAGES):
            asked = {**fields, "limit": LARGEST_PAGE, "cursor": cursor}
            delivery, answer = self._ask(method, asked, is_idempotent=True)
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
        self, method: str, fields: Mapping[str, Any], *, is_idempotent: bool
    ) -> tuple[Delivery, dict[str, Any]]:
        for is_last in (False, True):
            if self._token is None and (problem := self._fetch_token()):
                return problem, {}
            query = urlencode({"access_token": self._token})
            answer = self.caller.post(
                f"/cgi-bin/externalcontact/{method}?{query}",
                json.dumps(fields, ensure_ascii=False).encode(),
                lambda _: {"Content-Type": "application/json; charset=utf-8"},
                judge=_judge,
                is_idempotent=is_idempotent,
            )
            is_token_gone = answer.delivery.detail in {f"errcode_{code}" for code in TOKEN_GONE}
            if not is_token_gone or is_last:
                break
            self._token = None
        return answer.delivery, _object(answer.body)

    def _fetch_token(self) -> Delivery | None:
        query = urlencode({"corpid": self.corp_id, "corpsecret": self.secret})
        answer = self.caller.post(
            f"/cgi-bin/gettoken?{query}",
            b"",
            lambda _: {},
            judge=_judge,
            is_idempotent=True,
            method="GET",
        )
        token = _object(answer.body).get("access_token")
        if answer.delivery.outcome == "accepted" and isinstance(token, str) and token:
            self._token = token
            return None
        return Delivery("refused", detail="token")  # no task was asked for


def _judge(answer: Answer) -> Answer:
    """A code nobody knows, or none, proves nothing."""
    code = _object(answer.body).get("errcode")
    if code == 0:
        return answer
    outcome: Outcome = "uncertain"
    if code in REFUSED:
        outcome = "refused"
    elif code in REJECTED:
        outcome = "rejected"
    detail = f"errcode_{code}" if isinstance(code, int) else "garbage"
    return Answer(Delivery(outcome, detail=detail), answer.body)


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _count(url: AdapterUrl, name: str) -> int | None:
    text = url.options.get(name)
    if text is None:
        return None
    if not text.isascii() or not text.isdecimal():
        raise ConfigError(
            f"{name}= is no number", where=url.variable, remedy=f"write for example {name}=1"
        )
    return int(text)
