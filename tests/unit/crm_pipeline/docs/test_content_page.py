"""The page of texts shows each with its frame, and tells where one is missing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from crm_pipeline.lib.docs import content_page

pytestmark = pytest.mark.requirement("OUT-6")

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "dbt_project" / "seeds", tmp_path / "dbt_project" / "seeds")
    journey = tmp_path / "crm_pipeline" / "defs" / "outreach" / "birthday_care"
    journey.mkdir(parents=True)
    (journey / "defs.yaml").write_text(
        "type: crm_pipeline.components.OutreachJourney\n"
        "attributes:\n"
        "  journey: birthday_care\n"
        "  description: A wish.\n"
        "  audience: activation.birthday_care_audience\n"
        "  steps: [{step: wish, channels: [sms]}]\n"
    )
    return tmp_path


def test_each_text_is_shown_as_it_will_be_read(root: Path) -> None:
    page = content_page.render(root)
    assert "| `birthday_care` | `wish` | sms | all | all | core, high_value_loyal, new |" in page
    assert "【BRAND】祝您生日快乐，新的一岁平安顺遂！拒收请回复R" in page
    assert "wecom zh-CN (for the advisor)" in page
    assert "missing:" not in page


def test_a_missing_text_is_shown_as_missing(root: Path) -> None:
    path = root / "dbt_project" / "seeds" / "content_library.csv"
    lines = path.read_text("utf-8").splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith("birthday_care_wish_sms_en,")]
    assert len(kept) == len(lines) - 1
    path.write_text("".join(kept), "utf-8")
    assert "| sms | all | missing: all, " in content_page.render(root)
