"""Decisions made into messages with words.

Add here: rendering of many messages, what every journey needs texts for.
Not here: what a text may say (``lib/rules/content_library``), who gets which (dbt, ``decisions``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from crm_pipeline.lib.errors import OutreachError
from crm_pipeline.lib.outreach.journey import JourneySpec
from crm_pipeline.lib.outreach.template import (
    Template,
    clean_value,
    find_forbidden,
    format_template,
    parse_template,
    render,
)
from crm_pipeline.lib.rules.content_library import (
    Content,
    length_problem,
    load_contents,
    resolve,
)
from crm_pipeline.lib.rules.content_policies import (
    BRAND,
    LANGUAGES,
    ContentPolicy,
    content_policies,
)
from crm_pipeline.lib.rules.content_variables import (
    ContentVariable,
    content_variables,
    variables_of,
)
from crm_pipeline.lib.rules.forbidden_words import forbidden_words
from crm_pipeline.lib.rules.tier_labels import labelled_tiers

REFUSED = pa.schema(
    [("decision_id", pa.string()), ("content_id", pa.string()), ("reason", pa.string())]
)


@dataclass(frozen=True)
class ContentLibrary:
    """The texts and everything that is asked of them."""

    contents: Mapping[str, Content]
    policies: Mapping[tuple[str, str, str], ContentPolicy]
    variables: tuple[ContentVariable, ...]
    forbidden: Sequence[tuple[str, Sequence[str]]]
    tiers: tuple[str, ...]


@dataclass(frozen=True)
class Rendered:
    """Messages with words, and those that must not go.

    Attributes:
        messages: the decisions' rows with ``subject``, ``body`` and ``reader``.
        refused: decision_id, content_id, reason; a reason names no value of a customer.
    """

    messages: pa.Table
    refused: pa.Table


@dataclass
class _Made:
    """The texts of the rows so far, by their place in the decisions."""

    subjects: list[str | None]
    bodies: list[str | None]
    readers: list[str | None]
    reasons: dict[int, str] = field(default_factory=dict)


def load_content(seeds_dir: Path) -> ContentLibrary:
    """The library of a project, read strictly.

    Raises:
        RuleError: the library is refused; every row that is wrong is named.
    """
    return ContentLibrary(
        contents=load_contents(seeds_dir),
        policies=content_policies(seeds_dir),
        variables=content_variables(seeds_dir),
        forbidden=forbidden_words(seeds_dir),
        tiers=tuple(sorted({t for names in labelled_tiers(seeds_dir).values() for t in names})),
    )


def render_message(
    library: ContentLibrary, content: Content, variables: Mapping[str, object], brand: str
) -> tuple[str, str]:
    """Subject and body of one message, framed by the policy of its channel.

    Raises:
        TemplateError: a variable is missing or blank.
    """
    policy = library.policies[content.policy_key]
    values = {**variables, BRAND: brand}
    body = render(policy.frame(content.body), values, policy.text_format)
    return render(content.subject, values), body


def render_messages(decisions: pa.Table, library: ContentLibrary, brand: str) -> Rendered:
    """Puts words to decisions; what would be blank, too long or unfit is refused, not mended.

    Args:
        decisions: with decision_id, content_id and variables (a JSON object as text, or null).
        library: the texts.
        brand: who signs.

    Raises:
        OutreachError: nobody signs.
    """
    if not clean_value(brand):
        raise OutreachError(
            "no brand is set, and every message is signed",
            remedy="set CRM_BRAND to the name customers know the shop by",
        )
    blank: list[str | None] = [None] * decisions.num_rows
    made = _Made(blank.copy(), blank.copy(), blank.copy())
    ids = decisions.column("content_id").to_numpy(zero_copy_only=False)
    values = decisions.column("variables").to_pylist()
    for content_id, rows in _group(ids):
        content = library.contents.get(content_id) if content_id else None
        if content is None:
            made.reasons.update(dict.fromkeys(rows, "unknown_content"))
        else:
            _Writer(library, content, brand).write(rows, values, made)
    return _split(decisions, made)


@dataclass(frozen=True)
class Gap:
    """A message nobody could be sent, for want of a text."""

    journey: str
    step: str
    rfm_tier: str
    consent_channel: str
    language: str

    def __str__(self) -> str:
        return (
            f"{self.journey}/{self.step}: {self.rfm_tier}, {self.consent_channel}, {self.language}"
        )


@dataclass(frozen=True)
class Cell:
    """One place of the coverage matrix: the poorest and the richest text a customer may get."""

    journey: str
    step: str
    rfm_tier: str
    consent_channel: str
    language: str
    poorest: Content | None
    richest: Content | None


def coverage(library: ContentLibrary, journeys: Iterable[JourneySpec]) -> list[Cell]:
    """Tier × scene × channel × language: what is said with and without the values that may lack."""
    cells = []
    contents = list(library.contents.values())
    for journey in journeys:
        for step in journey.steps:
            scene = journey.scene_of(step)
            known = variables_of(scene, library.variables)
            shown = known.keys() & set(journey.variables)
            always = frozenset(name for name in shown if not known[name].can_be_null)
            for channel in step.channels:
                for language in LANGUAGES:
                    place = (contents, scene, channel, language)
                    for tier in ("all", *library.tiers):
                        poorest = resolve(*place, tier, always)
                        richest = resolve(*place, tier, frozenset(shown))
                        cells.append(Cell(
                            journey.journey, step.step, tier, channel, language, poorest, richest,
                        ))  # fmt: skip
    return cells


def find_gaps(library: ContentLibrary, journeys: Iterable[JourneySpec]) -> list[Gap]:
    """Every place in which a customer without the values that may lack would get no text."""
    return [
        Gap(cell.journey, cell.step, cell.rfm_tier, cell.consent_channel, cell.language)
        for cell in coverage(library, journeys)
        if cell.poorest is None
    ]


def check_coverage(library: ContentLibrary, journeys: Iterable[JourneySpec]) -> None:
    """Refuses journeys for which a text is missing.

    Raises:
        OutreachError: lists every place without a text.
    """
    gaps = find_gaps(library, journeys)
    if gaps:
        raise OutreachError(
            "texts are missing:\n" + "\n".join(f"  {gap}" for gap in gaps),
            where="dbt_project/seeds/content_library.csv",
            remedy="add a row of the tier all without a variable that may be null for each",
        )


class _Writer:
    """Writes the messages of one text."""

    def __init__(self, library: ContentLibrary, content: Content, brand: str) -> None:
        policy = library.policies[content.policy_key]
        form = policy.text_format
        self._policy, self._names = policy, sorted(content.variables)
        self._reader = content.reader
        signed = {BRAND: clean_value(brand, form)}
        frame = format_template(parse_template(policy.frame(content.body)), form)
        self._body = _prefill(frame, signed)
        self._subject = parse_template(content.subject)
        self._is_unfit = cache(lambda value: find_forbidden(value, library.forbidden) is not None)

    def write(self, rows: Sequence[int], variables: Sequence[str | None], made: _Made) -> None:
        """Fills the text for every row of it."""
        for row in rows:
            values = _read_values(variables[row])
            if values is None:
                made.reasons[row] = "variables_unreadable"
                continue
            reason = self._write_one(row, values, made)
            if reason:
                made.reasons[row] = reason

    def _write_one(self, row: int, values: Mapping[str, Any], made: _Made) -> str | None:
        shown = {
            name: clean_value(values.get(name), self._policy.text_format) for name in self._names
        }
        blank = [name for name in self._names if not shown[name]]
        if blank:
            return f"blank_variable:{blank[0]}"
        body = self._body.fill(shown)
        plain = shown
        if self._policy.text_format != "plain":
            plain = {name: clean_value(values.get(name)) for name in self._names}
        subject = self._subject.fill(plain)
        if length_problem(self._policy, subject, body):
            return "too_long"
        if any(map(self._is_unfit, plain.values())):
            return "forbidden_word"
        made.subjects[row], made.bodies[row] = subject, body
        made.readers[row] = self._reader
        return None


def _prefill(template: Template, known: Mapping[str, str]) -> Template:
    """The template with the values that are the same in every message already in it."""
    literals, names = [template.literals[0]], []
    for name, literal in zip(template.names, template.literals[1:], strict=True):
        if name in known:
            literals[-1] += known[name] + literal
        else:
            names.append(name)
            literals.append(literal)
    return Template(tuple(literals), tuple(names))


def _read_values(text: str | None) -> Mapping[str, Any] | None:
    if not text:
        return {}
    try:
        values = json.loads(text)
    except ValueError:
        return None
    return values if isinstance(values, dict) else None


def _group(ids: np.ndarray) -> Iterable[tuple[str | None, list[int]]]:
    """The rows of each content, in their order."""
    rows: dict[str | None, list[int]] = {}
    for row, content_id in enumerate(ids.tolist()):
        rows.setdefault(content_id, []).append(row)
    return rows.items()


def _split(decisions: pa.Table, made: _Made) -> Rendered:
    whole = decisions.append_column("subject", pa.array(made.subjects, pa.string()))
    whole = whole.append_column("body", pa.array(made.bodies, pa.string()))
    whole = whole.append_column("reader", pa.array(made.readers, pa.string()))
    refused = sorted(made.reasons)
    kept = np.ones(decisions.num_rows, dtype=bool)
    kept[refused] = False
    reasons = decisions.select(["decision_id", "content_id"]).take(pa.array(refused, pa.int64()))
    reasons = reasons.append_column(
        "reason", pa.array([made.reasons[r] for r in refused], pa.string())
    )
    return Rendered(whole.filter(pa.array(kept)), reasons.cast(REFUSED))
