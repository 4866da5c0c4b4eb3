"""How tests make a world and read its clean records and truth.

Add here: what several modules need to look at a world.
Not here: the worlds themselves (``conftest``), what must hold in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from simulation.engine import generate
from simulation.feeds import FEEDS
from simulation.parameters import WorldParameters, load_parameters
from simulation.spill import MemorySink
from simulation.truth import TruthSink
from simulation.world import World

NOTHING_FOLLOWS = {
    "replenishing_share": 0.0,
    "sequences": [],
    "purchases__leaves_after_late_parcel": 0.0,
    "purchases__leaves_after_complaint": 0.0,
    "purchases__leaves_after_stock_out": 0.0,
    "scenarios__candidates_per_journey": 0,
    "scenarios__cases_per_outcome": 0,
}
FEW_SESSIONS = {"behaviour__sessions_per_month": 0.01}


@dataclass
class Read:
    """Clean records (views by feed) and truth (views ``truth_…``) of one world."""

    world: World
    sink: MemorySink
    truth: Path
    connection: duckdb.DuckDBPyConnection

    @property
    def parameters(self) -> WorldParameters:
        return self.world.parameters

    def rows(self, query: str) -> list[tuple]:
        return self.connection.execute(query).fetchall()

    def table(self, query: str) -> pa.Table:
        return self.connection.sql(query).to_arrow_table()


# More orders and sessions than the demo has, so that few people show the rates.
BUSY = {"purchases__rate_scale_days": 20, "behaviour__sessions_per_month": 2.2}


def make(folder: Path, **changes: object) -> Read:
    parameters = load_parameters().changed(**{**BUSY, **changes})
    sink = MemorySink()
    world = generate(parameters, sink, TruthSink(folder))
    connection = duckdb.connect(":memory:")
    connection.execute("set enable_progress_bar = false")
    for feed in FEEDS:
        connection.register(feed.name, sink.table(feed.name))
    for path in folder.glob("*.parquet"):
        connection.execute(f"create view truth_{path.stem} as from '{path}'")
    orders = " union all ".join(
        f"select '{name}' as channel, * from {name}_orders"
        for name in ("tmall", "jd", "douyin", "mini_program", "app", "pos")
    )
    connection.execute(f"create table every_order as {orders}")
    connection.execute(
        "create table people_in_no_scene as select * from truth_people where not is_cast"
    )
    return Read(world, sink, folder, connection)


def near(found: float, told: float, count: int) -> bool:
    """Whether a share of ``count`` is the declared one but for chance."""
    return abs(found - told) < 4 * (told * (1 - told) / count) ** 0.5 + 1e-9


def without_effects() -> list[dict[str, object]]:
    """The journeys, all of them without any effect."""
    return [
        journey.model_dump() | {"effects": dict.fromkeys(journey.effects, 0.0)}
        for journey in load_parameters().campaigns.journeys
    ]
