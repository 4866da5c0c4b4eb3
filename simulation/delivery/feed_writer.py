"""How one channel writes one of its files.

Add here: what a description of a feed's file may say.
Not here: a channel (``channels/``), what is broken on purpose (``defects``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from crm_pipeline.lib.ingestion.entities import Entity, entity_named
from simulation.delivery.defects import Defect

Cadence = Literal["large", "small", "once"]
CellKind = Literal["text", "free", "number", "raw"]


@dataclass(frozen=True)
class Field:
    """One column of the file: its header and, in SQL over the clean columns, its cell.

    ``text`` cells hold no delimiter, quote or line end; ``free`` ones may, and are quoted where
    needed. ``number`` and ``raw`` stand in JSON as they are, and ``number`` is a number in xlsx.
    In JSON a header with dots stands inside nested objects. In Parquet the SQL type is the
    column's type and the kind means nothing.
    """

    header: str
    sql: str
    kind: CellKind = "text"


def text(header: str, sql: str) -> Field:
    return Field(header, sql)


def free(header: str, sql: str) -> Field:
    """A text that may hold anything people type."""
    return Field(header, sql, "free")


def number(header: str, sql: str) -> Field:
    return Field(header, sql, "number")


@dataclass(frozen=True)
class Csv:
    """Separated values. ``bom`` is for UTF-8; UTF-16 always has its mark."""

    encoding: str = "utf-8"
    delimiter: str = ","
    extension: str = "csv"
    newline: str = "\n"
    bom: bool = False
    title: str | None = None


@dataclass(frozen=True)
class Jsonl:
    """One JSON object per line.

    ``leaves_out``: keys without a value are left out instead of null.
    """

    extension: str = "jsonl"
    leaves_out: bool = False


@dataclass(frozen=True)
class Parquet:
    """Typed columns."""

    extension: str = "parquet"


@dataclass(frozen=True)
class Xlsx:
    """One sheet; ``title`` is a row above the header."""

    sheet: str = "Sheet1"
    title: str | None = None
    extension: str = "xlsx"


Format = Csv | Jsonl | Parquet | Xlsx


@dataclass(frozen=True)
class Nested:
    """Clean records of another feed that stand as a list of objects inside each JSON object."""

    feed: str
    entity: str
    header: str
    fields: tuple[Field, ...]
    on: str = "order_id"
    order_by: str = "line_number"


@dataclass(frozen=True)
class Beside:
    """Clean records of another feed of the same file, one for one.

    Their columns are reachable as ``<alias>_<column>``.
    """

    feed: str
    entity: str
    alias: str
    on: str = "source_customer_id"


@dataclass(frozen=True)
class FeedWriter:
    """One feed's files.

    ``event_time`` is the clean column that decides the delivery a record belongs to (the version
    decides where the feed is versioned). ``key`` orders records of one instant. ``restated_at`` is
    the instant, in SQL over the clean columns, at which a record changes after it was told: it
    comes again with the first delivery behind it. Cells that change read the same name, which is
    null where nothing comes again, and ``delivered_at``.
    """

    feed: str
    channel: str
    entity: str
    format: Format
    fields: tuple[Field, ...]
    event_time: str
    key: tuple[str, ...]
    folder: str = ""
    cadence: Cadence = "small"
    is_versioned: bool = False
    restated_at: str = ""
    nested: Nested | None = None
    beside: Beside | None = None
    defects: tuple[Defect, ...] = ()
    max_rows: int = 1_000_000

    @property
    def landing_folder(self) -> str:
        return self.folder or self.feed

    @property
    def contract(self) -> Entity:
        return entity_named(self.entity)

    @property
    def siblings(self) -> tuple[str, ...]:
        """Other feeds that read the same files."""
        return tuple(other.feed for other in (self.nested, self.beside) if other)
