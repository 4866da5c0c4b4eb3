"""Which records are damaged, and what becomes of them.

Add here: what a class of defects does to a record.
Not here: the kinds (``defects``), the bytes (``files``).
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from simulation.delivery.defects import (
    CellDefect,
    Cells,
    Conflict,
    Correction,
    Defect,
    Duplicate,
    ExtraLine,
    FileDefect,
    HeldBack,
    LineDefect,
    NestedDefect,
)
from simulation.delivery.feed_writer import FeedWriter
from simulation.delivery.plan import DeliveryParameters

SPARED = 4  # at most one record in four is chosen, however small the feed is


def generator(seed: int, *place: object) -> np.random.Generator:
    """Random numbers that depend on the seed and the place alone, on every machine."""
    words = [zlib.crc32(str(part).encode()) for part in place]
    return np.random.default_rng(np.random.Philox(np.random.SeedSequence([seed, *words])))


@dataclass
class Log:
    """What was planted: records or files by feed and kind."""

    counts: dict[tuple[str, Defect], int] = field(default_factory=dict)

    def add(self, feed: str, defect: Defect, count: int = 1) -> None:
        key = (feed, defect)
        self.counts[key] = self.counts.get(key, 0) + count


@dataclass
class Record:
    """The cells of one record; ``nested`` counts the other feed's records inside it."""

    cells: Cells
    nested: int = 0
    line_change: Callable[[str], str] | None = None


@dataclass
class Changes:
    """What a delivery writes otherwise than it stands in the clean records."""

    replaced: dict[int, Record | None] = field(default_factory=dict)  # None: not in this file
    added: list[Record] = field(default_factory=list)
    carried: list[Record] = field(default_factory=list)
    # Records lost by number: of this feed, and of the other feed that reads the line.
    damaged: dict[int, int] = field(default_factory=dict)
    damaged_beside: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Spare:
    """The records of a delivery that may be damaged: 1 to ``records`` but the ``kept`` ones."""

    records: int
    kept: np.ndarray  # numbers in rising order

    def __len__(self) -> int:
        return self.records - len(self.kept)

    def numbers(self, ranks: np.ndarray) -> np.ndarray:
        """The numbers of the records at these places among those that may be damaged."""
        spare_before = self.kept - 1 - np.arange(len(self.kept))
        return ranks + 1 + np.searchsorted(spare_before, ranks, side="right")


class Planter:
    """Chooses records of one feed and damages them."""

    def __init__(
        self, writer: FeedWriter, seed: int, parameters: DeliveryParameters, log: Log
    ) -> None:
        self._writer, self._seed, self._log = writer, seed, log
        self._rate, self._rates = parameters.defect_rate, parameters.damaged_records
        self._kinds = [d for d in writer.defects if not isinstance(d, ExtraLine | FileDefect)]
        self._due: dict[int, list[Defect]] = {}
        self._last = -1

    def spread(self, records: Mapping[int, int]) -> None:
        """Decides in which delivery each kind is planted for sure, given their record counts."""
        if self._rate == 0 or not records:
            return
        random = generator(self._seed, self._writer.feed, "spread")
        turns = sorted(records)
        self._last = turns[-1]
        for kind in self._kinds:
            # There is no file after the last one for which a record could be held back.
            open_turns = turns[:-1] if isinstance(kind, HeldBack) else turns
            if open_turns:
                weights = np.array([records[turn] for turn in open_turns], float)
                place = int(random.choice(len(open_turns), p=weights / weights.sum()))
                self._due.setdefault(open_turns[place], []).append(kind)

    def choose(self, turn: int, spare: Spare) -> dict[int, Defect]:
        """The record numbers to damage among those that may be, each with its defect."""
        random = generator(self._seed, self._writer.feed, turn)
        due = [kind for number in list(self._due) if number <= turn for kind in self._due[number]]
        wanted = list(due)
        for kind in self._kinds:
            wanted += [kind] * int(
                random.binomial(len(spare), min(1.0, kind.rate(self._rates) * self._rate))
            )
        if turn == self._last:
            wanted = [kind for kind in wanted if not isinstance(kind, HeldBack)]
        wanted = wanted[: len(spare) // SPARED]
        for number in [number for number in self._due if number <= turn]:
            del self._due[number]
        if missed := due[len(wanted) :]:
            self._due[turn + 1] = [*missed, *self._due.get(turn + 1, [])]
        places = spare.numbers(random.choice(len(spare), len(wanted), replace=False))
        return dict(zip(places.tolist(), wanted, strict=True))

    def apply(
        self,
        chosen: Mapping[int, Defect],
        records: Mapping[int, Record],
        older: Mapping[int, Cells],
    ) -> Changes:
        """Damages the chosen records. ``older`` has their cells with an older version."""
        changes = Changes()
        for number, defect in sorted(chosen.items()):
            self._damage(changes, number, defect, records[number], older.get(number, {}))
        return changes

    def _damage(
        self, changes: Changes, number: int, defect: Defect, record: Record, older: Cells
    ) -> None:
        siblings = self._writer.siblings
        if isinstance(defect, CellDefect):
            changes.replaced[number] = _with(record, defect.header, defect.change)
            if defect.is_beside:
                self._log.add(siblings[0], defect)
                changes.damaged_beside[number] = 1
            else:
                self._count(
                    changes, number, defect, 1, record.nested if defect.spills else 0, record.nested
                )
        elif isinstance(defect, NestedDefect):
            changes.replaced[number] = _with_nested(
                record, str(self._nested_header), defect.header, defect.change
            )
            self._log.add(siblings[0], defect)
            changes.damaged_beside[number] = 1
        elif isinstance(defect, LineDefect):
            changes.replaced[number] = Record(record.cells, record.nested, defect.change)
            self._count(changes, number, defect, 1, 1, record.nested)
        elif isinstance(defect, Conflict):
            changes.added.append(_with(record, defect.header, defect.change))
            self._count(changes, number, defect, 2, 0, record.nested)
            self._repeat(record)
        elif isinstance(defect, Correction):
            changes.replaced[number] = _with(
                Record(older, record.nested), defect.header, defect.change
            )
            changes.carried.append(record)
            self._count(changes, number, defect, 1, record.nested, record.nested)
        elif isinstance(defect, HeldBack):
            changes.replaced[number] = None
            changes.carried.append(record)
            self._count(changes, number, defect, 1, record.nested, record.nested)
        elif isinstance(defect, Duplicate):
            (changes.carried if defect.is_later else changes.added).append(record)
            self._count(changes, number, defect, 1, record.nested, record.nested)

    @property
    def _nested_header(self) -> str | None:
        return self._writer.nested.header if self._writer.nested else None

    def _count(
        self, changes: Changes, number: int, defect: Defect, own: int, others: int, nested: int
    ) -> None:
        self._log.add(self._writer.feed, defect, own)
        if defect.is_damage:
            changes.damaged[number] = 1
        if not self._writer.siblings or not others:
            return
        # A flat sibling has one record per line, whatever happens to the line.
        for feed in self._writer.siblings:
            self._log.add(feed, defect, others)
        if defect.is_damage:  # a line that cannot be read loses all it holds
            changes.damaged_beside[number] = nested

    def _repeat(self, record: Record) -> None:
        """The other feed's records of a line that was written twice are duplicates."""
        for feed in self._writer.siblings:
            if record.nested:
                self._log.add(feed, Duplicate("duplicate", "B59", "duplicate"), record.nested)


def _with(record: Record, header: str, change: Callable[[Any], Any]) -> Record:
    if header not in record.cells:
        raise KeyError(f"no column is called {header!r}; there are {', '.join(record.cells)}")
    return Record({**record.cells, header: change(record.cells[header])}, record.nested)


def _with_nested(
    record: Record, list_header: str, header: str, change: Callable[[Any], Any]
) -> Record:
    objects = json.loads(record.cells[list_header])
    objects[0][header] = change(objects[0][header])
    changed = json.dumps(objects, ensure_ascii=False)
    return Record({**record.cells, list_header: changed}, record.nested)
