"""What a feed's YAML may say, and what it is told when it says something else."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

import crm_pipeline
from crm_pipeline.lib.errors import ConfigError
from crm_pipeline.lib.ingestion import load_feeds
from crm_pipeline.lib.ingestion.entities import ENTITIES, empty_relation_sql, part_columns

from .door import ORDERS, feed
from .test_bad_values import LINES

COMPONENT = "crm_pipeline.components.ChannelFeed"


def said(changes: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    attributes = copy.deepcopy(base)
    for path, value in changes.items():
        *parents, last = path.split("/")
        target = attributes
        for key in parents:
            target = target[key]
        if value is None:
            del target[last]
        else:
            target[last] = value
    return attributes


def load(folder: Path, *attributes: dict[str, Any]) -> Any:
    channel = folder / "shop"
    channel.mkdir(exist_ok=True)
    documents = [{"type": COMPONENT, "attributes": a} for a in attributes]
    text = yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True, default_style=None)
    (channel / "defs.yaml").write_text(text)
    return load_feeds(folder)


def refused(folder: Path, changes: dict[str, Any], base: dict[str, Any] = ORDERS) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(folder, said(changes, base))
    assert "defs.yaml:" in str(caught.value), "every problem names file and line"
    return caught.value


@pytest.mark.requirement("ING-2")
@pytest.mark.parametrize(
    ("changes", "words", "remedy"),
    [
        ({"colums": {}}, "unknown key 'colums'", "did you mean 'columns'?"),
        ({"feed": None}, "'feed' is missing", "for example feed: tmall_orders"),
        ({"feed": "Shop Orders"}, "match pattern", ""),
        ({"entity": "order"}, "no entity is called 'order'", "did you mean 'orders'?"),
        ({"timezone": "Asia/Shangai"}, "no time zone", "did you mean 'Asia/Shanghai'?"),
        ({"currency": "RMB"}, "'RMB' is no ISO 4217 code", "for example CNY"),
        ({"currency": None}, "'currency' is missing", "currency: CNY"),
        (
            {"columns/order_id": {"from": "No", "within": "shop"}},
            "'shop' is no mapped column beside it",
            "use one of",
        ),
        ({"columns/paid_amount/sign": "by_kind"}, "no kind decides the sign", "remove it"),
        ({"version": "delivery"}, "no delivery is named", "file_name:"),
        ({"version": "later"}, "'later' is not allowed", "write one of: delivery"),
        ({"version": {"format": "%Y"}}, "write version: delivery", ""),
        ({"format/kind": "excel"}, "'excel' is not allowed", "csv, tsv, jsonl, parquet, xlsx"),
        ({"format/encoding": "gbk18030"}, "not allowed", "did you mean 'gb18030'?"),
        (
            {"columns/order_id": None},
            "required column 'order_id'",
            "order_id: <column of the file>",
        ),
        ({"columns/orderid": "x"}, "has no column 'orderid'", "did you mean 'order_id'?"),
        ({"columns/currency": "x"}, "currency is not mapped here", "feed's level"),
        ({"columns/ordered_at": "At"}, "needs its date format", "format:"),
        ({"columns/ordered_at/format": "yyyy-mm-dd"}, "no date format", "%Y-%m-%d"),
        ({"columns/paid_amount": "Amount"}, "digits behind the point", "scale: 2"),
        ({"columns/paid_amount/scale": 7}, "less than or equal to 6", ""),
        ({"columns/paid_amount/thousands": "."}, "thousands and decimal sign", "decimal"),
        ({"columns/paid_amount/format": "%Y"}, "means nothing for paid_amount", "remove"),
        (
            {"columns/order_status": {"value": "payed"}},
            "'payed' is no order_status",
            "did you mean 'paid'?",
        ),
        (
            {"columns/order_status": {"from": "S", "map": {"ok": "done"}}},
            "'done' is no order_status",
            "paid, cancelled, closed",
        ),
        (
            {"columns/order_id": {"from": "No", "value": "x"}},
            "exactly one of from, value, first_match",
            "",
        ),
        ({"known_at": {"event": "paid_at"}}, "not an instant every record has", "ordered_at"),
        ({"known_at": {"file_name": r"\d+", "format": "%Y"}}, "0 groups", "one is needed"),
        ({"known_at": {"file_name": "(", "format": "%Y"}}, "no regular expression", ""),
        ({"known_at": {}}, "exactly one of event, from, file_name", "ordered_at"),
        (
            {"key": {"columns": ["store_id", "order_id"]}},
            "needs 'store_id', which is not mapped",
            "map 'store_id'",
        ),
        ({"key": {"columns": ["number"]}}, "has no column 'number'", ""),
        ({"ignore": ["no "]}, "'no ' is also mapped", ""),
        ({"format/min_records": -1}, "greater than or equal to 0", ""),
        ({"format/delimiter": "||"}, "at most 1 character", ""),
        ({"format/delimiter": "，"}, "one ASCII character", ""),
        ({"columns/paid_amount/allow": "zeros"}, "not allowed", "did you mean 'zero'?"),
        ({"columns/paid_amount/low": 5, "columns/paid_amount/high": 1}, "low is above high", ""),
    ],
)
def test_a_mistake_is_told_with_line_cause_and_remedy(
    tmp_path: Path, changes: dict[str, Any], words: str, remedy: str
) -> None:
    message = str(refused(tmp_path, changes))
    assert words in message
    assert remedy in message


@pytest.mark.requirement("ING-5")
@pytest.mark.parametrize(
    "key",
    [
        None,
        {"document": "order_id", "lines": "numbered"},
        {"document": "order_id", "lines": "numbered", "documents_are_whole": False},
    ],
)
def test_lines_without_number_need_whole_documents_or_a_batch(
    tmp_path: Path, key: dict[str, Any] | None
) -> None:
    changes: dict[str, Any] = {"columns/line_number": None}
    if key:
        changes["key"] = key
    message = str(refused(tmp_path, changes, LINES))
    assert "documents_are_whole: true" in message
    assert "line" in message


def test_a_whole_document_or_a_batch_is_enough(tmp_path: Path) -> None:
    for key in ({"documents_are_whole": True}, {"batch": "Batch"}):
        numbered = {"document": "order_id", "lines": "numbered", **key}
        (spec,) = load(tmp_path, said({"columns/line_number": None, "key": numbered}, LINES))
        assert spec.is_numbered


@pytest.mark.bad_input("B45")
def test_a_sign_the_contract_forbids_cannot_be_allowed(tmp_path: Path) -> None:
    message = str(refused(tmp_path, {"columns/paid_amount/allow": ["negative", "zero"]}))
    assert "paid_amount may never be zero" not in message or "remove" in message


@pytest.mark.bad_input("B81")
@pytest.mark.parametrize(
    "place",
    [
        "../secrets",
        "/etc",
        "a/../../b",
        "file:///etc",
        "http://169.254.169.254/x",
        "~/x",
        "C:\\x",
        "a\\..\\b",
    ],
)
def test_b81_places_outside_the_landing_folder_are_refused(tmp_path: Path, place: str) -> None:
    assert "outside the landing folder" in str(refused(tmp_path, {"folder": place}))
    assert "outside the landing folder" in str(refused(tmp_path, {"files": place}))


@pytest.mark.bad_input("B82")
@pytest.mark.parametrize(
    "secret",
    [
        "password=hunter2",
        "AKIAIOSFODNN7EXAMPLE",
        "-----BEGIN RSA PRIVATE KEY-----",
        "https://me:pw@host/x",
        "api_key: abc123",
    ],
)
def test_b82_a_pasted_secret_is_refused_and_not_repeated(tmp_path: Path, secret: str) -> None:
    error = refused(tmp_path, {"description": secret})
    assert "looks like a secret" in str(error)
    assert secret not in str(error)


@pytest.mark.requirement("ING-2")
def test_all_mistakes_of_a_feed_are_told_at_once(tmp_path: Path) -> None:
    changes = {
        "timezone": "Mars",
        "currency": "XXX",
        "columns/paid_amount": "Amount",
        "columns/order_id": None,
    }
    message = str(refused(tmp_path, changes))
    assert all(w in message for w in ("4 problems", "Mars", "XXX", "scale: 2", "'order_id'"))


def test_feeds_are_judged_together(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="two feeds are called"):
        load(tmp_path, ORDERS, ORDERS)
    other = said({"feed": "second", "key": {"columns": ["order_id", "source_customer_id"]}}, ORDERS)
    with pytest.raises(ConfigError, match="different keys"):
        load(tmp_path, ORDERS, other)
    same_place = said({"feed": "second", "folder": "shop_orders"}, ORDERS)
    with pytest.raises(ConfigError, match="read the same files"):
        load(tmp_path, ORDERS, same_place)
    assert len(load(tmp_path, ORDERS, said({"feed": "second"}, ORDERS))) == 2


def test_other_components_are_left_alone_and_frames_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "defs.yaml"
    path.write_text("type: crm_pipeline.components.OutreachJourney\nattributes: {}\n")
    assert load_feeds(tmp_path) == []
    for text, words in [
        ("attributes: {}\n", "names its type"),
        (f"type: {COMPONENT}\n", "attributes are missing"),
        (f"type: {COMPONENT}\nattributes: {{}}\nextra: 1\n", "unknown key 'extra'"),
    ]:
        path.write_text(text)
        with pytest.raises(ConfigError, match=words):
            load_feeds(tmp_path)


@pytest.mark.requirement("ING-2")
def test_the_shipped_feeds_are_valid() -> None:
    specs = load_feeds(Path(crm_pipeline.__file__).parent / "defs" / "channels")
    names = {spec.feed for spec in specs}
    assert {"online_retail", "online_retail_by_day", "online_retail_consents"} <= names
    assert all(
        spec.default_currency == "GBP"
        for spec in specs
        if spec.channel == "online_retail" and spec.entity == "order_lines"
    )


def test_a_model_error_is_a_validation_error_for_the_component_too() -> None:
    with pytest.raises(ValidationError, match="no time zone"):
        feed({"timezone": "Mars"})


def test_every_entity_has_a_typed_empty_relation() -> None:
    import duckdb

    for entity in ENTITIES.values():
        with duckdb.connect() as connection:
            described = connection.execute(f"describe {empty_relation_sql(entity)}").fetchall()
        assert [(name, kind.lower()) for name, kind, *_ in described] == list(part_columns(entity))
        assert set(entity.natural_key) <= set(entity.column_names)
