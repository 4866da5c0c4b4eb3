from pathlib import Path

import pytest

from crm_pipeline.lib.errors import ConfigError
from crm_pipeline.lib.ingestion import load_feeds

FIRST = """\
type: crm_pipeline.components.ChannelFeed
attributes:
  feed: by_year
  channel: shop
  entity: products
  format: {kind: csv, encoding: utf-8}
  timezone: UTC
  known_at: {file_name: '(\\d{8})', format: "%Y%m%d"}
  columns: {sku: Code, product_name: Name}
"""
SECOND = """\
---
type: crm_pipeline.components.ChannelFeed
attributes:
  like: by_year
  feed: by_day
  columns: {sku: Article}
"""


def write(folder: Path, text: str) -> Path:
    (folder / "shop").mkdir()
    (folder / "shop" / "defs.yaml").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.requirement("ING-2")
def test_a_feed_takes_over_what_it_does_not_say_itself(tmp_path: Path) -> None:
    by_day, by_year = load_feeds(write(tmp_path, FIRST + SECOND))
    assert by_day.columns["sku"].source == "Article"
    assert by_day.columns["product_name"].source == "Name"
    assert by_day.timezone == by_year.timezone
    assert by_day.landing_folder == "by_day"
    assert by_day.contract_hash != by_year.contract_hash


def test_likeness_alone_changes_no_contract(tmp_path: Path) -> None:
    spelled_out = SECOND.replace("  like: by_year\n", FIRST.split("feed: by_year\n")[1]).replace(
        "  columns: {sku: Article}\n", "", 1
    )
    spelled_out = spelled_out.replace("sku: Code", "sku: Article").replace(
        "  feed: by_day\n", "  feed: by_day\n"
    )
    liked, _ = load_feeds(write(tmp_path, FIRST + SECOND))
    (tmp_path / "other").mkdir()
    whole, _ = load_feeds(write(tmp_path / "other", FIRST + spelled_out))
    assert whole.contract_hash == liked.contract_hash


def test_a_likeness_to_nothing_is_refused_with_its_line(tmp_path: Path) -> None:
    text = FIRST + SECOND.replace("like: by_year", "like: by_yaer")
    with pytest.raises(
        ConfigError, match="no earlier feed of this file is called 'by_yaer'"
    ) as told:
        load_feeds(write(tmp_path, text))
    assert told.value.where is not None and told.value.where.endswith("defs.yaml:13")
    assert told.value.remedy == "name one of: by_year"
