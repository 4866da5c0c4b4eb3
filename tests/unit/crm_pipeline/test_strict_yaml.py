"""Settings files say what they mean, or are refused with their line."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from crm_pipeline.lib.errors import ConfigError
from crm_pipeline.lib.strict_yaml import load_document, load_documents, validate


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "file.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.requirement("ING-2")
@pytest.mark.bad_input("B79")
@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "twice"),
        ("a: &x 1\nb: *x\n", 1, "anchors"),
        ("a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]\n", 1, "anchors"),
        ("a: 1\nb: !!python/object/apply:os.system [ls]\n", 2, "tag"),
        ("a: !!str 1\n", 1, "tag"),
        ("a:\n\tb: 1\n", 2, "tab"),
        ("country: NO\n", 1, '"NO"'),
        ("ok: yes\n", 1, '"yes"'),
        ("ok: y\n", 1, '"y"'),
        ("on: 1\n", 1, "true or false"),
        ("a: 010\n", 1, "octal"),
        ("a: 0x1f\n", 1, "base"),
        ("a: 12:30:45\n", 1, "base 60"),
        ("a: 12:30\n", 1, "base 60"),
        ("a: 1_000\n", 1, "underscores"),
        ("a: 2026-01-02\n", 1, "date"),
        ("a: 1e3\n", 1, "differ"),
        ("a: .5\n", 1, "differ"),
        ("a: .inf\n", 1, "finite"),
        ("a: 1\n<<: {b: 2}\n", 2, "special"),
        ("a: [1, 2\n", 2, "YAML"),
        ("a: 1\n b: 2\n", 2, "YAML"),
        ("? [a]\n: 1\n", 1, "key"),
        ("[" * 100 + "]" * 100, 1, "deep"),
    ],
)
def test_b79_what_would_be_read_in_two_ways_is_refused_with_its_line(
    tmp_path: Path, text: str, line: int, words: str
) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        load_documents(written(tmp_path, text))
    assert str(caught.value.where).endswith(f"file.yaml:{line}")
    assert caught.value.remedy


@pytest.mark.bad_input("B79")
@pytest.mark.parametrize("data", [b"a: \xff\n", b"x" * 1_000_001, b"\x00\x01"])
def test_b79_bytes_that_are_no_settings_are_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ConfigError):
        load_documents(written(tmp_path, data))


def test_plain_values_are_read_as_they_look(tmp_path: Path) -> None:
    text = "a: \"NO\"\nb: '010'\nc: 12\nd: -1.50\ne: true\nf:\ng: [x, ~]\n"
    text += 'h: |\n  two\n  lines\ni: "12:30"\n'
    assert load_document(written(tmp_path, text)).data == {
        "a": "NO",
        "b": "010",
        "c": 12,
        "d": -1.5,
        "e": True,
        "f": None,
        "g": ["x", None],
        "h": "two\nlines\n",
        "i": "12:30",
    }


def test_every_key_and_item_knows_its_line(tmp_path: Path) -> None:
    document = load_document(written(tmp_path, "a:\n  b: 1\n  c:\n    - x\n    - z\n"))
    assert document.where(("a", "b")).endswith(":2")
    assert document.where(("a", "c", 1)).endswith(":5")
    assert document.where(("a", "nowhere")).endswith(":1")


def test_several_documents_are_told_apart_and_counted(tmp_path: Path) -> None:
    path = written(tmp_path, "a: 1\n---\nb: 2\n")
    assert [d.data for d in load_documents(path)] == [{"a": 1}, {"b": 2}]
    assert load_documents(path)[1].where(("b",)).endswith(":3")
    with pytest.raises(ConfigError, match="2 YAML documents"):
        load_document(path)


class Cap(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    per_day: int = Field(ge=0, description="messages a day", examples=["3"])
    channel: Literal["sms", "email"]


class Campaign(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    name: str = Field(examples=["win_back"])
    caps: list[Cap] = []
    rate: float = Field(default=0.1, ge=0, le=1)


@pytest.mark.bad_input("B80")
def test_b80_all_problems_come_at_once_each_with_line_and_remedy(tmp_path: Path) -> None:
    text = "nam: x\nrate: 1.5\ncaps:\n  - per_day: -1\n    channel: smss\n"
    text += '  - per_day: "3"\n    channel: email\n    chanel: x\n'
    with pytest.raises(ConfigError) as caught:
        validate(Campaign, load_document(written(tmp_path, text)))
    message = str(caught.value)
    assert "6 problems" in message or "7 problems" in message
    for line, words in [
        (1, "unknown key 'nam'"),
        (1, "'name' is missing"),
        (2, "less than or equal to 1"),
        (4, "greater than or equal to 0"),
        (5, "did you mean 'sms'?"),
        (6, "valid integer"),
        (8, "did you mean 'channel'?"),
    ]:
        assert any(
            (f"file.yaml:{line}: " in row and words in row) or words in row
            for row in message.splitlines()
        ), words
    assert "for example name: win_back" in message


def test_one_problem_stands_at_its_own_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        validate(Campaign, load_document(written(tmp_path, "name: x\ncaps:\n  - channel: sms\n")))
    assert caught.value.where is not None and caught.value.where.endswith(":3")
    assert "for example per_day: 3" in str(caught.value.remedy)
