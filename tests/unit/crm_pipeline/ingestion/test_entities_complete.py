"""Every canonical entity has all that belongs to one.

Add here: what a new entity must bring.
Not here: what its contract says (``docs/entities``).
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from crm_pipeline.lib.docs import entity_pages
from crm_pipeline.lib.ingestion.conform import mapping_of
from crm_pipeline.lib.ingestion.entities import ENTITIES
from crm_pipeline.lib.ingestion.expectations import rules_of
from crm_pipeline.lib.ingestion.feeds import load_feeds

ROOT = Path(__file__).resolve().parents[4]
STAGING = ROOT / "dbt_project/models/staging"
FEEDS = {feed.feed: feed for feed in load_feeds(ROOT / entity_pages.CHANNELS)}
# Staged under another name, or only used at the door.
NOT_STAGED = {
    "account_channel",
    "order_channel",
    "birth_date",
    "spent_on",
    "phone_valid_until",
}
# A contact reaches staging as a token, from the ledger.
OF_CONSENTS = {"action", "evidence"}


def staged_columns(entity: str) -> set[str]:
    model = entity_pages.staging_model(ENTITIES[entity])
    assert (STAGING / f"{model}.sql").is_file()
    [described] = yaml.safe_load((STAGING / f"{model}.yml").read_text("utf-8"))["models"]
    assert described["name"] == model
    assert described["description"]
    return {column["name"] for column in described["columns"]}


@pytest.mark.requirement("ING-1")
@pytest.mark.parametrize("entity", ENTITIES)
def test_an_entity_is_delivered_by_a_feed(entity: str) -> None:
    assert [name for name, feed in FEEDS.items() if feed.entity == entity]


@pytest.mark.requirement("ING-1")
@pytest.mark.parametrize("entity", ENTITIES)
def test_an_entity_is_staged_whole_but_for_what_names_a_person(entity: str) -> None:
    staged = staged_columns(entity)
    direct = {column.name for column in ENTITIES[entity].columns if column.pii == "direct"}
    expected = set(ENTITIES[entity].column_names) - direct - NOT_STAGED
    if entity == "consents":
        expected -= OF_CONSENTS
    assert staged & direct == set()
    assert expected <= staged


def test_an_entity_is_a_source_the_models_read() -> None:
    sources = yaml.safe_load((STAGING / "_sources.yml").read_text("utf-8"))["sources"]
    [conformed] = [source for source in sources if source["name"] == "conformed"]
    described = {table["name"] for table in conformed["tables"] if table["description"]}
    assert described | {"consents"} == set(ENTITIES)


@pytest.mark.requirement("ING-1")
@pytest.mark.parametrize("feed", FEEDS)
def test_landing_expectations_follow_from_the_contract(feed: str) -> None:
    spec = FEEDS[feed]
    judged = {rule.column.removesuffix("_length") for rule in rules_of(spec)}
    present = {
        rule.column.removesuffix("_length") for rule in rules_of(spec) if rule.kind == "present"
    }
    mapped = [column for column in spec.contract.columns if mapping_of(spec, column) is not None]
    assert {column.name for column in mapped if column.kind != "boolean"} <= judged
    assert {column.name for column in mapped if column.required} <= present
