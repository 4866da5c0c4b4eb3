"""The monthly job writes the report of the month it has built, and no other run does."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from crm_pipeline.definitions import defs
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.partitions import OFFICIAL
from crm_pipeline.resources import Deployment
from tests.report_support import publish_june

REPORT = dg.AssetKey(["reports", "customer_tiers"])


@pytest.fixture
def home(tmp_path: Path) -> CrmHome:
    return publish_june(CrmHome(tmp_path / "home").ensure())


def make(home: CrmHome, day: str, tags: dict[str, str]) -> None:
    """Materialises the report alone, as its job would at its end."""
    result = dg.materialize(
        [defs().get_assets_def(REPORT)],
        partition_key=day,
        tags=tags,
        resources={"deployment": Deployment(home=str(home.root))},
    )
    assert result.success


def test_both_dated_jobs_hold_the_report_behind_the_published_build() -> None:
    graph = defs().resolve_asset_graph()
    assert graph.get(REPORT).parent_keys == {dg.AssetKey(["published", "build"])}
    for name in ("nightly_job", "monthly_job"):
        assert REPORT in defs().resolve_job_def(name).asset_layer.executable_asset_keys


@pytest.mark.requirement("MEA-4")
def test_the_monthly_run_writes_it_and_running_again_writes_the_same_bytes(home: CrmHome) -> None:
    make(home, "2024-06-30", OFFICIAL)
    files = sorted(home.reports.glob("2024-06/*.html"))
    assert [path.name for path in files] == ["customer_tiers.en.html", "customer_tiers.zh-CN.html"]
    before = [(path.read_bytes(), path.stat().st_mtime_ns) for path in files]
    make(home, "2024-06-30", OFFICIAL)
    assert [(path.read_bytes(), path.stat().st_mtime_ns) for path in files] == before


def test_a_nightly_run_writes_none(home: CrmHome) -> None:
    make(home, "2024-06-30", {})
    assert list(home.reports.rglob("*.html")) == []


def test_a_month_made_up_late_is_reported_from_the_build_kept_of_it(home: CrmHome) -> None:
    """The night after has published already: what the late run built stands in ``past``."""
    (home.published / "20240630-abc").rename(home.past / "2024-06-30")
    (home.published / "current").unlink()
    make(home, "2024-06-30", OFFICIAL)
    assert len(list(home.reports.glob("2024-06/*.html"))) == 2
