"""Price bands and the sentiment lexicon: every mistake is told with its row and what to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from crm_pipeline.lib.rules.price_bands import read_price_bands
from crm_pipeline.lib.rules.sentiment_lexicon import read_sentiment_lexicon

SEEDS = Path(__file__).resolve().parents[4] / "dbt_project" / "seeds"
BANDS = "price_band,from_percentile,to_percentile,name_zh,name_en,note\n"
TERMS = "term,term_language,polarity,note\n"


def told_of_bands(folder: Path, *rows: str) -> list[tuple[int, str, str]]:
    (folder / "price_bands.csv").write_text(BANDS + "\n".join(rows) + "\n", encoding="utf-8")
    problems = read_price_bands(folder).problems
    return [(problem.row_number, problem.column, problem.what) for problem in problems]


def told_of_terms(folder: Path, *rows: str) -> list[tuple[int, str, str]]:
    (folder / "sentiment_lexicon.csv").write_text(TERMS + "\n".join(rows) + "\n", encoding="utf-8")
    problems = read_sentiment_lexicon(folder).problems
    return [(problem.row_number, problem.column, problem.what) for problem in problems]


@pytest.mark.requirement("CUS-1")
def test_the_shipped_bands_and_words_have_no_problem() -> None:
    assert read_price_bands(SEEDS).problems == []
    lexicon = read_sentiment_lexicon(SEEDS)
    assert lexicon.problems == []
    assert {row.cells["polarity"] for row in lexicon.rows} == {"1", "-1"}


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (["low,0,50,低,low,", "high,60,100,高,high,"],
         (3, "from_percentile", "the band begins at 60, but the row above it reaches 50")),
        (["low,0,50,低,low,", "high,40,100,高,high,"],
         (3, "from_percentile", "the band begins at 40, but the row above it reaches 50")),
        (["low,5,100,低,low,"],
         (2, "from_percentile", "the first band begins at 5: the cheapest products have none")),
        (["low,0,90,低,low,"],
         (2, "to_percentile", "the last band ends at 90: the dearest products have none")),
        (["low,50,50,低,low,"], (2, "to_percentile", "50 is not above from_percentile 50")),
        (["low,0,101,低,low,"], (2, "to_percentile", "101 is out of range")),
        (["low,,100,低,low,"], (2, "from_percentile", "it is empty")),
        (["low,x,100,低,low,"], (2, "from_percentile", "'x' is no whole number")),
        (["low,0,100,,low,"], (2, "name_zh", "it is empty")),
        (["Low band,0,100,低,low,"], (2, "price_band", "'Low band' is no name of a band")),
        (["low,0,50,低,low,", "low,50,100,低,low,"],
         (3, "price_band", "'low' is already in row 2")),
    ],
)  # fmt: skip
def test_a_wrong_band_is_told(
    tmp_path: Path, rows: list[str], problem: tuple[int, str, str]
) -> None:
    assert told_of_bands(tmp_path, *rows) == [problem]


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (["满意,zh,2,"], (2, "polarity", "'2' is not known")),
        (["满意,cn,1,"], (2, "term_language", "'cn' is not known")),
        ([",zh,1,"], (2, "term", "it is empty")),
        (["满意,zh,1,", "满意,zh,-1,"], (3, "term", "'满意' is already in row 2")),
        (["好,zh,1,"], (2, "term", "'好' stands inside too many words")),
        (["很 好,zh,1,"], (2, "term", "'很 好' is never found in a text")),
        (["Good,en,1,"], (2, "term", "'Good' is never found as whole words")),
        (["doesn't work,en,-1,"], (2, "term", "'doesn't work' is never found as whole words")),
        (["满意,zh,1,", "不满意,zh,-1,", "不满意吗,zh,-1,"],
         (4, "term", "'不满意吗' holds '不满意', which holds '满意'")),
    ],
)  # fmt: skip
def test_a_wrong_word_is_told(
    tmp_path: Path, rows: list[str], problem: tuple[int, str, str]
) -> None:
    assert told_of_terms(tmp_path, *rows) == [problem]


def test_a_word_of_letters_inside_another_is_no_chain(tmp_path: Path) -> None:
    assert told_of_terms(tmp_path, "bad,en,-1,", "badge,en,1,", "not bad,en,1,") == []
