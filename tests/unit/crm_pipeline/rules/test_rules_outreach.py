"""Rule tables of outreach: the shipped ones pass, and every mistake is told with its row."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path

import pytest

from crm_pipeline.lib.rules import validate_rules
from crm_pipeline.lib.rules.quiet_days import read_quiet_days

SEEDS = Path(__file__).resolve().parents[4] / "dbt_project" / "seeds"
CAPS = "cap_id,consent_channel,message_tag,window_days,max_messages,note\nc0,all,all,1,1,\n"
POLICIES = (
    "consent_channel,quiet_from,quiet_until,unit_cost_amount,currency,daily_quota,"
    "advisor_daily_quota,note\nemail,22:00,08:00,0.1,CNY,,,\nsms,,,0.1,CNY,5,,\n"
    "push,22:00,08:00,0,CNY,,,\n"
)
BUDGETS = "budget_id,scope,scope_name,window_days,amount,currency,note\nb0,all,,30,10,CNY,\n"
GATES = "gate_id,max_age_hours,reason\nconsent,48,why\n"
QUIET = "quiet_date,timezone,name_zh,name_en,reason\n2026-04-05,all,清明节,Qingming,why\n"
PLACES = "country_name,timezone,language,note\n中国,Asia/Shanghai,zh-CN,\n"


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    """A copy of the shipped rule tables that a test may spoil."""
    for path in SEEDS.glob("*.csv"):
        shutil.copy(path, tmp_path)
    return tmp_path


@pytest.mark.requirement("OUT-5")
@pytest.mark.bad_input("B80")
@pytest.mark.parametrize(
    ("name", "head", "row", "column"),
    [
        ("outreach_caps", CAPS, "c1,email,letter,7,1,", "message_tag"),
        ("outreach_caps", CAPS, "c1,email,all,0,1,", "window_days"),
        ("outreach_caps", CAPS, "c1,all,all,1,2,", "window_days"),
        ("channel_policies", POLICIES, "fax,22:00,08:00,0.1,CNY,,,", "consent_channel"),
        ("channel_policies", POLICIES, "wecom,22.00,08:00,0.1,CNY,,,", "quiet_from"),
        ("channel_policies", POLICIES, "wecom,22:00,,0.1,CNY,,,", "quiet_until"),
        ("channel_policies", POLICIES, "wecom,08:00,22:00,0.1,CNY,,,", "quiet_until"),
        ("channel_policies", POLICIES, "wecom,22:00,08:00,-1,CNY,,,", "unit_cost_amount"),
        ("channel_policies", POLICIES, "wecom,22:00,08:00,,CNY,,,", "unit_cost_amount"),
        ("channel_policies", POLICIES, "wecom,22:00,08:00,NaN,CNY,,,", "unit_cost_amount"),
        ("channel_policies", POLICIES, "wecom,22:00,08:00,1,EUR,,,", "currency"),
        ("channel_policies", POLICIES, "wecom,22:00,08:00,1,CNY,x,,", "daily_quota"),
        ("channel_policies", POLICIES, "wecom,22:00,08:00,1,CNY,,-1,", "advisor_daily_quota"),
        ("outreach_budgets", BUDGETS, "b1,shop,,30,10,CNY,", "scope"),
        ("outreach_budgets", BUDGETS, "b1,all,email,30,10,CNY,", "scope_name"),
        ("outreach_budgets", BUDGETS, "b1,channel,fax,30,10,CNY,", "scope_name"),
        ("outreach_budgets", BUDGETS, "b1,journey,Wake Up,30,10,CNY,", "scope_name"),
        ("outreach_budgets", BUDGETS, "b1,channel,email,,10,CNY,", "window_days"),
        ("outreach_budgets", BUDGETS, "b1,channel,email,30,much,CNY,", "amount"),
        ("outreach_budgets", BUDGETS, "b1,channel,email,30,10,EUR,", "currency"),
        ("outreach_budgets", BUDGETS, "b0,channel,email,30,10,CNY,", "budget_id"),
        ("outreach_gates", GATES, "stock,,why", "max_age_hours"),
        ("outreach_gates", GATES, "stock,0,why", "max_age_hours"),
        ("outreach_gates", GATES, "stock,48,", "reason"),
        ("quiet_days", QUIET, "2026-02-30,all,节,Day,", "quiet_date"),
        ("quiet_days", QUIET, "2026-2-3,all,节,Day,", "quiet_date"),
        ("quiet_days", QUIET, "2026-05-01,Beijing,节,Day,", "timezone"),
        ("quiet_days", QUIET, "2026-05-01,all,,Day,", "name_zh"),
        ("quiet_days", QUIET, "2026-04-05,all,节,Day,", "timezone"),
        ("localities", PLACES, "Utopia,Europe/Utopia,en,", "timezone"),
        ("localities", PLACES, "France,Europe/Paris,fr,", "language"),
        ("localities", PLACES, "中国,Asia/Shanghai,en,", "country_name"),
    ],
)
def test_a_bad_row_is_told_with_row_and_column(
    seeds: Path, name: str, head: str, row: str, column: str
) -> None:
    (seeds / f"{name}.csv").write_text(f"{head}{row}\n", encoding="utf-8")
    number = len(head.splitlines()) + 1
    told = [(p.row_number, p.column) for p in validate_rules(seeds) if p.file == f"{name}.csv"]
    assert (number, column) in told


@pytest.mark.parametrize(
    ("name", "head", "column"),
    [("channel_policies", POLICIES, "consent_channel"), ("outreach_gates", GATES, "gate_id")],
)
def test_a_channel_or_gate_without_a_row_is_missed(
    seeds: Path, name: str, head: str, column: str
) -> None:
    (seeds / f"{name}.csv").write_text(head, encoding="utf-8")
    problems = [p for p in validate_rules(seeds) if p.file == f"{name}.csv"]
    assert [p.column for p in problems] == [column]


def test_a_shop_without_any_budget_is_allowed(seeds: Path) -> None:
    (seeds / "outreach_budgets.csv").write_text(BUDGETS.splitlines()[0] + "\n", encoding="utf-8")
    assert validate_rules(seeds) == []


def test_no_shipped_quiet_day_stops_an_example() -> None:
    days = {dt.date.fromisoformat(r.cells["quiet_date"]) for r in read_quiet_days(SEEDS).rows}
    assert not days & {dt.date(2011, 12, 10), dt.date(2026, 7, 1)}
