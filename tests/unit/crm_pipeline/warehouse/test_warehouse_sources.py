"""What dbt finds before its first model."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
import pytest
import sqlalchemy as sa

from crm_pipeline.lib.errors import LedgerError, WarehouseError
from crm_pipeline.lib.files import write_parquet
from crm_pipeline.lib.history import write_slice
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ingestion.entities import ENTITIES, empty_relation_sql
from crm_pipeline.lib.ledger import open_ledger
from crm_pipeline.lib.ledger.schema import claims, consents, inbox_files, inbox_parts
from crm_pipeline.lib.warehouse import (
    create_source_views,
    export_snapshot,
    open_warehouse,
    prune_snapshots,
    refresh_history_views,
    replace_slice,
    replace_table,
    resolve_as_of,
)

EMPTY = {name: empty_relation_sql(entity) for name, entity in ENTITIES.items()}
NOW = dt.datetime(2012, 1, 2, 3, tzinfo=dt.UTC)
LONDON = ZoneInfo("Europe/London")


class Home:
    """A home whose inbox and parts a test fills by hand."""

    def __init__(self, root: Path) -> None:
        self.paths = CrmHome(root).ensure()
        self.ledger = open_ledger(self.paths)

    def deliver(self, entity: str, file: str, rows: str, *, state: str = "active") -> None:
        """Writes a part of these rows (a SELECT over the entity's columns) and its inbox rows."""
        with duckdb.connect() as connection:
            query = f"({EMPTY[entity]}) union all by name ({rows})"
            part = connection.sql(query).to_arrow_table()
        path = self.paths.conformed / entity / f"{file}.parquet"
        write_parquet(part, path)
        key = {"feed": f"feed_{entity}", "file_sha256": file}
        with self.ledger.begin() as connection:
            connection.execute(
                sa.insert(inbox_files).values(
                    **key,
                    channel="shop",
                    entity=entity,
                    file_name=file,
                    size_bytes=1,
                    received_at=NOW.replace(tzinfo=None),
                )
            )
            connection.execute(
                sa.insert(inbox_parts).values(
                    **key,
                    contract_hash="h1",
                    state=state,
                    received_count=part.num_rows,
                    written_count=part.num_rows,
                    quarantined_count=0,
                    part_path=path.relative_to(self.paths.root).as_posix(),
                )
            )

    @contextmanager
    def open(self, run: str = "run1") -> Iterator[duckdb.DuckDBPyConnection]:
        """The warehouse with its sources, as the run ``run`` finds them."""
        snapshot = export_snapshot(self.ledger, self.paths.snapshots / run)
        with open_warehouse(self.paths.warehouse) as connection:
            self.inputs = create_source_views(connection, self.paths, snapshot, EMPTY)
            yield connection


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def order(order_id: str, at: str, *, content: str = "h", version: str = "null") -> str:
    return (
        f"select '{order_id}' as record_id, '{content}' as content_hash, '{order_id}' as order_id, "
        f"timestamp '{at}' as ordered_at, {version}::timestamp as source_version"
    )


def test_every_source_exists_typed_and_empty_in_a_new_home(home: Home) -> None:
    with home.open() as connection:
        addresses = {
            ".".join(row)
            for row in connection.sql(
                "select table_schema, table_name from information_schema.tables"
            ).fetchall()
        }
        conformed = {f"conformed.{entity}" for entity in ENTITIES if entity != "consents"}
        assert addresses == conformed | {
            "ledger.inbox_files", "ledger.consents", "ledger.claims",
            "ledger.identity_overrides", "quarantine.records",
            "history.official_rfm_tiers", "history.outreach_decisions",
            "history.outreach_trigger_decisions",
            "identity.customer_accounts", "identity.customer_id_changes", "identity.quality",
            "identity.loose_links",
            "scores.churn_scores", "scores.clv_scores", "scores.customer_clusters",
            "scores.sequence_rules", "scores.sales_forecast", "scores.churn_checks",
            "scores.clv_checks",
        }  # fmt: skip
        for address in addresses:
            assert connection.sql(f"select count(*) from {address}").fetchall() == [(0,)]
        kinds = dict(
            connection.sql(
                "select column_name, data_type from information_schema.columns "
                "where table_name = 'orders'"
            ).fetchall()
        )
        assert kinds["ordered_at"] == "TIMESTAMP" and kinds["paid_amount"] == "DECIMAL(18,6)"


@pytest.mark.requirement("PRV-4")
def test_clear_contacts_stay_out_of_the_warehouse(home: Home) -> None:
    home.deliver("consents", "f1", "select 'someone@example.org' as contact_value")
    with home.open() as connection:
        views = connection.sql(
            "select table_name from information_schema.tables where table_schema = 'conformed'"
        ).fetchall()
    assert ("consents",) not in views


def test_views_read_active_parts_only(home: Home) -> None:
    home.deliver("orders", "f1", order("o1", "2011-12-01 10:00"))
    home.deliver("orders", "f2", order("o2", "2011-12-02 10:00"), state="superseded")
    home.deliver("orders", "f3", order("o3", "2011-12-03 10:00"))
    with home.open() as connection:
        found = connection.sql("select order_id from conformed.orders order by all").fetchall()
        inbox = connection.sql("select file_sha256, state from ledger.inbox_files").fetchall()
    assert found == [("o1",), ("o3",)]
    assert inbox == [("f1", "active"), ("f3", "active")]
    assert home.inputs.count == 2


def test_a_part_of_an_older_contract_lacks_a_column_and_still_reads(home: Home) -> None:
    path = home.paths.conformed / "orders" / "old.parquet"
    home.deliver("orders", "old", order("o1", "2011-12-01 10:00"))
    with duckdb.connect() as connection:
        old = connection.sql(f"select * exclude (payment_method) from '{path}'").to_arrow_table()
    write_parquet(old, path)
    with home.open() as connection:
        rows = connection.sql("select order_id, payment_method from conformed.orders").fetchall()
    assert rows == [("o1", None)]


def test_a_part_that_is_gone_is_an_error_with_the_remedy(home: Home) -> None:
    home.deliver("orders", "f1", order("o1", "2011-12-01 10:00"))
    (home.paths.conformed / "orders" / "f1.parquet").unlink()
    with (
        pytest.raises(LedgerError, match=r"(?s)conformed.orders are gone.*crm replay"),
        home.open(),
    ):
        pass


def test_a_path_with_quotes_and_blanks_is_read(tmp_path: Path) -> None:
    home = Home(tmp_path / "it's a home")
    home.deliver("orders", "f1", order("o1", "2011-12-01 10:00"))
    with home.open() as connection:
        assert connection.sql("select count(*) from conformed.orders").fetchall() == [(1,)]


def test_a_replay_of_a_run_reads_the_snapshot_of_that_run(home: Home) -> None:
    home.deliver("orders", "f1", order("o1", "2011-12-01 10:00"))
    with home.open("run1"):
        pass
    home.deliver("orders", "f2", order("o2", "2011-12-02 10:00"))
    with home.open("run1") as connection:
        assert connection.sql("select count(*) from conformed.orders").fetchall() == [(1,)]
    with home.open("run2") as connection:
        assert connection.sql("select count(*) from conformed.orders").fetchall() == [(2,)]


def test_the_ledger_is_exported_with_its_types(home: Home) -> None:
    moment = dt.datetime(2011, 5, 6, 7, 8, 9, 123456)  # noqa: DTZ001 - as stored
    with home.ledger.begin() as connection:
        connection.execute(
            sa.insert(consents).values(
                event_id="e1",
                channel="shop",
                source_customer_id="1",
                contact_kind="email",
                contact_token="k1_a",
                contact_mask="a***@example.org",
                purpose="marketing",
                consent_channel="email",
                is_granted=True,
                occurred_at=moment,
                known_at=moment,
                feed="f",
                file_sha256="s",
            )
        )
        connection.execute(
            sa.insert(claims).values(
                claim_id="c1",
                decision_id="d1",
                batch_id="b1",
                contact_token="k1_a",
                person_id="p1",
                journey="j",
                step="s",
                occurrence="o",
                consent_channel="email",
                purpose="marketing",
                message_tag="promotion",
                content_id="c",
                content_version="v",
                planned_send_at=moment,
                attempt_count=1,
                state="sent",
                claimed_at=moment,
            )
        )
    with home.open() as connection:
        consent = connection.sql("select is_granted, occurred_at, evidence from ledger.consents")
        assert consent.fetchall() == [(True, moment, None)]
        assert connection.sql("select state, sent_at from ledger.claims").fetchall() == [
            ("sent", None)
        ]


def test_quarantine_shows_reasons_and_no_text(home: Home) -> None:
    home.deliver("orders", "f1", order("o1", "2011-12-01 10:00"))
    path = home.paths.quarantine / "orders" / "f1.parquet"
    write_parquet(
        pa.table(
            {
                "feed": ["f"],
                "channel": ["shop"],
                "entity": ["orders"],
                "file_sha256": ["f1"],
                "record_number": [7],
                "reason_code": ["date"],
                "column_name": ["ordered_at"],
                "raw_text": ["Jane Doe, 31 February"],
            }
        ),
        path,
    )
    with home.ledger.begin() as connection:
        connection.execute(
            sa.update(inbox_parts).values(
                quarantine_path=path.relative_to(home.paths.root).as_posix()
            )
        )
    with home.open() as connection:
        found = connection.sql("from quarantine.records").fetchall()
    assert found == [("f", "shop", "orders", "f1", 7, "date", "ordered_at")]


def test_history_written_during_the_run_becomes_visible(home: Home) -> None:
    data = pa.table(
        {
            "as_of_date": [dt.date(2011, 12, 9)],
            "customer_id": ["c1"],
            "rfm_tier": ["core"],
            "ladder": ["playbook"],
            "reason": ["monthly"],
        }
    )
    with home.open() as connection:
        for name in ("core", "new"):
            data = data.set_column(2, "rfm_tier", pa.array([name]))
            write_slice(
                home.paths,
                home.ledger,
                table_name="official_rfm_tiers",
                as_of=dt.date(2011, 12, 9),
                data=data,
                reason="monthly",
            )
        refresh_history_views(connection, home.paths, home.ledger)
        found = connection.sql("select customer_id, rfm_tier from history.official_rfm_tiers")
        assert found.fetchall() == [("c1", "new")]
    with home.open("run2") as connection:
        found = connection.sql("select rfm_tier from history.official_rfm_tiers").fetchall()
        assert found == [("new",)]


def scores(as_of: dt.date, *probabilities: float) -> pa.Table:
    count = len(probabilities)
    return pa.table(
        {
            "customer_id": [f"c{place}" for place in range(count)],
            "as_of_date": [as_of] * count,
            "churn_probability": probabilities,
            **{f"reason_{rank}": pa.nulls(count, pa.string()) for rank in (1, 2, 3)},
            "horizon_days": pa.array([90] * count, pa.int32()),
            "model_version": ["v1"] * count,
            "scored_at": pa.array([NOW.replace(tzinfo=None)] * count, pa.timestamp("us")),
        }
    )


def test_scores_of_one_date_are_replaced_and_those_of_others_stay(home: Home) -> None:
    first, second = dt.date(2011, 12, 8), dt.date(2011, 12, 9)
    with home.open() as connection:
        replace_slice(connection, "scores.churn_scores", scores(first, 0.1), as_of=first)
        replace_slice(connection, "scores.churn_scores", scores(second, 0.2, 0.3), as_of=second)
        replace_slice(connection, "scores.churn_scores", scores(second, 0.4), as_of=second)
    with home.open("run2") as connection:
        found = connection.sql("select churn_probability from scores.churn_scores order by all")
        assert found.fetchall() == [(0.1,), (0.4,)]


def test_a_python_table_lacking_a_column_is_refused_by_name(home: Home) -> None:
    with (
        home.open() as connection,
        pytest.raises(WarehouseError, match="needs columns customer_id"),
    ):
        replace_table(
            connection,
            "identity.customer_accounts",
            pa.table({"channel": ["a"], "source_customer_id": ["b"]}),
        )


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("yesterday", dt.date(2012, 1, 1)),
        ("2011-11-30", dt.date(2011, 11, 30)),
        ("latest", dt.date(2012, 1, 1)),
    ],
)
def test_as_of_without_any_order(home: Home, rule: str, expected: dt.date) -> None:
    with home.open() as connection:
        assert resolve_as_of(connection, rule, LONDON, NOW) == expected


def test_latest_is_the_local_day_of_the_last_order(home: Home) -> None:
    home.deliver("orders", "f1", order("o1", "2011-06-01 23:30"))
    with home.open() as connection:
        assert resolve_as_of(connection, "latest", LONDON, NOW) == dt.date(2011, 6, 2)
        assert resolve_as_of(connection, "latest", ZoneInfo("UTC"), NOW) == dt.date(2011, 6, 1)


def test_an_order_with_two_contents_at_one_version_does_not_set_the_date(home: Home) -> None:
    home.deliver(
        "orders",
        "f1",
        " union all by name ".join(
            [order("o1", "2011-12-01 10:00"), order("o2", "2011-12-09 10:00", content="a")]
        ),
    )
    home.deliver("orders", "f2", order("o2", "2011-12-08 10:00", content="b"))
    with home.open() as connection:
        assert resolve_as_of(connection, "latest", LONDON, NOW) == dt.date(2011, 12, 1)


def test_a_duplicate_or_a_later_version_is_no_conflict(home: Home) -> None:
    home.deliver("orders", "f1", order("o1", "2011-12-09 10:00"))
    home.deliver("orders", "f2", order("o1", "2011-12-09 10:00"))
    home.deliver(
        "orders", "f3", order("o1", "2011-12-05 10:00", content="b", version="'2011-12-20'")
    )
    with home.open() as connection:
        assert resolve_as_of(connection, "latest", LONDON, NOW) == dt.date(2011, 12, 9)


def test_only_the_newest_snapshots_are_kept(home: Home) -> None:
    for number in range(5):
        export_snapshot(home.ledger, home.paths.snapshots / f"run{number}")
    assert prune_snapshots(home.paths, keep=2) == 3
    assert sorted(path.name for path in home.paths.snapshots.iterdir()) == ["run3", "run4"]
