"""The warehouse and the ledger read the same events the same way."""

from __future__ import annotations

import datetime as dt
import itertools
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm_pipeline.lib.consent.state import Account, find_usable
from crm_pipeline.lib.ledger.schema import consents, metadata

MODEL = Path(__file__).parents[4] / "dbt_project/models/marts/marketing/consent_states.sql"
PURPOSES, CHANNELS, TOKENS = ("marketing", "service"), ("email", "sms"), ("t", "u", "v")
ACCOUNTS = [(channel, source) for channel in "sw" for source in "12"]

EVENT = st.tuples(
    st.sampled_from(ACCOUNTS),
    st.sampled_from(TOKENS),
    st.sampled_from([*PURPOSES, *PURPOSES, "*"]),
    st.sampled_from([*CHANNELS, *CHANNELS, "*"]),
    st.booleans(),
    st.integers(1, 9),
)
PEOPLE = st.tuples(*(st.sampled_from("pq") for _ in ACCOUNTS))


def row(number: int, event: tuple[Account, str, str, str, bool, int]) -> dict[str, Any]:
    account, token, purpose, channel, is_granted, day = event
    moment = dt.datetime(2024, 1, day)  # noqa: DTZ001 - as stored
    return {
        "event_id": str(number), "channel": account[0], "source_customer_id": account[1],
        "contact_kind": "email", "contact_token": token, "contact_mask": "m",
        "purpose": purpose, "consent_channel": channel, "is_granted": is_granted,
        "occurred_at": moment, "known_at": moment, "notice_version": "1", "evidence": None,
        "feed": "f", "file_sha256": "f",
    }  # fmt: skip


def usable_by_warehouse(rows: list[dict[str, Any]], people: dict[Account, str]) -> set[tuple]:
    query = re.sub(r"\{\{ ref\('(\w+)'\) \}\}", r"\1", MODEL.read_text(encoding="utf-8"))
    owners = [{"channel": c, "source_customer_id": s, "customer_id": p}
              for (c, s), p in people.items()]  # fmt: skip
    with duckdb.connect() as connection:
        connection.register("stg_consents", pa.Table.from_pylist(rows))
        connection.register("source_customers", pa.Table.from_pylist(owners))
        return set(
            connection.execute(
                "select purpose, consent_channel, customer_id, contact_token "
                f"from ({query}) where is_usable"
            ).fetchall()
        )


def usable_by_ledger(rows: list[dict[str, Any]], people: dict[Account, str]) -> set[tuple]:
    accounts = defaultdict(list)
    for account, person in people.items():
        accounts[person].append(account)
    engine = sa.create_engine("sqlite://")
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(sa.insert(consents), rows)
        contacts = list(itertools.product(accounts, TOKENS))
        return {
            (purpose, channel, *contact)
            for purpose, channel in itertools.product(PURPOSES, CHANNELS)
            for contact in find_usable(connection, contacts, accounts, purpose, channel)
        }


@pytest.mark.requirement("PRV-1")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(EVENT, min_size=1, max_size=30), PEOPLE)
def test_both_read_who_may_be_written_to_alike(
    events: list[tuple[Account, str, str, str, bool, int]], owners: tuple[str, ...]
) -> None:
    rows = [row(number, event) for number, event in enumerate(events)]
    people = dict(zip(ACCOUNTS, owners, strict=True))
    assert usable_by_warehouse(rows, people) == usable_by_ledger(rows, people)
