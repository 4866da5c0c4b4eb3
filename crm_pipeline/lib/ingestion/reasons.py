"""Why a record or a file was not taken.

Add here: a code and its meaning, before using it.
Not here: the checks.
"""

from __future__ import annotations

RECORD_REASONS: dict[str, str] = {
    "columns": "the line has more or fewer fields than the header",
    "quote": "a quoted field is followed by something else",
    "unclosed_quote": "a quote opens and never closes",
    "truncated": "the last line has no end, so it may be cut off",
    "nul": "the record holds a NUL byte",
    "field_too_long": "a field is longer than 1 MB",
    "not_a_record": "a total line of the source",
    "json": "the line is no JSON object by the strict rules",
    "encoding": "characters were destroyed before the file came",
    "key": "a part of the record's own key is absent",
    "required": "a required value is absent",
    "number": "the value is no plain number",
    "precision": "a spreadsheet rounded the value (1.2E+17)",
    "decimals": "more digits behind the point than declared",
    "range": "outside the plausible range",
    "zero": "zero, which the feed does not declare",
    "negative": "below zero, which the feed does not declare",
    "sign": "a refund that is not below zero, or a sale that is",
    "currency": "no ISO 4217 code",
    "mixed_currency": "one document in several currencies",
    "timestamp": "no instant by the declared formats",
    "date": "no date by the declared formats",
    "dst_gap": "a local time that the clock skipped",
    "future": "later than the record could be known",
    "enum": "a value that is not mapped",
    "boolean": "neither true nor false",
    "length": "longer than plausible",
    "misplaced_personal_data": "a phone, card or identity number where none belongs",
    "known_at": "the delivery time cannot be read",
    "version": "the version cannot be read",
    "erased": "removed by an erasure request",
}

FILE_REASONS: dict[str, str] = {
    "empty": "no byte in it",
    "header": "no header, or not the declared one",
    "personal_column": "an unasked column with personal data",
    "too_many_columns": "more columns than any table has",
    "encoding": "not in the declared encoding",
    "archive": "packed; archives are never unpacked",
    "archive_limits": "an office file that would unpack without measure",
    "encrypted": "locked by a password",
    "macros": "holds program code",
    "error_body": "an error message saved as data",
    "unreadable": "damaged, or not of the declared kind",
    "type_contract": "typed columns of other types than the contract's",
    "line_too_long": "a line without end",
    "too_large": "too large for a kind of file that cannot be streamed",
    "min_records": "fewer records than declared",
    "manifest": "its manifest cannot be understood",
    "size_differs": "its size differs from the manifest",
    "sha256_differs": "its hash differs from the manifest",
    "records_differ": "its record count differs from the manifest",
    "control_total": "its sum differs from the manifest",
    "known_at": "its name does not hold the delivery time",
    "raw_missing": "its raw bytes are gone",
    "raw_damaged": "its raw bytes are damaged",
    "not_a_file": "a link, folder, pipe or device",
    "unexpected": "the parser failed on it",
}
