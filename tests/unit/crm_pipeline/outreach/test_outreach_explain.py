"""What is told of one customer: why, why not, what became of it, and never a clear contact."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest
import sqlalchemy as sa
from explain_support import TABLES

from crm_pipeline.lib.errors import ConfigError
from crm_pipeline.lib.ledger import schema
from crm_pipeline.lib.outreach.explain import find_people, read_story, tell_story
from crm_pipeline.lib.outreach.journey import JourneySpec
from crm_pipeline.lib.rules.outreach_rules import load_rule_words

pytestmark = pytest.mark.requirement("OUT-3")

SEEDS = Path(__file__).resolve().parents[4] / "dbt_project" / "seeds"
ZONE = ZoneInfo("Asia/Shanghai")
NIGHT = dt.datetime(2026, 6, 30, 18)  # noqa: DTZ001 - UTC without a zone, 02:00 in Shanghai


@pytest.fixture
def build() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute(TABLES)
        yield connection


@pytest.fixture
def ledger(tmp_path: Path) -> sa.Engine:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    schema.metadata.create_all(engine)
    return engine


def decide(connection: duckdb.DuckDBPyConnection, decision_id: str, **changes: Any) -> None:
    row = {
        "decision_id": decision_id, "customer_id": "new", "journey": "cart_rescue",
        "step": "reminder", "occurrence": "2026-06-30 TEA", "outcome": "send",
        "rule_id": "send.allowed", "purpose": "marketing", "consent_channel": "sms",
        "contact_mask": "138****8000", "content_id": "cart_rescue_reminder_sms_zh", "sku": "TEA",
        "planned_send_at": NIGHT + dt.timedelta(hours=8), "decided_at": NIGHT, "evidence": "{}",
        **changes,
    }  # fmt: skip
    columns, marks = ", ".join(row), ", ".join("?" for _ in row)
    connection.execute(
        f"insert into marts.outreach_decisions ({columns}) values ({marks})", list(row.values())
    )


def claim(ledger: sa.Engine, decision_id: str, state: str, **changes: Any) -> None:
    row = {
        "claim_id": decision_id, "decision_id": decision_id, "batch_id": "b",
        "contact_token": f"t{decision_id}", "person_id": "new", "journey": "j",
        "step": decision_id, "occurrence": "o", "consent_channel": "sms", "purpose": "marketing",
        "message_tag": "promotion", "content_id": "c", "content_version": "1",
        "planned_send_at": NIGHT, "state": state, "attempt_count": 1, "claimed_at": NIGHT,
        **changes,
    }  # fmt: skip
    with ledger.begin() as connection:
        connection.execute(sa.insert(schema.claims).values(row))


def journey(name: str, description: str) -> JourneySpec:
    return JourneySpec.model_validate(
        {
            "journey": name,
            "description": description,
            "audience": f"activation.{name}_audience",
            "steps": [{"step": "s", "channels": ["sms"]}],
        }
    )


def told(
    build: duckdb.DuckDBPyConnection, ledger: sa.Engine, named: str = "new", language: str = "en"
) -> str:
    journeys = [journey("cart_rescue", "Carts left."), journey("win_back", "Those who have left.")]
    [person] = find_people(build, named)
    story = read_story(build, ledger, person)
    return tell_story(story, journeys, load_rule_words(SEEDS), language=language, zone=ZONE)


def test_an_account_an_id_and_a_former_id_name_the_same_customer(
    build: duckdb.DuckDBPyConnection,
) -> None:
    assert [p.customer_id for p in find_people(build, "pos:p1")] == ["new"]
    assert [p.ids for p in find_people(build, "new")] == [("new", "old")]
    assert [p.customer_id for p in find_people(build, "old")] == ["new", "other"]


@pytest.mark.parametrize("named", ["nobody", "app:nobody", ""])
def test_a_name_nobody_has_is_refused(build: duckdb.DuckDBPyConnection, named: str) -> None:
    with pytest.raises(ConfigError, match="nobody is known"):
        find_people(build, named)


def test_a_message_is_told_with_its_rule_and_what_became_of_it(
    build: duckdb.DuckDBPyConnection, ledger: sa.Engine
) -> None:
    decide(build, "d1")
    claim(ledger, "d1", "sent", sent_at=NIGHT + dt.timedelta(hours=8))
    said = told(build, ledger)
    assert (
        "2026-07-01 02:00 reminder (2026-06-30 TEA): to be sent: no rule stood against it" in said
    )
    assert (
        "planned for 2026-07-01 10:00 by SMS 138****8000, text cart_rescue_reminder_sms_zh" in said
    )
    assert "message: sent 2026-07-01 10:00" in said


def test_the_strongest_of_ledger_and_receipts_is_told(
    build: duckdb.DuckDBPyConnection, ledger: sa.Engine
) -> None:
    decide(build, "d1")
    build.execute(
        "insert into marts.outreach_results (message_id, decision_id, customer_id, result_state, "
        "clicked_at, unsubscribed_at, first_ordered_at) values ('m', 'd1', 'new', 'clicked', "
        "'2026-07-01 04:00', '2026-07-01 05:00', '2026-07-01 06:00')"
    )
    claim(ledger, "d1", "sent", sent_at=NIGHT)
    said = told(build, ledger)
    assert "message: clicked 2026-07-01 12:00" in said
    assert "the customer answered with a no (2026-07-01 13:00)" in said
    assert "ordered afterwards (2026-07-01 14:00)" in said


@pytest.mark.parametrize(
    ("state", "words"),
    [("uncertain", "never sent again by itself"), ("refused", "refused, nothing left (unknown)")],
)
def test_an_unhappy_message_is_told_as_it_is(
    build: duckdb.DuckDBPyConnection, ledger: sa.Engine, state: str, words: str
) -> None:
    decide(build, "d1")
    claim(ledger, "d1", state)
    assert words in told(build, ledger)


def test_a_decision_without_a_claim_is_not_told_as_sent(
    build: duckdb.DuckDBPyConnection, ledger: sa.Engine
) -> None:
    decide(build, "d1")
    assert "not handed over: the ledger has no such message" in told(build, ledger)


@pytest.mark.parametrize(
    ("outcome", "rule_id", "evidence", "en", "zh"),
    [
        (
            "no_consent", "consent.withdrawn",
            {"consent_at": "2026-01-01 02:00:00", "withdrawn_at": "2026-05-01 02:00:00"},
            "may not be contacted: the customer withdrew the consent for SMS (2026-05-01 10:00)",
            "不可联系。客户已撤回短信的同意（2026-05-01 10:00）",
        ),
        (
            "no_consent", "consent.withdrawn", {"consent_at": "2026-05-01 02:00:00"},
            "the customer withdrew the consent for SMS (2026-05-01 10:00)", "（2026-05-01 10:00）",
        ),
        (
            "capped", "cap.sms_week.person", {"counted": 2.0, "allowed": 1.0},
            "over a limit: the cap sms_week.person is reached (2 of 1 messages)",
            "受频次、额度或预算限制。达到频次上限sms_week.person（已2条，上限1条）",
        ),
        (
            "stock_gone", "stock.none_left", {"available_quantity": 0},
            "product gone or dearer: TEA is sold out (0 left)", "商品TEA已无货（库存0）",
        ),
        (
            "lost_to_higher_priority", "priority.birthday_care", {},
            "a message that is worth more took its place (journey birthday_care)",
            "让位于更重要的消息（旅程birthday_care）",
        ),
        ("holdout", "holdout.journey", {"holdout_pct": 10}, "one of the 10 %", "属于10%的对照组"),
        ("held", "gate.churn", None, "the check churn keeps outreach back", "检查churn未通过"),
        ("expired", "new.rule", {}, "the rule has no words", "规则没有说明文字"),
    ],
)  # fmt: skip
def test_every_reason_is_a_sentence_with_its_inputs(
    build: duckdb.DuckDBPyConnection, ledger: sa.Engine,
    outcome: str, rule_id: str, evidence: dict[str, object] | None, en: str, zh: str,
) -> None:  # fmt: skip
    shown = None if evidence is None else json.dumps(evidence)
    decide(build, "d1", outcome=outcome, rule_id=rule_id, evidence=shown)
    said = told(build, ledger)
    assert en in said and f"[{rule_id}]" in said
    assert "planned for" not in said and "message:" not in said
    assert zh in told(build, ledger, language="zh-CN")


def test_a_message_decided_every_night_is_told_once_with_the_newest_decision(
    build: duckdb.DuckDBPyConnection, ledger: sa.Engine
) -> None:
    for night in range(3):
        decided = NIGHT - dt.timedelta(days=night)
        decide(build, f"d{night}", outcome="held", rule_id="quiet.day", decided_at=decided)
    said = told(build, ledger)
    assert said.count("[quiet.day]") == 1
    assert "2026-07-01 02:00 reminder" in said and "decided 2 times before" in said


def test_a_journey_without_a_decision_says_whom_it_addresses_and_decisions_of_a_former_id_count(
    build: duckdb.DuckDBPyConnection, ledger: sa.Engine
) -> None:
    decide(build, "d1", customer_id="old")
    decide(build, "d2", customer_id="other", journey="win_back")
    said = told(build, ledger)
    assert "Formerly old" in said
    assert "Not in the audience of\n  win_back: Those who have left." in said
    assert "cart_rescue: Carts left." not in said


def test_consents_are_told_and_contacts_only_as_masks(
    build: duckdb.DuckDBPyConnection, ledger: sa.Engine
) -> None:
    decide(build, "d1")
    claim(ledger, "d1", "sent")
    said = told(build, ledger)
    assert "marketing push 1***: withdrawn 2026-05-01 10:00" in said
    assert "marketing SMS 138****8000: granted 2026-01-01 10:00" in said
    assert "td1" not in said and "139****0000" not in said
    assert "没有任何同意记录" not in told(build, ledger, language="zh-CN")
