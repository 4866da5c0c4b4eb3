"""The reconciliation on paper.

Add here: a line of the report, a column of the reject file.
Not here: figures (``reconcile``).

The report (Markdown and JSON) holds counts and sums, and names files by their hash: anybody may
read it. The reject files hold records as they came: only the owner may read them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from crm_pipeline.lib.files import atomic_path
from crm_pipeline.lib.home import PRIVATE, CrmHome
from crm_pipeline.lib.ingestion.reasons import RECORD_REASONS
from crm_pipeline.lib.legacy.control import Control
from crm_pipeline.lib.legacy.reconcile import OUTCOMES, Figures, FileResult, Reconciliation
from crm_pipeline.lib.spreadsheet import write_private_csv

COLUMNS = ("file", "record_number", "reason_code", "column", "reason", "what_to_do", "raw_record")
CONFLICT = "another record has the same key and other content"
WHAT_TO_DO: dict[str, str] = {
    "not_a_record": "nothing: a total line is no customer",
    "key": "give the customer a number in the old system and export again",
    "conflict": "decide which of the records is right, delete the others and export again: "
    "the later delivery counts",
    "columns": "export again with quotes around fields that hold the separator",
    "truncated": "export again: the file may be cut off",
    "encoding": "export again in one encoding: characters are lost",
    "enum": "add the word to the map of this column, then crm replay",
    "date": "correct the date, or add its format to the feed, then crm replay",
    "timestamp": "correct the time, or add its format to the feed, then crm replay",
    "number": "correct the number in the old system and export again",
    "misplaced_personal_data": "move the number to its own column and export again",
}
ELSE = "correct the value in the old system and export again, or declare it in the feed"


def folder_of(home: CrmHome) -> Path:
    """Where reports of legacy imports are."""
    return home.reports / "legacy"


def write_report(home: CrmHome, found: Reconciliation) -> Path:
    """Writes report and reject files of one feed anew; returns the Markdown file."""
    folder = folder_of(home)
    _write_rejects(folder / "rejects" / found.feed, found)
    document = describe(found)
    _write(folder / f"{found.feed}.json", json.dumps(document, ensure_ascii=False, indent=2) + "\n")
    target = folder / f"{found.feed}.md"
    _write(target, "\n".join(_lines(found)) + "\n")
    return target


def last_findings(home: CrmHome, feed: str, inputs: str) -> list[str] | None:
    """What the report of the same inputs found, if there is one: nights cost what is new."""
    try:
        said = json.loads((folder_of(home) / f"{feed}.json").read_text(encoding="utf-8"))
        return [str(text) for text in said["findings"]] if said["inputs"] == inputs else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _write_rejects(folder: Path, found: Reconciliation) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for private in (folder, folder.parent):
        private.chmod(PRIVATE)
    wanted = set()
    for file in found.files:
        if file.rejects or file.refused:
            path = folder / f"{file.file_id}.csv"
            wanted.add(path)
            write_private_csv(path, COLUMNS, _reject_rows(file))
    for old in set(folder.glob("*.csv")) - wanted:
        old.unlink()  # rejected then, taken over now


def _reject_rows(file: FileResult) -> Iterator[dict[str, str]]:
    if file.refused:
        code = file.refused.partition(":")[0]
        yield _row(
            file, "", code, "", file.refused, "deliver the file again; no record was taken over", ""
        )
    for reject in file.rejects:
        reason = RECORD_REASONS.get(reject.reason_code, CONFLICT)
        yield _row(
            file,
            str(reject.record_number),
            reject.reason_code,
            reject.column_name,
            reason,
            WHAT_TO_DO.get(reject.reason_code, ELSE),
            reject.raw_record,
        )


def _row(file: FileResult, *values: str) -> dict[str, str]:
    return dict(zip(COLUMNS, (file.file_name, *values), strict=True))


def describe(found: Reconciliation) -> dict[str, Any]:
    """The report for machines; sums are texts, so that no digit is lost."""
    return {
        "feed": found.feed,
        "entity": found.entity,
        "matches": found.matches,
        "findings": found.findings,
        "inputs": found.inputs,
        "files": [
            {
                "file": file.file_id,
                "declared": _control(file.declared),
                "source": _figures(file.source),
                **{name: _figures(file.outcomes.get(name, Figures())) for name in OUTCOMES},
                "total_lines": file.total_lines,
                "unreadable": dict(file.unreadable),
                "rejected_by_reason": dict(file.reasons),
                "refused": file.refused,
                "findings": list(file.findings),
            }
            for file in found.files
        ],
    }


def _figures(figures: Figures) -> dict[str, Any]:
    sums = {name: _text(name, total) for name, total in figures.sums.items()}
    return {"records": figures.records, "distinct_keys": figures.keys, "sums": sums}


def _control(control: Control | None) -> dict[str, Any] | None:
    if control is None:
        return None
    sums = {name: _text(name, total) for name, total in control.sums.items()}
    return {"records": control.records, "distinct_keys": control.distinct_keys, "sums": sums}


def _text(column: str, number: Decimal) -> str:
    """Every digit that is there; of money two behind the point at least."""
    whole, _, rest = f"{number:f}".partition(".")
    rest = rest.rstrip("0").ljust(2 if column.endswith("_amount") else 0, "0")
    return f"{whole}.{rest}" if rest else whole


def _lines(found: Reconciliation) -> Iterator[str]:
    verdict = "Everything agrees." if found.matches else "**It does not agree:**"
    yield f"# Legacy import: {found.feed}\n"
    yield "Source = accepted + duplicate + rejected, counted anew from the kept raw files.\n"
    yield verdict + "\n"
    yield from (f"- {finding}" for finding in found.findings)
    for file in found.files:
        yield from _file_lines(found, file)
        yield ""
    if not found.files:
        yield "No file has been delivered."


def _file_lines(found: Reconciliation, file: FileResult) -> Iterator[str]:
    yield f"## File {file.file_id}\n"
    if file.refused:
        yield f"Refused as a whole: {file.refused}"
        return
    yield "| | declared | source | accepted | duplicate | rejected |"
    yield "|---|--:|--:|--:|--:|--:|"
    declared = file.declared or Control()
    sides = [file.source, *(file.outcomes.get(name, Figures()) for name in OUTCOMES)]
    yield _line("records", declared.records, [str(side.records) for side in sides])
    yield _line("distinct keys", declared.distinct_keys, [str(side.keys) for side in sides])
    for name in found.columns:
        said = declared.sums.get(name)
        sums = [_text(name, side.sums.get(name, Decimal(0))) for side in sides]
        yield _line(name, None if said is None else _text(name, said), sums)
    if file.total_lines:
        yield f"\nTotal lines of the source, which are no records: {file.total_lines}."
    for name, count in file.unreadable.items():
        yield f"\n{name}: {count} values of rejected records are no numbers and in no sum."
    if file.reasons:
        reasons = ", ".join(f"{code} {count}" for code, count in file.reasons.items())
        yield f"\nRejected because: {reasons}."
        yield f"Each record: `rejects/{found.feed}/{file.file_id}.csv`."


def _line(what: str, declared: object, values: list[str]) -> str:
    return f"| {what} | {'' if declared is None else declared} | {' | '.join(values)} |"
