"""Where damage that keeps a record must end, counted in what was landed and what was written.

Add here: how the end of an outcome or kind is counted.
Not here: the worlds and feeds it is counted in (``test_…_channels``).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq

from crm_pipeline.lib.ingestion import FeedSpec
from simulation.delivery import Csv, DeliveryParameters, FeedWriter, Landed, Parquet, Xlsx
from simulation.delivery.clean import happened_sql, periods_of, source_sql, turn_sql
from simulation.delivery.defects import CellDefect
from simulation.delivery.plan import deliveries
from simulation.delivery.sql import literal

# What is brought into one form at the door, as it stands in the file.
SPELLINGS = {
    "zero_width": "\u200b",
    "full_width": "[\uff10-\uff19]+",
    "null_account": "(?<=,)NULL(?=,)",
}


def planted(landed: Landed, feed: str, outcome: str, unit: str = "records") -> Counter[str]:
    """How often each kind with an outcome was planted."""
    found: Counter[str] = Counter()
    for row in landed.defects.to_pylist():
        if (row["feed"], row["outcome"], row["unit"]) == (feed, outcome, unit):
            found[row["kind"]] += row["count"]
    return found


def known_late(
    writer: FeedWriter,
    spec: FeedSpec,
    clean: Path,
    parts: Iterable[Path],
    rhythm: DeliveryParameters,
) -> int:
    """Records in time for a file that were first known with a later one.

    A record whose older, wrong version came in time is corrected, not late.
    """
    plan = deliveries(rhythm, writer.cadence)
    files = [name for names in periods_of(clean, spec.feed).values() for name in names]
    moments = ", ".join(f"timestamp '{d.utc(rhythm.zone)}'" for d in plan)
    key = ", ".join(spec.natural_key)
    own = f"{key}, source_version" if "updated_at" in pq.read_schema(files[0]).names else key
    query = f"""
        with happening as (
            select *, {happened_sql(writer)} as happened, updated_at as source_version
            from ({source_sql(spec.contract, files)})
        ),
        due as (
            select *, [{moments}][1 + {turn_sql(plan, rhythm.zone)}] as due_at from happening
        ),
        written as (
            select {key}, source_version, min(known_at) as told_at
            from read_parquet([{", ".join(literal(part) for part in parts)}]) group by all
        ),
        told as (select {own}, min(told_at) as told_at from written group by {own})
        select count(*) from due inner join told using ({own})
        where told_at > due_at and not exists (
            from written as older
            where {" and ".join(f"older.{name} = due.{name}" for name in spec.natural_key)}
                and older.source_version = due.source_version - interval 1 second
        )
    """
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        return int((connection.execute(query).fetchone() or (0,))[0])


def text_of(writer: FeedWriter, path: Path) -> str:
    """Everything that stands in a file of text or Parquet."""
    if isinstance(writer.format, Parquet):
        rows = pq.read_table(path, partitioning=None).to_pylist()
        return "\n".join(str(value) for row in rows for value in row.values())
    encoding = writer.format.encoding if isinstance(writer.format, Csv) else "utf-8"
    return path.read_bytes().decode(encoding)


def spelled(writer: FeedWriter, landed: Landed, kind: str) -> int:
    """How often a spelling the door brings into one form stands in the good files."""
    good = [file.path for file in landed.files if file.feed == writer.feed and file.is_good]
    return sum(len(re.findall(SPELLINGS[kind], text_of(writer, path))) for path in good)


def kept_texts(writer: FeedWriter, written: Iterable[dict[str, Any]]) -> Counter[str]:
    """How many written records hold the text of each kind that plants one, as it was planted."""
    texts = {
        d.change(""): d.kind
        for d in writer.defects
        if isinstance(d, CellDefect) and d.outcome == "accepted"
    }
    return Counter(
        texts[value]
        for row in written
        for value in row.values()
        if isinstance(value, str) and value in texts
    )


def traits(writer: FeedWriter, landed: Landed) -> Counter[str]:
    """How many good files of a feed have each trait, by their bytes."""
    found: Counter[str] = Counter()
    for file in landed.files:
        if file.feed == writer.feed and file.is_good:
            found.update(_traits_of(writer, file.path))
    return found


def _traits_of(writer: FeedWriter, path: Path) -> set[str]:
    form, data = writer.format, path.read_bytes()
    if isinstance(form, Xlsx):
        return {"title_row"} if form.title is not None else set()
    if not isinstance(form, Csv):
        return set()
    found = set()
    if data.startswith(b"\xef\xbb\xbf"):
        found.add("byte_order_mark")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        found.add("utf_16")
    if _is_chinese(data):
        found.add("chinese_encoding")
    first_line = data.decode(form.encoding).lstrip("\ufeff").splitlines()[0]
    if writer.fields[0].header not in first_line.split(form.delimiter)[0]:
        found.add("title_row")
    return found


def _is_chinese(data: bytes) -> bool:
    for encoding, is_chinese in (("utf-8", False), ("gb18030", True)):
        try:
            data.decode(encoding)
        except UnicodeDecodeError:
            continue
        return is_chinese
    return False
