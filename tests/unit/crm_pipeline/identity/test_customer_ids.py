"""An id once given never changes."""

from __future__ import annotations

import datetime as dt
import threading
from pathlib import Path

import pyarrow as pa
import pytest
import sqlalchemy as sa

from crm_pipeline.lib.errors import LedgerError
from crm_pipeline.lib.failpoints import InjectedFailureError
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.identity import assign_customer_ids, read_accounts
from crm_pipeline.lib.ledger import open_ledger
from crm_pipeline.lib.ledger.schema import id_versions

KEY = b"a key for tests only"
DAY = dt.date(2026, 6, 30)


@pytest.fixture
def home(tmp_path: Path) -> CrmHome:
    return CrmHome(tmp_path).ensure()


@pytest.fixture
def ledger(home: CrmHome) -> sa.Engine:
    return open_ledger(home)


def accounts(*pairs: tuple[str | None, str | None]) -> pa.Table:
    channels, sources = zip(*pairs, strict=True) if pairs else ((), ())
    return pa.table(
        {
            "channel": pa.array(channels, pa.string()),
            "source_customer_id": pa.array(sources, pa.string()),
        }
    )


def version_count(ledger: sa.Engine) -> int:
    with ledger.connect() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(id_versions)).scalar_one()


@pytest.mark.requirement("IDN-3")
def test_known_accounts_keep_their_id_and_new_ones_get_one(
    home: CrmHome, ledger: sa.Engine
) -> None:
    first = assign_customer_ids(
        home, ledger, accounts(("shop", "2"), ("shop", "1")), key=KEY, as_of=DAY
    )
    wanted = accounts(("shop", "3"), ("shop", "1"), ("pos", "1"))
    second = assign_customer_ids(home, ledger, wanted, key=KEY, as_of=DAY)
    ids = {
        (row["channel"], row["source_customer_id"]): row["customer_id"]
        for row in second.to_pylist()
    }
    assert list(ids) == [("pos", "1"), ("shop", "1"), ("shop", "3")]
    assert len(set(ids.values())) == 3
    assert ids["shop", "1"] == first.column("customer_id")[0].as_py()
    assert all(len(value) == 21 and value.startswith("c") for value in ids.values())
    assert read_accounts(home, ledger).num_rows == 4


def test_an_id_given_under_an_older_key_stays(home: CrmHome, ledger: sa.Engine) -> None:
    first = assign_customer_ids(home, ledger, accounts(("shop", "1")), key=KEY, as_of=DAY)
    again = assign_customer_ids(
        home, ledger, accounts(("shop", "1")), key=b"another key altogether", as_of=DAY
    )
    assert again.equals(first)


def test_nothing_new_writes_no_version(home: CrmHome, ledger: sa.Engine) -> None:
    wanted = accounts(("shop", "1"), ("shop", "1"), ("shop", None), (None, "1"))
    assert assign_customer_ids(home, ledger, wanted, key=KEY, as_of=DAY).num_rows == 1
    assign_customer_ids(home, ledger, wanted, key=KEY, as_of=DAY)
    assert version_count(ledger) == 1


def test_no_accounts_at_all_is_fine(home: CrmHome, ledger: sa.Engine) -> None:
    assert assign_customer_ids(home, ledger, accounts(), key=KEY, as_of=DAY).num_rows == 0
    assert version_count(ledger) == 0


def test_a_backfill_mints_no_ids(home: CrmHome, ledger: sa.Engine) -> None:
    assign_customer_ids(home, ledger, accounts(("shop", "1")), key=KEY, as_of=DAY)
    wanted = accounts(("shop", "1"), ("shop", "2"))
    found = assign_customer_ids(home, ledger, wanted, key=KEY, as_of=DAY, mint=False)
    assert found.column("source_customer_id").to_pylist() == ["1"]
    assert version_count(ledger) == 1


def test_order_and_split_of_arrival_do_not_matter(tmp_path: Path) -> None:
    results = []
    for name, deliveries in {
        "at_once": [[("a", "1"), ("b", "2"), ("a", "3")]],
        "one_by_one": [[("a", "3")], [("b", "2")], [("a", "1")]],
    }.items():
        home = CrmHome(tmp_path / name).ensure()
        ledger = open_ledger(home)
        for delivery in deliveries:
            assign_customer_ids(home, ledger, accounts(*delivery), key=KEY, as_of=DAY)
        results.append(read_accounts(home, ledger))
    assert results[0].equals(results[1])


@pytest.mark.requirement("SRV-3")
@pytest.mark.parametrize("point", ["ids_before", "ids_after", "ids_recorded"])
def test_a_crash_anywhere_and_a_second_try_give_the_undisturbed_ids(
    home: CrmHome, ledger: sa.Engine, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crm_pipeline.lib.failpoints._passes", {})
    monkeypatch.setenv("CRM_FAIL", f"{point}:raise")
    with pytest.raises(InjectedFailureError):
        assign_customer_ids(home, ledger, accounts(("a", "1")), key=KEY, as_of=DAY)
    monkeypatch.delenv("CRM_FAIL")
    found = assign_customer_ids(home, ledger, accounts(("a", "1")), key=KEY, as_of=DAY)
    assert found.equals(read_accounts(home, ledger))
    assert version_count(ledger) == 1


def test_two_writers_at_once_lose_no_account(home: CrmHome, ledger: sa.Engine) -> None:
    def work(place: int) -> None:
        assign_customer_ids(
            home, ledger, accounts(("a", str(place)), ("a", "x")), key=KEY, as_of=DAY
        )

    threads = [threading.Thread(target=work, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read_accounts(home, ledger).num_rows == 5


@pytest.mark.requirement("SRV-3")
@pytest.mark.parametrize("damage", ["gone", "changed"])
def test_a_lost_id_file_stops_everything(home: CrmHome, ledger: sa.Engine, damage: str) -> None:
    assign_customer_ids(home, ledger, accounts(("a", "1")), key=KEY, as_of=DAY)
    path = home.ledger_dir / "identity" / "v1.parquet"
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(LedgerError, match="never made up again"):
        assign_customer_ids(home, ledger, accounts(("a", "1")), key=KEY, as_of=DAY)


def test_old_id_files_are_pruned(home: CrmHome, ledger: sa.Engine) -> None:
    for place in range(13):
        assign_customer_ids(home, ledger, accounts(("a", str(place))), key=KEY, as_of=DAY)
    names = {path.name for path in (home.ledger_dir / "identity").iterdir()}
    assert names == {f"v{number}.parquet" for number in range(4, 14)}
