"""A cart of this morning, from the file to a batch that waits, without a night in between."""

from __future__ import annotations

import csv
import hashlib
import json
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ledger import open_ledger
from crm_pipeline.lib.ledger.schema import batches, history_slices, trigger_ticks
from tests.integration.pipeline_support import CRM, RUN_SECONDS, environment, manifest

SHANGHAI = ZoneInfo("Asia/Shanghai")
SETTINGS = {"CRM_TIMEZONE": "Asia/Shanghai", "CRM_CURRENCY": "CNY", "CRM_BRAND": "Cloud Shop"}
KNOWN, STRANGER = "app-1", "app-99"


def command(home: Path, *arguments: str | Path) -> str:
    """Runs the command line on a home to its good end."""
    done = subprocess.run(
        [CRM, *arguments, "--home", home],
        env=environment(**SETTINGS),
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def stamp(at: datetime) -> str:
    return at.astimezone(SHANGHAI).strftime("%Y%m%dT%H%M%S")


def write_json(folder: Path, at: datetime, rows: Sequence[Mapping[str, object]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / f"{folder.name}_{stamp(at)}.jsonl").write_text(text, encoding="utf-8")


def write_csv(
    path: Path, rows: Sequence[Mapping[str, object]], *, encoding: str = "utf-8", tab: bool = False
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding=encoding, newline="") as target:
        writer = csv.DictWriter(target, list(rows[0]), delimiter="\t" if tab else ",")
        writer.writeheader()
        writer.writerows(rows)


def cart_event(number: int, account: str, at: datetime) -> dict[str, object]:
    return {
        "eid": f"e{number}", "did": f"d{account}", "uid": account, "ev": "cart_add",
        "ts": int(at.timestamp() * 1000), "sku": "SP01001", "cat": "纸尿裤", "num": 1, "px": 19.90,
        "st": 2.0, "v": "8.2.1",
    }  # fmt: skip


def order(number: int, account: str, at: datetime) -> dict[str, object]:
    moment = at.astimezone(SHANGHAI).isoformat(timespec="seconds")
    return {
        "orderNo": f"A{number}", "userId": account, "createdAt": moment, "updatedAt": moment,
        "status": "PAID",
        "payment": {"amount": "19.90", "channel": "微信支付", "freight": "0.00",
                    "discount": "0.00", "couponId": None},
        "contact": {"mobile": f"1380000{number:04d}"},
        "shipping": {"name": "王芳", "mobile": f"1380000{number:04d}", "address": "上海市"},
        "items": [{"no": 1, "sku": "SP01001", "name": "纸尿裤 标准装", "qty": 1,
                   "price": "19.90", "type": "SALE"}],
    }  # fmt: skip


def deliver_first(landing: Path, yesterday: datetime) -> None:
    """What was known before the last night: accounts, orders, consents, goods and stock."""
    accounts = [f"app-{number}" for number in range(1, 13)]
    write_json(landing / "app_accounts", yesterday, [
        {"userId": name, "registeredAt": "2025-01-01T09:14:41+08:00",
         "profile": {"name": "王芳", "gender": None, "birthday": None, "city": "上海",
                     "country": "中国"},
         "login": {"mobile": f"1380000{number:04d}", "email": None, "unionId": None,
                   "alipayId": None},
         "memberNo": None, "deviceId": f"d{name}", "channel": "广告"}
        for number, name in enumerate(accounts, start=1)
    ])  # fmt: skip
    write_json(landing / "app_orders", yesterday, [
        order(number, name, yesterday - timedelta(days=30 + number))
        for number, name in enumerate(accounts, start=1)
    ])  # fmt: skip
    agreed = (yesterday - timedelta(days=30)).strftime("%Y-%m-%dT%H:%M:%SZ")
    write_csv(landing / "consent_center" / f"consent_center_{stamp(yesterday)}.csv", [
        {"account_channel": "app", "account_id": name, "contact_type": "mobile",
         "contact": f"1380000{number:04d}", "purpose": "marketing", "channel": "sms",
         "status": "agree", "op_time": agreed, "notice_ver": "2024-09", "proof": "注册页勾选"}
        for number, name in enumerate(accounts, start=1)
    ])  # fmt: skip
    write_csv(landing / "erp_products" / f"erp_products_{stamp(yesterday)}.csv", [
        {"物料编码": "SP01001", "物料名称": "纸尿裤 标准装", "品类": "纸尿裤", "品牌": "云朵",
         "建议零售价": "19.90", "币种": "CNY", "高端系列": "否", "条码": "6901000000001",
         "旧物料号": "SP01001", "消耗周期天数": 30, "上架日期": "2023年09月03日",
         "修改时间": "2025-01-01 00:00:00"}
    ], encoding="gbk")  # fmt: skip
    counted = yesterday.astimezone(SHANGHAI).strftime("%Y-%m-%d %H:%M:%S")
    write_csv(landing / "erp_stock" / f"erp_stock_{stamp(yesterday)}.tsv", [
        {"sku": "SP01001", "location": "WH-EAST", "counted_at": counted, "on_hand": 300,
         "reserved": 2}
    ], tab=True)  # fmt: skip


def bytes_of(home: Path) -> dict[str, str]:
    """The warehouse and everything published, by their bytes."""
    paths = [home / "warehouse" / "crm.duckdb", *sorted((home / "published").rglob("*"))]
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths if path.is_file()
    }


@pytest.mark.requirement("OUT-2")
def test_a_cart_lands_and_is_decided_and_planned_before_the_night(tmp_path: Path) -> None:
    home, landing = tmp_path / "home", tmp_path / "landing"
    now = datetime.now(UTC)
    today = now.astimezone(SHANGHAI).replace(hour=0, minute=0, second=0, microsecond=0)
    yesterday = today - timedelta(hours=4)  # 20:00
    deliver_first(landing, yesterday)
    night = yesterday.date().isoformat()
    command(home, "run", "--landing", landing, "--as-of", night)
    assert manifest(home)["as_of"] == night
    before, current = bytes_of(home), (home / "published" / "current").readlink()

    # Whoever runs this just after midnight has put the product into the cart the evening before.
    added = now - timedelta(hours=2)
    events = [cart_event(1, KNOWN, added), cart_event(2, STRANGER, added)]
    write_json(landing / "app_events", now - timedelta(minutes=1), events)
    # An account without a customer must not stop the others, whatever it does.
    write_json(landing / "app_orders", now - timedelta(minutes=1), [order(99, STRANGER, added)])
    printed = command(home, "tick", "--trigger", "cart")
    assert "cart: decided" in printed

    assert bytes_of(home) == before
    assert (home / "published" / "current").readlink() == current
    ledger = open_ledger(CrmHome(home))
    (decision,) = decisions(home, ledger)
    assert (decision["journey"], decision["run_kind"]) == ("cart_rescue", "cart")
    assert str(decision["occurrence"]).startswith("SP01001 "), "the stranger waits for the night"
    assert decision["as_of_date"] == today.date()
    with ledger.connect() as connection:
        (tick,) = connection.execute(sa.select(trigger_ticks)).all()
        planned = connection.execute(sa.select(batches).where(batches.c.run_kind == "cart")).all()
    assert tick.decision_count == 1
    assert [batch.message_count for batch in planned] == [int(decision["outcome"] == "send")]

    assert "nothing new" in command(home, "tick", "--trigger", "cart")
    for path in sorted((home / "dagster").glob("storage/**/*.db")):
        path.unlink()
    assert "nothing new" in command(home, "tick", "--trigger", "cart")
    assert len(decisions(home, ledger)) == 1


def decisions(home: Path, ledger: sa.Engine) -> list[dict[str, object]]:
    """What all ticks decided."""
    query = sa.select(history_slices.c.path).where(
        history_slices.c.table_name == "outreach_trigger_decisions",
        history_slices.c.is_active.is_(True),
    )
    with ledger.connect() as connection:
        paths = list(connection.execute(query).scalars())
    return [row for path in paths for row in pq.ParquetFile(home / path).read().to_pylist()]
