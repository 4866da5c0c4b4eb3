"""Two versions of a rule table are told apart row by row."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from crm_pipeline.lib.rules.edits import compare_tables, is_same_table


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_rows_are_followed_by_their_id_wherever_they_stand(tmp_path: Path) -> None:
    head = "tier,least,rule_id"
    old = write(tmp_path / "old" / "t.csv", head, "core,5,a", "new,1,b", "core,9,c")
    new = write(tmp_path / "new" / "t.csv", head, "core,9,c", "core,4,a", "gold,2,d")
    told = [(edit.kind, edit.key, edit.row_number, edit.cells) for edit in compare_tables(old, new)]
    assert told == [
        ("changed", "a", 3, (("least", "5", "4"),)),
        ("added", "d", 4, (("tier", "", "gold"), ("least", "", "2"), ("rule_id", "", "d"))),
        ("removed", "b", 3, (("tier", "new", ""), ("least", "1", ""), ("rule_id", "b", ""))),
    ]


def test_rows_without_a_name_of_their_own_are_compared_whole(tmp_path: Path) -> None:
    old = write(tmp_path / "old" / "t.csv", "a,b", "x,1", "x,1", "y,1")
    new = write(tmp_path / "new" / "t.csv", "a,b", "x,1", "y,2", "x,2", "x,2")
    told = [(edit.kind, edit.key) for edit in compare_tables(old, new)]
    assert told == [
        ("added", "y, 2"),
        ("added", "x, 2"),
        ("added", "x, 2"),
        ("removed", "x, 1"),
        ("removed", "y, 1"),
    ]
    assert compare_tables(old, old) == []


def test_a_built_table_equals_its_file_whatever_types_its_columns_have(tmp_path: Path) -> None:
    path = write(tmp_path / "s" / "t.csv", "name,least,is_open,note", "a,5,true,", "b,0.50,,x")
    columns = ["name", "least", "is_open", "note"]
    rows = [("b", Decimal("0.500"), None, "x"), ("a", 5.0, True, None)]
    assert is_same_table(path, columns, rows)
    assert not is_same_table(path, columns, rows[:1])
    assert not is_same_table(path, columns, [*rows, rows[0]])
    assert not is_same_table(path, columns, [("b", 0.6, None, "x"), rows[1]])
    assert not is_same_table(path, columns[:3], [row[:3] for row in rows])
