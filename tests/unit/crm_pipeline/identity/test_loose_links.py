"""Accounts nothing links: likely ones are found, nothing personal is kept, nothing is decided."""

from __future__ import annotations

import datetime as dt
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from crm_pipeline.lib.errors import ConfigError
from crm_pipeline.lib.identity.loose_links import (
    SCHEMA,
    TABLE,
    FoundLinks,
    LooseLinkRules,
    find_loose_links,
    load_loose_link_rules,
)
from crm_pipeline.lib.warehouse import replace_table
from ml.identity.splink_engine import MissingExtraError
from tests import dbt_support
from tests.identity_support import accounts

ROOT = Path(__file__).resolve().parents[4]
SHIPPED = ROOT / "crm_pipeline" / "defs" / "identity" / "loose_links" / "loose_links.yaml"
AS_OF, BEFORE = dt.date(2024, 6, 30), dt.datetime(2024, 6, 30, 16)  # noqa: DTZ001 - naive UTC
PEOPLE, DOUBLED = 200, 60  # the first ones have an account more, which nothing links

HAS_SPLINK = True
try:
    import splink  # noqa: F401
except ImportError:
    HAS_SPLINK = False
needs_splink = pytest.mark.skipif(
    not HAS_SPLINK, reason="Splink is not installed (pip install '.[identity]')"
)


def make_people() -> list[dict[str, Any]]:
    """Made-up people; every fifth is known by a nickname dozens have."""
    rng = np.random.default_rng(11)
    words = [a + b for a in ("ba", "ke", "mo", "tu", "si", "ro") for b in ("ran", "lim", "sto")]
    return [
        {
            "display_name": "sunny" if row % 5 == 4 else "".join(rng.choice(words, 3)),
            "birth_date": f"{rng.integers(1950, 2005)}-{rng.integers(1, 13):02}-"
            f"{rng.integers(1, 29):02}",
            "gender": str(rng.choice(["female", "male"])),
            "city_name": str(rng.choice(["northam", "eastby", "westow", "southell", "midford"])),
            "address_text": f"{rng.integers(1, 900)} {rng.choice(words)} street",
        }
        for row in range(PEOPLE)
    ]


def make_warehouse(path: Path, *, backwards: bool = False) -> duckdb.DuckDBPyConnection:
    """Everybody has a linked pair of accounts at app and jd; the doubled have one at shop too."""
    people = make_people()
    records: dict[str, list[dict[str, Any]]] = {"app": [], "jd": [], "shop": []}
    for number, person in enumerate(people):
        key = f"p{number:03}"
        for channel in ("app", "jd", *(["shop"] if number < DOUBLED else [])):
            said = dict(person)
            if channel != "app":
                said["address_text"] = None
            if channel == "shop" and number % 7 == 0:
                said["gender"] = None
            if channel == "shop" and number % 3 == 1:
                said["birth_date"] = None
            records[channel].append({"source_customer_id": key, **said})
    files = [accounts(name, *(rows[::-1] if backwards else rows)) for name, rows in records.items()]
    dbt_support.create_sources(path)
    dbt_support.deliver(path, files[::-1] if backwards else files)
    connection = duckdb.connect(str(path))
    connection.execute("set TimeZone = 'UTC'")
    connection.execute(
        "create schema staging; create table staging.stg_repeats (entity varchar, feed varchar, "
        "file_sha256 varchar, record_number bigint, is_current boolean)"
    )
    connection.execute(
        """
        insert into identity.customer_accounts
        select
            channel, source_customer_id,
            case channel when 'shop' then 'lone-' else 'c-' end || source_customer_id,
            case channel when 'shop' then null else 'phone' end
        from conformed.accounts
        order by random()
        """
    )
    return connection


@pytest.fixture(scope="module")
def rules() -> LooseLinkRules:
    return load_loose_link_rules(SHIPPED)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse of all accounts, written once."""
    path = tmp_path_factory.mktemp("loose") / "crm.duckdb"
    make_warehouse(path).close()
    return path


@pytest.fixture
def warehouse(made: Path, tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A copy of it, for a test to change."""
    shutil.copyfile(made, tmp_path / made.name)
    with duckdb.connect(str(tmp_path / made.name)) as connection:
        yield connection


def find(connection: duckdb.DuckDBPyConnection, rules: LooseLinkRules) -> FoundLinks:
    return find_loose_links(connection, rules, as_of=AS_OF, before=BEFORE)


@pytest.fixture(scope="module")
def found(made: Path, rules: LooseLinkRules) -> FoundLinks:
    if not HAS_SPLINK:
        pytest.skip("Splink is not installed (pip install '.[identity]')")
    with duckdb.connect(str(made)) as connection:
        before = connection.sql("from identity.customer_accounts order by all").fetchall()
        result = find(connection, rules)
        replace_table(connection, TABLE, result.table)
        after = connection.sql("from identity.customer_accounts order by all").fetchall()
        assert before == after, "a loose link changed who is a customer"
    return result


@pytest.mark.requirement("IDN-7")
def test_planted_accounts_are_found_and_hardly_a_wrong_one(found: FoundLinks) -> None:
    links = found.table.to_pandas()
    is_right = links["source_customer_id"] == links["linked_source_customer_id"]
    likely = links["confidence_class"] == "likely"
    assert (found.account_count, found.unlinked_count) == (2 * PEOPLE + DOUBLED, DOUBLED)
    assert is_right[likely].mean() >= 0.98
    told_birth = {f"p{number:03}" for number in range(DOUBLED) if number % 3 != 1}
    sure = set(links.loc[likely & is_right, "source_customer_id"])
    assert len(sure & told_birth) >= 0.9 * len(told_birth)
    assert (links.loc[~likely, "match_probability"] < 0.95).all()


@pytest.mark.requirement("IDN-7")
def test_only_accounts_nothing_links_are_asked_about(found: FoundLinks) -> None:
    links = found.table.to_pandas()
    assert set(links["channel"]) == {"shop"}
    assert (links["customer_id"] != links["linked_customer_id"]).all()
    pairs = links[["customer_id", "linked_customer_id"]].apply(frozenset, axis=1)
    assert pairs.is_unique, "one pair of customers stands once"
    assert (links.loc[links["confidence_class"] == "loose", "rival_count"] <= 1).all()
    nobody = {f"p{number:03}" for number in range(DOUBLED) if number % 15 == 4}
    assert not nobody & set(links["source_customer_id"]), "a nickname alone is nobody's"


@pytest.mark.requirement("IDN-7")
def test_nothing_a_person_said_is_kept(found: FoundLinks) -> None:
    clear = {
        str(value)
        for person in make_people()
        for name, value in person.items()
        if name not in ("gender",)  # its words are also words of nobody
    }
    told = {str(cell) for column in found.table.columns for cell in column.to_pylist()}
    said = " ".join(told) + str(found.note)
    assert [value for value in clear if value in said] == []
    level = r"(?:display_name|birth_date|gender|city_name|address_text): [a-z ,]+"
    assert all(
        re.fullmatch(f"{level}(; {level})*", text) for text in found.table["evidence"].to_pylist()
    )


@needs_splink
@pytest.mark.requirement("IDN-7")
def test_the_order_of_files_and_rows_changes_nothing(
    tmp_path: Path, found: FoundLinks, rules: LooseLinkRules
) -> None:
    with make_warehouse(tmp_path / "crm.duckdb", backwards=True) as connection:
        again = find(connection, rules)
    pd.testing.assert_frame_equal(again.table.to_pandas(), found.table.to_pandas())
    assert again.model_fingerprint == found.model_fingerprint


@needs_splink
def test_a_record_of_tomorrow_or_one_staging_left_out_is_not_looked_at(
    warehouse: duckdb.DuckDBPyConnection, rules: LooseLinkRules
) -> None:
    warehouse.execute(
        "update conformed.accounts set known_at = timestamp '2024-07-01' "
        "where channel = 'shop' and source_customer_id = 'p000'"
    )
    warehouse.execute(
        "insert into staging.stg_repeats select 'accounts', feed, file_sha256, record_number, "
        "false from conformed.accounts where channel = 'shop' and source_customer_id = 'p001'"
    )
    result = find(warehouse, rules)
    asked = set(result.table["source_customer_id"].to_pylist())
    assert result.account_count == 2 * PEOPLE + DOUBLED - 2
    assert not asked & {"p000", "p001"}
    assert "p002" in asked


@needs_splink
def test_too_little_to_learn_from_is_an_empty_list_and_a_note(
    warehouse: duckdb.DuckDBPyConnection, rules: LooseLinkRules
) -> None:
    warehouse.execute("delete from conformed.accounts where source_customer_id > 'p000'")
    warehouse.execute("update conformed.accounts set display_name = channel")
    result = find(warehouse, rules)
    assert result.table.num_rows == 0
    assert result.table.schema == SCHEMA
    assert result.note and result.model_fingerprint is None


@pytest.mark.requirement("IDN-7")
def test_without_the_extra_the_error_says_what_to_install(
    warehouse: duckdb.DuckDBPyConnection, rules: LooseLinkRules, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "splink", None)
    with pytest.raises(MissingExtraError, match=re.escape("pip install '.[identity]'")):
        find(warehouse, rules)


@pytest.mark.requirement("IDN-7")
def test_only_the_engine_imports_splink() -> None:
    importing = re.compile(r"^\s*(?:import|from)\s+splink\b", re.MULTILINE)
    found = [
        path.relative_to(ROOT).as_posix()
        for folder in ("crm_pipeline", "ml", "simulation")
        for path in (ROOT / folder).rglob("*.py")
        if importing.search(path.read_text(encoding="utf-8"))
    ]
    assert found == ["ml/identity/splink_engine.py"]


def test_more_accounts_than_the_memory_is_meant_for_are_refused(
    warehouse: duckdb.DuckDBPyConnection, rules: LooseLinkRules
) -> None:
    few = LooseLinkRules(most_accounts=10, most_rivals=1, spec=rules.spec)
    with pytest.raises(ConfigError, match="may be compared at once"):
        find(warehouse, few)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("most_rivals: 1", "most_rivals: -1", "greater than or equal to 0"),
        ("most_rivals: 1", "most_rivals: 1\nmost_links: 3", "most_links"),
        ("id: account", "id: number", "id: account"),
        ("kind: address", "kind: adress", "columns.address_text.kind"),
    ],
)
def test_a_wrong_entry_is_refused_by_name(tmp_path: Path, old: str, new: str, told: str) -> None:
    path = tmp_path / "loose_links.yaml"
    path.write_text(SHIPPED.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(ConfigError, match=re.escape(told)):
        load_loose_link_rules(path)


def test_a_column_accounts_do_not_have_is_refused(
    warehouse: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    path = tmp_path / "loose_links.yaml"
    text = SHIPPED.read_text(encoding="utf-8")
    path.write_text(text.replace("{kind: address}", "{kind: address, of: [street]}"))
    with pytest.raises(ConfigError, match="street"):
        find(warehouse, load_loose_link_rules(path))


def test_the_table_has_the_columns_the_warehouse_declares() -> None:
    assert isinstance(SCHEMA, pa.Schema)
    personal = {"display_name", "birth_date", "address_text", "phone", "email", "city_name"}
    assert not personal & set(SCHEMA.names)
