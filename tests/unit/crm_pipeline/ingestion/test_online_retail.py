"""The shipped feeds on real orders, whose truth is known."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

import crm_pipeline
from crm_pipeline.lib.ingestion import FeedSpec, load_feeds

from .door import Door

PROJECT = Path(__file__).resolve().parents[4]
EXAMPLE = PROJECT / "examples" / "online_retail"
PUBLIC = PROJECT.parent / "shared" / "data"
YEARS = sorted((PUBLIC / "online_retail_ii").glob("*.csv"))
DAYS = sorted((PUBLIC / "online_retail_by_day").glob("*.csv"))
needs_public_data = pytest.mark.skipif(not YEARS, reason="the public data set is not here")


def shipped(feed: str) -> FeedSpec:
    specs = load_feeds(Path(crm_pipeline.__file__).parent / "defs" / "channels")
    return next(spec for spec in specs if spec.feed == feed)


class Shop(Door):
    """One home behind the doors of both editions."""

    def __init__(self, folder: Path) -> None:
        self.years = shipped("online_retail")
        self.days = shipped("online_retail_by_day")
        super().__init__(folder, self.days)
        self.inbox.rmdir()
        self.spec = self.years

    def bring(self, spec: FeedSpec, *sources: Path) -> tuple[int, int]:
        """Delivers files to a feed and takes them in; returns received and quarantined."""
        self.spec = spec
        self.inbox.mkdir(exist_ok=True)
        for source in sources:
            target = self.inbox / source.name.removesuffix(".gz")
            if source.suffix == ".gz":
                target.write_bytes(gzip.decompress(source.read_bytes()))
            else:
                shutil.copyfile(source, target)
        report = self.ingest()
        assert report.refused == ()
        return report.received, report.quarantined

    def query(self, sql: str) -> tuple[object, ...]:
        with duckdb.connect() as connection:
            paths = [str(p) for p in self.home.conformed.rglob("*.parquet")]
            lines = "(select distinct on (record_id) * from read_parquet(?))"
            return connection.execute(sql.replace("lines", lines), [paths]).fetchone() or ()

    def distinct(self) -> int:
        (count,) = self.query("select count(*) from lines")
        assert isinstance(count, int)
        return count


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    yield Shop(tmp_path)


@pytest.mark.requirement("ING-4")
@pytest.mark.requirement("ING-5")
def test_the_shipped_slice_comes_in_as_its_totals_say(shop: Shop) -> None:
    truth = json.loads((EXAMPLE / "expected_totals.json").read_text())
    years = sorted((EXAMPLE / "packed" / "online_retail").glob("year*.gz"))
    assert shop.bring(shop.years, *years) == (truth["yearly"]["received"], 0)
    assert shop.distinct() == truth["lines"]["distinct_lines"]
    days = sorted((EXAMPLE / "packed" / "online_retail_by_day").glob("*.gz"))
    received, quarantined = shop.bring(shop.days, *days)
    assert (received > 0, quarantined) == (True, 0)
    assert shop.distinct() == truth["lines"]["distinct_lines"], "the other edition adds nothing"
    dirt = EXAMPLE / "packed" / "online_retail" / "zz_planted_bad_lines.csv.gz"
    said = truth["files"]["online_retail/zz_planted_bad_lines.csv"]
    assert shop.bring(shop.years, dirt) == (said["received"], said["quarantined"])
    assert shop.distinct() == truth["lines"]["distinct_lines"]
    assert sorted(code for _, code, _ in shop.reasons()) == [
        "columns",
        "columns",
        "number",
        "number",
        "required",
        "timestamp",
        "timestamp",
        "unclosed_quote",
    ]
    check_lines(shop, truth["lines"])


def check_lines(shop: Shop, truth: dict[str, Any]) -> None:
    sold = "source_customer_id is not null and quantity > 0 and unit_price_amount > 0"
    assert shop.query(
        f"""
        select count(distinct order_id), count(distinct source_customer_id),
            count(*) filter (source_customer_id is null),
            count(*) filter (starts_with(order_id, 'C')),
            count(*) filter (unit_price_amount < 0), count(*) filter (unit_price_amount = 0),
            cast(sum(quantity * unit_price_amount) filter ({sold}) as decimal(18, 3))
        from lines
        """
    ) == (
        truth["invoices"],
        truth["known_customers"],
        truth["guest_lines"],
        truth["cancellation_lines"],
        truth["negative_price_lines"],
        truth["zero_price_lines"],
        Decimal(truth["known_sales"]["gross_amount"]),
    )


@needs_public_data
@pytest.mark.slow
@pytest.mark.requirement("ING-5")
def test_the_full_years_then_all_days(shop: Shop) -> None:
    assert shop.bring(shop.years, *YEARS) == (1_067_371, 0)
    assert shop.distinct() == 1_044_848
    assert shop.query(
        "select count(distinct order_id), count(distinct source_customer_id), "
        "count(*) filter (source_customer_id is null), count(*) filter (line_kind = 'refund'), "
        "count(*) filter (unit_price_amount < 0), count(*) filter (unit_price_amount = 0), "
        "count(*) filter (quantity < 0 and not starts_with(order_id, 'C')) from lines"
    ) == (53_628, 5_942, 235_287, 19_164, 5, 6_024, 3_393)
    assert shop.bring(shop.days, *DAYS) == (541_909, 0)
    assert shop.distinct() == 1_044_848


@needs_public_data
@pytest.mark.slow
@pytest.mark.requirement("ING-5")
def test_all_days_then_the_second_year_adds_one_line(shop: Shop) -> None:
    assert shop.bring(shop.days, *reversed(DAYS)) == (541_909, 0)
    days_alone = shop.distinct()
    assert shop.bring(shop.years, YEARS[1]) == (541_910, 0)
    assert shop.distinct() == days_alone + 1
    assert shop.bring(shop.years, YEARS[0]) == (525_461, 0)
    assert shop.distinct() == 1_044_848
