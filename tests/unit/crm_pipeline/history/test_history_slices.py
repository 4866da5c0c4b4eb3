"""What was decided stays decided."""

from __future__ import annotations

import datetime as dt
import threading
from pathlib import Path

import pyarrow as pa
import pytest
import sqlalchemy as sa

from crm_pipeline.lib.errors import LedgerError
from crm_pipeline.lib.failpoints import InjectedFailureError
from crm_pipeline.lib.history import active_slices, read_slice, write_slice
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ledger import open_ledger
from crm_pipeline.lib.ledger.schema import history_slices

DAY = dt.date(2011, 12, 9)


@pytest.fixture
def home(tmp_path: Path) -> CrmHome:
    return CrmHome(tmp_path).ensure()


@pytest.fixture
def ledger(home: CrmHome) -> sa.Engine:
    return open_ledger(home)


def tiers(*names: str) -> pa.Table:
    return pa.table({"customer_id": [f"c{place}" for place in range(len(names))], "tier": names})


def write(home: CrmHome, ledger: sa.Engine, data: pa.Table, day: dt.date = DAY):
    return write_slice(home, ledger, table_name="tiers", as_of=day, data=data, reason="test")


def test_the_same_content_again_is_a_no_op(home: CrmHome, ledger: sa.Engine) -> None:
    first = write(home, ledger, tiers("core", "new"))
    second = write(home, ledger, tiers("core", "new"))
    assert first.is_new and not second.is_new
    assert (first.path, first.sha256) == (second.path, second.sha256)


def test_other_content_is_a_new_revision_and_the_old_file_stays(
    home: CrmHome, ledger: sa.Engine
) -> None:
    first = write(home, ledger, tiers("core"))
    second = write(home, ledger, tiers("new"))
    assert second.path == home.history / "tiers/as_of=2011-12-09/tiers-r2.parquet"
    with ledger.connect() as connection:
        active = active_slices(home, connection, "tiers")
        kept = connection.execute(sa.select(sa.func.count()).select_from(history_slices)).scalar()
    assert [found.revision for found in active] == [2]
    assert kept == 2
    assert read_slice(first).column("tier").to_pylist() == ["core"]


def test_each_date_has_its_own_slice(home: CrmHome, ledger: sa.Engine) -> None:
    write(home, ledger, tiers("core"), DAY + dt.timedelta(days=1))
    write(home, ledger, tiers("core"), DAY)
    with ledger.connect() as connection:
        days = [found.as_of_date for found in active_slices(home, connection, "tiers")]
    assert days == [DAY, DAY + dt.timedelta(days=1)]


def test_an_empty_slice_is_written_too(home: CrmHome, ledger: sa.Engine) -> None:
    assert write(home, ledger, tiers()).row_count == 0


@pytest.mark.requirement("SRV-3")
@pytest.mark.parametrize("point", ["history_before", "history_after", "history_recorded"])
def test_a_crash_anywhere_and_a_second_try_give_one_active_slice(
    home: CrmHome, ledger: sa.Engine, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(home, ledger, tiers("core"))
    monkeypatch.setattr("crm_pipeline.lib.failpoints._passes", {})
    monkeypatch.setenv("CRM_FAIL", f"{point}:raise")
    with pytest.raises(InjectedFailureError):
        write(home, ledger, tiers("new"))
    monkeypatch.delenv("CRM_FAIL")
    write(home, ledger, tiers("new"))
    with ledger.connect() as connection:
        active = active_slices(home, connection, "tiers")
    assert [(found.revision, read_slice(found).column("tier")[0].as_py()) for found in active] == [
        (2, "new")
    ]


def test_two_writers_at_once_take_two_revisions(home: CrmHome, ledger: sa.Engine) -> None:
    tables = [tiers(name) for name in ("core", "new", "dormant", "potential")]
    threads = [threading.Thread(target=write, args=(home, ledger, data)) for data in tables]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with ledger.connect() as connection:
        rows = connection.execute(sa.select(history_slices)).all()
    assert sorted(row.revision for row in rows) == [1, 2, 3, 4]
    assert sum(row.is_active for row in rows) == 1


@pytest.mark.parametrize("damage", ["gone", "changed"])
def test_a_slice_that_was_tampered_with_is_refused(
    home: CrmHome, ledger: sa.Engine, damage: str
) -> None:
    found = write(home, ledger, tiers("core"))
    if damage == "gone":
        found.path.unlink()
    else:
        found.path.write_bytes(b"something else")
    with pytest.raises(LedgerError, match=f"a history slice is {damage}"):
        read_slice(found)
