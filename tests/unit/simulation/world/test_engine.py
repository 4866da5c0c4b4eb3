"""A world is its parameters: the same bytes, however it is cut, and a truth that fits.

Add here: a promise about a world as a whole.
Not here: what is in it.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crm_pipeline.lib.errors import ConfigError
from simulation.__main__ import _parameters, _parser, main
from simulation.delivery import all_feeds, delivery_parameters
from simulation.delivery.plan import deliveries
from simulation.engine import finish_truth, write_clean
from simulation.feeds import feed_named
from simulation.parameters import WorldParameters, load_parameters
from simulation.spill import MemorySink
from simulation.world import World
from tests.unit.simulation.world.support import Read

SMALL = {
    "behaviour__sessions_per_month": 0.3, "supply__stock_count_days": 90,
    "scenarios__candidates_per_journey": 1, "scenarios__cases_per_outcome": 1,
    "world__months": 3,
}  # fmt: skip


def _small(**changes: object) -> WorldParameters:
    return load_parameters().changed(**{**SMALL, "world__people": 150, **changes})


def _hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*.parquet"))
    }


def _write(folder: Path, parameters: WorldParameters, workers: int = 1) -> dict[str, str]:
    write_clean(parameters, folder / "clean", folder / "truth", workers=workers)
    return _hashes(folder)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    first = _write(tmp_path / "first", _small())
    assert first == _write(tmp_path / "again", _small())
    other = _write(tmp_path / "other", _small(world__seed=1))
    # Only what is told by name is the same in every world: the cast and its messages.
    same = {name for name, digest in first.items() if other.get(name) == digest}
    told = ("truth/sequences", "truth/outcome_cases", "truth/journey_candidates")
    assert not [name for name in same if "-scene" not in name and not name.startswith(told)]
    assert len(same) < len(first) / 20


def test_chunks_do_not_know_of_each_other(tmp_path: Path) -> None:
    one = _small(world__people=100, world__people_per_chunk=50)
    two = _small(world__people=150, world__people_per_chunk=50)
    few = _write(tmp_path / "few", one)
    many = _write(tmp_path / "many", two, workers=2)
    chunks = {n: d for n, d in few.items() if n.startswith("clean") and "shared" not in n}
    assert chunks and all(many[name] == digest for name, digest in chunks.items())
    assert any("/00002" in name for name in many)


def test_numbers_of_different_chunks_never_meet(tmp_path: Path) -> None:
    _write(tmp_path, _small(world__people_per_chunk=50))
    for feed, key in (
        ("app_events", "event_id"),
        ("app_orders", "order_id"),
        ("app_accounts", "source_customer_id"),
        ("crm_coupons", "coupon_id"),
    ):
        found = pq.read_table(tmp_path / "clean" / feed, columns=[key, "person_id"])
        people: dict[str, set[int]] = {}
        for row in found.to_pylist():
            people.setdefault(row[key], set()).add((row["person_id"] - 1) // 50)
        assert len({chunk for chunks in people.values() for chunk in chunks}) == 3
        assert all(len(chunks) == 1 for chunks in people.values())


def test_late_records_miss_their_file_and_wait_for_a_late_one(usual: Read) -> None:
    late, rhythm = usual.parameters.late, delivery_parameters(usual.parameters)
    writers = {writer.feed: writer for writer in all_feeds()}
    waiting = 0
    for feed in late.feeds:
        happened = "updated_at" if feed_named(feed).is_versioned else writers[feed].event_time
        found = usual.rows(
            f"""
            select date_trunc('month', {happened} + interval 8 hour), deliver_at + interval 8 hour,
                count(*)
            from {feed} where deliver_at is not null group by all
            """
        )
        plan = deliveries(rhythm, writers[feed].cadence)
        for month, ready, count in found:
            missed = next(d for d in plan if not d.is_late and d.at >= month + dt.timedelta(27))
            assert missed.at < ready
            assert next(d for d in plan if d.at >= ready).is_late, (feed, month)
            waiting += count
        total = usual.rows(f"select count(*) from {feed}")[0][0]
        assert sum(count for *_, count in found) < 2 * late.share_of_records * total
    assert waiting > 100
    assert usual.rows(
        "select count(*) > 0 from logistics_shipments where deliver_at is not null"
    ) == [(True,)]


def test_only_feeds_with_files_of_their_own_can_be_late() -> None:
    with pytest.raises(ConfigError, match="douyin_order_lines has no files"):
        World(_small(late__feeds=["douyin_order_lines"]), MemorySink())


def test_identity_lists_exactly_the_accounts_that_were_delivered_unharmed(tmp_path: Path) -> None:
    truth = tmp_path / "truth"
    write_clean(_small(), tmp_path / "clean", truth)
    every = pq.read_table(truth / "accounts.parquet")
    app = every.filter(pa.compute.equal(every["channel"], "app"))
    kept = app.slice(0, 7)
    # Two feeds that both know some of them, and one account nobody ever made.
    files = {"app_orders": tmp_path / "a.parquet", "app_events": tmp_path / "b.parquet"}
    columns = ["channel", "source_customer_id"]
    pq.write_table(kept.slice(0, 5).select(columns), files["app_orders"])
    strange = pa.table({"channel": ["app"], "source_customer_id": ["nobody"]})
    pq.write_table(pa.concat_tables([kept.slice(3, 4).select(columns), strange]),
                   files["app_events"])  # fmt: skip
    defects = pa.table({"feed": ["app_orders"], "kind": ["x"], "count": [1]})
    finish_truth(truth, files, defects, "1GB")
    found = pq.read_table(truth / "identity.parquet")
    assert found.column_names == ["channel", "source_customer_id", "person_id"]
    assert sorted(map(str, found.to_pylist())) == sorted(map(str, kept.to_pylist()))
    assert not (truth / "accounts.parquet").exists()


def test_parameters_refuse_what_they_do_not_know(tmp_path: Path) -> None:
    text = Path("examples/world/world.yaml").read_text(encoding="utf-8")
    wrong = tmp_path / "world.yaml"
    wrong.write_text(text.replace("late_share: 0.08", "late_share: 1.5"), encoding="utf-8")
    with pytest.raises(ConfigError, match="less than or equal"):
        load_parameters(wrong)
    wrong.write_text(text.replace("late_share: 0.08", "late_shares: 0.08"), encoding="utf-8")
    with pytest.raises(ConfigError, match="late_shares"):
        load_parameters(wrong)
    with pytest.raises(KeyError, match="nothing_of_the_kind"):
        load_parameters().changed(world__nothing_of_the_kind=1)


def test_a_folder_that_holds_something_else_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strange = tmp_path / "landing" / "tmall_orders" / "mine.csv"
    strange.parent.mkdir(parents=True)
    strange.write_text("mine", encoding="utf-8")
    assert main(["--home", str(tmp_path), "--people", "50"]) == 1
    assert "holds something else" in capsys.readouterr().err
    assert strange.read_text(encoding="utf-8") == "mine"


def test_only_a_folder_of_its_own_in_the_work_folder_is_emptied(tmp_path: Path) -> None:
    work = tmp_path / "work"
    mine = work / "clean" / "mine.csv"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine", encoding="utf-8")
    tiny = ["--people", "20", "--months", "3", "--work", str(work)]
    assert main(["--home", str(tmp_path / "home"), *tiny]) == 0
    assert main(["--scale-only", "--clean-only", *tiny]) == 0
    assert [path for path in work.rglob("*") if path.is_file()] == [mine]
    assert sorted(path.name for path in (tmp_path / "home").iterdir()) == ["landing", "truth"]


def test_the_peaks_of_the_workers_are_added_up(tmp_path: Path) -> None:
    two = _small(world__people=40, world__people_per_chunk=20)
    alone = write_clean(two, tmp_path / "a", tmp_path / "ta")
    together = write_clean(two, tmp_path / "b", tmp_path / "tb", workers=2)
    assert alone.counts == together.counts and alone.workers_peak == 0
    assert together.workers_peak > 60_000_000  # one interpreter with its libraries at least


def test_clean_records_alone_are_only_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--home", str(tmp_path), "--people", "5", "--clean-only"]) == 1
    assert "give --scale-only too" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_number_can_be_set_on_the_command_line() -> None:
    options = _parser().parse_args(
        ["--set", "purchases.rate_scale_days=11", "--set", "world.currency=HKD"]
    )
    parameters = _parameters(options)
    assert (parameters.purchases.rate_scale_days, parameters.world.currency) == (11, "HKD")


@pytest.mark.parametrize("wrong", ["purchases.rate", "purchases.nothing=1", "world.people=none"])
def test_a_number_that_cannot_be_set_is_refused_with_a_remedy(wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"section\.key=value"):
        _parameters(_parser().parse_args(["--set", wrong]))
