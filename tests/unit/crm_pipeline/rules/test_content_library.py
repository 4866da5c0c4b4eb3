"""The tables of texts: the shipped ones pass, every mistake is told with its row."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from crm_pipeline.lib.consent.opt_outs import is_opt_out
from crm_pipeline.lib.rules import content_library, content_policies, content_variables
from crm_pipeline.lib.rules import forbidden_words as words
from crm_pipeline.lib.rules.content_library import load_contents, read_content_library
from crm_pipeline.lib.rules.content_policies import read_content_policies
from crm_pipeline.lib.rules.content_variables import read_content_variables
from crm_pipeline.lib.rules.forbidden_words import read_forbidden_words
from crm_pipeline.lib.rules.table import RuleTable

pytestmark = pytest.mark.requirement("OUT-6")

SEEDS = Path(__file__).resolve().parents[4] / "dbt_project" / "seeds"
READERS = {
    content_library.FILE: read_content_library,
    content_policies.FILE: read_content_policies,
    content_variables.FILE: read_content_variables,
    words.FILE: read_forbidden_words,
}


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    for name in (*READERS, "rfm_tier_labels.csv"):
        shutil.copy(SEEDS / name, tmp_path / name)
    return tmp_path


def add(seeds: Path, file: str, row: str) -> tuple[RuleTable, int]:
    """The table with one more row, and the number of that row."""
    path = seeds / file
    path.write_text(path.read_text("utf-8") + row + "\n", "utf-8")
    return READERS[file](seeds), len(path.read_text("utf-8").splitlines())


@pytest.mark.parametrize("file", READERS)
def test_the_shipped_table_has_no_problem(file: str) -> None:
    assert READERS[file](SEEDS).problems == []


SMS = "x,customer,cart_rescue_reminder,diamond,sms,zh-CN,1,"


@pytest.mark.parametrize(
    ("row", "column", "what"),
    [
        (SMS + ",{customer.__class__}好,", "body", "{customer.__class__} is no placeholder"),
        (SMS + ",{{product_name}}好,", "body", "is no placeholder"),
        (SMS + ",{% if x %}好,", "body", "{% if x %} is no placeholder"),
        (SMS + ",{order_count}件,", "body", "{order_count} is no variable of cart_rescue_reminder"),
        (SMS + ",,", "body", "it is empty"),
        (SMS + ",销量第一的好货,", "body", "'第一' is in forbidden_words.csv"),
        (SMS + ",【别家】好货,", "body", "it has a signature of its own"),
        (SMS + ",好货，退订回T,", "body", "it has opt-out words of its own"),
        (SMS + ",{product_name}" + "好" * 80 + ",", "body", "the SMS has 3 parts of 2"),
        (SMS + "题,好货,", "subject", "sms has no subject"),
        (SMS.replace("sms", "fax") + ",好货,", "consent_channel", "'fax' is not known"),
        (SMS.replace("diamond", "platinum") + ",好货,", "rfm_tier", "'platinum' is not known"),
        (SMS.replace("zh-CN", "zh") + ",好货,", "language", "'zh' is not known"),
        (SMS.replace("customer", "owner", 1) + ",好货,", "reader", "'owner' is not known"),
        (SMS.replace(",1,", ",,") + ",好货,", "content_version", "it is empty"),
        (SMS.replace("sms", "push") + ",好货,", "subject", "it is empty"),
        (
            SMS.replace("sms", "push") + "题" * 30 + ",好货,",
            "body",
            "the subject has 30 signs of 20",
        ),
        (SMS.replace("diamond", "all") + ",还有{product_name},", "body", "has the same scene"),
        (
            "x,customer,festival_care_greeting,diamond,sms,zh-CN,1,,{festival_en}好,",
            "body",
            "{festival_en} is of another language",
        ),
    ],
)
def test_a_wrong_text_is_told(seeds: Path, row: str, column: str, what: str) -> None:
    table, number = add(seeds, content_library.FILE, row)
    told = [p for p in table.problems if what in p.what]
    assert told, table.problems
    assert (told[0].row_number, told[0].column) == (number, column)
    assert told[0].remedy


@pytest.mark.parametrize(
    ("file", "old", "new", "column", "what"),
    [
        (content_policies.FILE, "【{brand}】,拒收", "[{brand}],拒收", "signature", "no signature"),
        (content_policies.FILE, "拒收请回复R", "", "opt_out", "it is empty"),
        (
            content_policies.FILE,
            "拒收请回复R",
            "请勿回复",
            "opt_out",
            "no word in it is understood",
        ),
        (content_policies.FILE, "拒收请回复R", "拒收请回复{x}", "opt_out", "{x} is not known"),
        (content_policies.FILE, "sms,zh-CN,plain,,,2", "sms,zh-CN,plain,,,", "max_parts", "empty"),
        (content_policies.FILE, "sms,zh-CN,plain", "sms,zh-CN,rtf", "text_format", "'rtf'"),
        (
            content_policies.FILE,
            "sms,zh-CN",
            "push,zh-CN",
            "consent_channel",
            "no policy frames sms",
        ),
        (
            content_variables.FILE,
            "product_name,false,40",
            "product_name,no,40",
            "can_be_null",
            "'no'",
        ),
        (
            content_variables.FILE,
            "product_name,false,40",
            "product_name,false,4",
            "example_zh",
            "long",
        ),
        (
            content_variables.FILE,
            "product_name,false,40",
            "product_name,false,",
            "max_signs",
            "empty",
        ),
        (words.FILE, "the best,en", "The Best,en", "word", "has capitals"),
        (
            words.FILE,
            "第一次 第一单",
            "第二次 第一单",
            "allowed_in",
            "'第二次' is no longer phrase",
        ),
    ],
)
def test_a_wrong_cell_of_the_other_tables_is_told(
    seeds: Path, file: str, old: str, new: str, column: str, what: str
) -> None:
    path = seeds / file
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")
    problems = READERS[file](seeds).problems
    assert any(what in p.what and p.column == column and p.remedy for p in problems), problems


def test_the_answer_every_opt_out_asks_for_is_understood() -> None:
    for answer in ("R", "退订", "unsubscribe", "Ｒ", "r"):
        assert is_opt_out(answer)


def test_every_scene_speaks_both_languages_on_the_same_channels() -> None:
    spoken: dict[str, set[tuple[str, str, str]]] = {"zh-CN": set(), "en": set()}
    for content in load_contents(SEEDS).values():
        spoken[content.language].add((content.scene, content.rfm_tier, content.consent_channel))
    assert spoken["zh-CN"] == spoken["en"]
