"""The table of identifier kinds, well and badly filled in."""

import pytest

from ml.errors import InvalidDataError
from ml.identity import IdentifierKind, Semantics, read_kinds

PHONE = {
    "name": "phone",
    "semantics": "shared",
    "strength": "50",
    "account_limit": "5",
    "valid_days": "365",
    "exclude_patterns": r"\+8613800138000  \+861380000\d{4}",
    "note": "people change numbers",
}


def test_a_row_becomes_a_kind() -> None:
    patterns = (r"\+8613800138000", r"\+861380000\d{4}")
    assert read_kinds([PHONE]) == (IdentifierKind("phone", Semantics.SHARED, 50, 5, 365, patterns),)


def test_empty_cells_and_typed_cells_are_read() -> None:
    rows = [
        {"name": "member", "semantics": "unique", "strength": 80, "account_limit": None},
        {"name": "receiver", "semantics": "receiver", "strength": "", "exclude_patterns": " "},
    ]
    member, receiver = read_kinds(rows)
    assert member == IdentifierKind("member", Semantics.UNIQUE, 80)
    assert (receiver.strength, receiver.links, receiver.is_unique) == (0, False, False)


@pytest.mark.parametrize("semantics", list(Semantics))
def test_masked_and_receiver_alone_never_link(semantics: Semantics) -> None:
    kind = IdentifierKind("any", semantics, 1)
    assert kind.links == (semantics not in (Semantics.MASKED, Semantics.RECEIVER))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"name": "Phone no"}, "row 2, column name: 'Phone no' is no name"),
        ({"name": "override"}, "row 2, column name: 'override' is kept for links people make"),
        ({"semantics": "single"}, "column semantics: 'single' is not known. Write one of unique"),
        ({"strength": ""}, "column strength: it is empty. Write a whole number from 1 to 1000"),
        ({"strength": "0"}, "column strength: '0' does not fit"),
        ({"account_limit": "1"}, "column account_limit: '1' does not fit"),
        ({"account_limit": "five"}, "Write a whole number of 2 or more"),
        ({"valid_days": "-1"}, "column valid_days: '-1' does not fit"),
        ({"semantics": "expiring", "valid_days": ""}, "an expiring kind has none"),
        ({"exclude_patterns": "+86["}, "column exclude_patterns: '+86[' is no regular expression"),
        ({"priority": "1"}, "column priority: this column is not known"),
    ],
)
def test_a_wrong_cell_is_told_with_its_place(change: dict[str, str], told: str) -> None:
    with pytest.raises(InvalidDataError) as caught:
        read_kinds([{**PHONE, **change}])
    assert told in str(caught.value)


def test_all_problems_are_told_at_once() -> None:
    rows = [{**PHONE, "strength": "x"}, {**PHONE, "semantics": ""}, {"name": "email"}]
    with pytest.raises(InvalidDataError) as caught:
        read_kinds(rows)
    lines = str(caught.value).splitlines()
    assert [line.strip().split(":")[0] for line in lines[1:-1]] == [
        "row 2, column strength",
        "row 3, column name",
        "row 3, column semantics",
        "row 4, column semantics",
        "row 4, column strength",
        "row 4, column semantics",
        "row 4, column strength",
    ]
    assert "'phone' is already in row 2" in str(caught.value)


def test_a_table_without_rows_is_refused() -> None:
    with pytest.raises(InvalidDataError, match="the table has no row"):
        read_kinds([])
