"""Same inputs, same result: in any order, in any split, after any crash, side by side."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import duckdb
import pytest

from crm_pipeline.lib.examples import prepare_example
from tests.integration.pipeline_support import (
    crm,
    manifest,
    query,
    read_lines,
    result_hash,
    run,
    start,
    write_lines,
)

CUSTOMERS = 60
SETTINGS = {"CRM_TIMEZONE": "Europe/London", "CRM_CURRENCY": "GBP"}
KILLS = 2
SOAK_KILLS = 20
EARLIEST_KILL = 4.0
LENGTHS: list[float] = []  # seconds of the quiet run: kills fall anywhere in it


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A landing folder with the lines of 60 customers of the example, and its consents."""
    source = prepare_example("online_retail")
    target = tmp_path_factory.mktemp("small")
    yearly = sorted((source / "online_retail").glob("year_*.csv"))
    header, _ = read_lines(yearly[0])
    place = header.index("Customer ID")
    wanted = sorted({row[place] for path in yearly for row in read_lines(path)[1] if row[place]})
    kept = set(wanted[:CUSTOMERS]) | {""}
    for path in yearly:
        _, rows = read_lines(path)
        write_lines(
            target / "online_retail" / path.name,
            header,
            [row for row in rows if row[place] in kept],
        )
    numbers = {name.removesuffix(".0") for name in kept}
    for folder, column in (
        ("online_retail_by_day", "CustomerID"),
        ("online_retail_consents", "CustomerID"),
    ):
        for path in sorted((source / folder).glob("*.csv")):
            head, rows = read_lines(path)
            at = head.index(column)
            chosen = [row for row in rows if row[at].removesuffix(".0") in numbers - {""}]
            write_lines(target / folder / path.name, head, chosen)
    return target


@pytest.fixture(scope="module")
def undisturbed(small: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Result hash of one quiet run over everything; a broken file of one feed stops nobody."""
    landing = copy_of(small, tmp_path_factory.mktemp("quiet") / "landing")
    (landing / "online_retail_by_day" / "broken.csv").write_text("<html>502 Bad Gateway</html>")
    home = tmp_path_factory.mktemp("quiet_home")
    began = time.perf_counter()
    printed = run(home, "--landing", landing, **SETTINGS)
    LENGTHS.append(time.perf_counter() - began)
    assert "refused" in printed, "the broken file was not told"
    return result_hash(home)


def copy_of(source: Path, target: Path, *, only: str | None = None) -> Path:
    """Copies a landing folder, or one feed's part of it."""
    for path in sorted(source.rglob("*.csv")):
        relative = path.relative_to(source)
        if only is None or relative.parts[0] == only:
            (target / relative).parent.mkdir(parents=True, exist_ok=True)
            (target / relative).write_bytes(path.read_bytes())
    return target


@pytest.mark.requirement("ING-5")
@pytest.mark.requirement("ING-6")
@pytest.mark.bad_input("B30")
@pytest.mark.bad_input("B58")
def test_day_files_first_then_the_years_split_anew_give_the_same_result(
    small: Path, undisturbed: str, tmp_path: Path
) -> None:
    landing, home = tmp_path / "landing", tmp_path / "home"
    copy_of(small, landing, only="online_retail_by_day")
    copy_of(small, landing, only="online_retail_consents")
    run(home, "--landing", landing, **SETTINGS)
    assert result_hash(home) != undisturbed
    deal_out(small / "online_retail", landing / "online_retail", files=3)
    run(home, "--landing", landing, **SETTINGS)
    assert result_hash(home) == undisturbed


@pytest.mark.requirement("IDN-3")
@pytest.mark.requirement("IDN-4")
def test_a_link_moves_orders_and_undoing_it_gives_every_id_back_also_after_a_rebuild(
    small: Path, tmp_path: Path
) -> None:
    home, landing = tmp_path / "home", copy_of(small, tmp_path / "landing")
    run(home, "--landing", landing, **SETTINGS)
    before = customers(home)
    left, right = sorted(before, key=lambda account: before[account].orders)[-2:]

    shown = identity(home, "preview", "link", left, right)
    assert f"{before[left].orders + before[right].orders} orders" in shown.split("Then:")[1]
    told = ("--author", "clerk", "--reason", "one person")
    assert identity(home, "link", left, right, *told).startswith("1 recorded")
    run(home, "--landing", landing, **SETTINGS)
    linked = customers(home)
    assert linked[left].customer_id == linked[right].customer_id
    merged = linked[left].customer_id
    assert merged == before[min(left, right)].customer_id  # both were minted in one night
    assert linked[left].orders == before[left].orders + before[right].orders
    assert f"  merge  {moved(home, merged)}" in shown
    assert "decided by people" in identity(home, "why", left, right)
    # On the day of the order each was still the customer they were.
    at_order = query(
        home,
        "select distinct channel || ':' || source_customer_id, customer_id_at_order "
        f"from marts.fct_orders where customer_id = '{merged}' order by all",
    )
    assert at_order == sorted((one, before[one].customer_id) for one in (left, right))

    identity(home, "unlink", left, right, *told)
    (home / "warehouse" / "crm.duckdb").unlink()
    run(home, "--landing", landing, **SETTINGS)
    assert customers(home) == before
    kinds = query(
        home,
        "select change_kind, count(*) from marts.customer_id_history group by all order by all",
    )
    assert kinds == [("first", len(before))]  # linked and parted on one business day


class Customer(NamedTuple):
    customer_id: str
    orders: int


def customers(home: Path) -> dict[str, Customer]:
    """Every account with its customer, and how many orders the customer has."""
    rows = query(
        home,
        "select channel || ':' || source_customer_id, customer_id, order_count "
        "from marts.source_customers inner join marts.customer_360 using (customer_id)",
    )
    return {str(account): Customer(str(one), int(str(count))) for account, one, count in rows}


def moved(home: Path, merged: str) -> str:
    """The change of the last merge as the preview writes it."""
    ((account, former),) = query(
        home,
        "select channel || ':' || source_customer_id, customer_id from marts.customer_id_history "
        "where valid_until_date is not null",
    )
    return f"{account}  {former} -> {merged}"


def identity(home: Path, *arguments: str) -> str:
    """What ``crm identity`` prints."""
    command, *rest = arguments
    done = crm(home, "identity", command, *rest)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def deal_out(source: Path, target: Path, *, files: int) -> None:
    """Deals each year's invoices to several files, an invoice always whole."""
    for path in sorted(source.glob("*.csv"), reverse=True):
        header, rows = read_lines(path)
        for number in range(files):
            part = [row for row in rows if hash_of(row[0]) % files == number]
            write_lines(target / f"{files - number}_{path.name}", header, part)


def hash_of(text: str) -> int:
    return sum(text.encode()) * 7919


@pytest.mark.requirement("SRV-3")
def test_a_killed_run_is_made_good_by_the_next(
    small: Path, undisturbed: str, tmp_path: Path
) -> None:
    seed = time.time_ns() % 1_000_000
    print(f"seed {seed}")
    moments = random.Random(seed)
    home = tmp_path / "home"
    for _ in range(KILLS):
        process = start(home, "--landing", small, **SETTINGS)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=moments.uniform(EARLIEST_KILL, LENGTHS[0]))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert_whole(home)
    run(home, "--landing", small, **SETTINGS)
    assert result_hash(home) == undisturbed, f"seed {seed}"


def assert_whole(home: Path) -> None:
    """The published build, if there is one, is exactly what its manifest says."""
    if not (home / "published" / "current").exists():
        return
    for table, rows in manifest(home)["row_counts"].items():  # type: ignore[attr-defined]
        schema, name = table.split(".")
        assert query(home, f'select count(*) from "{schema}"."{name}"') == [(rows,)]


@pytest.mark.requirement("SRV-1")
@pytest.mark.requirement("SRV-3")
def test_two_runs_at_once_both_end_well_and_readers_never_notice(
    small: Path, undisturbed: str, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    done, errors, reads = threading.Event(), [], []

    def read_in_a_loop() -> None:
        while not done.is_set():
            path = home / "published" / "current" / "crm.duckdb"
            if path.exists():
                try:
                    with duckdb.connect(str(path), read_only=True) as connection:
                        reads.append(connection.execute(MIXED).fetchall()[0])
                except duckdb.Error as error:
                    errors.append(str(error))
            time.sleep(0.05)

    reader = threading.Thread(target=read_in_a_loop)
    reader.start()
    processes = [start(home, "--landing", small, **SETTINGS) for _ in range(2)]
    printed = [process.communicate(timeout=900)[0] for process in processes]
    done.set()
    reader.join()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(printed)
    assert errors == []
    assert reads, "the reader never saw a build"
    assert all(customers == rows for customers, rows in reads)
    assert result_hash(home) == undisturbed
    ((batches,),) = query(
        home, "select count(*) - count(distinct decision_id) from marts.outreach_decisions"
    )
    assert batches == 0


MIXED = """
    select (select count(*) from marts.dim_customers), (select count(*) from marts.customer_360)
"""


@pytest.mark.soak
@pytest.mark.parametrize("round_number", range(SOAK_KILLS))
def test_a_run_killed_at_any_moment_leaves_a_whole_build_and_the_next_makes_it_good(
    small: Path, undisturbed: str, tmp_path: Path, round_number: int
) -> None:
    """Random moments over the whole length of a run, each in a home of its own."""
    seed = int(os.environ.get("SOAK_SEED") or time.time_ns() % 1_000_000) + round_number
    moment = random.Random(seed).uniform(0.5, LENGTHS[0])
    home = tmp_path / "home"
    process = start(home, "--landing", small, **SETTINGS)
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=moment)
    process.send_signal(signal.SIGKILL)
    process.wait()
    print(f"seed {seed}: killed after {moment:.1f} s")
    assert_whole(home)
    run(home, "--landing", small, **SETTINGS)
    assert result_hash(home) == undisturbed, f"seed {seed}"
