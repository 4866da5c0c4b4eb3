"""What an identifier of each kind may prove: ``identifier_kinds.csv``.

Add here: what the table must hold for this pipeline.
Not here: what a row may say (``ml.identity.semantics``), which columns yield a kind
(``lib/identity/identifiers``).
"""

from __future__ import annotations

from pathlib import Path

from crm_pipeline.lib.rules.table import RuleTable, refuse_problems
from ml.identity import KIND_COLUMNS, IdentifierKind, check_kinds

FILE = "identifier_kinds.csv"
# Every kind the columns of the channels can yield (``lib/identity/identifiers``).
KINDS = (
    "phone",
    "landline",
    "virtual_phone",
    "email",
    "unionid",
    "openid",
    "alipay_id",
    "member_number",
    "oaid",
    "device",
    "address_name",
    "receiver_phone",
    "receiver_address",
)


def read_identifier_kinds(seeds_dir: Path) -> RuleTable:
    """The table with every problem in it."""
    return _read(seeds_dir)[0]


def load_identifier_kinds(seeds_dir: Path) -> tuple[IdentifierKind, ...]:
    """The kinds of a table without problems.

    Raises:
        RuleError: Lists every problem with its row, column and what to write instead.
    """
    table, kinds = _read(seeds_dir)
    refuse_problems(table.problems, "the identifier kinds", seeds_dir / FILE)
    return kinds


def _read(seeds_dir: Path) -> tuple[RuleTable, tuple[IdentifierKind, ...]]:
    table = RuleTable(seeds_dir / FILE, KIND_COLUMNS)
    if not table.rows:
        return table, ()
    kinds, problems = check_kinds([row.cells for row in table.rows])
    for problem in problems:
        table.complain(*problem)
    names = {row.cells["name"]: row.number for row in table.rows}
    for name, number in names.items():
        if name not in KINDS:
            remedy = f"Write one of {', '.join(KINDS)}"
            table.complain(number, "name", f"no column yields '{name}'", remedy)
    missing = [name for name in KINDS if name not in names]
    if missing:
        what = f"no row for {', '.join(missing)}"
        table.complain(len(table.rows) + 2, "name", what, "Say what each of them proves")
    return table, kinds
