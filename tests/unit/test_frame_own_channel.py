"""The worked example of a channel of one's own.

Add here: that its YAML, its files and its README fit together.
Not here: how feeds are read in general.
"""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path

import pytest

from crm_pipeline.lib.examples import prepare_example
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ingestion.feed_spec import FeedSpec
from crm_pipeline.lib.ingestion.ingest import ingest_feed
from crm_pipeline.lib.ledger import open_ledger
from crm_pipeline.lib.strict_yaml import load_document, validate

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "own_channel"
FILES = sorted((EXAMPLE / "landing" / "example_shop").glob("*.csv"))


@pytest.fixture(scope="module")
def spec() -> FeedSpec:
    return validate(FeedSpec, load_document(EXAMPLE / "defs.yaml"), ("attributes",))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_files_are_really_in_the_declared_encoding(path: Path, spec: FeedSpec) -> None:
    with pytest.raises(UnicodeDecodeError):
        path.read_bytes().decode("utf-8")
    header = path.read_bytes().decode(spec.format.encoding).splitlines()[0].split(",")
    assert set(spec.source_columns) | set(spec.ignore) == set(header)


def test_the_yaml_maps_every_required_column(spec: FeedSpec) -> None:
    required = {column.name for column in spec.contract.columns if column.required}
    assert required - set(spec.columns) - {"currency"} == set()


def test_the_readme_counts_the_records_that_are_there(spec: FeedSpec) -> None:
    lines = [
        row
        for path in FILES
        for row in list(csv.reader(path.read_text(encoding=spec.format.encoding).splitlines()))[1:]
    ]
    bad = [row for row in lines if row[0] == "合计" or row[7] == "待定"]
    readme = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    said = f"{len(lines)} records: {len(lines) - len(bad)} accepted and {len(bad)} quarantined"
    assert said in " ".join(readme.split())


@pytest.mark.requirement("ING-2")
@pytest.mark.bad_input("B02")
def test_one_yaml_file_brings_a_chinese_shop_through_the_door(
    spec: FeedSpec, tmp_path: Path
) -> None:
    home = CrmHome(tmp_path / "home").ensure()
    landing = prepare_example("own_channel")
    report = ingest_feed(
        home, open_ledger(home), spec, landing, received_at=datetime(2026, 5, 3, tzinfo=UTC)
    )
    assert (report.received, report.written, report.quarantined) == (15, 13, 2)
    assert report.describe()["quarantined_by_reason"] == {"number": 1, "not_a_record": 1}
