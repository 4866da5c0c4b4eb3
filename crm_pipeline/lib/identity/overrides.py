"""What people decided about pairs of accounts.

Add here: how a decision is written down and found again.
Not here: what it does to customers (``ml.identity``).

Decisions are only ever added. Of two about one pair the newer holds, so a wrong one is mended by
the next and both stay to be read. They are part of the ledger: a rebuild meets them again.
"""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from crm_pipeline.lib.errors import ConfigError
from crm_pipeline.lib.ledger.schema import identity_overrides

KINDS = ("link", "unlink", "never_link")
COLUMNS = ("override_kind", "left", "right", "author", "reason")
OVERRIDE_SCHEMA = pa.schema([(name, pa.string()) for name in ("kind", "left", "right", "reason")])
LONGEST_TEXT = 500


@dataclass(frozen=True, order=True)
class AccountKey:
    """An account as people write it: ``channel:source_customer_id``."""

    channel: str
    source_customer_id: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads ``channel:source_customer_id``; only the first colon divides."""
        channel, colon, source = text.strip().partition(":")
        if not (channel and colon and source):
            raise ConfigError(
                f"{text!r} names no account", remedy="write channel:source_customer_id, as app:42"
            )
        return cls(channel, source)

    def __str__(self) -> str:
        return f"{self.channel}:{self.source_customer_id}"


@dataclass(frozen=True)
class Override:
    """One decision about two accounts, in the order of their keys."""

    kind: str
    left: AccountKey
    right: AccountKey
    author: str
    reason: str

    @classmethod
    def of(cls, kind: str, left: str, right: str, author: str, reason: str) -> Self:
        """A decision from words.

        Raises:
            ConfigError: an unknown kind, one account twice, or no author or reason.
        """
        if kind not in KINDS:
            raise ConfigError(f"{kind!r} is no decision", remedy=f"write one of {', '.join(KINDS)}")
        first, second = sorted((AccountKey.parse(left), AccountKey.parse(right)))
        if first == second:
            raise ConfigError(f"{first} stands on both sides", remedy="name two accounts")
        for name, text in (("author", author), ("reason", reason)):
            if not text.strip() or len(text) > LONGEST_TEXT:
                raise ConfigError(
                    f"the {name} is missing or longer than {LONGEST_TEXT} characters",
                    remedy=f"write the {name}: it is what the next person reads",
                )
        return cls(kind, first, second, author.strip(), reason.strip())


def record_overrides(
    ledger: sa.Engine, overrides: Sequence[Override], *, decided_at: dt.datetime
) -> int:
    """Adds decisions; one that already holds for its pair is not added again.

    Args:
        ledger: keeps them.
        overrides: in the order they were taken.
        decided_at: when, UTC without zone; a business day sees what was decided before its end.

    Returns:
        How many were new.
    """
    count = 0
    with ledger.begin() as connection:
        for override in overrides:
            if _standing(connection, override) != _content(override):
                count += 1
                connection.execute(sa.insert(identity_overrides).values(_row(override, decided_at)))
    return count


def read_override_file(path: Path) -> list[Override]:
    """Decisions from a CSV with the columns ``override_kind, left, right, author, reason``.

    Raises:
        ConfigError: the file cannot be read, or lists every wrong row with what to write instead.
    """
    rows = _read_rows(path)
    found, problems = [], []
    for number, row in enumerate(rows, start=2):
        try:
            found.append(Override.of(*(row[name] or "" for name in COLUMNS)))
        except ConfigError as error:
            problems.append(f"  row {number}: {error.what}; {error.remedy}")
    if problems:
        raise ConfigError(
            "no decision was taken over:\n" + "\n".join(problems),
            where=str(path),
            remedy="mend these rows and import the whole file again",
        )
    return found


def standing_overrides(ledger: sa.Engine, *, before: dt.datetime | None = None) -> pa.Table:
    """The newest decision of every pair, before an instant (UTC, without zone) if one is given.

    Returns:
        ``OVERRIDE_SCHEMA``, accounts as ``channel:source_customer_id``, ordered by pair.
    """
    table = identity_overrides
    query = sa.select(table).order_by(table.c.override_id)
    if before is not None:
        query = query.where(table.c.decided_at < before)
    with ledger.connect() as connection:
        return _newest_of_each_pair(dict(row) for row in connection.execute(query).mappings())


def read_snapshot_overrides(snapshot: Path, *, before: dt.datetime | None) -> pa.Table:
    """The same of a run's snapshot of the ledger.

    Args:
        snapshot: folder written by ``export_snapshot``.
        before: for a past day its end; None for the newest day, which obeys what people have
            decided since.
    """
    table = pq.read_table(snapshot / f"{identity_overrides.name}.parquet").sort_by("override_id")
    rows = table.to_pylist()
    return _newest_of_each_pair(row for row in rows if before is None or row["decided_at"] < before)


def _newest_of_each_pair(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Of decisions in their order the last one about each pair (``OVERRIDE_SCHEMA``)."""
    newest: dict[tuple[str, str], dict[str, str]] = {}
    for row in rows:
        left = str(AccountKey(row["left_channel"], row["left_customer_id"]))
        right = str(AccountKey(row["right_channel"], row["right_customer_id"]))
        newest[left, right] = {
            "kind": row["override_kind"],
            "left": left,
            "right": right,
            "reason": f"{row['author']}: {row['reason']}",
        }
    return pa.Table.from_pylist([newest[pair] for pair in sorted(newest)], OVERRIDE_SCHEMA)


def _read_rows(path: Path) -> list[dict[str, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            "the decisions cannot be read", where=str(path), remedy="save them as CSV UTF-8"
        ) from error
    reader = csv.DictReader(text.splitlines(), strict=True)
    if tuple(reader.fieldnames or ()) != COLUMNS:
        raise ConfigError(
            f"the header is {', '.join(reader.fieldnames or ()) or 'missing'}",
            where=str(path),
            remedy=f"write the header {','.join(COLUMNS)}",
        )
    return [{name: str(row.get(name) or "") for name in COLUMNS} for row in reader]


def _pair(override: Override) -> dict[str, str]:
    return {
        "left_channel": override.left.channel,
        "left_customer_id": override.left.source_customer_id,
        "right_channel": override.right.channel,
        "right_customer_id": override.right.source_customer_id,
    }


def _content(override: Override) -> tuple[str, str, str]:
    return override.kind, override.author, override.reason


def _row(override: Override, decided_at: dt.datetime) -> dict[str, object]:
    kind, author, reason = _content(override)
    return {
        **_pair(override),
        "override_kind": kind,
        "author": author,
        "reason": reason,
        "decided_at": decided_at,
    }


def _standing(connection: sa.Connection, override: Override) -> tuple[str, str, str] | None:
    table = identity_overrides
    matches = [table.c[name] == value for name, value in _pair(override).items()]
    query = sa.select(table).where(*matches).order_by(table.c.override_id.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    return (row.override_kind, row.author, row.reason) if row else None
