"""Declarations of person records: what is refused, where, and the shipped examples."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from ml.identity.record_spec import RecordSpecError, Thresholds, load_record_spec

EXAMPLES = Path(__file__).resolve().parents[4] / "examples" / "identity"

GOOD: dict[str, Any] = {
    "id": "key",
    "columns": {
        "given": {"kind": "name", "of": "First name"},
        "full_name": {"kind": "full_name", "of": ["First name", "Last name"]},
        "birth": {"kind": "date_of_birth", "date_format": "%d.%m.%Y"},
        "email": {"kind": "email"},
    },
    "deterministic": {"rules": [{"equal": ["email.local", "birth"]}], "exact_keys": ["email"]},
    "probabilistic": {
        "comparisons": ["full_name", "birth", "email"],
        "blocking": ["birth", ["given.sound", "birth.year"]],
        "training": ["birth", "email"],
        "prior_rules": ["email"],
    },
}


def change(path: str, value: Any) -> dict[str, Any]:
    """``GOOD`` with one entry set, or removed by ``...``."""
    data = deepcopy(GOOD)
    *parents, last = path.split("/")
    place = data
    for key in parents:
        place = place[key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return data


def test_a_declaration_is_read_with_every_default_visible() -> None:
    spec = load_record_spec(GOOD)
    assert spec.deterministic and spec.probabilistic
    assert spec.columns[0].of == ("First name",)
    assert spec.columns[3].of == ("email",)
    assert spec.deterministic.rules[0].name == "email.local + birth"
    assert spec.deterministic.rules[0].confidence == "certain"
    assert spec.probabilistic.blocking == (("birth",), ("given.sound", "birth.year"))
    assert spec.probabilistic.thresholds == Thresholds()


@pytest.mark.parametrize("name", ["febrl.yaml", "splink_fake.yaml"])
def test_the_shipped_examples_are_valid(name: str) -> None:
    data = yaml.safe_load((EXAMPLES / name).read_text(encoding="utf-8"))
    assert load_record_spec(EXAMPLES / name) == load_record_spec(data)


@pytest.mark.parametrize(
    ("path", "value", "where", "said"),
    [
        ("id", ..., "id", "is missing"),
        ("id", 7, "id", "is no text"),
        ("colums", {}, "declaration", "unknown colums"),
        ("columns", {}, "columns", "is empty"),
        ("columns", ["email"], "columns", "is no mapping"),
        ("columns/email/kind", "mail", "columns.email.kind", "unknown mail"),
        ("columns/email/date_format", "%Y", "columns.email", "unknown date_format"),
        ("columns/full_name/of", ["First name"], "columns.full_name.of", "names 1 columns"),
        ("columns/E-mail", {"kind": "email"}, "columns.E-mail", "is no plain name"),
        ("columns/given/start_length", 0, "columns.given.start_length", "is 0"),
        ("columns/given/nicknames", {"rob": True}, "columns.given.nicknames.rob", "is no text"),
        ("deterministic/rules", [], "deterministic.rules", "an empty one"),
        ("deterministic/rules", [{"equal": ["phone"]}], "rules[0].equal", "unknown phone"),
        ("deterministic/rules", [{"equal": ["email.x"]}], "rules[0].equal", "unknown email.x"),
        ("deterministic/rules", [{"equal": []}], "rules[0].equal", "an empty one"),
        (
            "deterministic/rules",
            [{"equal": "email", "confidence": "sure"}],
            "rules[0].confidence",
            "known are: certain, probable, loose",
        ),
        (
            "deterministic/rules",
            [{"equal": "email"}, {"equal": "email"}],
            "deterministic.rules",
            "the same name",
        ),
        ("deterministic/max_records_per_key", 1, "max_records_per_key", "at least 2"),
        ("probabilistic/comparisons", ["age"], "probabilistic.comparisons", "unknown age"),
        ("probabilistic/comparisons", ["email", "email"], "comparisons", "something twice"),
        (
            "probabilistic/comparisons",
            ["full_name", "given"],
            "probabilistic.comparisons",
            "both read First name",
        ),
        ("probabilistic/blocking", [["birth", 3]], "blocking[0]", "holds 3"),
        ("probabilistic/training", ["birth"], "probabilistic.training", "leaves birth free"),
        ("probabilistic/prior_recall", 2, "prior_recall", "is 2"),
        ("probabilistic/prior_recall", True, "prior_recall", "is True"),
        ("probabilistic/seed", 1.5, "probabilistic.seed", "is 1.5"),
        ("probabilistic/thresholds", {"probable": 0.999}, "probabilistic.thresholds", "rise"),
        ("probabilistic/thresholds", {"sure": 0.9}, "probabilistic.thresholds", "unknown sure"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(
    path: str, value: Any, where: str, said: str
) -> None:
    with pytest.raises(RecordSpecError) as refusal:
        load_record_spec(change(path, value))
    assert where in refusal.value.where
    assert said in str(refusal.value)
    assert "do: " in str(refusal.value)


def test_a_declaration_without_any_engine_is_refused() -> None:
    data = {key: GOOD[key] for key in ("id", "columns")}
    with pytest.raises(RecordSpecError, match="nothing to resolve by"):
        load_record_spec(data)


def test_the_veto_can_be_switched_off_on_purpose() -> None:
    spec = load_record_spec(change("probabilistic/min_mean_weight", None))
    assert spec.probabilistic and spec.probabilistic.min_mean_weight is None


@pytest.mark.parametrize("text", ["id: [", "- a list", "\xff"])
def test_an_unreadable_file_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "people.yaml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(RecordSpecError, match=r"people\.yaml|is no mapping"):
        load_record_spec(path)
