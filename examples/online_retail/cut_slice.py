"""Cuts the slice of Online Retail II that this example ships and notes what is true about it.

Add here: which lines are taken.
Not here: consents (``make_consents.py``), how files are read (``crm_pipeline``).

    python examples/online_retail/cut_slice.py --source <folder>

``<folder>`` holds ``online_retail_ii/year_2009_2010.csv`` and ``year_2010_2011.csv`` (the
source's two sheets) and ``online_retail_by_day/<date>.csv`` (the earlier edition of the same
shop, other header names).
The same source always gives the same files: customers and guest invoices are drawn by a keyed hash.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path

HERE = Path(__file__).resolve().parent
PACKED = HERE / "packed"
SEED = "online retail slice 1"
CUSTOMER_SHARE_PCT = 10  # every line of each customer drawn
GUEST_INVOICE_SHARE_PCT = (
    2  # guests are a fifth of the lines; two in a hundred show every kind of dirt
)
YEAR_FILES = ("year_2009_2010.csv", "year_2010_2011.csv")
# The first day lies in the overlap of the two yearly files, the last one closes the data.
DAYS = ("2010-12-01", "2011-03-10", "2011-08-12", "2011-11-17", "2011-12-09")
DIRT_FILE = "zz_planted_bad_lines.csv"
GENUINE_LINES_IN_DIRT = 12

INVOICE, SKU, NAME, QUANTITY, ORDERED_AT, PRICE, CUSTOMER, COUNTRY = range(8)
Row = list[str]

# What is wrong -> the line. Each is wrong in one way only, so that each is quarantined by itself.
GOOD_TAIL = "6,2010-12-03 10:00:00,2.95,,United Kingdom"
PLANTED_BAD_LINES = {
    "too few columns": "536999,22086,PAPER CHAIN KIT 50'S CHRISTMAS,6",
    "too many columns": f"536999,22086,PAPER CHAIN,{GOOD_TAIL},EXTRA",
    "a day that does not exist": "536999,22086,PAPER CHAIN,6,2010-02-30 10:00:00,2.95,,France",
    "a date in words": "536999,22086,PAPER CHAIN,6,yesterday,2.95,,France",
    "a price with two commas": '536999,22086,PAPER CHAIN,6,2010-12-03 10:00:00,"12,34,5",,France',
    "a quantity in words": "536999,22086,PAPER CHAIN,six,2010-12-03 10:00:00,2.95,,France",
    "no stock code": f"536999,,PAPER CHAIN,{GOOD_TAIL}",
    "a quote that never closes": f'536999,22086,"PAPER CHAIN,{GOOD_TAIL}',
}


def is_drawn(kind: str, key: str, share_pct: int) -> bool:
    """Draws ``key`` with probability ``share_pct`` / 100, the same way on every machine."""
    digest = hashlib.sha256(f"{SEED}|{kind}|{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % 100 < share_pct


def is_wanted(row: Row) -> bool:
    """True for each line of a drawn customer, of a drawn guest invoice, and for adjustments."""
    if row[CUSTOMER]:
        return is_drawn("customer", row[CUSTOMER], CUSTOMER_SHARE_PCT)
    is_adjustment = row[INVOICE].startswith("A")
    return is_adjustment or is_drawn("guest", row[INVOICE], GUEST_INVOICE_SHARE_PCT)


def read_lines(path: Path) -> Iterator[tuple[str, Row]]:
    """Yields each line as it stands, and its fields. No field of the source holds a newline."""
    with path.open(encoding="utf-8", newline="") as source:
        for line in source:
            yield line, next(csv.reader([line.rstrip("\r\n")]))


def cut(path: Path) -> tuple[str, list[str], list[Row]]:
    """Returns the header line, the wanted lines unchanged, and their fields."""
    lines = read_lines(path)
    header, _ = next(lines)
    wanted = [(line, row) for line, row in lines if is_wanted(row)]
    return header, [line for line, _ in wanted], [row for _, row in wanted]


def write_packed(target: Path, text: str) -> dict[str, object]:
    """Writes ``text`` gzip-packed without name and time: the same text gives the same bytes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    data = text.encode("utf-8")
    packed = gzip.compress(data, compresslevel=9, mtime=0)
    target.with_name(target.name + ".gz").write_bytes(packed)
    return {"size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def read_packed(path: Path) -> list[Row]:
    """The rows of a packed file, without its header."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as source:
        return list(csv.reader(source))[1:]


def numbered(rows: Iterable[Row]) -> set[tuple[str, ...]]:
    """Each line with the number of its occurrence inside its invoice, in this one file."""
    seen: Counter[tuple[str, ...]] = Counter()
    keys = set()
    for row in rows:
        content = tuple(field.strip() for field in row)
        seen[content] += 1
        keys.add((*content, str(seen[content])))
    return keys


def total(rows: Iterable[tuple[str, ...]]) -> Decimal:
    """Sum of quantity times price, exact."""
    return sum((int(row[QUANTITY]) * Decimal(row[PRICE]) for row in rows), Decimal(0))


def describe(distinct: set[tuple[str, ...]]) -> dict[str, object]:
    """What must come out of any correct reading of the distinct lines."""
    known = [row for row in distinct if row[CUSTOMER]]
    sales = [row for row in known if int(row[QUANTITY]) > 0 and Decimal(row[PRICE]) > 0]
    refunds = [row for row in known if int(row[QUANTITY]) < 0]
    return {
        "distinct_lines": len(distinct),
        "invoices": len({row[INVOICE] for row in distinct}),
        "known_customers": len({row[CUSTOMER] for row in known}),
        "guest_lines": len(distinct) - len(known),
        "cancellation_lines": sum(row[INVOICE].startswith("C") for row in distinct),
        "negative_price_lines": sum(Decimal(row[PRICE]) < 0 for row in distinct),
        "zero_price_lines": sum(Decimal(row[PRICE]) == 0 for row in distinct),
        "first_ordered_at": min(row[ORDERED_AT] for row in distinct),
        "last_ordered_at": max(row[ORDERED_AT] for row in distinct),
        "known_sales": {
            "lines": len(sales),
            "invoices": len({row[INVOICE] for row in sales}),
            "customers": len({row[CUSTOMER] for row in sales}),
            "gross_amount": str(total(sales)),
        },
        "known_refund_amount": str(-total(refunds)),
        "known_net_amount": str(total(sales) + total(refunds)),
    }


def cut_years(source: Path) -> tuple[dict[str, object], list[list[Row]], str, list[str]]:
    """Cuts the yearly files: their description, their rows, header and lines of the last one."""
    files: dict[str, object] = {}
    rows_by_file = []
    header, lines = "", [""]
    for name in YEAR_FILES:
        header, lines, rows = cut(source / "online_retail_ii" / name)
        facts = write_packed(PACKED / "online_retail" / name, header + "".join(lines))
        files[f"online_retail/{name}"] = {"received": len(rows), **facts}
        rows_by_file.append(rows)
    return files, rows_by_file, header, lines


def plant_dirt(header: str, genuine: list[str]) -> dict[str, object]:
    """Writes a few genuine lines again, with broken ones behind them."""
    lines = genuine[:GENUINE_LINES_IN_DIRT] + [f"{line}\n" for line in PLANTED_BAD_LINES.values()]
    facts = write_packed(PACKED / "online_retail" / DIRT_FILE, header + "".join(lines))
    return {
        "received": len(lines),
        "quarantined": len(PLANTED_BAD_LINES),
        "planted": list(PLANTED_BAD_LINES),
        **facts,
    }


def cut_days(source: Path, distinct: set[tuple[str, ...]]) -> dict[str, object]:
    """Cuts the chosen days of the earlier edition; none of their lines may be new."""
    files: dict[str, object] = {}
    for day in DAYS:
        header, lines, rows = cut(source / "online_retail_by_day" / f"{day}.csv")
        unknown = numbered(rows) - distinct
        if unknown:
            raise SystemExit(
                f"{day}: not in the yearly files: {min(unknown)} ({len(unknown)} such)"
            )
        facts = write_packed(
            PACKED / "online_retail_by_day" / f"{day}.csv", header + "".join(lines)
        )
        files[f"online_retail_by_day/{day}.csv"] = {"received": len(rows), **facts}
    return files


def main() -> None:
    """Cuts everything and writes ``expected_totals.json``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--source", type=Path, required=True, help="folder with the public data set"
    )
    source = parser.parse_args().source
    files, rows_by_file, header, last_lines = cut_years(source)
    distinct = set().union(*(numbered(rows) for rows in rows_by_file))
    files[f"online_retail/{DIRT_FILE}"] = plant_dirt(header, last_lines)
    files |= cut_days(source, distinct)
    received = sum(map(len, rows_by_file))
    totals = {
        "files": files,
        "yearly": {"received": received, "duplicate": received - len(distinct)},
        "lines": describe(distinct),
    }
    target = HERE / "expected_totals.json"
    target.write_text(json.dumps(totals, indent=2) + "\n", encoding="utf-8")
    print(f"{received} lines cut, {len(distinct)} distinct; totals in {target.name}")


if __name__ == "__main__":
    main()
