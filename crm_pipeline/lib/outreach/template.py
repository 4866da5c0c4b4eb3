"""The texts of messages: what may stand in one, how it is filled, how long an SMS is.

Add here: a rule about one text, whatever its scene.
Not here: which text is chosen (dbt), the tables of texts (``lib/rules``), batches (``content``).

A placeholder is a name in braces, ``{product_name}``, and nothing else: no attribute, no index, no
format, no Jinja. A value is text of strangers: it is put in once and never read again.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from crm_pipeline.lib.errors import OutreachError

TextFormat = Literal["plain", "html"]

_PIECE = re.compile(r"\{([^{}]*)\}|([{}])")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
# GSM 03.38: the alphabet of an SMS of 160 signs; those of the second list count twice.
_GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡"
    "ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_TWICE = frozenset("^{}\\[~]|€\f")
_GSM_SIGNS, _GSM_PART = 160, 153
_UCS2_UNITS, _UCS2_PART = 70, 67
# Shops write 【 】 into names of products; carriers take them for the sender's signature.
_NO_SIGNATURE = str.maketrans({"【": "[", "】": "]"})


class TemplateError(OutreachError):
    """A text may not be used, or not with these values."""


@dataclass(frozen=True)
class Template:
    """A text taken apart: ``literals`` has one more piece than there are ``names``."""

    literals: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def variables(self) -> frozenset[str]:
        """The names of its placeholders."""
        return frozenset(self.names)

    def fill(self, values: Mapping[str, str]) -> str:
        """The text with every value in its place."""
        pieces = [self.literals[0]]
        for name, literal in zip(self.names, self.literals[1:], strict=True):
            pieces += (values[name], literal)
        return "".join(pieces)


@lru_cache(maxsize=4096)
def parse_template(text: str) -> Template:
    r"""Takes a text apart; ``\n`` in it is a new line.

    Raises:
        TemplateError: a brace does not belong to a plain placeholder.
    """
    literals, names, end = [], [], 0
    for match in _PIECE.finditer(text):
        name = match.group(1)
        if name is None or not _NAME.fullmatch(name):
            raise TemplateError(
                f"{match.group(0)} is no placeholder",
                remedy="write {name} in small letters, digits and _; no other brace is allowed",
            )
        literals.append(_unescape(text[end : match.start()]))
        names.append(name)
        end = match.end()
    return Template((*literals, _unescape(text[end:])), tuple(names))


def render(template: str, variables: Mapping[str, object], form: TextFormat = "plain") -> str:
    """The text with its values, each cleaned for the way it goes.

    Raises:
        TemplateError: the text is unsafe, or a value is missing or blank.
    """
    parsed = parse_template(template)
    values = {name: clean_value(variables.get(name), form) for name in parsed.variables}
    blank = sorted(name for name, value in values.items() if not value)
    if blank:
        raise TemplateError(f"blank: {', '.join(blank)}", remedy="choose a text without it")
    return format_template(parsed, form).fill(values)


def format_template(template: Template, form: TextFormat) -> Template:
    """The text as its channel takes it; values are cleaned apart, by ``clean_value``."""
    if form == "plain":
        return template
    return Template(tuple(map(_to_html, template.literals)), template.names)


def clean_value(value: object, form: TextFormat = "plain") -> str:
    """A value as it may stand in a message: one line, no hidden signs, escaped in HTML."""
    return "" if value is None else _clean_text(str(value), form)


def sms_parts(text: str) -> int:
    """How many messages an SMS of this text is made of and paid as."""
    if all(sign in _GSM or sign in _GSM_TWICE for sign in text):
        units = sum(2 if sign in _GSM_TWICE else 1 for sign in text)
        whole, part = _GSM_SIGNS, _GSM_PART
    else:
        units = len(text.encode("utf-16-le")) // 2
        whole, part = _UCS2_UNITS, _UCS2_PART
    return 1 if units <= whole else -(-units // part)


def find_forbidden(text: str, words: Sequence[tuple[str, Sequence[str]]]) -> str | None:
    """The first forbidden word in a text, outside the phrases in which it is allowed."""
    lowered = unicodedata.normalize("NFKC", text).casefold()
    for word, allowed in words:
        left = lowered
        for phrase in allowed:
            left = left.replace(phrase, "")
        if word in left:
            return word
    return None


@lru_cache(maxsize=65536)
def _clean_text(text: str, form: TextFormat) -> str:
    visible = "".join(
        " " if sign.isspace() or unicodedata.category(sign) == "Cc" else sign
        for sign in text
        if unicodedata.category(sign) not in ("Cf", "Cs", "Co", "Cn")
    )
    line = " ".join(visible.translate(_NO_SIGNATURE).split())
    return html.escape(line) if form == "html" else line


def _unescape(text: str) -> str:
    return text.replace("\\n", "\n")


def _to_html(text: str) -> str:
    return html.escape(text).replace("\n", "<br>\n")
