"""The shipped examples.

Add here: what is true about their files.
Not here: what the pipeline makes of them.
"""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import json
import sys
from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import ModuleType

import pytest

from crm_pipeline.lib.errors import ConfigError
from crm_pipeline.lib.examples import list_examples, prepare_example
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ingestion.feeds import load_feeds
from crm_pipeline.lib.ingestion.ingest import FeedReport, ingest_feed
from crm_pipeline.lib.ledger import open_ledger

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "online_retail"
PUBLIC_DATA = ROOT.parent / "shared" / "data"
EXPECTED = json.loads((EXAMPLE / "expected_totals.json").read_text(encoding="utf-8"))
YEARS = ("year_2009_2010.csv", "year_2010_2011.csv")
LARGEST_EXAMPLE_BYTES = 3_000_000


@pytest.fixture(scope="module")
def landing() -> Path:
    return prepare_example("online_retail")


def records(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as source:
        return list(csv.DictReader(source))


@pytest.fixture(scope="module")
def distinct(landing: Path) -> list[dict[str, str]]:
    """Per invoice and content the larger count of the two files, by counting (not by numbering)."""
    largest: dict[tuple[str, ...], int] = {}
    for name in YEARS:
        counts: dict[tuple[str, ...], int] = defaultdict(int)
        for record in records(landing / "online_retail" / name):
            counts[tuple(record.values())] += 1
        for content, count in counts.items():
            largest[content] = max(count, largest.get(content, 0))
    names = list(records(landing / "online_retail" / YEARS[0])[0])
    return [
        dict(zip(names, content, strict=True))
        for content, count in largest.items()
        for _ in range(count)
    ]


def test_the_examples_take_little_room_in_the_repository() -> None:
    tracked = [
        path
        for folder in ("examples/online_retail/packed", "examples/own_channel")
        for path in (ROOT / folder).rglob("*")
        if path.is_file()
    ]
    assert sum(path.stat().st_size for path in tracked) <= LARGEST_EXAMPLE_BYTES


def test_every_unpacked_file_is_the_one_that_was_cut(landing: Path) -> None:
    for name, facts in EXPECTED["files"].items():
        data = (landing / name).read_bytes()
        assert hashlib.sha256(data).hexdigest() == facts["sha256"], name
        assert len(data) == facts["size_bytes"], name


def test_unpacking_again_touches_nothing(landing: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in landing.rglob("*.csv")}
    prepare_example("online_retail")
    assert {path: path.stat().st_mtime_ns for path in landing.rglob("*.csv")} == before


def test_an_unknown_example_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError) as error:
        prepare_example("nothing_like_it")
    assert all(name in str(error.value) for name in list_examples())


def test_record_counts_match_a_plain_reading(landing: Path) -> None:
    for name, facts in EXPECTED["files"].items():
        if "planted" in facts:
            lines = (landing / name).read_text(encoding="utf-8").splitlines()
            assert len(lines) - 1 == facts["received"]
            continue
        assert len(records(landing / name)) == facts["received"], name


def test_distinct_lines_and_duplicates_match(distinct: list[dict[str, str]]) -> None:
    assert len(distinct) == EXPECTED["lines"]["distinct_lines"]
    received = EXPECTED["yearly"]["received"]
    assert received - len(distinct) == EXPECTED["yearly"]["duplicate"]
    assert received == sum(EXPECTED["files"][f"online_retail/{name}"]["received"] for name in YEARS)


def test_counts_of_the_distinct_lines_match(distinct: list[dict[str, str]]) -> None:
    facts = EXPECTED["lines"]
    assert len({line["Invoice"] for line in distinct}) == facts["invoices"]
    assert len({line["Customer ID"] for line in distinct} - {""}) == facts["known_customers"]
    assert sum(not line["Customer ID"] for line in distinct) == facts["guest_lines"]
    assert sum(line["Invoice"][0] == "C" for line in distinct) == facts["cancellation_lines"]
    assert sum(line["Price"][0] == "-" for line in distinct) == facts["negative_price_lines"]
    assert sum(float(line["Price"]) == 0 for line in distinct) == facts["zero_price_lines"]
    assert max(line["InvoiceDate"] for line in distinct) == facts["last_ordered_at"]


def test_money_of_known_customers_matches_to_the_last_digit(
    distinct: list[dict[str, str]],
) -> None:
    facts = EXPECTED["lines"]
    mills = [
        (line, int(line["Quantity"]) * int(Decimal(line["Price"]) * 1000))
        for line in distinct
        if line["Customer ID"]
    ]
    sales = [(line, amount) for line, amount in mills if amount > 0]
    gross = sum(amount for _, amount in sales)
    net = sum(amount for _, amount in mills)
    assert Decimal(gross) / 1000 == Decimal(facts["known_sales"]["gross_amount"])
    assert Decimal(gross - net) / 1000 == Decimal(facts["known_refund_amount"])
    assert Decimal(net) / 1000 == Decimal(facts["known_net_amount"])
    assert len(sales) == facts["known_sales"]["lines"]
    assert len({line["Invoice"] for line, _ in sales}) == facts["known_sales"]["invoices"]
    assert len({line["Customer ID"] for line, _ in sales}) == facts["known_sales"]["customers"]


def test_every_line_of_a_day_file_stands_in_the_yearly_files(
    landing: Path, distinct: list[dict[str, str]]
) -> None:
    known = {tuple(value.strip() for value in line.values()) for line in distinct}
    for path in sorted((landing / "online_retail_by_day").glob("*.csv")):
        day = {tuple(value.strip() for value in record.values()) for record in records(path)}
        assert day <= known, path.name


def test_made_up_consents_stay_on_the_reserved_domain_and_inside_the_story(landing: Path) -> None:
    consents = records(landing / "online_retail_consents" / "made_up_consents.csv")
    orders = records(landing / "online_retail" / YEARS[0])
    orders += records(landing / "online_retail" / YEARS[1])
    customers = {record["Customer ID"].removesuffix(".0") for record in orders} - {""}
    assert {consent["CustomerID"] for consent in consents} <= customers
    assert all(consent["Email"].endswith("@example.org") for consent in consents)
    owners = {(consent["Email"], consent["CustomerID"]) for consent in consents}
    assert len({email for email, _ in owners}) == len(owners)
    moments = [datetime.fromisoformat(consent["At"]) for consent in consents]
    assert min(moments) >= datetime.fromisoformat("2010-01-01")
    assert max(moments) < datetime.fromisoformat(EXPECTED["lines"]["last_ordered_at"])
    assert len(consents) == EXPECTED["consents"]["events"]


@pytest.fixture(scope="module")
def reports(landing: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, FeedReport]:
    """What the door made of the example, by feed."""
    home = CrmHome(tmp_path_factory.mktemp("door")).ensure()
    ledger = open_ledger(home)
    return {
        spec.feed: ingest_feed(
            home,
            ledger,
            spec,
            landing,
            received_at=datetime(2011, 12, 10, tzinfo=UTC),
            post_consents=lambda *_, **__: None,
        )
        for spec in load_feeds(ROOT / "crm_pipeline" / "defs" / "channels")
        if spec.channel == "online_retail"
    }


def test_the_door_receives_what_the_example_says(reports: dict[str, FeedReport]) -> None:
    expected: dict[str, int] = defaultdict(int)
    for name, facts in EXPECTED["files"].items():
        expected[name.split("/")[0]] += facts["received"]
    assert {feed: report.received for feed, report in reports.items()} == expected


def test_the_planted_lines_and_no_others_are_quarantined(reports: dict[str, FeedReport]) -> None:
    planted = EXPECTED["files"]["online_retail/zz_planted_bad_lines.csv"]["quarantined"]
    quarantined = {feed: report.quarantined for feed, report in reports.items()}
    assert quarantined == {feed: planted * (feed == "online_retail") for feed in quarantined}
    assert all(report.refused == () for report in reports.values())


def load_script(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_scripts_give_the_same_files_again(
    landing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (PUBLIC_DATA / "online_retail_ii").is_dir():
        pytest.skip("the public data set is not beside the checkout")
    monkeypatch.setattr(sys, "argv", ["script", "--source", str(PUBLIC_DATA)])
    for name in ("cut_slice", "make_consents"):
        module = load_script(name, monkeypatch)
        monkeypatch.setattr(module, "HERE", tmp_path)
        monkeypatch.setattr(module, "PACKED", tmp_path / "packed")
        module.main()
    again = json.loads((tmp_path / "expected_totals.json").read_text(encoding="utf-8"))
    assert again == EXPECTED
