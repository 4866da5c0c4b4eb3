"""What ad platforms take: ``ad_platforms.csv``.

Add here: what a row may say, a spelling a platform wants.
Not here: who is in an audience (``lib/outreach/audience_export``).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from crm_pipeline.lib.errors import RuleError
from crm_pipeline.lib.rules.table import Row, RuleTable, refuse_problems

FILE = "ad_platforms.csv"
COLUMNS = (
    "platform",
    "identifier_kind",
    "address_format",
    "column_name",
    "min_people",
    "min_age",
    "note",
)
# From the spelling of the vault: +8613812345678, and e-mail addresses in small letters.
SPELLINGS: dict[str, dict[str, Callable[[str], str]]] = {
    "phone": {"e164": str, "e164_digits": lambda phone: phone.removeprefix("+")},
    "email": {"email": str.lower, "email_untagged": lambda email: _untagged(email.lower())},
}
_FORMS = (
    ("platform", re.compile(r"[a-z][a-z0-9_]*"), "small letters, digits and underscores"),
    ("column_name", re.compile(r"[A-Za-z][A-Za-z0-9_ ]*"), "letters, digits, underscores"),
    ("note", re.compile(r".+"), "where the row comes from"),
)


@dataclass(frozen=True)
class Identifier:
    """One kind of address as the platform takes it."""

    kind: str
    address_format: str
    column_name: str

    def hash(self, address: str) -> str:
        """SHA-256 of the platform's spelling, in hexadecimal digits."""
        spelled = SPELLINGS[self.kind][self.address_format](address)
        return hashlib.sha256(spelled.encode()).hexdigest()


@dataclass(frozen=True)
class AdPlatform:
    """A platform audiences may be handed to."""

    platform: str
    identifiers: tuple[Identifier, ...]
    min_people: int
    min_age: int


def read_ad_platforms(seeds_dir: Path) -> RuleTable:
    """The table of platforms with every problem in it."""
    table = RuleTable(seeds_dir / FILE, COLUMNS)
    for row in table.rows:
        _check_row(table, row)
    table.unique_together("platform", "identifier_kind")
    table.unique_together("platform", "column_name")
    _check_agreement(table)
    return table


def load_ad_platform(seeds_dir: Path, platform: str) -> AdPlatform:
    """One platform.

    Raises:
        RuleError: The table has a problem, or does not know the platform.
    """
    table = read_ad_platforms(seeds_dir)
    refuse_problems(table.problems, "the ad platforms", seeds_dir)
    rows = [row.cells for row in table.rows if row.cells["platform"] == platform]
    if not rows:
        known = sorted({row.cells["platform"] for row in table.rows})
        raise RuleError(
            f"no ad platform is called {platform!r}",
            where=str(seeds_dir / FILE),
            remedy=f"name one of {', '.join(known)}, or add its rows",
        )
    return AdPlatform(
        platform=platform,
        identifiers=tuple(
            Identifier(row["identifier_kind"], row["address_format"], row["column_name"])
            for row in rows
        ),
        min_people=int(rows[0]["min_people"]),
        min_age=int(rows[0]["min_age"]),
    )


def _untagged(email: str) -> str:
    local, _, domain = email.rpartition("@")
    return f"{local.partition('+')[0]}@{domain}"


def _check_row(table: RuleTable, row: Row) -> None:
    for column, form, remedy in _FORMS:
        if not form.fullmatch(row.cells[column]):
            what = f"'{row.cells[column]}' cannot be read"
            table.complain(row.number, column, what, f"Write {remedy}")
    kind = table.one_of(row, "identifier_kind", tuple(SPELLINGS))
    if kind is not None:
        table.one_of(row, "address_format", tuple(SPELLINGS[kind]))
    for column, least, most in (("min_people", 2, None), ("min_age", 0, 120)):
        number = table.whole_number(row, column, least=least, most=most)
        if number is None and not row.cells[column]:
            table.complain(row.number, column, "it is empty", "Write a whole number")


def _check_agreement(table: RuleTable) -> None:
    """A platform has one least number of people and one least age."""
    first_rows: dict[str, Row] = {}
    for row in table.rows:
        first = first_rows.setdefault(row.cells["platform"], row)
        for column in ("min_people", "min_age"):
            if row.cells[column] != first.cells[column]:
                what = f"row {first.number} says {first.cells[column]} for the same platform"
                table.complain(row.number, column, what, "Write one number for all its rows")
