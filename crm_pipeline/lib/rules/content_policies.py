"""What frames a text on each way of contact: ``content_policies.csv``.

Add here: what a policy may say.
Not here: the texts (``content_library``), how they are filled (``lib/outreach/template``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from crm_pipeline.lib.consent.opt_outs import is_opt_out
from crm_pipeline.lib.outreach.template import TemplateError, TextFormat, parse_template
from crm_pipeline.lib.rules.table import Row, RuleTable

FILE = "content_policies.csv"
READERS = ("customer", "advisor")
CHANNELS = ("email", "sms", "wecom", "push")
LANGUAGES = ("zh-CN", "en")
FORMATS = ("plain", "html")
BRAND = "brand"
COLUMNS = (
    "policy_id", "reader", "consent_channel", "language", "text_format", "max_subject_signs",
    "max_signs", "max_parts", "signature", "opt_out", "note",
)  # fmt: skip
SMS_SIGNATURE = "【{brand}】"
# The answer a text asks for: in quotation marks, or the letters after the verb.
_ANSWER = re.compile(r"(?:回复|[Rr]eply(?: with)?) ?[“\"]?([A-Z]+|退订|unsubscribe)\b")


@dataclass(frozen=True)
class ContentPolicy:
    """The frame of a text and how long it may be."""

    reader: str
    consent_channel: str
    language: str
    text_format: TextFormat
    max_subject_signs: int | None
    max_signs: int | None
    max_parts: int | None
    signature: str
    opt_out: str

    @property
    def key(self) -> tuple[str, str, str]:
        """Whom, how and in which language."""
        return self.reader, self.consent_channel, self.language

    def frame(self, body: str) -> str:
        """The body between the signature and the way to say no."""
        gap = "" if self.language == "zh-CN" or self.opt_out.startswith("\\n") else " "
        return self.signature + body + (gap + self.opt_out if self.opt_out else "")


def read_content_policies(seeds_dir: Path) -> RuleTable:
    """The table of policies with every problem in it."""
    table = RuleTable(seeds_dir / FILE, COLUMNS)
    for row in table.rows:
        table.one_of(row, "reader", READERS)
        table.one_of(row, "consent_channel", CHANNELS)
        table.one_of(row, "language", LANGUAGES)
        table.one_of(row, "text_format", FORMATS)
        for column in ("max_subject_signs", "max_signs", "max_parts"):
            table.whole_number(row, column, least=1, most=10_000)
        _check_length(table, row)
        _check_frame(table, row)
    if table.rows:
        table.unique("policy_id")
        table.unique_together("reader", "consent_channel", "language")
        _check_every_channel_has_a_policy(table)
    return table


def content_policies(seeds_dir: Path) -> dict[tuple[str, str, str], ContentPolicy]:
    """The policies by reader, channel and language; empty when the table cannot be read."""
    table = read_content_policies(seeds_dir)
    made = [] if table.problems else [_make(row) for row in table.rows]
    return {policy.key: policy for policy in made}


def _make(row: Row) -> ContentPolicy:
    cells = row.cells
    numbers = {
        name: int(cells[name]) if cells[name] else None
        for name in ("max_subject_signs", "max_signs", "max_parts")
    }
    form: TextFormat = "html" if cells["text_format"] == "html" else "plain"
    words = {
        name: cells[name]
        for name in ("reader", "consent_channel", "language", "signature", "opt_out")
    }
    return ContentPolicy(text_format=form, **words, **numbers)  # type: ignore[arg-type]


def _check_length(table: RuleTable, row: Row) -> None:
    wanted = "max_parts" if row.cells["consent_channel"] == "sms" else "max_signs"
    if not row.cells[wanted]:
        table.complain(row.number, wanted, "it is empty", "Write how long a message may be")


def _check_frame(table: RuleTable, row: Row) -> None:
    for column in ("signature", "opt_out"):
        try:
            unknown = parse_template(row.cells[column]).variables - {BRAND}
        except TemplateError as error:
            table.complain(row.number, column, error.what, "Only {brand} may stand there")
            continue
        for name in sorted(unknown):
            table.complain(row.number, column, f"{{{name}}} is not known", "Write {brand}")
    if row.cells["consent_channel"] == "sms" and row.cells["signature"] != SMS_SIGNATURE:
        what = f"'{row.cells['signature']}' is no signature of an SMS"
        table.complain(row.number, "signature", what, f"Write {SMS_SIGNATURE}")
    if row.cells["reader"] != "customer":
        return
    if not row.cells["opt_out"]:
        table.complain(row.number, "opt_out", "it is empty", "Say how to get no more messages")
    elif row.cells["consent_channel"] != "push" and not _is_understood(row.cells["opt_out"]):
        what = "no word in it is understood when it is answered"
        remedy = "Ask for an answer lib/consent/opt_outs.py knows: 回复R, reply “unsubscribe”"
        table.complain(row.number, "opt_out", what, remedy)


def _is_understood(opt_out: str) -> bool:
    """Whether it names an answer that is taken as an opt-out."""
    answers = _ANSWER.findall(opt_out)
    return any(is_opt_out(answer) for answer in answers)


def _check_every_channel_has_a_policy(table: RuleTable) -> None:
    there = {tuple(row.cells[c] for c in COLUMNS[1:4]) for row in table.rows}
    for channel in CHANNELS:
        for language in LANGUAGES:
            if ("customer", channel, language) not in there:
                what = f"no policy frames {channel} in {language} for customers"
                table.complain(len(table.rows) + 1, "consent_channel", what, "Add a row")
