"""When a customer gets a tag, and when it ends: ``tag_rules.csv`` and ``industry_packs.csv``.

Add here: a rule kind, a signal, what a cell of a tag rule may say.
Not here: how rules are applied (dbt, ``int_tag_*``).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path

from crm_pipeline.lib.rules.intent_lexicon import read_intent_lexicon
from crm_pipeline.lib.rules.table import Row, RuleTable

FILE = "tag_rules.csv"
COLUMNS = (
    "rule_id", "tag", "tag_kind", "industry", "rule_kind", "signal", "category_name", "is_premium",
    "product_words", "match_text", "min_count", "window_days", "without_purchase_of",
    "without_purchase_days", "requires_tag", "replaces", "ttl_days", "age_from", "age_to",
    "name_zh", "name_en", "note",
)  # fmt: skip
PACKS_FILE = "industry_packs.csv"
PACKS_COLUMNS = ("industry", "is_enabled", "name_zh", "name_en", "note")

TAG_KINDS = ("interest", "behaviour", "scene", "intent", "life_stage", "green", "industry")
PRODUCT_SIGNALS = ("product_viewed", "cart_added", "favourite_added", "purchased")
# Counted once a day, whatever happens on it.
DAY_SIGNALS = ("store_visited", "store_left", "live_entered", "question_asked", "community_posted")
WORD_SIGNALS = ("ticket_opened", "review_written")
SIGNALS: Mapping[str, tuple[str, ...]] = {
    "consecutive_days": (*PRODUCT_SIGNALS, *DAY_SIGNALS),
    "consecutive_events": ("product_viewed",),
    "count_in_window": (*PRODUCT_SIGNALS[:3], *DAY_SIGNALS, *WORD_SIGNALS),
    "purchase": ("purchased",),
    "text_intent": ("text_intent",),
    "guide_tag": ("guide_tag",),
    "profile": ("birth_year",),
}
RULE_KINDS = tuple(SIGNALS)
SCOPES = ("product", "subject", "any")
PRODUCT_FILTERS = ("category_name", "is_premium", "product_words")

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_LONGEST = 3660  # days: ten years


def read_industry_packs(seeds_dir: Path) -> RuleTable:
    """The industries with every problem in them."""
    table = RuleTable(seeds_dir / PACKS_FILE, PACKS_COLUMNS)
    for row in table.rows:
        table.one_of(row, "is_enabled", ("true", "false"))
        _check_names(table, row)
        _check_spelling(table, row, "industry")
    if table.rows:
        table.unique("industry")
    return table


def read_tag_rules(seeds_dir: Path) -> RuleTable:
    """The tag rules with every problem in them."""
    table = RuleTable(seeds_dir / FILE, COLUMNS)
    packs = RuleTable(seeds_dir / PACKS_FILE, PACKS_COLUMNS)
    industries = [row.cells["industry"] for row in packs.rows]
    for row in table.rows:
        _check_row(table, row, industries)
    if table.rows:
        table.unique("rule_id")
        _check_tags_agree(table)
        _check_other_tags(table)
        _check_intents(table, read_intent_lexicon(seeds_dir))
    return table


def _check_row(table: RuleTable, row: Row, industries: Collection[str]) -> None:
    for column in ("rule_id", "tag"):
        _check_spelling(table, row, column)
    _check_names(table, row)
    table.one_of(row, "tag_kind", TAG_KINDS)
    if row.cells["industry"]:
        table.one_of(row, "industry", sorted(industries))
    for column in ("window_days", "ttl_days"):
        table.whole_number(row, column, least=1, most=_LONGEST)
    table.whole_number(row, "without_purchase_days", most=_LONGEST)
    kind = table.one_of(row, "rule_kind", RULE_KINDS)
    if kind is None or table.one_of(row, "signal", SIGNALS[kind]) is None:
        return
    if kind == "profile":
        _check_profile(table, row)
        return
    for column in ("age_from", "age_to"):
        _leave_empty(table, row, column, "only profile rules look at ages")
    _check_product_cells(table, row, kind)
    _check_match_text(table, row, kind)
    _check_counting(table, row, kind)
    _check_purchase_cells(table, row, kind)


def _check_profile(table: RuleTable, row: Row) -> None:
    ages = [table.whole_number(row, column, most=120) for column in ("age_from", "age_to")]
    if row.cells["age_from"] == row.cells["age_to"] == "":
        table.complain(row.number, "age_from", "a profile rule needs an age",
                       "Write the age from which on it holds, or up to which, or both")  # fmt: skip
    if ages[0] is not None and ages[1] is not None and ages[0] > ages[1]:
        table.complain(row.number, "age_from", f"{ages[0]} is above age_to {ages[1]}",
                       "Write the younger age first")  # fmt: skip
    for column in (*PRODUCT_FILTERS, "match_text", "min_count", "window_days", "ttl_days",
                   "without_purchase_of", "without_purchase_days"):  # fmt: skip
        _leave_empty(table, row, column, "a profile rule asks for ages only")


def _check_product_cells(table: RuleTable, row: Row, kind: str) -> None:
    cells = row.cells
    if cells["is_premium"]:
        table.one_of(row, "is_premium", ("true", "false"))
    if re.search(r"[^\w| -]", cells["product_words"]):
        table.complain(row.number, "product_words", "there is a sign in it that is no letter",
                       "Write words with | between them")  # fmt: skip
    for column in ("category_name", "product_words", "match_text"):
        if any(not word.strip() for word in cells[column].split("|")) and cells[column]:
            table.complain(row.number, column, "a word between two | is missing",
                           "Write one | between two words and none at the ends")  # fmt: skip
    if cells["signal"] not in PRODUCT_SIGNALS:
        for column in PRODUCT_FILTERS:
            _leave_empty(table, row, column, f"{cells['signal']} is about no product")
    elif kind == "consecutive_events":
        for column in ("is_premium", "product_words"):
            _leave_empty(table, row, column, "browses in a row are told apart by category only")
        if not cells["category_name"] or "|" in cells["category_name"]:
            table.complain(row.number, "category_name", "browses in a row need one category",
                           "Write one category; a second one is a rule of its own")  # fmt: skip


def _check_match_text(table: RuleTable, row: Row, kind: str) -> None:
    signal = row.cells["signal"]
    if kind in ("text_intent", "guide_tag"):
        if not row.cells["match_text"]:
            table.complain(row.number, "match_text", "it is empty",
                           "Write the words of guides, or the intent, with | between")  # fmt: skip
    elif signal not in WORD_SIGNALS:
        _leave_empty(table, row, "match_text", f"{signal} says no word")


def _check_counting(table: RuleTable, row: Row, kind: str) -> None:
    count = table.whole_number(row, "min_count", least=1, most=1000)
    window = row.cells["window_days"]
    if kind.startswith("consecutive") and (count == 1 or not row.cells["min_count"]):
        table.complain(row.number, "min_count", "in a row means two at least",
                       "Write 2 or more, or use count_in_window")  # fmt: skip
    if kind == "consecutive_days":
        _leave_empty(table, row, "window_days", "days in a row are a window of themselves")
    elif kind == "guide_tag":
        _leave_empty(table, row, "min_count", "what a guide says counts at once")
    once_a_day = kind == "purchase" or row.cells["signal"] in DAY_SIGNALS
    if once_a_day and count and window.isdigit() and 0 < int(window) < count:
        what = f"{count} days can never lie within {window}"
        table.complain(row.number, "window_days", what, f"Write {count} or more")


def _check_purchase_cells(table: RuleTable, row: Row, kind: str) -> None:
    cells = row.cells
    if not cells["without_purchase_of"]:
        _leave_empty(table, row, "without_purchase_days", "without_purchase_of is empty")
        return
    scope = table.one_of(row, "without_purchase_of", SCOPES)
    if scope == "product" and cells["signal"] not in PRODUCT_SIGNALS:
        table.complain(row.number, "without_purchase_of", f"{cells['signal']} has no product",
                       "Write any")  # fmt: skip
    if scope == "product" and kind == "consecutive_events":
        table.complain(row.number, "without_purchase_of", "browses in a row are of many products",
                       "Write subject or any")  # fmt: skip
    if scope == "subject" and not any(cells[column] for column in PRODUCT_FILTERS):
        what = "the rule says of no product that it is about it"
        table.complain(row.number, "without_purchase_of", what, "Write any, or fill category_name")


def _check_tags_agree(table: RuleTable) -> None:
    first: dict[str, Row] = {}
    for row in table.rows:
        known = first.setdefault(row.cells["tag"], row)
        for column in ("tag_kind", "name_zh", "name_en"):
            if row.cells[column] != known.cells[column]:
                what = f"row {known.number} says '{known.cells[column]}' of the same tag"
                table.complain(row.number, column, what, "Say the same in all rules of a tag")


def _check_other_tags(table: RuleTable) -> None:
    tags = {row.cells["tag"] for row in table.rows}
    building = {row.cells["tag"] for row in table.rows if row.cells["requires_tag"]}
    replaced: dict[str, set[str]] = {}
    for row in table.rows:
        replaced.setdefault(row.cells["tag"], set()).update(row.cells["replaces"].split())
    for row in table.rows:
        required = row.cells["requires_tag"]
        if required and required not in tags:
            table.complain(row.number, "requires_tag", f"no rule gives '{required}'",
                           f"Write one of {', '.join(sorted(tags))}")  # fmt: skip
        elif required in building:
            what = f"'{required}' builds on another tag itself"
            table.complain(row.number, "requires_tag", what, "Build on a tag that stands alone")
        for name in row.cells["replaces"].split():
            _check_replaced(table, row, name, replaced)


def _check_intents(table: RuleTable, lexicon: RuleTable) -> None:
    known = {row.cells["intent"] for row in lexicon.rows}
    for row in table.rows:
        if row.cells["rule_kind"] == "text_intent":
            for name in sorted(set(filter(None, row.cells["match_text"].split("|"))) - known):
                what = f"the lexicon knows no intent '{name}'"
                remedy = f"Write one of {', '.join(sorted(known))}"
                table.complain(row.number, "match_text", what, remedy)


def _check_replaced(
    table: RuleTable, row: Row, name: str, replaced: Mapping[str, set[str]]
) -> None:
    tag = row.cells["tag"]
    if name not in replaced:
        table.complain(row.number, "replaces", f"no rule gives '{name}'",
                       f"Write one of {', '.join(sorted(replaced))}")  # fmt: skip
        return
    path = _way_back(name, tag, replaced)
    if path:
        what = f"the tags replace each other in a circle: {' -> '.join([tag, *path])}"
        table.complain(row.number, "replaces", what, f"Take {name} out, or the way back to {tag}")
        return
    for missing in sorted(_all_replaced(name, replaced) - replaced[tag]):
        what = f"'{name}' replaces '{missing}', which would come back"
        table.complain(row.number, "replaces", what, f"Write {missing} here too")


def _way_back(start: str, goal: str, replaced: Mapping[str, set[str]]) -> list[str]:
    """The tags from ``start`` over what it replaces to ``goal``; empty when there is no way."""
    waiting, seen = [[start]], {start}
    while waiting:
        path = waiting.pop(0)
        if path[-1] == goal:
            return path
        for name in sorted(replaced.get(path[-1], set()) - seen):
            seen.add(name)
            waiting.append([*path, name])
    return []


def _all_replaced(tag: str, replaced: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = [tag]
    while waiting:
        for name in replaced.get(waiting.pop(), set()) - found:
            found.add(name)
            waiting.append(name)
    return found


def _check_spelling(table: RuleTable, row: Row, column: str) -> None:
    text = row.cells[column]
    if text and not _NAME.fullmatch(text):
        table.complain(row.number, column, f"'{text}' is no name",
                       "Write small letters, digits and _ and begin with a letter")  # fmt: skip
    elif not text and column == "tag":
        table.complain(row.number, column, "it is empty", "Name the tag the rule gives")


def _check_names(table: RuleTable, row: Row) -> None:
    for column in ("name_zh", "name_en"):
        if not row.cells[column]:
            table.complain(row.number, column, "it is empty", "Write how people call it")


def _leave_empty(table: RuleTable, row: Row, column: str, why: str) -> None:
    if row.cells[column]:
        what = f"'{row.cells[column]}' is never used: {why}"
        table.complain(row.number, column, what, "Leave it empty")
