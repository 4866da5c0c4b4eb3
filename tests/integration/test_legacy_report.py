"""The reconciliation as asset, check and command."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner

from crm_pipeline.cli import main
from crm_pipeline.definitions import defs
from tests.integration.pipeline_support import KEYS

KEY = dg.AssetKey(["reports", "legacy_reconciliation"])
HEADER = (
    "客户编号,登记日期,姓名,性别,出生日期,电话,电子邮箱,城市,"
    "国家,通信地址,来源,累计订单,累计消费,积分余额,等级,最近消费"
)
GOOD = (
    "K1,2019年02月03日,王芳,女,1980.01.02,13800138000,a@b.cn,上海,"
    "中国,路1号,门店,2,12.50元,1,金卡,2024-05-06"
)
BAD = GOOD.replace("K1", "K2").replace("12.50", "NaN")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with one legacy file whose source declares 25.00 in all."""
    for name in ("CRM_HOME", "DAGSTER_HOME", "CRM_WAREHOUSE_PATH"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    for name, value in {**KEYS, "CRM_CURRENCY": "CNY"}.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "home" / "landing" / "legacy_customers"
    folder.mkdir(parents=True)
    path = folder / "legacy_customers_20250101T090000.csv"
    path.write_bytes("".join(f"{line}\r\n" for line in (HEADER, GOOD, BAD)).encode("gbk"))
    control = {"records": 2, "distinct_keys": 2, "sums": {"spend_amount": "12.50"}}
    path.with_name(path.name + ".control.json").write_text(json.dumps(control))
    return tmp_path / "home"


def check() -> dg.AssetCheckEvaluation:
    """The asset's check after one run of the legacy feeds and the report."""
    loaded = defs()
    job = loaded.resolve_implicit_global_asset_job_def()
    feeds = [dg.AssetKey(["feeds", name]) for name in ("legacy_customers", "legacy_accounts")]
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(asset_selection=[*feeds, KEY], instance=instance)
        checks = result.get_asset_check_evaluations()
    return next(found for found in checks if found.asset_key == KEY)


@pytest.mark.requirement("ING-8")
def test_the_report_follows_every_feed_of_the_old_system() -> None:
    graph = defs().resolve_asset_graph()
    assert graph.get(KEY).parent_keys == {
        dg.AssetKey(["feeds", "legacy_customers"]),
        dg.AssetKey(["feeds", "legacy_accounts"]),
    }
    nightly = defs().resolve_job_def("nightly_job").asset_layer.executable_asset_keys
    assert KEY in nightly


@pytest.mark.requirement("ING-8")
def test_the_check_is_green_when_the_import_matches_and_red_when_a_cent_is_missing(
    home: Path,
) -> None:
    assert check().passed
    (control,) = (home / "landing" / "legacy_customers").glob("*.control.json")
    control.write_text(json.dumps({"sums": {"spend_amount": "12.51"}}))
    red = check()
    assert not red.passed
    assert "12.51 declared, 12.500000 in the file" in str(red.metadata["findings"].value)
    result = CliRunner().invoke(main, ["legacy-report", "--home", str(home)])
    assert result.exit_code == 1
    assert "12.51 declared" in result.output
    control.unlink()
    result = CliRunner().invoke(main, ["legacy-report", "--home", str(home)])
    assert result.exit_code == 0
    assert "Everything agrees." in result.output
    assert "王芳" not in result.output
