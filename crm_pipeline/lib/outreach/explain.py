"""Why a customer was written to, or was not, in words.

Add here: what is told about one customer, and in which order.
Not here: the words of a rule (seed ``outreach_rules``), what is decided (``decisions``).

Contacts are told as masks; nothing clearer is read.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import sqlalchemy as sa

from crm_pipeline.lib.errors import ConfigError
from crm_pipeline.lib.ledger.schema import claims
from crm_pipeline.lib.outreach.journey import JourneySpec
from crm_pipeline.lib.outreach.template import parse_template
from crm_pipeline.lib.rules.outreach_rules import RuleWords, find_words

Row = Mapping[str, Any]

CHANNELS = {
    "zh-CN": {"email": "邮件", "sms": "短信", "wecom": "企业微信", "push": "应用推送"},
    "en": {"email": "e-mail", "sms": "SMS", "wecom": "WeCom", "push": "push"},
}
# Order in which what is known of a message outweighs what was known before.
STRENGTH = (
    "claimed", "refused", "uncertain", "sent", "failed", "delivered", "opened", "clicked",
)  # fmt: skip
_SAID = {
    "zh-CN": {
        "head": "客户 {customer}，数据截至 {as_of}",
        "formerly": "曾用编号：{ids}",
        "consents": "同意情况",
        "granted": "已同意",
        "withdrawn": "已撤回",
        "unusable": "已同意，但不可用",
        "no_consents": "没有任何同意记录",
        "by": "{channel} {mask}",
        "decision": "{when} {step}（{occurrence}）：{outcome}。{rule}。[{rule_id}]",
        "planned": "计划发送 {when}，{by}，文案 {content}",
        "message": "消息：{result}",
        "unsubscribed": "客户回复退订（{when}）",
        "ordered": "之后下单（{when}）",
        "earlier": "此前还决定过 {count} 次",
        "absent": "不在以下旅程的受众中",
        "whom": "{journey}：{description}",
        "unknown": "未知",
        "no_words": "规则没有说明文字",
    },
    "en": {
        "head": "Customer {customer}, as of {as_of}",
        "formerly": "Formerly {ids}",
        "consents": "Consents",
        "granted": "granted",
        "withdrawn": "withdrawn",
        "unusable": "granted, but not usable",
        "no_consents": "no consent on record",
        "by": "{channel} {mask}",
        "decision": "{when} {step} ({occurrence}): {outcome}: {rule}. [{rule_id}]",
        "planned": "planned for {when} by {by}, text {content}",
        "message": "message: {result}",
        "unsubscribed": "the customer answered with a no ({when})",
        "ordered": "ordered afterwards ({when})",
        "earlier": "decided {count} times before",
        "absent": "Not in the audience of",
        "whom": "{journey}: {description}",
        "unknown": "unknown",
        "no_words": "the rule has no words",
    },
}


@dataclass(frozen=True)
class Person:
    """A customer of today: the present id, and every id the same accounts ever had."""

    customer_id: str
    ids: tuple[str, ...]


@dataclass(frozen=True)
class Story:
    """Everything that is known of one customer's messages."""

    person: Person
    as_of: dt.date
    consents: Sequence[Row]
    decisions: Sequence[Row]
    results: Mapping[str, Row]


def find_people(connection: duckdb.DuckDBPyConnection, named: str) -> list[Person]:
    """The customers behind an id or an account; an old id may have become several.

    Args:
        connection: the published build.
        named: a customer id of today or of before, or channel:source_customer_id.

    Raises:
        ConfigError: nobody is known by it.
    """
    channel, colon, account = named.partition(":")
    if colon:
        rows = connection.execute(
            "select customer_id from marts.source_customers "
            "where channel = ? and source_customer_id = ?",
            [channel, account],
        ).fetchall()
    else:
        rows = connection.execute(_OF_ID, [named]).fetchall()
    if not rows:
        raise ConfigError(
            "nobody is known by that name",
            where=named,
            remedy="give a customer_id of marts.dim_customers, or channel:source_customer_id as in "
            "marts.source_customers",
        )
    return [_person(connection, customer_id) for (customer_id,) in rows]


def read_story(connection: duckdb.DuckDBPyConnection, ledger: sa.Engine, person: Person) -> Story:
    """Reads what the published build and the ledger know of a customer's messages."""
    ids = list(person.ids)
    found = connection.execute("select max(as_of_date) from ops.build").fetchone()
    decisions = _rows(connection, _DECISIONS, [ids])
    told = {row["decision_id"]: row for row in _rows(connection, _RESULTS, [ids])}
    results = _with_ledger(ledger, ids, [row["decision_id"] for row in decisions], told)
    return Story(
        person=person,
        as_of=found[0] if found else dt.date.min,
        consents=_rows(connection, _CONSENTS, [person.customer_id]),
        decisions=decisions,
        results=results,
    )


def tell_story(
    story: Story,
    journeys: Sequence[JourneySpec],
    words: tuple[RuleWords, ...],
    *,
    language: str,
    zone: ZoneInfo,
) -> str:
    """The story in a language, moments on the clock of ``zone``."""
    return "\n".join(_Teller(words, language, zone).tell(story, journeys))


class _Teller:
    """Puts a story into the words of one language."""

    def __init__(self, words: tuple[RuleWords, ...], language: str, zone: ZoneInfo) -> None:
        self._words, self._language, self._zone = words, language, zone
        self._said = _SAID[language]

    def tell(self, story: Story, journeys: Sequence[JourneySpec]) -> Iterator[str]:
        """Line by line: who, consents, each journey with decisions, the journeys without."""
        yield self._say("head", customer=story.person.customer_id, as_of=story.as_of)
        former = [known for known in story.person.ids if known != story.person.customer_id]
        if former:
            yield self._say("formerly", ids=", ".join(former))
        yield from self._tell_consents(story)
        decided: dict[str, list[Row]] = {}
        for row in story.decisions:
            decided.setdefault(row["journey"], []).append(row)
        for journey in sorted(decided):
            yield ""
            yield journey
            yield from self._tell_journey(decided[journey], story.results)
        absent = [journey for journey in journeys if journey.journey not in decided]
        if absent:
            yield ""
            yield self._said["absent"]
        for spec in absent:
            yield "  " + self._say("whom", journey=spec.journey, description=spec.description)

    def _tell_consents(self, story: Story) -> Iterator[str]:
        yield self._said["consents"] + ":"
        for row in story.consents:
            state = "withdrawn"
            if row["is_granted"]:
                state = "granted" if row["is_usable"] else "unusable"
            contact = self._by(row)
            when = self._at(row["occurred_at"])
            yield f"  {row['purpose']} {contact}: {self._said[state]} {when}"
        if not story.consents:
            yield "  " + self._said["no_consents"]

    def _tell_journey(self, rows: Sequence[Row], results: Mapping[str, Row]) -> Iterator[str]:
        """The newest decision of each message; how often it was decided before."""
        newest: dict[tuple[str, str], list[Row]] = {}
        for row in rows:  # newest first
            newest.setdefault((row["step"], row["occurrence"]), []).append(row)
        for decisions in newest.values():
            yield from self._tell_decision(decisions[0], results)
            if len(decisions) > 1:
                yield "    " + self._say("earlier", count=len(decisions) - 1)

    def _tell_decision(self, row: Row, results: Mapping[str, Row]) -> Iterator[str]:
        inputs = _inputs(row)
        yield "  " + self._say(
            "decision",
            when=self._at(row["decided_at"]),
            step=row["step"],
            occurrence=row["occurrence"],
            outcome=self._word(f"outcome.{row['outcome']}", inputs),
            rule=self._word(row["rule_id"], inputs),
            rule_id=row["rule_id"],
        )
        result = results.get(row["decision_id"])
        if row["outcome"] != "send":
            return
        planned = self._at(row["planned_send_at"])
        yield "    " + self._say(
            "planned", when=planned, by=self._by(row), content=row["content_id"]
        )
        state = result["result_state"] if result else "none"
        told = self._word(f"result.{state}", {**inputs, **(result or {})})
        yield "    " + self._say("message", result=told)
        for key, column in (("unsubscribed", "unsubscribed_at"), ("ordered", "first_ordered_at")):
            if result and result.get(column):
                yield "    " + self._say(key, when=self._at(result[column]))

    def _word(self, rule_id: str, inputs: Row) -> str:
        found = find_words(self._words, rule_id)
        if found is None:
            return self._said["no_words"]
        words, rest = found
        template = parse_template(words.text(self._language))
        values = {name: self._show(name, {**inputs, "rest": rest}) for name in template.names}
        return template.fill(values)

    def _show(self, name: str, inputs: Row) -> str:
        value = inputs.get(name)
        if value is None or value == "":
            return self._said["unknown"]
        if name == "consent_channel":
            return CHANNELS[self._language].get(str(value), str(value))
        if name.endswith(("_at", "_since", "_until")):
            return self._at(value)
        if isinstance(value, float):
            return f"{value:g}"
        return str(value)

    def _by(self, row: Row) -> str:
        channel = CHANNELS[self._language].get(str(row["consent_channel"]), "")
        return self._say("by", channel=channel, mask=row["contact_mask"] or self._said["unknown"])

    def _at(self, value: object) -> str:
        """A moment of UTC on the clock of the zone."""
        if value is None:
            return self._said["unknown"]
        moment = value if isinstance(value, dt.datetime) else _parse(str(value))
        if moment is None:
            return str(value)
        return f"{moment.replace(tzinfo=dt.UTC).astimezone(self._zone):%Y-%m-%d %H:%M}"

    def _say(self, key: str, **values: object) -> str:
        return self._said[key].format(**values)


def _person(connection: duckdb.DuckDBPyConnection, customer_id: str) -> Person:
    rows = connection.execute(_FORMER_IDS, [customer_id, customer_id]).fetchall()
    return Person(customer_id, tuple(known for (known,) in rows))


def _rows(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: Sequence[object]
) -> list[dict[str, Any]]:
    cursor = connection.execute(query, list(parameters))
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _with_ledger(
    ledger: sa.Engine, ids: Sequence[str], decided: Sequence[str], told: Mapping[str, Row]
) -> dict[str, Row]:
    """What became of each message: what was published, and what the ledger learned since."""
    query = sa.select(
        claims.c.decision_id, claims.c.state.label("result_state"), claims.c.state_reason,
        claims.c.sent_at,
    ).where(claims.c.person_id.in_(ids))  # fmt: skip
    found = dict(told)
    with ledger.connect() as connection:
        for row in connection.execute(query.order_by(claims.c.claimed_at, claims.c.claim_id)):
            known = found.get(row.decision_id)
            if row.decision_id in decided and (known is None or _is_stronger(row, known)):
                found[row.decision_id] = {**(known or {}), **row._mapping}
    return found


def _is_stronger(row: sa.Row, known: Row) -> bool:
    return STRENGTH.index(row.result_state) > STRENGTH.index(known["result_state"])


def _inputs(row: Row) -> dict[str, Any]:
    """What the words of a rule may name; a contact's last word may be the withdrawal itself."""
    found = {**row, **_evidence(row)}
    return {**found, "withdrawn_at": found.get("withdrawn_at") or found.get("consent_at")}


def _evidence(row: Row) -> dict[str, Any]:
    try:
        found = json.loads(row["evidence"] or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _parse(text: str) -> dt.datetime | None:
    try:
        return dt.datetime.fromisoformat(text)
    except ValueError:
        return None


_OF_ID = """
select distinct accounts.customer_id
from marts.customer_id_history as history
inner join marts.source_customers as accounts
    on history.channel = accounts.channel
    and history.source_customer_id = accounts.source_customer_id
where history.customer_id = ?
order by 1
"""
_FORMER_IDS = """
select distinct history.customer_id
from marts.customer_id_history as history
inner join marts.source_customers as accounts
    on history.channel = accounts.channel
    and history.source_customer_id = accounts.source_customer_id
where accounts.customer_id = ?
union
select ?
order by 1
"""
_DECISIONS = """
select
    decision_id, journey, step, occurrence, outcome, rule_id, purpose, consent_channel,
    contact_mask, content_id, sku, triggered_at, planned_send_at, valid_until, decided_at, evidence
from marts.outreach_decisions
where list_contains(?, customer_id)
order by decided_at desc, journey, step, occurrence, decision_id
"""
_RESULTS = """
select
    decision_id, result_state, sent_at, delivered_at, opened_at, clicked_at, failed_at,
    unsubscribed_at, first_ordered_at
from marts.outreach_results
where list_contains(?, customer_id)
order by message_id
"""
_CONSENTS = """
select purpose, consent_channel, contact_mask, is_granted, is_usable, occurred_at
from marts.consent_states
where customer_id = ?
order by purpose, consent_channel, occurred_at desc, contact_mask
"""
