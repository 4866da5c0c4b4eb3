"""What a table of person records is made of and how it is resolved, as declared in a file.

Add here: the declaration and its checks. Not here: what a kind of column means
(``record_columns``), nor how records are matched (``record_rules``, ``splink_engine``).

A term names something to be equal: a column (``email``) or a feature of it (``email.local``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ml.identity.record_reader import RecordSpecError, Section

__all__ = [
    "CONFIDENCE_CLASSES",
    "FEATURES",
    "KINDS",
    "ColumnSpec",
    "DeterministicSpec",
    "ProbabilisticSpec",
    "RecordSpec",
    "RecordSpecError",
    "RuleSpec",
    "Thresholds",
    "load_record_spec",
]

# From the surest to the least sure; loose links are shown and never used.
CONFIDENCE_CLASSES = ("certain", "probable", "loose")

# Features of each kind beside the value itself; ``record_columns`` makes them.
FEATURES: dict[str, tuple[str, ...]] = {
    "name": ("start", "sound"),
    "full_name": ("given", "family", "sorted"),
    "date_of_birth": ("year", "month_day", "year_month", "year_day"),
    "email": ("local", "domain", "local_start"),
    "phone": ("end",),
    "postcode": ("area",),
    "address": ("words",),
    "id": (),
    "text": ("start",),
}
KINDS = tuple(FEATURES)
# Kinds made of several columns of the table, and how many.
_COMBINED = {"full_name": (2, 2), "address": (1, 9)}


@dataclass(frozen=True)
class ColumnSpec:
    """One attribute of a person.

    ``of`` names the table's columns; ``date_format`` (strptime) is of dates only; ``area_length``
    of postcodes, ``start_length`` of names and texts, ``end_length`` of phones say how many
    characters the feature keeps. ``nicknames`` maps a short given name to the full one.
    """

    name: str
    kind: str
    of: tuple[str, ...]
    date_format: str = "%Y-%m-%d"
    area_length: int = 2
    start_length: int = 4
    end_length: int = 8
    nicknames: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class RuleSpec:
    """Two records are one person when all ``terms`` are equal and none is null."""

    name: str
    terms: tuple[str, ...]
    confidence: str = "certain"


@dataclass(frozen=True)
class DeterministicSpec:
    """Rules, and the exact-key baseline: raw values of one of ``exact_keys`` are equal.

    A key shared by more than ``max_records_per_key`` records is junk and links nobody.
    """

    rules: tuple[RuleSpec, ...]
    exact_keys: tuple[str, ...] = ()
    max_records_per_key: int = 100


@dataclass(frozen=True)
class Thresholds:
    """Least match probability of each confidence class."""

    certain: float = 0.99
    probable: float = 0.5
    loose: float = 0.1


@dataclass(frozen=True)
class ProbabilisticSpec:
    """The Fellegi-Sunter model: what is compared, which pairs, and how it learns.

    Args:
        comparisons: Names of columns; each kind has its ladder of likeness.
        blocking: Pairs that agree on all terms of any one entry are compared.
        training: As ``blocking``; within each, EM learns the comparisons it does not touch.
        prior_rules: Sure rules whose pairs, divided by ``prior_recall``, are the first guess of how
            many pairs are one person; the model then corrects it from its own scores.
        similar: Least Jaro-Winkler similarity of values that are alike.
        max_random_pairs: Pairs drawn for the likeness of strangers.
        seed: Of that drawing.
        threads: Of DuckDB; more than one may change the last digits between runs.
        thresholds: Of the confidence classes.
        min_mean_weight: Two groups stay apart when the mean match weight (log2 odds) over all
            pairs of records across them is lower; null joins by any single link.
        absent_weight: Weight of a pair that was not compared, or scored lower.
    """

    comparisons: tuple[str, ...]
    blocking: tuple[tuple[str, ...], ...]
    training: tuple[tuple[str, ...], ...]
    prior_rules: tuple[tuple[str, ...], ...]
    prior_recall: float = 0.7
    similar: float = 0.88
    max_random_pairs: int = 500_000
    seed: int = 1
    threads: int = 1
    thresholds: Thresholds = Thresholds()
    min_mean_weight: float | None = -5.0
    absent_weight: float = -10.0


@dataclass(frozen=True)
class RecordSpec:
    """A checked declaration; a part that is None was not declared."""

    id: str
    columns: tuple[ColumnSpec, ...]
    deterministic: DeterministicSpec | None = None
    probabilistic: ProbabilisticSpec | None = None


def load_record_spec(source: Path | Mapping[str, Any]) -> RecordSpec:
    """Check a declaration.

    Args:
        source: A YAML file, or what a stricter reader made of one.

    Raises:
        RecordSpecError: Unreadable, or an entry is unknown, missing, or of the wrong type; the
            message names its place, such as ``columns.dob.kind``.
    """
    data = _read(source) if isinstance(source, Path) else source
    top = Section("", data).allow("id", "columns", "deterministic", "probabilistic")
    declared = top.section("columns")
    columns = tuple(_parse_column(name, declared.section(name)) for name in declared.data)
    if not columns:
        top.refuse("columns", "is empty", "declare at least one column with its kind")
    terms = _known_terms(columns)
    has_rules, has_model = (name in top.data for name in ("deterministic", "probabilistic"))
    if not (has_rules or has_model):
        top.refuse("", "nothing to resolve by", "declare deterministic, probabilistic, or both")
    return RecordSpec(
        id=top.text("id"),
        columns=columns,
        deterministic=(
            _parse_deterministic(top.section("deterministic"), terms) if has_rules else None
        ),
        probabilistic=(
            _parse_probabilistic(top.section("probabilistic"), terms, columns)
            if has_model
            else None
        ),
    )


def _read(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecordSpecError(
            path.name, f"cannot be read ({error})", remedy="give a YAML file in UTF-8"
        ) from error


def _parse_column(name: str, section: Section) -> ColumnSpec:
    if not (name.isascii() and name.isidentifier() and name == name.lower()):
        section.refuse(
            "", "is no plain name", "use a–z, 0–9 and _, and name the table's column by `of`"
        )
    kind = section.choice("kind", KINDS)
    section.allow("kind", "of", *_OPTIONS.get(kind, ()))
    low, high = _COMBINED.get(kind, (1, 1))
    of = section.texts("of", default=(name,))
    if not low <= len(of) <= high:
        remedy = "full_name takes [given, family]; address any number; other kinds one column"
        section.refuse("of", f"names {len(of)} columns", remedy)
    defaults = ColumnSpec(name, kind, of)
    return ColumnSpec(
        name=name,
        kind=kind,
        of=of,
        date_format=section.text("date_format", default=defaults.date_format),
        area_length=section.count("area_length", defaults.area_length),
        start_length=section.count("start_length", defaults.start_length),
        end_length=section.count("end_length", defaults.end_length),
        nicknames=section.pairs("nicknames"),
    )


_OPTIONS = {
    "name": ("start_length", "nicknames"),
    "full_name": ("nicknames",),
    "text": ("start_length",),
    "email": ("start_length",),
    "date_of_birth": ("date_format",),
    "phone": ("end_length",),
    "postcode": ("area_length",),
}


def _known_terms(columns: Sequence[ColumnSpec]) -> tuple[str, ...]:
    return tuple(
        term
        for column in columns
        for term in (column.name, *(f"{column.name}.{name}" for name in FEATURES[column.kind]))
    )


def _parse_deterministic(section: Section, terms: tuple[str, ...]) -> DeterministicSpec:
    section.allow("rules", "exact_keys", "max_records_per_key")
    rules = tuple(_parse_rule(rule, terms) for rule in section.sections("rules"))
    if len({rule.name for rule in rules}) < len(rules):
        section.refuse("rules", "two rules have the same name", "give every rule its own name")
    return DeterministicSpec(
        rules=rules,
        exact_keys=section.texts("exact_keys", default=()),
        max_records_per_key=section.count(
            "max_records_per_key", DeterministicSpec.max_records_per_key, least=2
        ),
    )


def _parse_rule(section: Section, terms: tuple[str, ...]) -> RuleSpec:
    section.allow("name", "equal", "confidence")
    equal = section.terms("equal", terms)
    return RuleSpec(
        name=section.text("name", default=" + ".join(equal)),
        terms=equal,
        confidence=section.choice("confidence", CONFIDENCE_CLASSES, default="certain"),
    )


def _parse_probabilistic(
    section: Section, terms: tuple[str, ...], columns: Sequence[ColumnSpec]
) -> ProbabilisticSpec:
    section.allow(*ProbabilisticSpec.__dataclass_fields__)
    comparisons = section.texts("comparisons")
    section.refuse_unknown("comparisons", comparisons, [column.name for column in columns])
    default = ProbabilisticSpec
    spec = ProbabilisticSpec(
        comparisons=comparisons,
        blocking=section.term_lists("blocking", terms),
        training=section.term_lists("training", terms),
        prior_rules=section.term_lists("prior_rules", terms),
        prior_recall=section.number("prior_recall", default.prior_recall, 0.01, 1.0),
        similar=section.number("similar", default.similar, 0.5, 1.0),
        max_random_pairs=section.count("max_random_pairs", default.max_random_pairs, least=1000),
        seed=section.count("seed", default.seed, least=0),
        threads=section.count("threads", default.threads),
        thresholds=_parse_thresholds(section.section("thresholds", is_optional=True)),
        min_mean_weight=section.optional_number(
            "min_mean_weight", default.min_mean_weight, -100.0, 100.0
        ),
        absent_weight=section.number("absent_weight", default.absent_weight, -100.0, 0.0),
    )
    by_name = {column.name: column for column in columns}
    _refuse_shared_sources(section, [by_name[name] for name in comparisons])
    _check_training(section, spec, by_name)
    return spec


def _parse_thresholds(section: Section) -> Thresholds:
    section.allow(*CONFIDENCE_CLASSES)
    values = Thresholds(
        certain=section.number("certain", Thresholds.certain, 0.0, 1.0),
        probable=section.number("probable", Thresholds.probable, 0.0, 1.0),
        loose=section.number("loose", Thresholds.loose, 0.0, 1.0),
    )
    if not 0 < values.loose <= values.probable <= values.certain < 1:
        section.refuse("", "do not rise", "keep 0 < loose ≤ probable ≤ certain < 1")
    return values


def _refuse_shared_sources(section: Section, compared: Sequence[ColumnSpec]) -> None:
    reader_of: dict[str, str] = {}
    for column in compared:
        for source in column.of:
            other = reader_of.setdefault(source, column.name)
            if other != column.name:
                section.refuse(
                    "comparisons",
                    f"{other} and {column.name} both read {source}: its evidence would count twice",
                    "compare one of them",
                )


def _check_training(
    section: Section, spec: ProbabilisticSpec, columns: Mapping[str, ColumnSpec]
) -> None:
    """Every comparison needs a training entry that does not hold its columns equal."""
    touched = [
        {source for term in entry for source in columns[term.partition(".")[0]].of}
        for entry in spec.training
    ]
    for name in spec.comparisons:
        if all(sources & set(columns[name].of) for sources in touched):
            section.refuse(
                "training",
                f"no entry leaves {name} free, so it cannot be learned",
                "add an entry on other columns",
            )
