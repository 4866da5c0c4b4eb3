"""The texts of messages: ``content_library.csv``.

Add here: what a row of the library may say.
Not here: who gets which row (dbt), how it is filled (``lib/outreach/content``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from crm_pipeline.lib.outreach.template import (
    TemplateError,
    find_forbidden,
    parse_template,
    render,
    sms_parts,
)
from crm_pipeline.lib.rules.content_policies import (
    BRAND,
    CHANNELS,
    LANGUAGES,
    READERS,
    ContentPolicy,
    content_policies,
)
from crm_pipeline.lib.rules.content_variables import (
    ContentVariable,
    content_variables,
    variables_of,
)
from crm_pipeline.lib.rules.forbidden_words import forbidden_words
from crm_pipeline.lib.rules.table import Row, RuleTable, refuse_problems
from crm_pipeline.lib.rules.tier_labels import labelled_tiers

FILE = "content_library.csv"
COLUMNS = (
    "content_id", "reader", "scene", "rfm_tier", "consent_channel", "language", "content_version",
    "subject", "body", "note",
)  # fmt: skip
ALL_TIERS = "all"
# A brand as long as this fits every text; a longer one is told when a text no longer does.
LONGEST_BRAND = "一二三四五六七八九十"

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_OPT_OUT = re.compile(r"退订|拒收|unsubscribe|opt out", re.IGNORECASE)


@dataclass(frozen=True)
class Content:
    """One text of the library."""

    content_id: str
    reader: str
    scene: str
    rfm_tier: str
    consent_channel: str
    language: str
    content_version: str
    subject: str
    body: str
    note: str = ""

    @property
    def policy_key(self) -> tuple[str, str, str]:
        """Which policy frames it."""
        return self.reader, self.consent_channel, self.language

    @property
    def variables(self) -> frozenset[str]:
        """What it shows."""
        return parse_template(self.subject).variables | parse_template(self.body).variables


def read_content_library(seeds_dir: Path) -> RuleTable:
    """The library with every problem in it."""
    table = RuleTable(seeds_dir / FILE, COLUMNS)
    tiers = sorted({tier for names in labelled_tiers(seeds_dir).values() for tier in names})
    lint = _Lint(table, seeds_dir)
    for row in table.rows:
        for column in ("content_id", "scene"):
            if row.cells[column] and not _NAME.fullmatch(row.cells[column]):
                table.complain(row.number, column, f"'{row.cells[column]}' is no name",
                               "Write small letters, digits and _")  # fmt: skip
        table.one_of(row, "reader", READERS)
        if tiers:
            table.one_of(row, "rfm_tier", (ALL_TIERS, *tiers))
        table.one_of(row, "consent_channel", CHANNELS)
        table.one_of(row, "language", LANGUAGES)
        for column in ("scene", "content_version", "body"):
            if not row.cells[column]:
                table.complain(row.number, column, "it is empty", "Write it: nothing blank is sent")
        lint.check(row)
    if table.rows:
        table.unique("content_id")
        _check_each_place_has_one_text(table)
    return table


def load_contents(seeds_dir: Path) -> dict[str, Content]:
    """The library by content id.

    Raises:
        RuleError: the library is refused.
    """
    table = read_content_library(seeds_dir)
    refuse_problems(table.problems, "the content library", seeds_dir)
    return {content.content_id: content for content in map(_make, table.rows)}


def _make(row: Row) -> Content:
    return Content(**{name: row.cells[name] for name in COLUMNS})


class _Lint:
    """Holds every text against the policies, the variables and the forbidden words."""

    def __init__(self, table: RuleTable, seeds_dir: Path) -> None:
        self._table = table
        self._policies = content_policies(seeds_dir)
        self._variables = content_variables(seeds_dir)
        self._forbidden = forbidden_words(seeds_dir)

    def check(self, row: Row) -> None:
        """Complains about what a text may not say or be."""
        content = _make(row)
        try:
            shown = content.variables
        except TemplateError as error:
            column = "body" if _is_template(content.subject) else "subject"
            self._table.complain(row.number, column, error.what, error.remedy or "")
            return
        known = variables_of(content.scene, self._variables)
        self._check_variables(row, content, shown, known)
        self._check_words(row, content)
        policy = self._policies.get(content.policy_key)
        if policy is not None and shown <= known.keys():
            self._check_subject(row, content, policy)
            self._check_lengths(row, content, policy, known)

    def _check_variables(
        self, row: Row, content: Content, shown: frozenset[str], known: dict[str, ContentVariable]
    ) -> None:
        for name in sorted(shown - known.keys()):
            what = f"{{{name}}} is no variable of {content.scene}"
            remedy = "Take it out, or add it to content_variables.csv"
            self._table.complain(row.number, "body", what, remedy)
        foreign = "_en" if content.language == "zh-CN" else "_zh"
        for name in sorted(name for name in shown if name.endswith(foreign)):
            what = f"{{{name}}} is of another language"
            self._table.complain(row.number, "body", what, f"Write a text in {content.language}")

    def _check_words(self, row: Row, content: Content) -> None:
        for column, text in (("subject", content.subject), ("body", content.body)):
            word = find_forbidden(text, self._forbidden)
            if word is not None:
                what = f"'{word}' is in forbidden_words.csv"
                self._table.complain(row.number, column, what, "Say it without a superlative")
            if "【" in text or "】" in text:
                what = "it has a signature of its own"
                self._table.complain(row.number, column, what, "The policy signs it: take it out")
        is_sms = content.reader == "customer" and content.consent_channel == "sms"
        if is_sms and _OPT_OUT.search(content.body):
            what = "it has opt-out words of its own"
            self._table.complain(row.number, "body", what, "The policy says them: take it out")

    def _check_subject(self, row: Row, content: Content, policy: ContentPolicy) -> None:
        if policy.max_subject_signs is None and content.subject:
            what = f"{content.consent_channel} has no subject"
            self._table.complain(row.number, "subject", what, "Leave it empty")
        elif policy.max_subject_signs is not None and not content.subject:
            self._table.complain(
                row.number, "subject", "it is empty", "Write what people see first"
            )

    def _check_lengths(
        self, row: Row, content: Content, policy: ContentPolicy, known: dict[str, ContentVariable]
    ) -> None:
        longest = {name: known[name].longest(content.language) for name in content.variables}
        longest[BRAND] = LONGEST_BRAND
        problem = length_problem(
            policy, render(content.subject, longest), render(policy.frame(content.body), longest)
        )
        if problem is not None:
            what = f"with the longest values {problem}"
            remedy = "Shorten the text, or max_signs in content_variables.csv"
            self._table.complain(row.number, "body", what, remedy)


def length_problem(policy: ContentPolicy, subject: str, text: str) -> str | None:
    """Why a rendered message is too long, if it is."""
    if policy.max_subject_signs is not None and len(subject) > policy.max_subject_signs:
        return f"the subject has {len(subject)} signs of {policy.max_subject_signs}"
    if policy.max_signs is not None and len(text) > policy.max_signs:
        return f"it has {len(text)} signs of {policy.max_signs}"
    if policy.max_parts is not None and sms_parts(text) > policy.max_parts:
        return f"the SMS has {sms_parts(text)} parts of {policy.max_parts}"
    return None


def specificity(content: Content) -> tuple[int, int, str]:
    """The order in which texts are tried: a tier's own first, then the one that shows most."""
    return int(content.rfm_tier == ALL_TIERS), -len(content.variables), content.content_id


def resolve(
    contents: Sequence[Content], scene: str, channel: str, language: str, tier: str | None,
    filled: frozenset[str],
) -> Content | None:  # fmt: skip
    """The text for a customer whose ``filled`` variables are not blank; None where none fits."""
    fitting = [
        content
        for content in contents
        if (content.scene, content.consent_channel, content.language) == (scene, channel, language)
        and content.rfm_tier in (ALL_TIERS, tier)
        and content.variables <= filled
    ]
    return min(fitting, key=specificity, default=None)


def _is_template(text: str) -> bool:
    try:
        parse_template(text)
    except TemplateError:
        return False
    return True


def _check_each_place_has_one_text(table: RuleTable) -> None:
    first_rows: dict[tuple[object, ...], int] = {}
    for row in table.rows:
        content = _make(row)
        if not (_is_template(content.subject) and _is_template(content.body)):
            continue
        place = (*(row.cells[name] for name in COLUMNS[2:6]), content.variables)
        if place in first_rows:
            what = f"row {first_rows[place]} has the same scene, tier, channel, language, variables"
            table.complain(row.number, "body", what, "Keep one of the two")
        first_rows.setdefault(place, row.number)
