"""Rule tables: the shipped ones pass, and every mistake is told with its row and a remedy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from crm_pipeline.lib.errors import RuleError
from crm_pipeline.lib.rules import check_rules, validate_rules
from crm_pipeline.lib.rules.ladders import COLUMNS
from crm_pipeline.lib.rules.survivorship import FIELDS

SEEDS = Path(__file__).resolve().parents[4] / "dbt_project" / "seeds"
CATCH_ALL = "playbook,90,churn_risk,,,,,none,,,rest,"


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    """A copy of the shipped rule tables that a test may spoil."""
    for path in SEEDS.glob("*.csv"):
        shutil.copy(path, tmp_path)
    return tmp_path


def write_ladder(seeds: Path, *rows: str) -> None:
    text = "\n".join([",".join(COLUMNS), *rows]) + "\n"
    (seeds / "rfm_ladders.csv").write_text(text, encoding="utf-8")


def told(seeds: Path) -> list[tuple[int, str, str]]:
    return [(p.row_number, p.column, p.what) for p in validate_rules(seeds)]


def test_the_shipped_rule_tables_have_no_problem() -> None:
    assert validate_rules(SEEDS) == []
    check_rules(SEEDS)


@pytest.mark.parametrize(
    ("row", "column", "what"),
    [
        ("gold,10,core,,7,5,,none,,,r1,", "ladder", "'gold' is not known"),
        ("playbook,10,gold,,7,5,,none,,,r1,", "tier", "'gold' is not known"),
        ("playbook,10,,,7,5,,none,,,r1,", "tier", "it is empty"),
        ("playbook,x,core,,7,5,,none,,,r1,", "priority", "'x' is no whole number"),
        ("playbook,,core,,7,5,,none,,,r1,", "priority", "it is empty"),
        ("playbook,10,core,8,7,5,,none,,,r1,", "min_days_since_last_order", "above the most"),
        ("playbook,10,core,,7.5,5,,none,,,r1,", "max_days_since_last_order", "no whole number"),
        ("playbook,10,core,,-7,5,,none,,,r1,", "max_days_since_last_order", "no whole number"),
        ("playbook,10,core,,7,5,3,none,,,r1,", "min_order_count", "above the most"),
        ("playbook,10,core,,7,5,,percentile,101,,r1,", "min_spend_pct", "out of range"),
        ("playbook,10,core,,7,5,,percentile,60,40,r1,", "min_spend_pct", "above the most"),
        ("playbook,10,core,,7,5,,percentile,,,r1,", "min_spend_pct", "needs a spend limit"),
        ("playbook,10,core,,7,5,,none,80,,r1,", "min_spend_pct", "takes no spend limit"),
        ("playbook,10,core,,7,5,,median,80,,r1,", "spend_basis", "'median' is not known"),
        ("playbook,10,core,,7,5,,none,,,,", "rule_id", "it is empty"),
        ("playbook,10,core,,7,5,,none,,,rest,", "rule_id", "'rest' is already in row"),
        ("playbook,90,core,,7,5,,none,,,r1,", "priority", "90 is already in row"),
        ("playbook,95,core,,7,5,,none,,,r1,", "priority", "never reached: earlier rules take"),
        ("playbook,10,core,,7,5", "", "6 cells instead of 12"),
    ],
)
def test_a_bad_ladder_row_is_told_with_row_and_column(
    seeds: Path, row: str, column: str, what: str
) -> None:
    write_ladder(seeds, CATCH_ALL, row)
    problems = validate_rules(seeds)
    [problem] = problems
    assert (problem.file, problem.row_number) == ("rfm_ladders.csv", 3)
    assert problem.column == column
    assert what in problem.what
    assert problem.remedy


def test_a_mean_may_be_exceeded_but_a_percentile_may_not(seeds: Path) -> None:
    write_ladder(seeds, "playbook,10,dormant,90,,1,,mean,150,,r1,", CATCH_ALL)
    assert told(seeds) == []


def test_a_ladder_without_a_last_rule_for_everyone_is_refused(seeds: Path) -> None:
    write_ladder(seeds, "playbook,10,core,0,7,5,,none,,,r1,", "playbook,20,new,0,7,,1,none,,,r2,")
    [(row_number, column, what)] = told(seeds)
    assert (row_number, column) == (3, "priority")
    assert "no tier in 8 of 12 cells, for example: R 0 days, F 2, spent nothing" in what


def test_all_problems_are_listed_in_one_error(seeds: Path) -> None:
    write_ladder(seeds, "playbook,10,gold,9,7,x,,none,,,r1,", CATCH_ALL)
    with pytest.raises(RuleError) as caught:
        check_rules(seeds)
    text = str(caught.value)
    for part in ("rfm_ladders.csv, row 2, column tier", "column min_order_count", "above the most"):
        assert part in text


@pytest.mark.parametrize(
    ("header", "what"),
    [
        ("ladder,priority", "missing tier"),
        (",".join(COLUMNS) + ",weight", "unknown weight"),
        (",".join(reversed(COLUMNS)), "order or repetition"),
    ],
)
def test_a_wrong_header_is_told(seeds: Path, header: str, what: str) -> None:
    (seeds / "rfm_ladders.csv").write_text(header + "\n", encoding="utf-8")
    [problem] = validate_rules(seeds)
    assert problem.row_number == 1
    assert what in problem.what


def test_a_missing_an_empty_and_a_wrongly_encoded_table_are_told(seeds: Path) -> None:
    (seeds / "rfm_ladders.csv").unlink()
    assert told(seeds) == [(1, "", "the file is missing")]
    write_ladder(seeds)
    assert told(seeds) == [(2, "", "the table has no row")]
    (seeds / "rfm_ladders.csv").write_bytes("ladder\n核心\n".encode("gb18030"))
    assert told(seeds) == [(2, "", "the text is not UTF-8")]


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ("c1,fax,all,7,1,", "consent_channel"),
        ("c1,email,all,0,1,", "window_days"),
        ("c1,email,all,,1,", "window_days"),
        ("c1,email,all,7,many,", "max_messages"),
        (",email,all,7,1,", "cap_id"),
        ("c0,sms,all,7,1,", "cap_id"),
        ("c1,all,all,1,2,", "window_days"),
    ],
)
def test_a_bad_cap_row_is_told_with_row_and_column(seeds: Path, row: str, column: str) -> None:
    head = "cap_id,consent_channel,message_tag,window_days,max_messages,note"
    text = f"{head}\nc0,all,all,1,1,\n{row}\n"
    (seeds / "outreach_caps.csv").write_text(text, encoding="utf-8")
    assert [(p.row_number, p.column) for p in validate_rules(seeds)] == [(3, column)]


SURVIVORSHIP = [
    "gender,most_frequent,,",
    "birth_year,most_frequent,,",
    "city_name,most_recent,,",
    "country_name,most_recent,app pos,",
    "guide_id,most_recent,,",
    "store_id,most_recent,,",
    "source_name,first_known,,",
]


def write_survivorship(seeds: Path, *rows: str) -> None:
    text = "\n".join(["field_name,rule,channels,note", *rows]) + "\n"
    (seeds / "survivorship.csv").write_text(text, encoding="utf-8")


@pytest.mark.requirement("IDN-5")
@pytest.mark.parametrize(
    ("place", "row", "column", "what"),
    [
        (0, "gender,newest,,", "rule", "'newest' is not known"),
        (0, "gender,,,", "rule", "it is empty"),
        (0, "gender,longest,,", "rule", "longest says nothing about gender"),
        (3, "country_name,most_recent,app App,", "channels", "'App' is no name of a channel"),
        (3, "country_name,most_recent,app;pos,", "channels", "'app;pos' is no name of a channel"),
        (3, "country_name,most_recent,app pos app,", "channels", "'app' stands there more than"),
        (3, "country_name,most_recent,app  pos,", "channels", "apart by more than a blank"),
        (3, "country_name,most_recent,app ebay,", "channels", "no feed delivers a channel called"),
    ],
)
def test_a_bad_row_of_the_golden_record_is_told_with_row_and_column(
    seeds: Path, place: int, row: str, column: str, what: str
) -> None:
    rows = list(SURVIVORSHIP)
    write_survivorship(seeds, *rows)
    assert validate_rules(seeds, channels={"app", "pos"}) == []
    rows[place] = row
    write_survivorship(seeds, *rows)
    [problem] = validate_rules(seeds, channels={"app", "pos"})
    assert (problem.file, problem.row_number) == ("survivorship.csv", place + 2)
    assert problem.column == column
    assert what in problem.what
    assert problem.remedy


@pytest.mark.requirement("IDN-5")
def test_a_field_without_a_row_twice_or_unknown_is_told(seeds: Path) -> None:
    write_survivorship(seeds, *SURVIVORSHIP[:-1])
    assert told(seeds) == [
        (7, "field_name", "source_name has no row, so no account would be believed about it")
    ]
    write_survivorship(seeds, *SURVIVORSHIP, SURVIVORSHIP[0])
    assert told(seeds) == [(9, "field_name", "'gender' is already in row 2")]
    write_survivorship(seeds, *SURVIVORSHIP, "shoe_size,most_recent,,")
    assert told(seeds) == [(9, "field_name", "'shoe_size' is not known")]


@pytest.mark.requirement("IDN-5")
def test_the_golden_record_has_every_field_of_the_rules_and_where_it_comes_from() -> None:
    model = SEEDS.parent / "models" / "marts" / "customers" / "dim_customers.yml"
    columns = [
        column["name"] for column in yaml.safe_load(model.read_text())["models"][0]["columns"]
    ]
    for field in FIELDS:
        assert columns[columns.index(field) + 1] == f"{field}_channel"
    unpivoted = (model.parent / "customer_attributes.sql").read_text(encoding="utf-8")
    assert all(f"when '{field}' then" in unpivoted for field in FIELDS)
