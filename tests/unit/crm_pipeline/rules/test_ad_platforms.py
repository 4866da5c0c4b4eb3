"""Ad platforms, read strictly."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from crm_pipeline.lib.errors import RuleError
from crm_pipeline.lib.rules.ad_platforms import COLUMNS, FILE, load_ad_platform, read_ad_platforms

pytestmark = pytest.mark.requirement("OUT-10")

SEEDS = Path(__file__).parents[4] / "dbt_project" / "seeds"
GOOD = "shop_ads,phone,e164,Phone,100,18,because"


def problems(folder: Path, *rows: str) -> list[str]:
    (folder / FILE).write_text("\n".join([",".join(COLUMNS), *rows]) + "\n", encoding="utf-8")
    return [str(problem) for problem in read_ad_platforms(folder).problems]


def test_the_shipped_platforms_have_no_problem() -> None:
    assert read_ad_platforms(SEEDS).problems == []


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("Shop Ads,phone,e164,Phone,100,18,because", "'Shop Ads' cannot be read"),
        ("shop_ads,fax,e164,Phone,100,18,because", "'fax' is not known"),
        ("shop_ads,phone,email,Phone,100,18,because", "'email' is not known"),
        ("shop_ads,phone,e164,=Phone,100,18,because", "'=Phone' cannot be read"),
        ("shop_ads,phone,e164,Phone,1,18,because", "1 is out of range"),
        ("shop_ads,phone,e164,Phone,,18,because", "it is empty"),
        ("shop_ads,phone,e164,Phone,100,x,because", "'x' is no whole number"),
        ("shop_ads,phone,e164,Phone,100,18,", "'' cannot be read"),
    ],
)
def test_a_row_that_cannot_be_is_named_with_its_row(tmp_path: Path, row: str, told: str) -> None:
    (found,) = problems(tmp_path, row)
    assert "row 2" in found
    assert told in found
    with pytest.raises(RuleError, match="row 2"):
        load_ad_platform(tmp_path, "shop_ads")


def test_the_rows_of_a_platform_do_not_contradict_each_other(tmp_path: Path) -> None:
    (twice, *_) = problems(tmp_path, GOOD, GOOD)
    assert "row 3" in twice
    (other,) = problems(tmp_path, GOOD, "shop_ads,email,email,Email,50,18,because")
    assert "row 2 says 100" in other


def test_a_platform_nobody_knows_is_refused_with_those_that_are(tmp_path: Path) -> None:
    assert problems(tmp_path, GOOD) == []
    with pytest.raises(RuleError, match="shop_ads"):
        load_ad_platform(tmp_path, "shop_adds")


@pytest.mark.parametrize(
    ("platform", "kind", "address", "hashed"),
    [
        ("google_ads", "phone", "+8613812345678", "+8613812345678"),
        ("meta", "phone", "+8613812345678", "8613812345678"),
        ("google_ads", "email", "Li.Na+sale@example.org", "li.na+sale@example.org"),
        ("tiktok", "email", "Li.Na+sale@example.org", "li.na@example.org"),
        ("tiktok", "email", "li.na@example.org", "li.na@example.org"),
    ],
)
def test_each_platform_gets_the_hash_of_its_own_spelling(
    platform: str, kind: str, address: str, hashed: str
) -> None:
    (identifier,) = [
        one for one in load_ad_platform(SEEDS, platform).identifiers if one.kind == kind
    ]
    assert identifier.hash(address) == hashlib.sha256(hashed.encode()).hexdigest()
